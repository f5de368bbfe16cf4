"""The graphs of released bundles called directly through ONNX Runtime, at the size the service would use."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sample_photographs import SIZE, overlapping_pair, photograph

Timed = tuple[float, dict[str, float]]


def direct_calls(bundles: Path, kinds: set[str], threads: int) -> dict[str, Callable[[], Timed]]:
    """One call for each kind's first graph (`perceive`, or `pwm` of `stitch`) among the folders in `bundles`."""
    calls: dict[str, Callable[[], Timed]] = {}
    for manifest_path in sorted(bundles.glob("*/manifest.json")):
        manifest = json.loads(manifest_path.read_text())
        kind = manifest["kind"]
        if kind not in kinds or any(name.startswith(kind) for name in calls):
            continue
        graph_name = "perceive" if kind == "perceive" else "pwm"
        graph = manifest["graphs"][graph_name]
        feeds, shape = inputs_of(graph_name, graph)
        calls[f"{kind} {graph_name} {shape}"] = direct_call(manifest_path.parent / graph["file"], feeds, threads)
    return calls


def inputs_of(graph_name: str, graph: dict[str, Any]) -> tuple[dict[str, np.ndarray], str]:
    """Input tensors by name for the sample photographs, and their size in words."""
    from service.manifest import SizeSpec
    from service.preprocess import model_size, to_model_image

    rule = SizeSpec(**graph["size"])
    size = model_size(SIZE[0], SIZE[1], rule)
    if graph_name == "perceive":
        feeds = {"image": to_model_image(photograph(), size)[None]}
    else:
        pair = overlapping_pair()
        feeds = {
            "target": to_model_image(pair.target_HW3, size)[None],
            "reference": to_model_image(pair.reference_HW3, size)[None],
        }
    return feeds, f"{size[0]}x{size[1]}"


def direct_call(path: Path, feeds: dict[str, np.ndarray], threads: int) -> Callable[[], Timed]:
    """A call that runs the graph once on the CPU and returns its milliseconds."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def call() -> Timed:
        begun = time.perf_counter()
        session.run(None, feeds)
        return 1000 * (time.perf_counter() - begun), {}

    return call

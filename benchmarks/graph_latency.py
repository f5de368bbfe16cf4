"""Latency of networks as exported graphs on the CPU, in turns, so that a busy machine slows all of them alike."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn


def interleaved(
    networks: Mapping[str, nn.Module], size: tuple[int, int], *, threads: int, rounds: int, warm_up: int = 2
) -> dict[str, list[float]]:
    """Milliseconds of every round of every network: one image of `size` (height, width) through ONNX Runtime.

    All graphs are made for this one size, with float32 weights and without memory patterns or spinning threads, as the
    service runs them; the smallest numbers count as 0, because untrained networks may dwell among them.
    """
    import onnxruntime

    from export.source import source_of
    from export.to_onnx import export_graph
    from service.manifest import SizeSpec

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.log_severity_level = 3
    settings.enable_mem_pattern = False
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.set_denormal_as_zero", "1")
    height, width = size
    sessions = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        for name, network in networks.items():
            source = source_of(network.eval(), {})
            spec = SizeSpec(longest_side=max(size), multiple=source.contract.multiple, fixed=(width, height))
            export_graph(source.deployed, source.contract.at(spec), path, half=False)
            sessions[name] = onnxruntime.InferenceSession(
                path.read_bytes(), settings, providers=["CPUExecutionProvider"]
            )
    image = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    times: dict[str, list[float]] = {name: [] for name in networks}
    for turn in range(warm_up + rounds):
        for name, session in sessions.items():
            begun = time.perf_counter()
            session.run(None, {"image": image})
            if turn >= warm_up:
                times[name].append(1000 * (time.perf_counter() - begun))
    return times


def ratios(times: Sequence[float], reference: Sequence[float]) -> tuple[float, float, float]:
    """Median and quartiles of time over reference time, taken within each round."""
    found = np.percentile(np.array(times) / np.array(reference), (50, 25, 75))
    return float(found[0]), float(found[1]), float(found[2])

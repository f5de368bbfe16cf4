"""Where the time of a graph goes, by kind of operation, as ONNX Runtime's own profiler sees it."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray


def time_by_operation(
    path: Path, inputs: Mapping[str, NDArray[Any]], threads: int, rounds: int, provider: str = "CPUExecutionProvider"
) -> dict[str, float]:
    """Shares of the kernels' time in `rounds` calls after one that does not count, the largest first; they sum to 1.

    Operations are those of the graph after ONNX Runtime's optimisation: convolutions with their activations, INT8
    ones as QLinearConv, changes of the memory layout as Reorder.
    """
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.log_severity_level = 3
    settings.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="polyview-profile-") as folder:
        settings.profile_file_prefix = str(Path(folder) / "trace")
        session = onnxruntime.InferenceSession(path, settings, providers=[provider])
        for _ in range(1 + rounds):
            session.run(None, dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_text())
    kernels = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    spent: Counter[str] = Counter()
    for event in kernels[len(kernels) // (1 + rounds) :]:  # every call runs the same kernels
        spent[event["args"]["op_name"]] += event["dur"]
    total = sum(spent.values()) or 1
    return {name: duration / total for name, duration in spent.most_common()}

"""Run a bundle's graphs: the `Graph` protocol, and ONNX Runtime behind it.

ONNX Runtime falls back to the CPU without an exception when CUDA cannot be loaded, and its list of available
providers still claims the GPU. Only `session.get_providers()` is true, so that is what `open_graph` checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from service.errors import BundleFailed
from service.manifest import VARIANTS

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
PRECISIONS = ("fp32", *VARIANTS)


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """How graphs run.

    device: `cpu`, `cuda`, or `auto` (CUDA where ONNX Runtime offers and really loads it).
    intra_op_threads: threads of one call on the CPU. One gives the best throughput when requests run in parallel;
        as many as cores gives the shortest single request.
    precision: `fp32`, or `int8` where a bundle has such a file: faster on processors with 8-bit dot products.
    """

    device: str = "auto"
    intra_op_threads: int = 1
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.device not in ("auto", *PROVIDERS):
            raise ValueError(f"device: expected auto, cpu or cuda, found {self.device!r}")
        if self.intra_op_threads < 1:
            raise ValueError(f"intra_op_threads: expected at least 1, found {self.intra_op_threads}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected {' or '.join(PRECISIONS)}, found {self.precision!r}")


class Graph(Protocol):
    """One network. `run` takes and returns arrays by tensor name; shapes and units stand in the manifest."""

    @property
    def provider(self) -> str: ...

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...


class OnnxGraph:
    """An ONNX Runtime session. Safe to call from several threads at once."""

    def __init__(self, session: Any, path: Path) -> None:
        self._session = session
        self._path = path
        self._outputs = [output.name for output in session.get_outputs()]

    @property
    def provider(self) -> str:
        """The provider really in use, not the one asked for."""
        return str(self._session.get_providers()[0])

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of the graph by name.

        Raises BundleFailed if the graph itself fails (out of memory, a device that went away).
        """
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except Exception as error:  # ONNX Runtime's own exceptions share no public base class
            raise BundleFailed(
                f"The graph {self._path.name} failed: {type(error).__name__}.",
                "Try again; if it stays, the service's log names the cause.",
            ) from error
        return dict(zip(self._outputs, values, strict=True))


def open_graph(path: Path, options: RuntimeOptions) -> Graph:
    """Load a graph from disk and make sure that it runs where it should.

    Raises BundleFailed if ONNX Runtime refuses the file, or if `device="cuda"` was asked for and not obtained.
    """
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.intra_op_threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    # Patterns are kept per input shape, and uploads come in every shape.
    settings.enable_mem_pattern = False
    # Spinning threads would take the cores that other requests need.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = ["cuda", "cpu"] if options.device == "auto" else [options.device]
    available = ort.get_available_providers()
    providers = [PROVIDERS[name] for name in wanted if PROVIDERS[name] in available] or [PROVIDERS["cpu"]]
    try:
        session = ort.InferenceSession(str(path), settings, providers=providers)
    except Exception as error:
        raise BundleFailed(f"{path}: ONNX Runtime cannot load it: {error}", "Export the bundle again.") from error
    graph = OnnxGraph(session, path)
    if options.device == "cuda" and graph.provider != PROVIDERS["cuda"]:
        raise BundleFailed(
            f"{path}: asked for CUDA, but ONNX Runtime runs it on {graph.provider}.",
            "Install requirements/serve-gpu.txt with CUDA 13 and cuDNN 9, or set POLYVIEW_DEVICE=cpu.",
        )
    return graph

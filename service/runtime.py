"""Run a bundle's graphs: the `Graph` protocol, and ONNX Runtime behind it.

ONNX Runtime falls back to the CPU without an exception when CUDA cannot be loaded, and its list of available
providers still claims the GPU. Only `session.get_providers()` is true, so that is what `open_graph` checks.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from service.errors import BundleFailed
from service.manifest import VARIANTS, GraphSpec
from service.tensorrt_provider import INSTALL, PROVIDER, check_library, largest_and_smallest, provider_entry

logger = logging.getLogger("polyview")

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": PROVIDER}
# Instead of trying every algorithm out: networks meet many sizes and batches, and each would be tried out anew while a
# request waits.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC"}
REMEDIES = {
    "cuda": "Install requirements/serve-gpu.txt with CUDA 13 and cuDNN 9, or set POLYVIEW_DEVICE=cpu.",
    "tensorrt": INSTALL,
}
"""What to do where a device was asked for and not obtained."""
PRECISIONS = ("fp32", *VARIANTS)


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """How graphs run.

    device: `cpu`, `cuda`, `tensorrt`, or `auto` (CUDA where ONNX Runtime offers and really loads it).
    engine_cache: folder in which TensorRT's engines are kept; needed for `tensorrt` alone.
    intra_op_threads: threads of one call on the CPU. One gives the best throughput when requests run in parallel;
        as many as cores gives the shortest single request.
    precision: `fp32`, or `int8` where a bundle has such a file: faster on processors with 8-bit dot products.
    warm_up: run each graph when it is opened, at both ends of its sizes, so that no request is the first.
    """

    device: str = "auto"
    intra_op_threads: int = 1
    precision: str = "fp32"
    engine_cache: Path | None = None
    warm_up: bool = False

    def __post_init__(self) -> None:
        if self.device not in ("auto", *PROVIDERS):
            raise ValueError(f"device: expected auto, cpu, cuda or tensorrt, found {self.device!r}")
        if self.device == "tensorrt" and self.engine_cache is None:
            raise ValueError("engine_cache: expected a folder for the device tensorrt, found None")
        if self.device == "tensorrt" and self.precision == "int8":
            raise ValueError("precision: expected fp32 for the device tensorrt, found int8, which is for processors")
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


def open_graph(path: Path, options: RuntimeOptions, spec: GraphSpec) -> Graph:
    """Load a graph from disk and make sure that it runs where it should. With TensorRT, its engine is ready then.

    spec: what the manifest says of the graph. Raises BundleFailed if ONNX Runtime refuses the file, or if `cuda` or
    `tensorrt` was asked for and not obtained. Where `auto` ends on the CPU though CUDA is offered, the log says so.
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
    offered = ort.get_available_providers()
    try:
        session = ort.InferenceSession(str(path), settings, providers=_providers(options, offered))
    except Exception as error:
        raise BundleFailed(f"{path}: ONNX Runtime cannot load it: {error}", "Export the bundle again.") from error
    graph = OnnxGraph(session, path)
    if options.device in REMEDIES and graph.provider != PROVIDERS[options.device]:
        raise BundleFailed(
            f"{path}: asked for {options.device}, but ONNX Runtime runs it on {graph.provider}.",
            REMEDIES[options.device],
        )
    if options.device == "auto" and graph.provider == PROVIDERS["cpu"] and PROVIDERS["cuda"] in offered:
        logger.warning("%s runs on the CPU, for CUDA was not obtained. %s", path, REMEDIES["cuda"])
    if options.warm_up or options.device == "tensorrt":
        for inputs in largest_and_smallest(spec):
            graph.run(inputs)
    return graph


def _providers(options: RuntimeOptions, available: Sequence[str]) -> list[Any]:
    """What to ask ONNX Runtime for, best first. With TensorRT, CUDA computes what TensorRT does not take."""
    if options.device == "tensorrt":
        assert options.engine_cache is not None
        check_library()
        options.engine_cache.mkdir(parents=True, exist_ok=True)
        wanted: list[Any] = [provider_entry(options.engine_cache), (PROVIDERS["cuda"], CUDA_OPTIONS)]
    else:
        wanted = [PROVIDERS["cpu"] if options.device == "cpu" else (PROVIDERS["cuda"], CUDA_OPTIONS)]
    usable = [entry for entry in wanted if (entry if isinstance(entry, str) else entry[0]) in available]
    return [*usable, PROVIDERS["cpu"]] if options.device in ("auto", "tensorrt") or not usable else usable

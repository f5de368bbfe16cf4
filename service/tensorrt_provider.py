"""TensorRT behind ONNX Runtime: engines are built at the first start, kept in a folder, and loaded from there on.

The provider's engines take the sizes that they have seen. Profiles can be stated in its options, but only by the names
of the tensors that enter TensorRT, and which these are depends on how the graph was cut. So `largest_and_smallest` are
run once when a graph is opened: whatever is asked for later lies between them, and no request waits for a build.

ONNX Runtime is linked against TensorRT 10. With 11 in the environment it would find no library, or a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from service.errors import BundleFailed
from service.manifest import GraphSpec
from service.preprocess import size_range

PROVIDER = "TensorrtExecutionProvider"
LIBRARY_MAJOR = "10"
DISTRIBUTIONS = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")
INSTALL = (
    "Install requirements/serve-gpu.txt and TensorRT 10 (pip install 'tensorrt-cu13<11') in an environment without "
    "TensorRT 11, or set POLYVIEW_DEVICE=cuda."
)


def provider_entry(cache: Path) -> tuple[str, dict[str, str]]:
    """The provider with its options: engines and timings are kept in `cache`.

    Types come from the graph, so no option asks for a shorter one: a flow field in float16 would lose its subpixels.
    """
    options = {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(cache),
    }
    return PROVIDER, options


def check_library() -> None:
    """Raise BundleFailed where an installed TensorRT is of another version than ONNX Runtime's."""
    for name in DISTRIBUTIONS:
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        if found.partition(".")[0] != LIBRARY_MAJOR:
            raise BundleFailed(
                f"ONNX Runtime's provider needs TensorRT {LIBRARY_MAJOR}, found {name} {found}.", INSTALL
            )


def largest_and_smallest(graph: GraphSpec, images: int = 1) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """Empty inputs of `images` images, of the largest and then of the smallest size that a graph is asked for."""
    smallest, largest = size_range(graph.size)
    for width, height in dict.fromkeys((largest, smallest)):
        numbers = {"N": images, "H": height, "W": width}
        yield {
            spec.name: np.zeros([numbers[a] if isinstance(a, str) else a for a in spec.shape], spec.dtype)
            for spec in graph.inputs
        }

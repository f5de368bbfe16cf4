"""The TensorRT that this environment has: NVIDIA's TensorRT, or TensorRT for RTX. Both share one Python interface.

TensorRT builds on the GPU that it builds for. TensorRT for RTX compiles ahead for a compute capability, on a machine
without any GPU, and finishes on the RTX card where the engine is loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from export.engines.errors import LibraryConflictError, LibraryMissingError

LIBRARIES = ("tensorrt", "tensorrt-rtx")
DISTRIBUTIONS = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")
"""Names under which one and the same module `tensorrt` is installed."""
OLDEST = (10, 12)
"""From here on a strongly typed network is the way to choose a precision; before it, flags were."""
HOW_TO_INSTALL = {
    "tensorrt": "on the machine with the GPU: pip install tensorrt-cu13 (it fetches NVIDIA's libraries)",
    "tensorrt-rtx": "pip install -r requirements/tensorrt.txt (needs no GPU)",
}


@dataclass(frozen=True, kw_only=True)
class Library:
    """A TensorRT: `name` of LIBRARIES, its version, and its module."""

    name: str
    version: str
    module: Any

    @property
    def needs_gpu(self) -> bool:
        """Whether building takes the GPU that the engine is for."""
        return self.name == "tensorrt"


def load_library(wanted: str = "auto") -> Library:
    """The library `wanted`, or with "auto" the one that is installed.

    Raises LibraryMissingError with what to install, LibraryConflictError where several could be meant, ValueError for
    an unknown name.
    """
    if wanted not in ("auto", *LIBRARIES):
        raise ValueError(f"library: expected auto, {' or '.join(LIBRARIES)}, found {wanted!r}")
    found = {name: module for name in LIBRARIES if wanted in ("auto", name) and (module := _import(name)) is not None}
    if not found:
        names = LIBRARIES if wanted == "auto" else (wanted,)
        raise LibraryMissingError("found no TensorRT. " + "; or ".join(f"{n}, {HOW_TO_INSTALL[n]}" for n in names))
    if len(found) > 1:
        raise LibraryConflictError("found both TensorRT and TensorRT for RTX. Choose one with --library")
    name, module = next(iter(found.items()))
    if name == "tensorrt":
        _check_versions(installed_versions(), module.__version__)
    return Library(name=name, version=module.__version__, module=module)


def installed_versions() -> dict[str, str]:
    """The versions of `tensorrt` in this environment, by the name of the distribution."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _check_versions(distributions: dict[str, str], imported: str) -> None:
    if len({text.partition(".")[0] for text in distributions.values()}) > 1:
        raise LibraryConflictError(
            f"found {distributions}, which overwrite one another. Keep one: 10 for ONNX Runtime's provider, 11 for "
            "engines of one's own, each in an environment of its own"
        )
    if tuple(int(part) for part in imported.split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise LibraryMissingError(f"expected TensorRT {oldest} or later, found {imported}. Upgrade tensorrt-cu13")


def _import(name: str) -> ModuleType | None:
    try:
        if name == "tensorrt":
            return importlib.import_module("tensorrt")
        importlib.import_module("tensorrt_rtx_libs")  # loads the shared libraries that the bindings look for
        return importlib.import_module("tensorrt_rtx_bindings")
    except ModuleNotFoundError:
        return None
    except (ImportError, OSError) as error:
        raise LibraryMissingError(f"{name} is installed but does not load: {error}. {HOW_TO_INSTALL[name]}") from error


@contextmanager
def messages(library: Library) -> Iterator[tuple[Any, list[str]]]:
    """A logger for TensorRT, and the list in which its errors and warnings gather, oldest first."""
    trt = library.module
    gathered: list[str] = []

    class Gatherer(trt.ILogger):  # type: ignore[name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.WARNING:
                gathered.append(text.strip())

    yield Gatherer(), gathered

"""The engines of a bundle: cast, compare, build, inspect, write; again only where something changed."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from export.contracts import contract_of_graph
from export.engines.builder import CURRENT, build_engine, resolve_target
from export.engines.errors import EnginePrecisionError, ForeignGraphError, StaleEngineError
from export.engines.execute import Engine
from export.engines.gpu import AMPERE_PLUS, find_gpu
from export.engines.library import Library
from export.engines.plan import check_precision, inspected_types, plan_target, plan_weights
from export.engines.profiles import ANY, profiles_of
from export.engines.record import FOLDER, Origin, differences, read_record, write_engine, write_whole
from export.engines.stray import LARGEST_ERROR, check_strays, relative_error, strays
from export.engines.symmetric_int8 import quantised_bytes, symmetric_int8
from export.engines.typed_graph import PRECISIONS, read_graph, typed_graph
from export.samples import Sample, samples
from service.bundle import Bundle, file_sha256

CASES = 2
LARGEST_ON_GPU = 1e-2
"""Of an output's largest value, between the engine and ONNX Runtime in float32."""

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What to build.

    graphs: names of graphs, None for all. keep: patterns of nodes or operations to leave in float32 (see
    `typed_graph`). targets: see `builder.targets_of`. batches, sizes: buckets (see `profiles_of`). max_error: instead
    of `stray.LARGEST_ERROR`. rebuild: also where an engine of the same origin is there.
    """

    precision: str = "float16"
    graphs: tuple[str, ...] | None = None
    keep: tuple[str, ...] = ()
    targets: tuple[str, ...] = (CURRENT,)
    batches: tuple[int, ...] = (1,)
    sizes: tuple[str, ...] = (ANY,)
    max_error: float | None = None
    rebuild: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, found {self.precision!r}")
        if self.max_error is not None and not 0 < self.max_error < math.inf:
            raise ValueError(f"max_error: expected a number above 0, found {self.max_error}")


def write_engines(
    bundle: Bundle, library: Library, options: EngineOptions, progress: Progress = lambda line: None
) -> list[dict[str, Any]]:
    """Build what is missing or stale in the bundle's `engines/`; answers every engine's record, with `built` added.

    Raises an EngineError or DiskFullError; engines that were finished before stay, the one at hand changes nothing.
    """
    known = bundle.manifest.graphs
    strangers = sorted(set(options.graphs or ()) - set(known))
    if strangers:
        raise ValueError(f"graph: expected some of {', '.join(known)}, found {', '.join(strangers)}")
    targets = [resolve_target(library, target) for target in options.targets]
    records = []
    for name in options.graphs or tuple(known):
        origins = [_origin(bundle, name, library, options, target) for target in dict.fromkeys(targets)]
        missing = [origin for origin in origins if options.rebuild or not _usable(bundle, origin, options, progress)]
        typed, errors = _prepare(bundle, name, options, progress) if missing else (None, {})
        for origin in origins:
            path = bundle.folder / FOLDER / origin.file
            if origin in missing:
                assert typed is not None
                _build(bundle, library, origin, typed, errors, progress)
            records.append({**read_record(path), "built": origin in missing})
    return records


def _origin(bundle: Bundle, name: str, library: Library, options: EngineOptions, target: str) -> Origin:
    graph, gpu = bundle.manifest.graphs[name], find_gpu()
    model = graph.variants.get("int8") if options.precision == "int8" else graph.file
    if model is None:
        raise ForeignGraphError(
            f"bundle {bundle.folder}: {name} has no INT8 file. Make one with python -m export int8 "
            f"{bundle.folder} --out {bundle.folder}, or name other graphs with --graph"
        )
    return Origin(
        graph=name,
        model=model,
        model_sha256=file_sha256(bundle.folder / model),
        precision=options.precision,
        keep=options.keep,
        library=library.name,
        version=library.version,
        target=target,
        gpu=gpu.name if gpu is not None and library.needs_gpu else None,
        profiles=tuple(profiles_of(graph.size, options.batches, options.sizes)),
    )


def _usable(bundle: Bundle, origin: Origin, options: EngineOptions, progress: Progress) -> bool:
    """Whether an engine of exactly this origin is there, compared on the GPU where one is that it runs on.

    Raises EnginePrecisionError when it is and strays further than the options allow.
    """
    path = bundle.folder / FOLDER / origin.file
    if not path.exists():
        return False
    try:
        record = read_record(path)
        reasons = differences(record, origin)
        if record.get("on_gpu") is None and _gpu_for(origin):
            reasons.append("never compared on the GPU that is here")
    except StaleEngineError as error:
        reasons = [str(error)]
    if not reasons:
        check_strays(record["error_on_cpu"], origin.precision, f"{bundle.folder.name}, {path.name}", options.max_error)
    progress(f"{origin.file}: " + (f"building again, {'; '.join(reasons)}" if reasons else "kept"))
    return not reasons


def _gpu_for(origin: Origin) -> bool:
    """Whether this machine's GPU is one that the engine is for."""
    gpu = find_gpu()
    return gpu is not None and origin.target in (gpu.target, AMPERE_PLUS)


def _prepare(
    bundle: Bundle, name: str, options: EngineOptions, progress: Progress
) -> tuple[onnx.ModelProto, dict[str, float]]:
    """The typed graph, and how far it strays from the float32 one on the CPU."""
    original = read_graph(bundle.graph_path(name))
    if options.precision == "int8":
        source = symmetric_int8(read_graph(bundle.graph_path(name, "int8")))
    else:
        source = original
    progress(f"{name}: to {options.precision}, compared with float32 on the CPU")
    typed = typed_graph(source, options.precision, options.keep)
    errors = strays(original, typed, _cases(bundle, name))
    check_strays(errors, options.precision, f"{bundle.folder.name}, {name}", options.max_error)
    return typed, errors


def _build(
    bundle: Bundle,
    library: Library,
    origin: Origin,
    typed: onnx.ModelProto,
    errors: dict[str, float],
    progress: Progress,
) -> None:
    graph, folder = bundle.manifest.graphs[origin.graph], bundle.folder / FOLDER
    progress(f"{origin.file}: building {len(origin.profiles)} profile(s)")
    cache = folder / f"timing.{origin.target}.{library.name}-{library.version}.cache"
    started = time.monotonic()
    built = build_engine(
        library, typed, graph, origin.profiles, origin.target, cache.read_bytes() if cache.is_file() else b""
    )
    seconds = round(time.monotonic() - started, 1)
    weights: dict[str, int] = {}
    if not library.needs_gpu:
        weights = plan_weights(built.data)
        _check_plan(weights, plan_target(built.data), origin, quantised_bytes(typed))
    found = {
        "precision": {"weights_bytes": weights or None, "network_layers": built.layers},
        "tensors": {"inputs": built.inputs, "outputs": built.outputs},
        "error_on_cpu": errors,
        "on_gpu": None,
        "seconds": seconds,
    }
    if built.timing_cache:
        write_whole(cache, built.timing_cache)
    progress(f"{origin.file}: {len(built.data) / 1e6:.1f} MB in {seconds:g} s")
    if _gpu_for(origin):
        with tempfile.TemporaryDirectory(prefix="polyview-engine-") as temporary:
            trial = write_engine(Path(temporary), origin, built.data, found)
            found["on_gpu"] = run_and_compare(bundle, library, trial, origin)
    write_engine(folder, origin, built.data, found)


def _check_plan(weights: dict[str, int], target: str | None, origin: Origin, quantised: int) -> None:
    """What an engine of TensorRT for RTX says of itself must be what was asked for."""
    if not weights or target is None:
        raise EnginePrecisionError(
            f"{origin.file}: this version of TensorRT for RTX writes engines whose types cannot be read. Use the "
            "version of requirements/tensorrt.txt"
        )
    check_precision(weights, origin.precision, origin.file, quantised)
    if target != origin.target:
        raise EnginePrecisionError(f"{origin.file}: expected an engine for {origin.target}, found one for {target}")


def run_and_compare(bundle: Bundle, library: Library, path: Path, origin: Origin) -> dict[str, Any]:
    """Load an engine, ask the inspector for its types, and compare its answers with ONNX Runtime's in float32.

    Raises EnginePrecisionError when no layer has the engine's precision, or an output strays beyond the limit.
    """
    engine = Engine(library, path)
    types = inspected_types(engine.information())
    seen = types["inputs"].keys() | types["outputs"].keys()
    if library.needs_gpu and origin.precision not in seen:
        raise EnginePrecisionError(f"{path.name}: expected layers of {origin.precision}, the inspector found {types}")
    reference = _Reference(bundle, origin.graph)
    worst: dict[str, float] = {}
    for case in _cases(bundle, origin.graph):
        try:
            found = engine.run(case.inputs)
        except ValueError:  # no profile takes this size
            continue
        for name, b in reference.run(case).items():
            worst[name] = max(worst.get(name, 0.0), relative_error(found[name], b))
    limit = max(LARGEST_ON_GPU, LARGEST_ERROR[origin.precision])
    check_strays(worst, origin.precision, path.name, limit)
    gpu = find_gpu()
    assert gpu is not None
    return {"gpu": gpu.name, "capability": gpu.target, "inspected_layers": types, "error": worst}


class _Reference:
    """The bundle's own file in ONNX Runtime on the CPU."""

    def __init__(self, bundle: Bundle, name: str) -> None:
        from export.verify import open_session

        self._session = open_session(bundle.graph_path(name))

    def run(self, case: Sample) -> dict[str, Any]:
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, case.inputs), strict=True))


def _cases(bundle: Bundle, name: str) -> Iterator[Sample]:
    """Single images of the first upload sizes: one random, one generated."""
    graph = bundle.manifest.graphs[name]
    alone = (
        case
        for case in samples(contract_of_graph(name, graph), graph.size)
        if next(iter(case.inputs.values())).shape[0] == 1
    )
    for _, case in zip(range(CASES), alone, strict=False):
        yield case

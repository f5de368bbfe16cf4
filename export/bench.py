"""How fast a bundle's graphs are over providers and threads, and how far that is from what the machine can multiply.

Every row is timed in turns with all others, so that other load on the machine meets all alike: read ratios, not
milliseconds, on a machine that does something else too. The roofline is the largest rate of a float32 matrix product
(SGEMM) measured between the same turns.
"""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from export.contracts import Contract, contract_of_graph
from export.errors import LoadError
from export.operations import multiply_accumulates, with_names
from export.profile import time_by_operation
from export.samples import graph_inputs, random_image
from models.build import build, config_from_dict, without_weights
from models.deployed import deploy
from service.bundle import Bundle
from service.manifest import GraphSpec
from service.preprocess import model_size

LANDSCAPE = (4, 3)
"""Width to height of the frames."""
PROVIDERS = {"CUDAExecutionProvider": "CUDA", "TensorrtExecutionProvider": "TensorRT"}
PRODUCT_SIDE = 1024
WARM_UP = 3
Work = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """graphs: which to time, None for all. batches: frames of a call. threads: of a call on the CPU. rounds: timed
    calls of each row. compiled: torch.compile too. profiled: where the time of each file goes."""

    graphs: tuple[str, ...] | None = None
    batches: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = (1, 2)
    rounds: int = 20
    compiled: bool = False
    profiled: bool = False

    def __post_init__(self) -> None:
        for name in ("batches", "threads"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ValueError(f"{name}: expected numbers of at least 1, found {getattr(self, name)}")
        if self.rounds < 1:
            raise ValueError(f"rounds: expected at least 1, found {self.rounds}")


@dataclass(kw_only=True)
class Row:
    """One way to run one graph. milliseconds: of every timed call, in the order of the rounds."""

    graph: str
    way: str
    threads: int
    batch: int
    size: tuple[int, int]
    macs: int
    milliseconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Milliseconds of a call."""
        return float(np.median(self.milliseconds))

    @property
    def gflops(self) -> float:
        """10^9 floating-point operations (two for each multiply-accumulate of the float graph) in a second."""
        return 2e-6 * self.macs * self.batch / self.median


@dataclass(kw_only=True)
class Bench:
    """rows: what was timed. peaks: largest GFLOP/s of a float32 matrix product by threads. missing: rows that this
    machine cannot have, and why. profiles: by file, shares of the time by operation on one thread."""

    rows: list[Row]
    peaks: dict[int, float]
    missing: list[str]
    profiles: dict[str, dict[str, float]] = field(default_factory=dict)


def bench_bundle(bundle: Bundle, options: BenchOptions, progress: Callable[[str], None] = lambda line: None) -> Bench:
    """Time the graphs of a bundle. Raises ValueError for a graph that it does not have."""
    chosen = options.graphs or tuple(bundle.manifest.graphs)
    strangers = sorted(set(chosen) - set(bundle.manifest.graphs))
    if strangers:
        raise ValueError(f"graphs: expected some of {list(bundle.manifest.graphs)}, found {strangers}")
    missing: list[str] = []
    peaks = dict.fromkeys(options.threads, 0.0)
    rows: list[Row] = []
    for name in chosen:
        for threads in options.threads:
            for batch in options.batches:
                progress(f"{name}: {threads} thread(s), {batch} frame(s), {options.rounds} rounds")
                calls = _calls(bundle, name, threads, batch, options, missing)
                rows += _timed(bundle, name, threads, batch, calls, options.rounds, peaks)
    profiles: dict[str, dict[str, float]] = {}
    if options.profiled:
        for name in chosen:
            graph = bundle.manifest.graphs[name]
            inputs = example(contract_of_graph(name, graph), graph, 1)
            for file in (graph.file, *graph.variants.values()):
                profiles[file] = time_by_operation(bundle.folder / file, inputs, 1, options.rounds)
    return Bench(rows=rows, peaks=peaks, missing=list(dict.fromkeys(missing)), profiles=profiles)


def bench_text(bench: Bench) -> str:
    """The rows as a Markdown table, relative to PyTorch where it was timed, and what is missing below it."""
    heads = ("graph", "way", "threads", "batch", "ms", "frames/s", "× PyTorch", "G MACs a frame", "GFLOP/s", "of SGEMM")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    eager = {(row.graph, row.threads, row.batch): row for row in bench.rows if row.way == EAGER}
    for row in bench.rows:
        other = eager.get((row.graph, row.threads, row.batch))
        gain = f"{speed_up(row, other):.2f}" if other else "–"
        share = f"{row.gflops / bench.peaks[row.threads]:.0%}" if row.threads in bench.peaks else "–"
        cells = (
            f"{row.graph} {row.size[0]}x{row.size[1]}", row.way, str(row.threads or "–"), str(row.batch),
            f"{row.median:.1f}", f"{1e3 * row.batch / row.median:.1f}", gain, f"{row.macs / 1e9:.2f}",
            f"{row.gflops:.1f}", share,
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    peaks = ", ".join(f"{peak:.0f} GFLOP/s on {threads} thread(s)" for threads, peak in bench.peaks.items())
    lines += ["", f"Float32 matrix product of {PRODUCT_SIDE} x {PRODUCT_SIDE}, fastest of the rounds: {peaks}."]
    for file, shares in bench.profiles.items():
        largest = ", ".join(f"{name} {share:.0%}" for name, share in list(shares.items())[:8])
        lines += [f"Time of {file} on one thread: {largest}."]
    return "\n".join([*lines, *(f"Not timed: {line}." for line in bench.missing)])


def speed_up(row: Row, reference: Row) -> float:
    """How many times faster than the reference, the median over the rounds that both were timed in."""
    return float(np.median(np.array(reference.milliseconds) / np.array(row.milliseconds)))


EAGER, COMPILED = "PyTorch", "torch.compile"


def _calls(
    bundle: Bundle, name: str, threads: int, batch: int, options: BenchOptions, missing: list[str]
) -> dict[str, Work]:
    """Every way that this machine has, by its name in the table."""
    graph = bundle.manifest.graphs[name]
    inputs = example(contract_of_graph(name, graph), graph, batch)
    calls: dict[str, Work] = {}
    try:
        network = _network(bundle, name)
    except (ValueError, OSError) as error:
        missing.append(f"{name} in PyTorch, {' '.join(str(error).split())}")
    else:
        tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
        calls[EAGER] = lambda: network(**tensors)
        if options.compiled and shutil.which("g++") and shutil.which("gcc"):
            compiled = torch.compile(network)
            calls[COMPILED] = lambda: compiled(**tensors)
        elif options.compiled:
            missing.append("torch.compile, there is no g++ here")
    for precision, file in {"fp32": graph.file, **graph.variants}.items():
        path = bundle.folder / file
        calls[f"ONNX Runtime CPU {precision.upper()}"] = session_call(path, inputs, "CPUExecutionProvider", threads)
    for provider, word in PROVIDERS.items():
        if provider not in onnxruntime.get_available_providers():
            missing.append(f"ONNX Runtime {word}, this ONNX Runtime has no {provider}")
            continue
        try:
            calls[f"ONNX Runtime {word}"] = session_call(bundle.folder / graph.file, inputs, provider, threads)
        except LoadError as error:
            missing.append(str(error))
    return calls


def example(contract: Contract, graph: GraphSpec, batch: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Random frames at the size that the service would give a landscape photograph."""
    width, height = model_size(*LANDSCAPE, graph.size)
    rng = np.random.default_rng(seed)
    return graph_inputs(contract, np.stack([random_image(rng, width, height) for _ in range(batch)]))


def session_call(path: Path, inputs: Mapping[str, NDArray[Any]], provider: str, threads: int) -> Work:
    """A call of a graph as the service makes it. Raises LoadError where the provider is not the one really in use."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.log_severity_level = 3
    settings.enable_mem_pattern = False
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, settings, providers=[provider])
    if session.get_providers()[0] != provider:
        raise LoadError(f"{path.name}: expected to run on {provider}, found {session.get_providers()[0]}")
    feed = dict(inputs)
    return lambda: session.run(None, feed)


def _network(bundle: Bundle, name: str) -> nn.Module:
    """The graph's network with fresh weights, which take as long as trained ones.

    Raises ValueError or OSError where it is not known, or begins with a file that is not here.
    """
    config = (bundle.manifest.provenance.get(name) or {}).get("model")
    if config is None:
        raise ValueError("the manifest does not say which network it is")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(without_weights(config_from_dict(config)))
    return deploy(network, bundle.manifest.graphs[name].mirrored)


def _timed(
    bundle: Bundle, name: str, threads: int, batch: int, calls: Mapping[str, Work], rounds: int, peaks: dict[int, float]
) -> list[Row]:  # fmt: skip
    graph = bundle.manifest.graphs[name]
    size = model_size(*LANDSCAPE, graph.size)
    inputs = example(contract_of_graph(name, graph), graph, 1)
    model = with_names(onnx.load(bundle.folder / graph.file))
    macs = sum(multiply_accumulates(model, inputs).values())
    rows = {
        way: Row(graph=name, way=way, threads=0 if "CUDA" in way or "TensorRT" in way else threads, batch=batch,
                 size=size, macs=macs)
        for way in calls
    }  # fmt: skip
    product = torch.rand(PRODUCT_SIDE, PRODUCT_SIDE)
    before, flushes = torch.get_num_threads(), torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.compile's about the kernels that it chose
            for turn in range(WARM_UP + rounds):
                seconds = _seconds(lambda: product @ product)
                peaks[threads] = max(peaks[threads], 2e-9 * PRODUCT_SIDE**3 / seconds)
                for way, call in calls.items():
                    took = _seconds(call)
                    if turn >= WARM_UP:
                        rows[way].milliseconds.append(1000 * took)
    finally:
        torch.set_num_threads(before)
        if flushes:
            torch.set_flush_denormal(False)
    return list(rows.values())


def _seconds(work: Work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun

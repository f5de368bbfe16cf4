"""One multi-task pass against three single-task passes of the same network: latency, memory and size.

    python -m benchmarks.export_one_pass [weights/perceive-rooms] [--threads 1 2] [--rounds 30] [--out FILE.md]

The single-task graphs are cut out of the bundle's own: all that one task needs, encoder and decoder included, so that
backbone, weights and precision are the same. They are timed in turns with the whole graph on one photograph.
"""

import argparse
import tempfile
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.utils import Extractor

from benchmarks.direct_network import direct_call, inputs_of
from benchmarks.graph_latency import ratios
from benchmarks.request import interleaved
from benchmarks.table import ROOT, Report, dated, markdown_table
from service.bundle import load_bundle

WHOLE = "all tasks"


def single_task_graphs(path: Path, folder: Path) -> dict[str, Path]:
    """A graph per output of a file, in `folder`: what that output needs, and nothing else."""
    model = onnx.load(path)
    inputs = [value.name for value in model.graph.input]
    cut = Extractor(model)
    found = {}
    for output in model.graph.output:
        found[output.name] = folder / f"{output.name}.onnx"
        onnx.save(cut.extract_model(inputs, [output.name]), found[output.name])
    return found


def resident_bytes(paths: Sequence[Path], feeds: dict[str, np.ndarray]) -> int:
    """What a fresh process grows by, at its largest, when it opens the graphs and runs each of them once."""
    with get_context("spawn").Pool(1) as pool:
        return int(pool.apply(_growth, (list(paths), feeds)))


def _growth(paths: Sequence[Path], feeds: dict[str, np.ndarray]) -> int:
    import onnxruntime

    onnxruntime.get_available_providers()
    before = _status("VmRSS")
    calls = [direct_call(path, feeds, 1) for path in paths]
    for call in calls:
        call()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    """Bytes of a field of this process's status; getrusage would answer the parent's peak too."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])


def measure(path: Path, spec: dict[str, Any], threads: Sequence[int], rounds: int) -> tuple[str, dict[str, Any]]:
    """The table of one graph file, and its numbers."""
    feeds, shape = inputs_of("perceive", spec)
    rows, numbers = [], dict[str, Any]()
    with tempfile.TemporaryDirectory() as temporary:
        singles = single_task_graphs(path, Path(temporary))
        sizes = {WHOLE: path.stat().st_size, **{task: file.stat().st_size for task, file in singles.items()}}
        memory = {WHOLE: resident_bytes([path], feeds), "singles": resident_bytes(list(singles.values()), feeds)}
        for count in threads:
            calls = {name: direct_call(file, feeds, count) for name, file in {WHOLE: path, **singles}.items()}
            times = {name: [ms for ms, _ in found] for name, found in interleaved(calls, rounds).items()}
            together = [sum(passes) for passes in zip(*(times[task] for task in singles), strict=True)]
            gain, low, high = ratios(together, times[WHOLE])
            each = " + ".join(f"{np.median(times[task]):.1f}" for task in singles)
            rows.append([
                shape, str(count), f"{np.median(times[WHOLE]):.1f}", each, f"{gain:.2f} ({low:.2f}–{high:.2f})",
                f"{memory[WHOLE] / 2**20:.0f} / {memory['singles'] / 2**20:.0f}",
                f"{sizes[WHOLE] / 1e6:.1f} / {sum(sizes[task] for task in singles) / 1e6:.1f}",
            ])  # fmt: skip
            numbers[f"threads {count}"] = {"milliseconds": times, "three / one": [gain, low, high]}
    heads = [
        "input",
        "threads",
        "one pass, ms",
        f"single passes ({', '.join(singles)}), ms",
        "three / one",
        "MiB",
        "MB",
    ]
    return markdown_table(heads, rows), numbers | {"bytes": sizes, "resident bytes": memory}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export_one_pass", description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?", default=ROOT / "weights" / "perceive-rooms")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=30, help="timed passes of each graph, in turns")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> Report:
    """Measures, prints and writes the report."""
    options = parse(argv)
    bundle = load_bundle(options.bundle)
    graph = bundle.manifest.graphs["perceive"]
    report = Report(title="One pass or three", module="benchmarks.export_one_pass", argv=argv)
    report.notes.append(
        f"Graphs of {bundle.manifest.name} {bundle.manifest.version}; medians of {options.rounds} interleaved rounds, "
        "quartiles in brackets. Memory is what a fresh process grows by at most when it opens the one graph or all "
        "three and runs each once; the last column is the size of the files, one / three."
    )
    spec = bundle.manifest.to_dict()["graphs"]["perceive"]
    for precision, file in {"fp32": graph.file, **graph.variants}.items():
        table, numbers = measure(bundle.folder / file, spec, options.threads, options.rounds)
        report.section(f"In {precision.upper()}", table)
        report.numbers[precision] = numbers
    report.write(options.out or dated("export_one_pass"))
    return report


if __name__ == "__main__":
    print(main().text())

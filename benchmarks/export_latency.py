"""The table of `python -m export bench` as a dated result.

    python -m benchmarks.export_latency weights/perceive-rooms [--threads 1 2] [--batch 1] [--rounds 20] [--out FILE.md]

Run it on a machine that does nothing else, or read ratios alone.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.table import Report, dated
from export.bench import BenchOptions, bench_bundle, bench_text
from service.bundle import load_bundle


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export_latency", description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="+", help="folders of bundles")
    parser.add_argument("--graph", action="append", default=[], help="a graph to time (default: all)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="frames of one call")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of one call on the CPU")
    parser.add_argument("--rounds", type=int, default=20, help="timed calls of each row, in turns")
    parser.add_argument("--compiled", action="store_true", help="torch.compile too, where there is a compiler")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> Report:
    """Measures, prints and writes the report."""
    options = parse(argv)
    report = Report(title="Exported graphs over providers", module="benchmarks.export_latency", argv=argv)
    report.notes.append(
        f"Medians of {options.rounds} calls of each row, in turns; × PyTorch is the median of the ratios within a "
        "round. Rates count two operations for each multiply-accumulate of the float graph, so that INT8 may exceed "
        "the peak of a float32 matrix product, which was measured between the same turns."
    )
    settings = BenchOptions(
        graphs=tuple(options.graph) or None,
        batches=tuple(options.batch),
        threads=tuple(options.threads),
        rounds=options.rounds,
        compiled=options.compiled,
        profiled=True,
    )
    for folder in options.bundles:
        bundle = load_bundle(folder)
        bench = bench_bundle(bundle, settings)
        report.section(f"{bundle.manifest.name} {bundle.manifest.version}", bench_text(bench))
        report.numbers[bundle.manifest.name] = {
            "peak GFLOP/s": bench.peaks,
            "time by operation": bench.profiles,
            "rows": [
                vars(row) | {"milliseconds": np.round(row.milliseconds, 3), "GFLOP/s": row.gflops} for row in bench.rows
            ],
        }
    report.write(options.out or dated("export_latency"))
    return report


if __name__ == "__main__":
    print(main().text())

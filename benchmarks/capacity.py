"""Core-seconds, and from them money, for 1,000 photographs and 1,000 pairs, by resolution.

    python -m benchmarks.capacity [--sides 320 640 1280 2560] [--count 5] [--price 0.05] [--device cpu] [--out FILE.md]

Each size goes through the steps of a batch (decode, network, encode; nothing is written) in one process. On the CPU
what counts is processor time, which other load on the machine hardly changes; with --device cuda it is the time on the
wall, and `--price` is that of a GPU hour. Replicas for a load: requests per second x seconds of one ÷ threads ÷ 0.6.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from benchmarks.sample_photographs import photograph
from benchmarks.table import Report, dated, markdown_table
from service.batch.items import Item
from service.batch.steps import Steps
from service.batch.tasks import PerceiveTask, StitchTask

BUSY_SHARE = 0.6
"""How full replicas should be on average: the rest is for bursts until new ones answer."""


def seconds_of(steps: Steps, item: Item, count: int, clock: Callable[[], float]) -> float:
    """Median seconds of one item by `clock`; the first run, which warms up, is left out."""
    measured = []
    for _ in range(count + 1):
        began = clock()
        computed = steps.compute(steps.read(item))
        steps.facts(computed)
        for _ in steps.files(computed):
            pass
        measured.append(clock() - began)
    return statistics.median(measured[1:])


def write_photographs(folder: Path, side: int) -> tuple[Item, Item]:
    """A photograph of side x 3/4 side, and a pair of that size which shares 70 %."""
    height, shift = side * 3 // 4, side * 3 // 10
    world = photograph(side + shift, height)[:, :, ::-1]
    paths = {name: folder / f"{name}-{side}.jpg" for name in ("photograph", "reference", "target")}
    for name, picture in zip(paths, (world[:, :side], world[:, :side], world[:, shift:]), strict=True):
        cv2.imwrite(str(paths[name]), picture)
    return Item("photo", (str(paths["photograph"]),)), Item("pair", (str(paths["reference"]), str(paths["target"])))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[320, 640, 1280, 2560], help="longer side in pixels")
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument(
        "--price", type=float, default=0.05, help="of one hour of a core, or of the GPU, in any currency"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    os.environ["POLYVIEW_DEVICE"] = options.device
    cv2.setNumThreads(1)
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    kinds: dict[str, Steps] = {
        "photograph": PerceiveTask().open(),
        "pair": StitchTask().open(),
        "pair, fast": StitchTask(profile="fast").open(),
    }
    rows, numbers = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for side in options.sides:
            photo, pair = write_photographs(Path(folder), side)
            for name, steps in kinds.items():
                seconds = seconds_of(steps, photo if name == "photograph" else pair, options.count, clock)
                numbers[f"{name} {side}"] = seconds
                price = 1000 * seconds / 3600 * options.price
                per_hour = BUSY_SHARE * 3600 / seconds
                rows.append(
                    [
                        name,
                        f"{side}x{side * 3 // 4}",
                        f"{seconds:.3f}",
                        f"{1000 * seconds / 60:.1f}",
                        f"{price:.4f}",
                        f"{per_hour:.0f}",
                    ]
                )
    what = "core" if options.device == "cpu" else "GPU"
    report = Report(title="Cost of 1,000", module="benchmarks.capacity", argv=argv, numbers={"seconds": numbers})
    header = [
        "",
        "size",
        f"{what}-seconds each",
        f"{what}-minutes per 1,000",
        f"price per 1,000 at {options.price:g} an hour",
        f"an hour on one {what}, {BUSY_SHARE:.0%} busy",
    ]
    report.section("Photographs and pairs", markdown_table(header, rows))
    report.write(options.out or dated("capacity"))
    print(report.text())


if __name__ == "__main__":
    main()

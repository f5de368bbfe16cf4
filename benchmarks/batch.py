"""The rate of a batch: local workers against one process, and Ray against local workers.

    python -m benchmarks.batch [--pairs 200] [--workers 2] [--rounds 3] [--ray] [--profile default] [--out FILE.md]

Small generated pairs, a round of each engine in turn, so that other load on the machine meets all alike. Start-up does
not count: the clock runs from the first finished item to the last, over the items between. One process is pinned to
one core and one thread; local workers should reach 0.95 times its rate times their number.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.sample_photographs import texture
from benchmarks.table import Report, dated, markdown_table
from service.batch.inputs import read_entries
from service.batch.items import Item
from service.batch.ledger import Row
from service.batch.local import run_here, run_pool
from service.batch.on_ray import run_on_ray
from service.batch.tasks import StitchTask
from service.settings import cores

Engine = Callable[[Iterator[Item], StitchTask, str, threading.Event], Iterator[tuple[Item, Row]]]


def write_pairs(folder: Path, count: int, width: int = 320, height: int = 240, different: int = 8) -> None:
    """`count` folders with reference.jpg and target.jpg that share 70 %; the first `different` repeat."""
    shift = width * 3 // 10
    for number in range(count):
        pair = folder / f"{number:06d}"
        pair.mkdir(parents=True)
        if number >= different:
            for name in ("reference", "target"):
                os.link(folder / f"{number % different:06d}" / f"{name}.jpg", pair / f"{name}.jpg")
            continue
        world = np.clip(texture(height, width + shift, seed=number), 0, 255).astype(np.uint8)[:, :, ::-1]
        cv2.imwrite(str(pair / "reference.jpg"), world[:, :width])
        cv2.imwrite(str(pair / "target.jpg"), world[:, shift:])


def rate(engine: Engine, items: list[Item], task: StitchTask) -> float:
    """Items per second of one engine, start-up left out. Raises ValueError if an item fails."""
    with tempfile.TemporaryDirectory() as out:
        moments = []
        for item, row in engine(iter(items), task, out, threading.Event()):
            moments.append(time.perf_counter())
            if row["status"] != "ok":
                raise ValueError(f"{item.id}: expected a panorama, found {row['code']}: {row['message']}")
    return (len(moments) - 1) / max(moments[-1] - moments[0], 1e-9)


def pinned(engine: Engine) -> Engine:
    """The engine on one core of those this process may use."""

    def run(items: Iterator[Item], task: StitchTask, out: str, stop: threading.Event) -> Iterator[tuple[Item, Row]]:
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        try:
            yield from engine(items, task, out, stop)
        finally:
            os.sched_setaffinity(0, allowed)

    return run


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--profile", choices=("default", "fast"), default="default")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    engines: dict[str, Engine] = {
        "one process, one core": pinned(run_here),
        f"local, {options.workers} workers": partial(run_pool, workers=options.workers),
    }
    if options.ray:
        engines[f"Ray, {options.workers} actors"] = partial(run_on_ray, actors=(options.workers, options.workers))
    task = StitchTask(profile=options.profile)
    rates: dict[str, list[float]] = {name: [] for name in engines}
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder), options.pairs)
        items = [entry for entry in read_entries(folder, task.inputs) if isinstance(entry, Item)]
        for _ in range(options.rounds):
            for name, engine in engines.items():
                # One process takes as many times longer; fewer items give its rate as well.
                share = items if "one" not in name else items[: max(2, len(items) // options.workers)]
                rates[name].append(rate(engine, share, task))
                print(f"{name}: {rates[name][-1]:.2f} pairs a second", flush=True)
    single, local, *others = (statistics.median(values) for values in rates.values())
    rows = [
        [name, f"{statistics.median(values):.2f}", f"{min(values):.2f}", f"{max(values):.2f}"]
        for name, values in rates.items()
    ]
    ratios = {"local / (one process x workers)": local / (single * options.workers)}
    if others:
        ratios["local / Ray"] = local / others[0]
    report = Report(
        title="Rate of a batch", module="benchmarks.batch", argv=argv, numbers={"rates": rates, "ratios": ratios}
    )
    report.section("Pairs of 320x240 a second", markdown_table(["engine", "median", "least", "most"], rows))
    report.section(
        "Ratios of the medians", markdown_table(["", ""], [[name, f"{value:.3f}"] for name, value in ratios.items()])
    )
    report.write(options.out or dated("batch"))
    print(report.text())


if __name__ == "__main__":
    main()

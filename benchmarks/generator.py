"""Frames a second of the procedural generator.

python -m benchmarks.generator [--device cpu] [--threads 2] [--seconds 20] [--out FILE.md]
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.table import Report, dated, markdown_table

SIZES = ((240, 320), (192, 256))


def renderers(device: str) -> dict[str, Callable[[Sequence[int]], object]]:
    """Rooms and pairs at both sizes, each a function of the seeds."""
    from training.data.pairs import PairConfig, render_pairs
    from training.data.rooms import RoomConfig, render_rooms

    calls: dict[str, Callable[[Sequence[int]], object]] = {}
    for height, width in SIZES:
        room, pair = RoomConfig(height=height, width=width), PairConfig(height=height, width=width)
        calls[f"rooms {height}x{width}"] = lambda seeds, c=room: render_rooms(seeds, c, device)  # type: ignore[misc]
        calls[f"pairs {height}x{width}"] = lambda seeds, c=pair: render_pairs(seeds, c, device)  # type: ignore[misc]
    return calls


def seconds_each(
    call: Callable[[Sequence[int]], object], batch: int, seconds: float, wait: Callable[[], None]
) -> list[float]:
    """Seconds a sample of each timed batch, after one that does not count; at least two batches."""
    call(range(batch))
    wait()
    times: list[float] = []
    begun, seed = time.perf_counter(), 1_000
    while len(times) < 2 or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        call(range(seed, seed + batch))
        wait()
        times.append((time.perf_counter() - start) / batch)
        seed += batch
    return times


def device_words(device: str) -> str:
    """The device's name."""
    return torch.cuda.get_device_name() if device.startswith("cuda") else "CPU"


def main(argv: Sequence[str] | None = None) -> Report:
    """Measures, prints and writes the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generator", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sources", nargs="+", default=["rooms", "pairs"], choices=("rooms", "pairs"))
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15.0, help="time for each row")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)

    def wait() -> None:
        if options.device.startswith("cuda"):
            torch.cuda.synchronize()

    rows, numbers = [], dict[str, Any]()
    for name, call in renderers(options.device).items():
        if name.split()[0] not in options.sources:
            continue
        times = seconds_each(call, options.batch, options.seconds, wait)
        rate, slow = 1 / float(np.median(times)), 1 / float(np.max(times))
        rows.append([name, f"{rate:.2f}", f"{slow:.2f}", str(len(times) * options.batch)])
        numbers[name] = {"per second": rate, "slowest batch per second": slow, "samples": len(times) * options.batch}
    report = Report(title="Generated data", module="benchmarks.generator", argv=argv)
    report.notes.append(
        f"Device: {device_words(options.device)}, {options.threads} PyTorch thread(s), batches of {options.batch}. A "
        "pair is two rendered views with flow and the stitched view; the median over batches is given."
    )
    report.section("Samples a second", markdown_table(["what", "median /s", "slowest batch /s", "samples"], rows))
    report.numbers |= {"device": device_words(options.device), "threads": options.threads, "rates": numbers}
    report.write(options.out or dated("generator"))
    return report


if __name__ == "__main__":
    print(main().text())

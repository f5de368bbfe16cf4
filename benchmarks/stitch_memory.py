"""Peak memory and seconds of stitching two photographs of 1, 4, 12 and 24 megapixels, each size in its own process.

    python -m benchmarks.stitch_memory [--megapixels 1 4 12 24] [--profile default] [--out FILE.md]

The pair is two crops of one smooth random picture with a tenth of its pixels a little displaced, so that every stage
runs. Seconds are per stage as the report states them, encoding the panorama as PNG apart; memory is the process's peak
resident set, with the interpreter, the libraries and both bundles in it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.table import ROOT, Report, dated, markdown_table

SHARED = 0.6
WARM_UP_MEGAPIXELS = 0.3


def large_pair(megapixels: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Reference and target uint8 [H,W,3] of so many megapixels each, 4:3, that share 60 % of their width."""
    height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
    width = round(height * 4 / 3)
    shift = round(width * (1 - SHARED))
    rng = np.random.default_rng(seed)
    wide = np.full((height, width + shift, 3), 128, np.int16)
    for cells in (12, 48, 192, 768):
        coarse = rng.integers(-40, 40, (cells, round(cells * (width + shift) / height), 3)).astype(np.int16)
        large = cv2.resize(coarse, (width + shift, height), interpolation=cv2.INTER_CUBIC)
        wide += np.asarray(large, np.int16) // 2
    picture = np.clip(wide, 0, 255).astype(np.uint8)
    target = picture[:, shift:].copy()
    near = (slice(height // 3, 2 * height // 3), slice(width // 8, width // 3))
    target[near] = np.roll(target, round(width / 200), axis=1)[near]
    return np.ascontiguousarray(picture[:, :width]), target


def measure_here(megapixels: float, profile: str) -> dict[str, Any]:
    """One stitching in this process: status, size, seconds per stage, and the peak so far in MiB."""
    from benchmarks.stitch_local import open_stitcher
    from service.errors import PolyviewError
    from service.stitching.answer import encode_answer
    from service.stitching.result import StitchOptions

    reference, target = large_pair(megapixels)
    stitcher = open_stitcher()
    before = peak_mib()
    with contextlib.suppress(PolyviewError):  # the first pair of a process takes longer; a service has had it
        stitcher.stitch(list(large_pair(WARM_UP_MEGAPIXELS)), StitchOptions(profile=profile))
    begun = time.perf_counter()
    try:
        result = stitcher.stitch([reference, target], StitchOptions(profile=profile))
    except PolyviewError as refusal:
        return {"megapixels": megapixels, "status": refusal.code}
    seconds = time.perf_counter() - begun
    begun = time.perf_counter()
    size = len(encode_answer(result, "png").body)
    return {
        "megapixels": megapixels, "status": "ok", "seconds": seconds, "encoding": time.perf_counter() - begun,
        "stages": result.report["seconds"], "canvas": result.report["canvas"], "png_mb": size / 1e6,
        "before_mib": before, "peak_mib": peak_mib(),
    }  # fmt: skip


def peak_mib() -> float:
    """Peak resident set of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(megapixels: float, profile: str) -> dict[str, Any]:
    """`measure_here` in a fresh process. Raises ValueError with the end of its output when it fails."""
    words = [sys.executable, "-m", "benchmarks.stitch_memory", "--here", str(megapixels), "--profile", profile]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise ValueError(f"{megapixels} megapixels: expected a result, found:\n{done.stderr[-1500:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main(argv: Sequence[str] | None = None) -> Report | None:
    """Measures, prints and writes the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stitch_memory", description=__doc__)
    parser.add_argument("--megapixels", nargs="+", type=float, default=[1, 4, 12, 24])
    parser.add_argument("--profile", default="default", choices=("default", "fast"))
    parser.add_argument("--here", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    options = parser.parse_args(argv)
    if options.here is not None:
        print(json.dumps(measure_here(options.here, options.profile)))
        return None
    rows = [measure(size, options.profile) for size in options.megapixels]
    stages = list(dict.fromkeys(stage for row in rows for stage in row.get("stages", {})))
    header = ["megapixels each", "canvas", "peak MiB", "of it before", "seconds", *stages, "PNG s"]
    lines = []
    for row in rows:
        if row["status"] != "ok":
            lines.append([f"{row['megapixels']:g}", row["status"], *["-"] * (len(header) - 2)])
            continue
        lines.append([
            f"{row['megapixels']:g}", "{} x {}".format(*row["canvas"]), f"{row['peak_mib']:.0f}",
            f"{row['before_mib']:.0f}", f"{row['seconds']:.2f}",
            *(f"{row['stages'].get(stage, 0):.2f}" for stage in stages), f"{row['encoding']:.2f}",
        ])  # fmt: skip
    report = Report(title="Stitching large photographs", module="benchmarks.stitch_memory", argv=argv)
    report.section(f"Profile {options.profile}", markdown_table(header, lines))
    report.numbers["rows"] = rows
    report.write(options.out or dated("stitch_memory"))
    return report


if __name__ == "__main__":
    if (finished := main()) is not None:
        print(finished.text())

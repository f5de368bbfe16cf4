"""report.json: what the service did with each photograph, in plain numbers (DESIGN.md section 4)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.stitching.geometry import reduced_grid
from service.stitching.pair_warp import PairWarp
from service.stitching.result import StitchOptions


def describe_image(
    index: int, parent: int, link: PairWarp, warp: PairWarp, gain_3: NDArray[np.float32], clipped: float
) -> dict[str, Any]:
    """One entry of images[]: `link` is the warp to the photograph it was joined to, `warp` the one to the reference."""
    motion = np.linalg.norm(warp.landed() - reduced_grid(warp.size_t, warp.net), axis=-1)
    statistics = {
        "mean_px": float(motion.mean()),
        "max_px": float(motion.max()),
        "residual_mean_px": float(np.linalg.norm(link.residual_hw2, axis=-1).mean()),
        **link.statistics,
    }
    return {
        "index": index,
        "linked_to": parent,
        "overlap": round(link.overlap, 4),
        "method": link.method,
        "gain": [round(float(gain), 4) for gain in gain_3],
        "clipped": round(clipped, 6),
        "flow": {name: round(value, 4) for name, value in statistics.items()},
    }


def build_report(
    images: Sequence[dict[str, Any]],
    options: StitchOptions,
    reference_index: int,
    offset: tuple[int, int],
    size: tuple[int, int],
    calibration: str | None,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The whole report. Top-level `gain`, `clipped` and `flow` are the first image's, `overlap` is the smallest.

    `calibration`: stored, reused or None; `size` (width, height) of the cropped canvas; `seconds` per stage.
    """
    first = images[0]
    return {
        "status": "ok",
        "offset": list(offset),
        "canvas": list(size),
        "overlap": min(image["overlap"] for image in images),
        "method": ", ".join(sorted({image["method"] for image in images})),
        "profile": options.profile,
        "compose": options.compose,
        "gain": first["gain"],
        "clipped": first["clipped"],
        "flow": first["flow"],
        "calibration": calibration,
        "reference_index": reference_index,
        "images": list(images),
        "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
    }


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Adds the seconds within to those of a stage."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started

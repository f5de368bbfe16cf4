"""What a stitching method is scored on: an image pair and, where known, its exact flow and the view beside the frame.

Convention: flow is target -> reference (dx, dy) px; frame pixel = reference pixel + origin. Target pixels are OV (seen
by the reference), OCC (inside it but hidden), NOV (outside it) or unknown; `specs/stitching.md` 2, 6 and 11.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.geometry import least_squares_homography, pixel_grid, project
from benchmarks.real_data import read_json

UNKNOWN, OV, OCC, NOV = 0, 1, 2, 3
LONG_SIDE = 512  # flow errors and parallax are stated at this size


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Exact correspondence of a pair."""

    flow_hw2: np.ndarray
    """float64 at the target's size, NaN unknown."""
    region_hw: np.ndarray
    """uint8 OV, OCC, NOV or UNKNOWN."""
    homography_33: np.ndarray
    """Least squares over OV: the best that any homography can do."""
    parallax_px: float
    """95th percentile over OV of the distance to it, at long side 512."""
    source_HW2: np.ndarray
    """float64 on the frame: target pixel seen there, NaN where none."""


@dataclass(frozen=True, kw_only=True)
class StitchItem:
    """One pair; H, W are the frame on which pictures are compared, h, w the target."""

    dataset: str
    name: str
    level: str
    reference: np.ndarray
    target: np.ndarray
    frame: tuple[int, int]
    origin: tuple[int, int]
    scene_HW3: np.ndarray
    """uint8 RGB: what the (enlarged) reference camera saw."""
    overlap_HW: np.ndarray | None = None
    """Seen by both; None when there is no ground truth: then each method's own overlap counts."""
    beyond_HW: np.ndarray | None = None
    """Seen by the target alone."""
    scene_beyond: bool = False
    """Whether `scene_HW3` is real where the reference did not look."""
    truth: Truth | None = None


class LazyItem(NamedTuple):
    """A pair that is read when its turn comes."""

    dataset: str
    name: str
    load: Callable[[], StitchItem]


def level_of(parallax_px: float) -> str:
    """low < 2, mid 2-8, high 8-20, extreme > 20 px (spec 6)."""
    for name, limit in (("low", 2.0), ("mid", 8.0), ("high", 20.0)):
        if parallax_px < limit:
            return name
    return "extreme"


def make_truth(flow_hw2: np.ndarray, region_hw: np.ndarray, source_HW2: np.ndarray) -> Truth:
    """Adds the best homography and the parallax. Raises ValueError when fewer than 100 pixels overlap."""
    height, width = region_hw.shape
    overlap = region_hw == OV
    if overlap.sum() < 100:
        raise ValueError(f"region_hw: expected at least 100 overlapping pixels, found {int(overlap.sum())}")
    target = pixel_grid(height, width)[overlap]
    landed = target + flow_hw2[overlap]
    homography = least_squares_homography(target, landed)
    distance = np.linalg.norm(project(homography, target) - landed, axis=-1) * LONG_SIDE / max(height, width)
    return Truth(
        flow_hw2=flow_hw2, region_hw=region_hw, homography_33=homography,
        parallax_px=float(np.nanpercentile(distance, 95)), source_HW2=source_HW2,
    )  # fmt: skip


def read_rgb(path: Path) -> np.ndarray:
    """uint8 RGB of an image file. Raises ValueError when it cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"path: expected an image, found {path.name}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_pair(folder: Path, entry: dict[str, Any], longest_side: int | None) -> StitchItem:
    """A real pair without ground truth: `1.*` is the reference, `2.*` the target."""
    images = [read_rgb(next(folder.glob(f"{k}.*"))) for k in (1, 2)]
    scale = min(1.0, longest_side / max(max(i.shape[:2]) for i in images)) if longest_side else 1.0
    if scale < 1:
        images = [cv2.resize(i, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for i in images]
    reference, target = images
    return StitchItem(
        dataset="stitch_pairs", name=entry["pair"], level=str(entry.get("parallax", "unrated")), reference=reference,
        target=target, frame=(reference.shape[0], reference.shape[1]), origin=(0, 0), scene_HW3=reference,
    )  # fmt: skip


def real_pairs(root: Path, longest_side: int | None) -> Iterator[LazyItem]:
    """Pairs of `root` (the stitch_pairs layout) whose folder exists."""
    for entry in read_json(root / "manifest.json")["pairs"]:
        folder = root / entry["pair"]
        if folder.is_dir():
            yield LazyItem("stitch_pairs", entry["pair"], lambda f=folder, e=entry: read_pair(f, e, longest_side))  # type: ignore[misc]


def unrelated_pairs(root: Path, longest_side: int | None, count: int = 100) -> Iterator[LazyItem]:
    """References of one scene with targets of another, spread over the set: the only right answer is a refusal.

    At most one for every two different scenes in this order.
    """
    entries = [e for e in read_json(root / "manifest.json")["pairs"] if (root / e["pair"]).is_dir()]
    step = max(1, len(entries) // count)
    chosen = entries[::step]

    def load(a: dict[str, Any], b: dict[str, Any]) -> StitchItem:
        first, second = (read_pair(root / e["pair"], e, longest_side) for e in (a, b))
        return StitchItem(
            dataset="unrelated", name=f"{first.name} + {second.name}", level="-", reference=first.reference,
            target=second.target, frame=first.frame, origin=(0, 0), scene_HW3=first.reference,
        )  # fmt: skip

    different = (
        (a, b) for shift in range(1, len(chosen)) for a, b in zip(chosen, chosen[shift:] + chosen[:shift], strict=True)
    )
    for a, b in islice(different, count):
        yield LazyItem("unrelated", f"{a['pair']} + {b['pair']}", lambda a=a, b=b: load(a, b))  # type: ignore[misc]

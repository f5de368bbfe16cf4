"""What can be checked of a warp without knowing the truth: is it its own inverse, and do straight lines stay straight?

Convention: flow is target -> reference (dx, dy) px, float [h,w,2]; errors in pixels at long side 512.
"""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.geometry import inside, pixel_grid
from benchmarks.stitch_items import LONG_SIDE, StitchItem

SAMPLES = 16
SHORTEST_PX = 30.0
MOST_BENT_PX = 0.5
FEWEST = 3
FARTHEST_PX = 100.0


def round_trip(item: StitchItem, forward_hw2: np.ndarray, backward_hw2: np.ndarray) -> dict[str, float]:
    """Where target pixels end that go to the reference and back by the warp of the swapped pair.

    Of those that land in the reference: median distance from where they began, and the share beyond 3 px, which holds
    what is hidden in one of the photographs.
    """
    height, width = item.reference.shape[:2]
    begun = pixel_grid(*item.target.shape[:2])
    landed = begun + forward_hw2
    there = inside(landed, height, width)
    if there.sum() < 100:
        return {}
    back = landed + _bilinear(backward_hw2, landed)
    scale = LONG_SIDE / max(item.target.shape[:2])
    error = np.minimum(np.linalg.norm(back - begun, axis=-1)[there] * scale, FARTHEST_PX)
    return {"round trip": float(np.median(error)), "round trip > 3 px": float((error > 3).mean())}


def line_bend(item: StitchItem, flow_hw2: np.ndarray) -> dict[str, float]:
    """Root mean square distance of warped straight segments from a straight line, mean over segments.

    Segments (LSD; von Gioi et al., TPAMI 2010) of at least 30 px at long side 512, at least half of which lands outside
    the reference. Where the truth is known, segments that it bends by more than half a pixel do not count: they cross a
    depth edge. Nothing with fewer than three segments.
    """
    grey = cv2.cvtColor(item.target, cv2.COLOR_RGB2GRAY)
    found = cv2.createLineSegmentDetector().detect(grey)[0]
    if found is None:
        return {}
    scale = LONG_SIDE / max(grey.shape)
    ends = found.reshape(-1, 2, 2).astype(np.float64)
    ends = ends[np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) * scale >= SHORTEST_PX]
    steps = np.linspace(0, 1, SAMPLES)[None, :, None]
    points = ends[:, :1] * (1 - steps) + ends[:, 1:] * steps
    landed = points + _bilinear(flow_hw2, points)
    beyond = ~inside(landed, *item.reference.shape[:2])
    keep = beyond.mean(axis=1) >= 0.5
    if item.truth is not None:
        true = points + _bilinear(item.truth.flow_hw2, points)
        bent = _distance(np.nan_to_num(true)).max(axis=1) * scale
        keep &= np.isfinite(true).all(axis=(1, 2)) & (bent <= MOST_BENT_PX)
    if keep.sum() < FEWEST:
        return {}
    away = np.sqrt((_distance(landed[keep]) ** 2).mean(axis=1)) * scale
    return {"line bend": float(np.minimum(away, FARTHEST_PX).mean()), "lines": float(keep.sum())}


def _distance(points_SJ2: np.ndarray) -> np.ndarray:
    """Distances [S,J] of each set of points from its least-squares line."""
    centred = points_SJ2 - points_SJ2.mean(axis=1, keepdims=True)
    covariance = np.einsum("sji,sjk->sik", centred, centred)
    normal = np.linalg.eigh(covariance)[1][:, :, 0]
    return np.abs(np.einsum("sji,si->sj", centred, normal))


def _bilinear(flow_hw2: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Flow at points [...,2]; the border repeats, NaN spreads."""
    height, width = flow_hw2.shape[:2]
    x = np.clip(np.nan_to_num(points[..., 0]), 0, width - 1.001)
    y = np.clip(np.nan_to_num(points[..., 1]), 0, height - 1.001)
    left, top = x.astype(int), y.astype(int)
    u, v = (x - left)[..., None], (y - top)[..., None]
    above = flow_hw2[top, left] * (1 - u) + flow_hw2[top, left + 1] * u
    below = flow_hw2[top + 1, left] * (1 - u) + flow_hw2[top + 1, left + 1] * u
    return np.asarray(above * (1 - v) + below * v, np.float64)

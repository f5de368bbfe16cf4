"""Carry the residual from where both photographs see the scene to where only the target does.

Outside the overlap nothing can be matched; a residual that runs wild there bends straight lines. The extension is a
cascade of normalised convolutions (Knutsson and Westin, CVPR 1993) of the trusted residual, wide ones first: next to
the overlap it continues the residual, far away it tends to a constant, and in between it is smooth. What a residual is
measured from matters there: of the homographies at hand, the one that explains the overlap next to the unseen part.

Legend: h, w network size; 2 = (dx, dy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.stitching.geometry import (
    Floats,
    Matrix,
    Size,
    apply_homography,
    inside,
    inverted,
    reduced_grid,
    resize_field,
    size_of,
)


@dataclass(frozen=True, kw_only=True)
class ExtensionOptions:
    """Widths (standard deviations, network pixels) of the cascade, wide to narrow, and of the transition to it.

    `network`: share of the network's own answer that remains where it is not trusted. `near`: share of the longer side
    over which the overlap's say in the choice of a homography falls; `largest`: share that an error counts at most.
    """

    widths: tuple[float, ...] = (96.0, 32.0, 10.0)
    transition: float = 2.0
    network: float = 0.0
    near: float = 0.12
    largest: float = 0.04


def extend_residual(residual_hw2: Floats, trust_hw: Floats, options: ExtensionOptions) -> Floats:
    """Residual [h,w,2] that equals the given one where `trust_hw` (0..1) is 1 and is its smooth extension elsewhere.

    Without any trusted pixel the result is zero: the homography alone.
    """
    if float(trust_hw.sum()) < 1:
        return np.zeros_like(residual_hw2)
    smooth_hw2 = _cascade(residual_hw2, trust_hw, options.widths)
    own = np.maximum(trust_hw, cv2.GaussianBlur(trust_hw, (0, 0), options.transition))
    own = np.maximum(own, np.float32(options.network))[..., None]
    return (own * residual_hw2 + (1 - own) * smooth_hw2).astype(np.float32)


def rebased(residual_hw2: Floats, old_33: Matrix, new_33: Matrix, size_t: Size) -> Floats:
    """The residual from `new_33` that lands where this one, from `old_33`, does."""
    if old_33 is new_33:
        return residual_hw2
    grid_hw2 = reduced_grid(size_t, size_of(residual_hw2))
    landed_hw2 = apply_homography(old_33, grid_hw2 + residual_hw2)
    return (apply_homography(inverted(new_33), landed_hw2) - grid_hw2).astype(np.float32)


def continuing(
    candidates: Sequence[Matrix],
    landed_hw2: Floats,
    trusted_hw: NDArray[np.bool_],
    size_t: Size,
    size_r: Size,
    options: ExtensionOptions,
) -> Matrix:
    """The homography that explains best where trusted pixels land, those next to the unseen part before all.

    landed_hw2: reference pixels, on the network's grid. The first candidate says what is unseen; it is the answer
    where nothing is, or nothing is trusted.
    """
    height, width = trusted_hw.shape
    grid_hw2 = reduced_grid(size_t, (width, height))
    seen_hw = inside(apply_homography(candidates[0], grid_hw2), size_r)
    if seen_hw.all() or not trusted_hw.any():
        return candidates[0]
    distance_hw = cv2.distanceTransform(seen_hw.astype(np.uint8), cv2.DIST_L2, 3)
    weight = np.exp(-distance_hw / (options.near * max(height, width)))[trusted_hw]

    def error(candidate: Matrix) -> float:
        length = np.linalg.norm(apply_homography(candidate, grid_hw2) - landed_hw2, axis=-1)[trusted_hw]
        return float((weight * np.minimum(length, options.largest * max(size_t))).sum())

    return min(candidates, key=error)


def _cascade(residual_hw2: Floats, trust_hw: Floats, widths: tuple[float, ...]) -> Floats:
    height, width = trust_hw.shape
    weighted = np.dstack([residual_hw2 * trust_hw[..., None], trust_hw])
    total = weighted.reshape(-1, 3).sum(0)
    result: Floats = np.broadcast_to(total[:2] / total[2], residual_hw2.shape).astype(np.float32)
    for sigma in widths:
        shrink = max(1, int(sigma / 4))
        small = (max(2, width // shrink), max(2, height // shrink))
        blurred = cv2.resize(weighted, small, interpolation=cv2.INTER_AREA)
        blurred = cv2.GaussianBlur(
            blurred, (0, 0), sigma * small[0] / width, sigmaY=sigma * small[1] / height, borderType=cv2.BORDER_REPLICATE
        )
        mass = blurred[..., 2:]
        local = blurred[..., :2] / np.maximum(mass, 1e-6)
        near = mass / (mass + 0.02)
        enlarged = resize_field(np.dstack([local, near]).astype(np.float32), (width, height))
        result = result + enlarged[..., 2:] * (enlarged[..., :2] - result)
    return result

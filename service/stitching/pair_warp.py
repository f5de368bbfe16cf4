"""What a believed warp of one target onto one reference is, and what follows from it.

Convention: flow is target to reference, f(p) = H(p + r(p)) - p; residuals in full-size target pixels on the network's
grid. Legend: H, W full size; h, w network size; 2 = (dx, dy); 3 = RGB; 33 = matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.preprocess import to_model_image
from service.stitching.agreement import Agreement, local_agreement
from service.stitching.exposure import estimate_gain
from service.stitching.geometry import (
    Floats,
    Matrix,
    Size,
    apply_homography,
    pixel_grid,
    reduced_grid,
    remap,
    resize_matrix,
    sample,
    size_of,
    vector,
)
from service.stitching.pixel_flow import warp_into
from service.stitching.warp import Gather, shift

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class PairWarp:
    """A believed warp.

    residual_hw2 float32, full-size target pixels; visible_hw bool: seen in both photographs; weight_hw float32 > 0 for
    splatting; correction_hw2: what sharpening adds to where the reference's pixels are seen (service.stitching.warp),
    or None; `overlap` = visible ÷ all target pixels; `method`: pixel_warp, pixel_warp_unaligned, each
    with +refined where that step ran, homography (the fallback) or identical; `statistics` go into the report.
    """

    homography_33: Matrix
    residual_hw2: Floats
    visible_hw: NDArray[np.bool_]
    weight_hw: Floats
    size_t: Size
    size_r: Size
    method: str
    overlap: float
    statistics: dict[str, float]
    correction_hw2: Floats | None = None

    @property
    def net(self) -> Size:
        """(width, height) of the network's grid."""
        return size_of(self.residual_hw2)

    def landed(self) -> Floats:
        """Where the grid's points land: reference pixels, float32 [h,w,2]."""
        return apply_homography(self.homography_33, reduced_grid(self.size_t, self.net) + self.residual_hw2)


def full_flow(warp: PairWarp, gather: Gather | None = None, rows_at_once: int = 256) -> Floats:
    """Flow float32 [H,W,2] at the target's full size, finite; the residual is enlarged bilinearly, H is exact.

    `gather`: the warp's own, whose sharpening then is part of the flow: what the picture shows at q comes from p.
    """
    width, height = warp.size_t
    flow_HW2 = np.empty((height, width, 2), np.float32)
    to_net = resize_matrix(warp.size_t, warp.net)
    for top in range(0, height, rows_at_once):
        count = min(rows_at_once, height - top)
        points = pixel_grid(width, count)
        points[..., 1] += top
        residual = sample(warp.residual_hw2, apply_homography(to_net, points))
        landed = apply_homography(warp.homography_33, points + residual)
        if gather is not None and gather.correction_hw2 is not None:
            landed = apply_homography(warp.homography_33, points + residual - shift(gather, landed))
        flow_HW2[top : top + count] = landed - points
    return flow_HW2


def measure_gain(warp: PairWarp, target_HW3: Image, reference_HW3: Image) -> NDArray[np.float32]:
    """Gain [3] from the target's exposure to the reference's, over the pixels that the warp saw in both."""
    if warp.method == "identical":
        return np.ones(3, np.float32)
    return estimate_gain(*_compared(warp, target_HW3, reference_HW3))


def measure_agreement(warp: PairWarp, target_HW3: Image, reference_HW3: Image) -> Agreement:
    """Whether two photographs show the same thing under a warp that was made from others."""
    return local_agreement(*_compared(warp, target_HW3, reference_HW3))


def _compared(warp: PairWarp, target_HW3: Image, reference_HW3: Image) -> tuple[Image, Image, NDArray[np.bool_]]:
    """Target and reference as the warp lays them over each other, [h,w,3], and where [h,w] it shows both."""
    aligned = warp_into(reference_HW3, warp.homography_33, warp.size_t, warp.net)
    scale = vector(warp.net[0] / warp.size_t[0], warp.net[1] / warp.size_t[1])
    seen = resampled(aligned, warp.residual_hw2 * scale)
    return to_model_image(target_HW3, warp.net), seen, warp.visible_hw & np.asarray(seen.any(-1), np.bool_)


def resampled(aligned_hw3: Image, residual_hw2: Floats) -> Image:
    """An aligned reference [h,w,3] as the target shows it by a residual in its own pixels; black where it ends."""
    grid = pixel_grid(*size_of(aligned_hw3))
    return remap(aligned_hw3, grid + residual_hw2, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)

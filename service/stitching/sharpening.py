"""Sharpen a warp at the photographs' own resolution, from the reference's side.

The network matches at a few hundred pixels, which leaves errors of a pixel or two in a photograph of a megapixel. Here
the warped target is compared with the reference where both are seen, and OpenCV's dense inverse search (Kroeger et al.,
ECCV 2016) finds what is left, from two starts: the warp, and the homography alone. Each pixel keeps the start that
looks most alike around it, the farther from the warp the more so: on a plain wall everything looks alike. A last pass
works at full detail.

Convention: positions are where in the target a reference pixel is seen, full target pixels; a correction is added to
them. Legend: H, W full size; h, w reduced reference; 2 = (x, y) or (dx, dy); 3 = RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.stitching.geometry import (
    Floats,
    Size,
    apply_homography,
    inside,
    pixel_grid,
    reduced_grid,
    reduced_size,
    remap,
    sample,
    size_of,
    vector,
)
from service.stitching.warp import COVERED, Gather, positions

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
DARKEST, BRIGHTEST = 8, 247


@dataclass(frozen=True, kw_only=True)
class SharpeningOptions:
    """`longest_side` of the reduced photographs; `detail`: also the pass at their full detail.

    `window`, in reduced pixels, is where two pictures are compared; a start that leads `n` reduced pixels away from the
    warp must look better by `n * distance` grey levels. No correction is longer than `farthest`, a share of the longer
    side.
    """

    enabled: bool = True
    longest_side: int = 1024
    detail: bool = True
    window: int = 7
    distance: float = 0.2
    farthest: float = 0.06


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """The target as seen at positions at_hw2: grey_hw at about the reference's brightness, true in seen_hw."""

    at_hw2: Floats
    grey_hw: Image
    seen_hw: Mask


@dataclass(frozen=True, kw_only=True)
class _View:
    """The two photographs reduced: grey reference [h,w], grey target, target's scale, its full (width, height)."""

    reference_hw: Image
    target_hw: Image
    scale_t: tuple[float, float]
    size_t: Size

    def show(self, at_hw2: Floats) -> _Shown:
        """What the target shows at positions."""
        seen = inside(at_hw2, self.size_t, margin=0.0)
        points = (at_hw2 + 0.5) * vector(*self.scale_t) - 0.5
        shown = remap(self.target_hw, points.astype(np.float32), cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
        return _Shown(at_hw2=at_hw2, grey_hw=_equalised(shown, self.reference_hw, seen), seen_hw=seen)


def sharpen(gather: Gather, target_HW3: Image, reference_HW3: Image, options: SharpeningOptions) -> Floats:
    """The correction float32 [h,w,2] in full target pixels, on the reference's reduced grid; 0 where nothing is known.

    `gather` shows the target on a canvas that holds the whole reference.
    """
    size_r, size_t = size_of(reference_HW3), size_of(target_HW3)
    small_r, small_t = reduced_size(size_r, options.longest_side), reduced_size(size_t, options.longest_side)
    view = _View(
        reference_hw=_grey(reference_HW3, small_r),
        target_hw=_grey(target_HW3, small_t),
        scale_t=(small_t[0] / size_t[0], small_t[1] / size_t[1]),
        size_t=size_t,
    )
    grid_hw2 = reduced_grid(size_r, small_r)
    start_hw2, coverage_hw = positions(gather, grid_hw2)
    start = view.show(start_hw2)
    best_hw2, lowest_hw = start_hw2.copy(), _difference(view, start, start_hw2, options)
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for origin in (start, view.show(apply_homography(gather.inverse_33, grid_hw2))):
        found = view.show(_searched(view, origin, engine))
        best_hw2, lowest_hw = _more_alike(view, best_hw2, lowest_hw, found, start_hw2, options)
    if options.detail:
        found = view.show(_searched(view, view.show(best_hw2), _detailed_engine()))
        best_hw2, _ = _more_alike(view, best_hw2, lowest_hw, found, start_hw2, options)
    known = (coverage_hw > COVERED) & start.seen_hw
    correction_hw2 = np.where(known[..., None], best_hw2 - start_hw2, np.float32(0))
    limit = np.float32(options.farthest * max(size_t))
    return np.clip(np.nan_to_num(correction_hw2), -limit, limit).astype(np.float32)


def _detailed_engine() -> cv2.DISOpticalFlow:
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    engine.setFinestScale(0)
    engine.setCoarsestScale(0)
    engine.setGradientDescentIterations(8)
    engine.setPatchStride(4)
    return engine


def _searched(view: _View, shown: _Shown, engine: cv2.DISOpticalFlow) -> Floats:
    """Positions after one search for what is left between the reference and the target as shown."""
    whole = cv2.erode(shown.seen_hw.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    # Outside, the reference itself stands in: no motion, and no edge at the target's rim.
    filled = np.where(whole, shown.grey_hw, view.reference_hw)
    nothing = np.zeros((*whole.shape, 2), np.float32)
    found = np.asarray(engine.calc(view.reference_hw, filled, nothing), np.float32)
    found = np.where(whole[..., None] & np.isfinite(found), found, np.float32(0))
    height, width = whole.shape
    return sample(shown.at_hw2, pixel_grid(width, height) + found)


def _more_alike(
    view: _View, best_hw2: Floats, lowest_hw: Floats, other: _Shown, start_hw2: Floats, options: SharpeningOptions
) -> tuple[Floats, Floats]:
    """Per pixel the positions with the smaller difference, and that difference."""
    difference_hw = _difference(view, other, start_hw2, options)
    better = cv2.medianBlur((difference_hw < lowest_hw).astype(np.uint8), 5) > 0
    chosen_hw2 = np.where(better[..., None], other.at_hw2, best_hw2)
    return chosen_hw2, np.where(better, difference_hw, lowest_hw).astype(np.float32)


def _difference(view: _View, shown: _Shown, start_hw2: Floats, options: SharpeningOptions) -> Floats:
    """How little the target as shown looks like the reference, in grey levels [h,w].

    The local mean of differences in grey (less their local mean) and in gradient, large where the target is not seen,
    and the price of the distance from the warp.
    """
    window = options.window
    gap = cv2.subtract(view.reference_hw, shown.grey_hw, dtype=cv2.CV_32F)
    cost = cv2.absdiff(gap, cv2.boxFilter(gap, -1, (window, window)))
    for axis in ((1, 0), (0, 1)):
        cost += np.abs(cv2.Sobel(gap, cv2.CV_32F, *axis, ksize=3, scale=1 / 8))
    cost = np.where(shown.seen_hw, np.minimum(cost, 40), np.float32(60))
    away = (shown.at_hw2 - start_hw2) * vector(*view.scale_t)
    distance = cv2.magnitude(np.ascontiguousarray(away[..., 0]), np.ascontiguousarray(away[..., 1]))
    return np.asarray(cv2.GaussianBlur(cost, (0, 0), window / 2) + options.distance * distance, np.float32)


def _equalised(shown_hw: Image, wanted_hw: Image, seen_hw: Mask) -> Image:
    """The first picture with the brightness of the second, in a neighbourhood of a sixteenth of the longer side:
    vignetting and exposure are not motion."""
    height, width = shown_hw.shape
    shrink = max(1, max(height, width) // 128)
    small = (max(1, width // shrink), max(1, height // shrink))
    shown, wanted, seen = (
        cv2.resize(layer, small, interpolation=cv2.INTER_AREA).astype(np.float32)
        for layer in (shown_hw, wanted_hw, seen_hw.astype(np.uint8) * np.uint8(255))
    )
    usable = (seen > 250) & (np.minimum(shown, wanted) >= DARKEST) & (np.maximum(shown, wanted) <= BRIGHTEST)
    if not usable.any():
        return shown_hw
    stack = np.dstack([wanted * usable, shown * usable]).astype(np.float32)
    local = cv2.GaussianBlur(stack, (0, 0), 8) + np.float32(1e-2) * stack.reshape(-1, 2).mean(0)
    ratio = np.clip(local[..., 0] / np.maximum(local[..., 1], 1e-3), 0.4, 2.5).astype(np.float32)
    large = cv2.resize(ratio, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(shown_hw, large, dtype=cv2.CV_8U), np.uint8)


def _grey(image_HW3: Image, size: Size) -> Image:
    small = image_HW3 if size_of(image_HW3) == size else cv2.resize(image_HW3, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)

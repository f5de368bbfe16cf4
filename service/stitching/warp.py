"""Forward warping without a blur: splat the inverse displacement at reduced size, then gather colours once.

Every target pixel p lands at q = p + f(p) = H(p + r(p)). What is splatted there is not its colour but the way back,
softmax weighted by importance (Niklaus and Liu, CVPR 2020); the panorama then takes each colour by one cubic
interpolation of the photograph at full resolution. The way back is p = H^-1(q) - r(p): only -r is splatted, so that a
homography alone is inverted exactly and the splatted field is small and smooth.

Convention: the warp lives on a grid resized from the canvas; canvas pixel = reference pixel + offset.
Legend: N source points; h, w reduced canvas; H, W canvas; C channels; 2 = (x, y) or (dx, dy); 3 = RGB.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.stitching.canvas import Canvas
from service.stitching.extension import ExtensionOptions, extend_residual
from service.stitching.geometry import (
    Floats,
    Matrix,
    Size,
    apply_homography,
    inside,
    inverted,
    lerp_window,
    pixel_grid,
    reduced_grid,
    remap,
    resize_matrix,
    sample,
    size_of,
    stretch,
    vector,
)

COVERED = 0.25
TILE = 1024
EDGE = 0.02
FADE_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Gather:
    """How to take a photograph's colours: canvas point c shows target position H^-1(c - offset) + back(c).

    inverse_33 is H^-1; back_hw2 float32, full pixels, finite everywhere; coverage_hw float32 [0, 1] (sum of the
    bilinear kernels, cracks closed); `scale` = reduced ÷ full canvas.
    Where the warp was sharpened, a shift in full target pixels is added: within the `frame` (width, height) of the
    reference correction_hw2, on its own reduced grid, and outside beyond_hw2, its continuation on the reduced canvas.
    """

    canvas: Canvas
    inverse_33: Matrix
    back_hw2: Floats
    coverage_hw: Floats
    scale: float
    correction_hw2: Floats | None = None
    beyond_hw2: Floats | None = None
    frame: Size = (0, 0)


def splat(
    points_N2: NDArray[np.floating], values_NC: NDArray[np.floating], weights_N: NDArray[np.floating], size: Size
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Bilinear forward splatting onto a (width, height) grid.

    Returns float64 mean [h,w,C] (0 where nothing landed), weight [h,w] = sum of kernel * weights, and coverage [h,w] =
    sum of kernels. What lands outside is dropped; a point half outside keeps the part inside.
    """
    width, height = size
    channels = values_NC.shape[1]
    keep = inside(points_N2, size, margin=1.0)
    points, values, weights = points_N2[keep].astype(np.float64), values_NC[keep], weights_N[keep]
    corner = np.floor(points)
    fraction = points - corner
    corner = corner.astype(np.int64)
    # One cell of border on every side takes what falls off the edge, so that no index needs a test.
    padded = (width + 3, height + 3)
    cells = padded[0] * padded[1]
    sums = np.zeros((channels + 2, cells))
    for dy in (0, 1):
        for dx in (0, 1):
            kernel = (fraction[:, 0] if dx else 1 - fraction[:, 0]) * (fraction[:, 1] if dy else 1 - fraction[:, 1])
            index = (corner[:, 1] + dy + 1) * padded[0] + corner[:, 0] + dx + 1
            weighted = kernel * weights
            for channel in range(channels):
                sums[channel] += np.bincount(index, weighted * values[:, channel], cells)
            sums[channels] += np.bincount(index, weighted, cells)
            sums[channels + 1] += np.bincount(index, kernel, cells)
    grids = sums.reshape(channels + 2, padded[1], padded[0])[:, 1 : height + 1, 1 : width + 1]
    weight, coverage = grids[channels], grids[channels + 1]
    reached = coverage > 1e-6
    mean = np.where(reached, grids[:channels] / np.where(reached, weight, 1.0), 0.0)
    return mean.transpose(1, 2, 0), weight, coverage


def close_cracks(values_hwC: Floats, coverage_hw: Floats) -> tuple[Floats, Floats]:
    """Fill uncovered pixels that have at least five covered neighbours of eight with the neighbours' mean.

    Cracks are where a surface is stretched; disocclusions are wider and stay open.
    """
    covered = (coverage_hw > COVERED).astype(np.float32)
    ring = np.ones((3, 3), np.float32)
    ring[1, 1] = 0
    count = cv2.filter2D(covered, -1, ring, borderType=cv2.BORDER_CONSTANT)
    crack = (covered == 0) & (count >= 5)
    if not crack.any():
        return values_hwC, coverage_hw
    total = cv2.filter2D(values_hwC * covered[..., None], -1, ring, borderType=cv2.BORDER_CONSTANT)
    total = total.reshape(values_hwC.shape)
    filled = np.where(crack[..., None], total / np.maximum(count, 1)[..., None], values_hwC)
    return filled.astype(np.float32), np.where(crack, 1.0, coverage_hw).astype(np.float32)


def make_gather(
    homography_33: Matrix, residual_hw2: Floats, weight_hw: Floats, size: Size, canvas: Canvas, detail: float = 1.5
) -> Gather:
    """Splat the way back of a target photograph of (width, height) whose flow is H(p + r(p)) - p.

    residual_hw2: r on a reduced grid, full target pixels. weight_hw > 0 on the same grid: who wins where several land.
    `detail`: splat resolution ÷ resolution of that grid. The splatted points reach a little beyond the photograph, so
    that its edge is decided by the gather, to the pixel.
    """
    net = size_of(residual_hw2)
    sides = np.sqrt(np.maximum(stretch(homography_33, reduced_grid(size, net)), 1e-6))
    typical, widest = float(np.median(sides)), float(np.percentile(sides, 99))
    # Source points are dense enough that even stretched parts get about one per reduced canvas pixel.
    density = min(net[0] / size[0] * detail * min(widest / typical, 3.0), 1.0)
    scale = min(density / min(widest, 3.0 * typical), 1.0)
    points_hw2 = (pixel_grid(round(size[0] * density) + 4, round(size[1] * density) + 4) - 1.5) / density - 0.5
    on_net = apply_homography(resize_matrix(size, net), points_hw2)
    residual = sample(residual_hw2, on_net)
    landed = apply_homography(homography_33, points_hw2 + residual)
    reduced = tuple(max(1, int(np.ceil(side * scale))) for side in canvas.size)
    spots = (landed.reshape(-1, 2).astype(np.float64) + np.array(canvas.offset) + 0.5) * scale - 0.5
    weight = sample(weight_hw, on_net).reshape(-1)
    mean, _, coverage = splat(spots, -residual.reshape(-1, 2), weight, (reduced[0], reduced[1]))
    back_hw2, coverage_hw = close_cracks(mean.astype(np.float32), coverage.astype(np.float32))
    back_hw2 = _fill_nearest(back_hw2, coverage_hw > 1e-3)
    return Gather(
        canvas=canvas,
        inverse_33=inverted(homography_33),
        back_hw2=back_hw2,
        coverage_hw=np.minimum(coverage_hw, 1).astype(np.float32),
        scale=scale,
    )


def positions(gather: Gather, points_hw2: Floats) -> tuple[Floats, Floats]:
    """Where in the target reference pixels [h,w,2] are seen, float32 [h,w,2], and the coverage there [h,w]."""
    layers = np.dstack([gather.back_hw2, gather.coverage_hw])
    found = sample(layers, _on_reduced_canvas(gather, points_hw2))
    at_hw2 = apply_homography(gather.inverse_33, points_hw2) + found[..., :2] + shift(gather, points_hw2)
    return at_hw2.astype(np.float32), found[..., 2]


def shift(gather: Gather, points_hw2: Floats) -> Floats:
    """What sharpening adds to the position of reference pixels [h,w,2]: full target pixels, float32 [h,w,2]."""
    if gather.correction_hw2 is None or gather.beyond_hw2 is None:
        return np.zeros_like(points_hw2)
    reduced = size_of(gather.correction_hw2)
    near = sample(gather.correction_hw2, apply_homography(resize_matrix(gather.frame, reduced), points_hw2))
    far = sample(gather.beyond_hw2, _on_reduced_canvas(gather, points_hw2))
    return np.where(inside(points_hw2, gather.frame)[..., None], near, far).astype(np.float32)


def with_correction(gather: Gather, correction_hw2: Floats, frame: Size) -> Gather:
    """The gather sharpened by a correction float32 [h,w,2] (full target pixels) on the reduced grid of a reference of
    (width, height) `frame`. Outside the frame the correction continues smoothly and fades out."""
    height, width = gather.coverage_hw.shape
    points = (pixel_grid(width, height) + 0.5) / gather.scale - 0.5 - vector(*gather.canvas.offset)
    within = inside(points, frame)
    reduced = size_of(correction_hw2)
    values = sample(correction_hw2, apply_homography(resize_matrix(frame, reduced), points))
    trust = (within & (gather.coverage_hw > COVERED)).astype(np.float32)
    continued = extend_residual(values, trust, ExtensionOptions(widths=(64.0, 24.0, 8.0)))
    outside = np.linalg.norm(points - np.clip(points, vector(0, 0), vector(frame[0] - 1, frame[1] - 1)), axis=-1)
    fade = np.exp(-outside / (FADE_SHARE * max(frame)))[..., None]
    beyond_hw2 = np.where(within[..., None], values, continued * fade).astype(np.float32)
    return dataclasses.replace(gather, correction_hw2=correction_hw2, beyond_hw2=beyond_hw2, frame=frame)


def gather_tiles(
    gather: Gather,
    image_HW3: NDArray[np.uint8],
    window: tuple[int, int, int, int] | None = None,
) -> Iterator[tuple[slice, slice, NDArray[np.uint8], NDArray[np.bool_]]]:
    """Rows, columns, colours uint8 [y,x,3] (0 where invalid) and validity [y,x] of each tile of the canvas.

    `window` = (x, y, width, height) restricts it to a part of the canvas, to which rows and columns then refer.
    Where the panorama shows the photograph much smaller, the photograph is shrunk first, so that it does not alias.
    """
    x0, y0, width, height = window or (0, 0, *gather.canvas.size)
    size = size_of(image_HW3)
    source, factor = _shrink_for(gather, image_HW3)
    layers = np.dstack([gather.back_hw2, gather.coverage_hw])
    if gather.beyond_hw2 is not None:
        layers = np.dstack([layers, gather.beyond_hw2])
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            tile = (min(TILE, width - left), min(TILE, height - top))
            origin = (x0 + left, y0 + top)
            back = lerp_window(layers, (gather.scale, gather.scale), origin, tile)
            points = pixel_grid(*tile) + (vector(*origin) - vector(*gather.canvas.offset))
            at = apply_homography(gather.inverse_33, points) + back[..., :2] + _tile_shift(gather, origin, back)
            valid = (back[..., 2] > COVERED) & inside(at, size, margin=EDGE)
            if factor != (1.0, 1.0):
                at = (at + 0.5) * vector(*factor) - 0.5
            if valid.any():
                colours = remap(source, at, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
                colours[~valid] = 0
            else:
                colours = np.zeros((tile[1], tile[0], 3), np.uint8)
            yield slice(top, top + tile[1]), slice(left, left + tile[0]), colours, valid


def gather_image(
    gather: Gather, image_HW3: NDArray[np.uint8], window: tuple[int, int, int, int] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The warped photograph uint8 [H,W,3] on the canvas (or a window of it) and its valid mask bool [H,W]."""
    _, _, width, height = window or (0, 0, *gather.canvas.size)
    warped = np.zeros((height, width, 3), np.uint8)
    valid = np.zeros((height, width), np.bool_)
    for rows, columns, colours, good in gather_tiles(gather, image_HW3, window):
        warped[rows, columns] = colours
        valid[rows, columns] = good
    return warped, valid


def _tile_shift(gather: Gather, origin: Size, back_yx: Floats) -> Floats:
    """`shift` for a tile of the canvas at `origin`, whose layers `back_yx` were interpolated."""
    if gather.correction_hw2 is None:
        return np.zeros_like(back_yx[..., :2])
    shifted = back_yx[..., 3:5].copy()
    start = [origin[axis] - gather.canvas.offset[axis] for axis in (0, 1)]
    first = [max(0, -start[axis]) for axis in (0, 1)]
    last = [min(back_yx.shape[1 - axis], gather.frame[axis] - start[axis]) for axis in (0, 1)]
    count = (last[0] - first[0], last[1] - first[1])
    if min(count) > 0:
        rows, columns = gather.correction_hw2.shape[:2]
        scale = (columns / gather.frame[0], rows / gather.frame[1])
        within = lerp_window(gather.correction_hw2, scale, (start[0] + first[0], start[1] + first[1]), count)
        shifted[first[1] : last[1], first[0] : last[0]] = within
    return shifted


def _on_reduced_canvas(gather: Gather, points_hw2: Floats) -> Floats:
    spots = (points_hw2 + vector(*gather.canvas.offset) + 0.5) * gather.scale - 0.5
    return np.clip(spots, -1e4, 1e5).astype(np.float32)


def _fill_nearest(values_hw2: Floats, known_hw: NDArray[np.bool_]) -> Floats:
    """Give unknown pixels the value of the nearest known one, so that interpolation near the rim stays right."""
    if known_hw.all() or not known_hw.any():
        return values_hw2
    _, labels = cv2.distanceTransformWithLabels(
        (~known_hw).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros((int(labels.max()) + 1, 2), np.float32)
    table[labels[known_hw]] = values_hw2[known_hw]
    return np.where(known_hw[..., None], values_hw2, table[labels]).astype(np.float32)


def _shrink_for(gather: Gather, image_HW3: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    covered = gather.coverage_hw > COVERED
    if covered.sum() < 16:
        return image_HW3, (1.0, 1.0)
    height, width = gather.coverage_hw.shape
    centre = reduced_grid(gather.canvas.size, (width, height))[covered] - vector(*gather.canvas.offset)
    step = float(np.sqrt(np.median(np.maximum(stretch(gather.inverse_33, centre), 1e-6))))
    if step < 1.5:
        return image_HW3, (1.0, 1.0)
    height, width = image_HW3.shape[:2]
    small = (max(1, round(width / step)), max(1, round(height / step)))
    shrunk = cv2.resize(image_HW3, small, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return shrunk, (small[0] / width, small[1] / height)

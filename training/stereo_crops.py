"""Stitching pairs out of rectified stereo photographs: real texture, exact flow, and a true picture beyond the overlap.

The target is cut out of the left photograph from its left rim, the reference out of the right one further right, so
that the uncropped right photograph shows what the reference camera would have seen beyond its frame. A random
homography of the target is composed into the flow; without it, all motion would be horizontal.

Convention: left pixel (x, y) is right pixel (x - d, y); flow is target -> reference in pixels; pixel centres are
integers. Legend: H, W photographs; h, w frames and 3/2 h, 2 w the canvas; 3 = RGB.
"""

import math
from typing import Any

import cv2
import numpy as np

from training.readers.stereo_scenes import StereoScene
from training.regions import INVALID, OCCLUDED, OUTSIDE, OVERLAP, SEEN_BY_REFERENCE, SEEN_BY_TARGET

Array = np.ndarray[Any, np.dtype[Any]]
SHARE = 0.65
"""Of the photograph's width that each frame shows where the photograph is not too flat for it."""
CORNER_SHIFT = 0.08
SAME_DEPTH = 0.02


def reduce_scene(scene: StereoScene, height: int, width: int) -> StereoScene:
    """The scene at the smallest size out of which frames of `height` x `width` can be cut.

    Disparities are those at the new pixels' centres, in new pixels.
    """
    rows, columns = scene.disparity_HW.shape
    factor = max(width / (SHARE * columns), height / rows)
    size = (math.ceil(columns * factor - 1e-6), math.ceil(rows * factor - 1e-6))
    if size == (columns, rows):
        return scene
    across = size[0] / columns
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    left, right = (
        cv2.resize(image, size, interpolation=method).clip(0, 1) for image in (scene.left_HW3, scene.right_HW3)
    )
    disparity = cv2.resize(scene.disparity_HW, size, interpolation=cv2.INTER_NEAREST_EXACT) * np.float32(across)
    return StereoScene(left, right, disparity, scene.offset * across, scene.nearness / across)


def stereo_crop(scene: StereoScene, height: int, width: int, generator: np.random.Generator) -> dict[str, Array]:
    """One pair cut out of a scene that `reduce_scene` made for the same frame, by name:

    target, reference: float32 [3, h, w] in [0, 1]. flow: float32 [2, h, w], 0 where unknown. region: uint8 [h, w], 0
    unknown (or outside the right photograph), 1 visible in the reference, 2 hidden there, 3 outside its frame.
    inverse_depth: float32 [h, w] in 1/m, 0 where unknown. fundamental: float64 [3, 3]. stitched: float32
    [3, 3/2 h, 2 w], the right photograph about the reference's frame. canvas_offset: float32 (x0, y0), whole numbers.
    seen: uint8, bit 1 inside the reference's frame, bit 2 visible in the target.
    """
    rows, columns = scene.disparity_HW.shape
    across = round(width * (1 / SHARE - 1))
    if rows < height or columns < width + across:
        needed = f"at least {height}x{width + across}"
        raise ValueError(f"scene: expected {needed} for frames of {height}x{width}, found {rows}x{columns}")
    shift = int(generator.integers(columns - width - across + 1))
    top = int(generator.integers(rows - height + 1))
    origin_t, origin_r = np.array([shift, top]), np.array([shift + across, top])
    to_left = corner_homography(width, height, generator)
    to_left = np.array([[1, 0, origin_t[0]], [0, 1, origin_t[1]], [0, 0, 1]]) @ to_left

    here = _grid(width, height)
    on_left = _project(to_left, here)
    across_hw, down_hw = on_left[..., 0].astype(np.float32), on_left[..., 1].astype(np.float32)
    target = cv2.remap(scene.left_HW3, across_hw, down_hw, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    disparity = sample_disparity(scene.disparity_HW, on_left)
    on_right = np.stack([on_left[..., 0] - disparity, on_left[..., 1]], axis=-1)
    known = np.isfinite(disparity) & (on_right[..., 0] >= 0)
    on_right = np.where(known[..., None], on_right, 0.0)
    in_reference = on_right - origin_r
    within = (in_reference >= 0).all(axis=-1) & (in_reference <= np.array([width - 1, height - 1])).all(axis=-1)
    hidden = known & is_hidden(scene, on_right, disparity)
    region = np.select([known & within & ~hidden, known & within, known], [OVERLAP, OCCLUDED, OUTSIDE], INVALID)
    flow = np.where(known[..., None], in_reference - here, 0.0)
    nearness = np.where(known, scene.nearness * (np.nan_to_num(disparity) + scene.offset), 0.0)

    canvas = (math.ceil(1.5 * height), 2 * width)
    offset = np.array([min(int(origin_r[0]), width), (canvas[0] - height) // 2])
    stitched = _placed(scene.right_HW3, offset - origin_r, canvas)
    seen = np.zeros(canvas, np.uint8)
    seen[offset[1] : offset[1] + height, offset[0] : offset[0] + width] = SEEN_BY_REFERENCE
    seen |= SEEN_BY_TARGET * _landed_mask(in_reference[known & ~hidden] + offset, canvas)
    # A left pixel's match lies in its own row: l = F p = (0, 1, top - y).
    rectified = np.array([[0.0, 0, 0], [0, 0, 1], [0, -1, top]])
    return {
        "target": np.ascontiguousarray(target.transpose(2, 0, 1)).clip(0, 1),
        "reference": np.ascontiguousarray(
            scene.right_HW3[top : top + height, origin_r[0] : origin_r[0] + width].transpose(2, 0, 1)
        ),
        "flow": np.ascontiguousarray(flow.transpose(2, 0, 1), np.float32),
        "region": region.astype(np.uint8),
        "inverse_depth": nearness.astype(np.float32),
        "fundamental": rectified @ to_left,
        "stitched": stitched,
        "canvas_offset": offset.astype(np.float32),
        "seen": seen,
    }


def corner_homography(width: int, height: int, generator: np.random.Generator) -> Array:
    """Target pixels to pixels of the uncut frame: its corners move inwards by up to 8 %, so that no border appears."""
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    moved = corners + (inwards * generator.uniform(0, CORNER_SHIFT, (4, 2)) * (width, height)).astype(np.float32)
    return np.asarray(cv2.getPerspectiveTransform(corners, moved.astype(np.float32)), np.float64)


def sample_disparity(disparity_HW: Array, points_hw2: Array) -> Array:
    """Disparities float64 [h, w] at points: bilinear where the four pixels around agree to a pixel, else the nearest
    one's; NaN where that is unknown or the point is outside."""
    rows, columns = disparity_HW.shape
    low = np.floor(points_hw2).astype(np.int64)
    share = points_hw2 - low
    inside = (points_hw2 > -0.5).all(axis=-1) & (points_hw2 < np.array([columns - 0.5, rows - 0.5])).all(axis=-1)

    def at(x: Array, y: Array) -> Array:
        return disparity_HW[y.clip(0, rows - 1), x.clip(0, columns - 1)].astype(np.float64)

    x, y = low[..., 0], low[..., 1]
    corners = np.stack([at(x, y), at(x + 1, y), at(x, y + 1), at(x + 1, y + 1)])
    right, down = share[..., 0], share[..., 1]
    weights = np.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down])
    nearest = at(np.rint(points_hw2[..., 0]).astype(np.int64), np.rint(points_hw2[..., 1]).astype(np.int64))
    # NaN compares false, so an unknown corner leaves the nearest.
    smooth = corners.max(axis=0) - corners.min(axis=0) <= 1
    mixed = (weights * np.nan_to_num(corners)).sum(axis=0)
    return np.where(inside, np.where(smooth, mixed, nearest), np.nan)


def is_hidden(scene: StereoScene, on_right_hw2: Array, disparity_hw: Array) -> Array:
    """Whether something nearer lands on the same right pixel: by more than 2 % of the depth and a pixel."""
    rows, columns = scene.disparity_HW.shape
    y, x = np.nonzero(np.isfinite(scene.disparity_HW))
    d = scene.disparity_HW[y, x]
    front = np.full((rows, columns), -np.inf, np.float32)
    for landed in (np.floor(x - d), np.ceil(x - d)):
        ok = (landed >= 0) & (landed < columns)
        np.maximum.at(front, (y[ok], landed[ok].astype(np.int64)), d[ok])
    nearest = np.rint(on_right_hw2).astype(np.int64)
    ahead = front[nearest[..., 1].clip(0, rows - 1), nearest[..., 0].clip(0, columns - 1)]
    d_hw = np.nan_to_num(disparity_hw)
    return np.asarray(ahead > d_hw + np.maximum(1.0, SAME_DEPTH * (d_hw + scene.offset)))


def _placed(image_HW3: Array, shift: Array, canvas: tuple[int, int]) -> Array:
    """The image moved by whole (x, y) onto a black canvas, [3, *canvas]; what falls outside is cut."""
    placed = np.zeros((*canvas, 3), np.float32)
    height, width = image_HW3.shape[:2]
    left, top = int(shift[0]), int(shift[1])
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + width, canvas[1]), min(top + height, canvas[0])
    placed[y0:y1, x0:x1] = image_HW3[y0 - top : y1 - top, x0 - left : x1 - left]
    return np.ascontiguousarray(placed.transpose(2, 0, 1))


def _landed_mask(points_N2: Array, canvas: tuple[int, int]) -> Array:
    """uint8 0 or 1 on the canvas: the four pixels around each point, cracks closed by 3 x 3."""
    mask = np.zeros(canvas, np.uint8)
    low = np.floor(points_N2).astype(np.int64)
    for step in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = (low + step).T
        ok = (x >= 0) & (y >= 0) & (x < canvas[1]) & (y < canvas[0])
        mask[y[ok], x[ok]] = 1
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)), np.uint8)


def _grid(width: int, height: int) -> Array:
    return np.stack(np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)), axis=-1)


def _project(matrix_33: Array, points_hw2: Array) -> Array:
    homogeneous = points_hw2 @ matrix_33[:, :2].T + matrix_33[:, 2]
    return np.asarray(homogeneous[..., :2] / homogeneous[..., 2:])

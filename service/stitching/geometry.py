"""Coordinates that every stage of stitching shares: grids, homographies, resized grids, flow fields.

Convention: pixel centres are integers, x right, y down. Resizing by s maps x to (x + 0.5) * s - 0.5. A homography is a
3x3 float64 matrix that maps target pixels to reference pixels. Points are arrays [...,2] of (x, y).
Legend: H, W full size; h, w reduced size; 2 = (x, y); 33 = matrix.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
Size = tuple[int, int]
STRIP = 64
"""Rows that are interpolated at a time."""


def size_of(image: NDArray[Any]) -> Size:
    """(width, height) of an array [H,W,...]."""
    return image.shape[1], image.shape[0]


def reduced_size(size: Size, longest: int) -> Size:
    """(width, height) with the longer side at most `longest`, the shape kept, at least one pixel."""
    factor = min(1.0, longest / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def vector(x: float, y: float) -> Floats:
    """float32 [2], to add to or multiply points with."""
    return np.array([x, y], np.float32)


def inverted(matrix_33: Matrix) -> Matrix:
    """The inverse of a 3x3 matrix, float64."""
    return np.asarray(np.linalg.inv(matrix_33), np.float64)


def pixel_grid(width: int, height: int) -> Floats:
    """float32 [height,width,2]: the (x, y) of every pixel centre."""
    grid_HW2 = np.empty((height, width, 2), np.float32)
    grid_HW2[..., 0] = np.arange(width, dtype=np.float32)
    grid_HW2[..., 1] = np.arange(height, dtype=np.float32)[:, None]
    return grid_HW2


def resize_matrix(source: Size, target: Size) -> Matrix:
    """3x3 matrix from pixels of a `source` (width, height) image to pixels of the same image resized to `target`."""
    scale_x, scale_y = target[0] / source[0], target[1] / source[1]
    return np.array([[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2], [0, 0, 1]], np.float64)


def reduced_grid(full: Size, reduced: Size) -> Floats:
    """float32 [h,w,2]: full-resolution positions of the pixel centres of an image resized from `full` to `reduced`."""
    grid_hw2 = pixel_grid(*reduced)
    for axis in (0, 1):
        grid_hw2[..., axis] = (grid_hw2[..., axis] + 0.5) * (full[axis] / reduced[axis]) - 0.5
    return grid_hw2


def apply_homography(matrix_33: Matrix, points: NDArray[np.floating]) -> Floats:
    """Map points [...,2] through a homography, in float64, to float32 [...,2].

    Points on the line that goes to infinity are mapped very far away, never to NaN.
    """
    x, y = points[..., 0].astype(np.float64), points[..., 1].astype(np.float64)
    m = matrix_33
    depth = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    depth = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
    mapped = np.empty(points.shape, np.float32)
    mapped[..., 0] = np.clip((m[0, 0] * x + m[0, 1] * y + m[0, 2]) / depth, -1e7, 1e7)
    mapped[..., 1] = np.clip((m[1, 0] * x + m[1, 1] * y + m[1, 2]) / depth, -1e7, 1e7)
    return mapped


def stretch(matrix_33: Matrix, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Local area scale of a homography at points [...,2]: the determinant of its Jacobian, negative where it mirrors.

    A point behind the line that goes to infinity gets a negative value.
    """
    m = matrix_33 / matrix_33[2, 2] if matrix_33[2, 2] else matrix_33
    depth = m[2, 0] * points[..., 0] + m[2, 1] * points[..., 1] + m[2, 2]
    value = np.linalg.det(m) / np.maximum(np.abs(depth), 1e-9) ** 3
    return np.where(depth > 0, value, -np.abs(value))


def inside(points: NDArray[np.floating], size: Size, margin: float = 0.5) -> NDArray[np.bool_]:
    """True where points [...,2] lie on an image of (width, height), up to `margin` pixels beyond the outer centres."""
    x, y = points[..., 0], points[..., 1]
    return (x >= -margin) & (x <= size[0] - 1 + margin) & (y >= -margin) & (y <= size[1] - 1 + margin)


def sample(field: Floats, points: Floats) -> Floats:
    """Bilinear samples of field [h,w] or [h,w,C] at points [...,2] in its own pixels; the border value is repeated."""
    return np.asarray(remap(field, points, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE), np.float32)


def remap(image: NDArray[Any], points_hw2: Floats, interpolation: int, border: int) -> NDArray[Any]:
    """Samples of an image at points [h,w,2] in its own pixels, in its own dtype."""
    nothing: Any = None  # the stubs of OpenCV miss that one map with two channels is enough
    return np.asarray(cv2.remap(image, np.ascontiguousarray(points_hw2), nothing, interpolation, borderMode=border))


def resize_field(field: Floats, size: Size) -> Floats:
    """Bilinear resize of a smooth field [h,w,...] to (width, height), half-pixel convention; values are kept."""
    if field.shape[1::-1] == tuple(size):
        return field
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR), np.float32)


def lerp_window(field: Floats, scale: tuple[float, float], origin: Size, size: Size) -> Floats:
    """A window of `field` [h,w,C] enlarged bilinearly, without making the whole enlarged field.

    `scale` = reduced size / full size per axis, `origin` and `size` of the window in full pixels (x, y). Exact float32
    weights, unlike cv2.warpAffine, whose weights are multiples of 1/32. Returns float32 [size_y,size_x,C].
    """
    (x0, x1, fx), (y0, y1, fy) = (
        _lerp_weights(field.shape[1 - axis], scale[axis], origin[axis], size[axis]) for axis in (0, 1)
    )
    # Columns first: the field has fewer rows than the window. Then strip by strip, so that little leaves the cache.
    top = y0[0]
    part = field[top : y1[-1] + 1]
    columns = part.take(x0, axis=1)
    columns += (part.take(x1, axis=1) - columns) * fx[None, :, None]
    rows = columns.reshape(len(columns), -1)
    window = np.empty((size[1], rows.shape[1]), np.float32)
    for start in range(0, size[1], STRIP):
        strip = slice(start, start + STRIP)
        low = rows[y0[strip] - top]
        rise = rows[y1[strip] - top]
        rise -= low
        rise *= fy[strip, None]
        np.add(low, rise, out=window[strip])
    return window.reshape(size[1], size[0], -1)


def _lerp_weights(
    count: int, scale: float, origin: int, size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    position = np.clip((np.arange(origin, origin + size) + 0.5) * scale - 0.5, 0, count - 1)
    low = np.minimum(position.astype(np.intp), max(count - 2, 0))
    return low, np.minimum(low + 1, count - 1), (position - low).astype(np.float32)

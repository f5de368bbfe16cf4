"""From an upload's pixels to the pixels a graph is given. The exporter proves parity through these same two functions.

Convention: pixel centres are integers; resizing by s maps x to (x + 0.5) * s - 0.5, on both axes independently,
so the focal length in network pixels is focal_px * (net width / upload width).
Legend: H, W height and width of the upload; 3 = RGB.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray


class SizeRule(Protocol):
    """What `model_size` needs to know of a graph; `service.manifest.SizeSpec` is one."""

    @property
    def longest_side(self) -> int: ...

    @property
    def multiple(self) -> int: ...

    @property
    def smallest_side(self) -> int: ...

    @property
    def fixed(self) -> tuple[int, int] | None: ...


def model_size(width: int, height: int, spec: SizeRule) -> tuple[int, int]:
    """The (width, height) in pixels at which a graph sees a `width` x `height` image.

    The longest side becomes `spec.longest_side` (also when that enlarges the image), the aspect ratio is kept, and
    both sides are rounded to the nearest multiple of `spec.multiple`, at least one of them and `spec.smallest_side`;
    only an image several times longer than wide loses its aspect ratio by that. A graph with a `spec.fixed` size sees
    every image at that size, whatever its aspect ratio.
    """
    if width < 1 or height < 1:
        raise ValueError(f"width, height: expected at least 1 pixel each, found {width} x {height}")
    if spec.fixed is not None:
        return spec.fixed
    scale = spec.longest_side / max(width, height)
    fewest = max(1, -(-spec.smallest_side // spec.multiple))
    columns, rows = (max(fewest, int(side * scale / spec.multiple + 0.5)) for side in (width, height))
    return columns * spec.multiple, rows * spec.multiple


def size_range(spec: SizeRule) -> tuple[tuple[int, int], tuple[int, int]]:
    """The (width, height) between which all answers of `model_size` lie, side by side: the smallest and the largest."""
    if spec.fixed is not None:
        return spec.fixed, spec.fixed
    shortest, longest = (model_size(1, height, spec)[0] for height in (10 * spec.longest_side, 1))
    return (shortest, shortest), (longest, longest)


def to_model_image(rgb_HW3: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize RGB uint8 [H,W,3] to uint8 [h,w,3], size = (w, h): area averages where it shrinks, cubic where it grows.

    Raises ValueError when `rgb_HW3` is not uint8 [H,W,3].
    """
    if rgb_HW3.dtype != np.uint8 or rgb_HW3.ndim != 3 or rgb_HW3.shape[2] != 3:
        raise ValueError(f"rgb_HW3: expected uint8 [H,W,3], found {rgb_HW3.dtype} {list(rgb_HW3.shape)}")
    height, width = rgb_HW3.shape[:2]
    shrunk = (min(width, size[0]), min(height, size[1]))
    image = rgb_HW3
    if shrunk != (width, height):
        image = cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    if size != shrunk:
        image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)
    return np.ascontiguousarray(image)

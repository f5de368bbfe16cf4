"""Colours for looking at dense maps, side by side.

Legend: H, W height and width; 3 = RGB.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def depth_picture(depth_HW: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Near is bright, far is dark: inverse depth between its 2nd and 98th percentile. Depth in metres, above 0."""
    inverse_HW = 1.0 / depth_HW
    low, high = np.percentile(inverse_HW, (2, 98))
    level_HW = np.clip((inverse_HW - low) / max(high - low, 1e-9), 0, 1)
    coloured = cv2.applyColorMap((255 * level_HW).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8)


def classes_picture(classes_HW: NDArray[np.uint8], palette: tuple[tuple[int, int, int], ...]) -> NDArray[np.uint8]:
    """Each class in its palette colour."""
    return np.array(palette, np.uint8)[classes_HW]


def normals_picture(normals_HW3: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(n + 1) / 2 in 8 bits; x is red, y green, z blue."""
    return np.asarray(cv2.convertScaleAbs(normals_HW3 + 1.0, alpha=127.5), np.uint8)


def probability_grey(probability_HW: NDArray[np.float32]) -> NDArray[np.uint8]:
    """uint8 [H, W]: 0 is black, 1 is white (255)."""
    return np.rint(255.0 * probability_HW).astype(np.uint8)


def side_by_side(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures of one size in a row, four white pixels apart."""
    gap = np.full((pictures[0].shape[0], 4, 3), 255, np.uint8)
    row = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(row[1:], axis=1)

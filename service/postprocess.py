"""From a graph's maps to maps of any size.

Convention: pixel centres are integers; resizing by s maps x to (x + 0.5) * s - 0.5 on each axis, as cv2.resize does.
Legend: h, w size of the graph's maps; H, W requested size; C classes; 3 = normal components.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

DEPTH_RANGE_M = (1e-4, 1e6)
# Rows handled at a time, so that what belongs together stays in the processor's cache.
STRIP_ROWS = 32


def resize_depth(depth_hw: NDArray[np.float32], scale: float, size: tuple[int, int]) -> NDArray[np.float32]:
    """Metric depth float32 [H,W], finite and above 0.

    depth_hw: canonical metres. scale: real depth / canonical depth. size: (W, H).
    Interpolates inverse depth linearly, which keeps planes planar in the image.
    """
    low, high = DEPTH_RANGE_M
    inverse = np.nan_to_num(depth_hw, nan=high, posinf=high, neginf=low) * np.float32(scale)
    inverse = (1.0 / np.clip(inverse, low, high)).astype(np.float32)
    resized = _resize(inverse, size)
    return np.divide(np.float32(1), resized, out=resized)


def resize_normals(normals_3hw: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Unit normals float32 [H,W,3]: linear interpolation, then length 1. A vanishing vector faces the camera."""
    normals = _resize(np.ascontiguousarray(np.nan_to_num(normals_3hw).transpose(1, 2, 0)), size)
    for top in range(0, normals.shape[0], STRIP_ROWS):
        strip = normals[top : top + STRIP_ROWS]
        length = np.sqrt(np.einsum("ijk,ijk->ij", strip, strip))[..., None]
        vanishing = length[..., 0] < 1e-6
        np.divide(strip, np.maximum(length, 1e-6), out=strip)
        if vanishing.any():
            strip[vanishing] = (0.0, 0.0, -1.0)
    return normals


def resize_probability(probability_hw: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Probabilities float32 [H,W] in [0, 1], linearly interpolated."""
    return np.clip(_resize(np.nan_to_num(probability_hw), size), 0.0, 1.0)


def resize_segmentation(logits_Chw: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Class ids uint8 [H,W] of segmentation or parts: the largest of the linearly interpolated logits.

    Columns first for all rows of the graph, then strips of rows: the full [C,H,W] is never in memory.
    """
    width, height = size
    classes, rows = logits_Chw.shape[:2]
    logits_Chw = np.nan_to_num(logits_Chw)
    if (width, height) == (logits_Chw.shape[2], rows):
        return logits_Chw.argmax(0).astype(np.uint8)
    wide_ChW = np.stack([_resize(channel, (width, rows)) for channel in logits_Chw])
    at = np.clip((np.arange(height) + 0.5) * (rows / height) - 0.5, 0, rows - 1)
    above = np.floor(at).astype(np.intp)
    below = np.minimum(above + 1, rows - 1)
    weight = (at - above).astype(np.float32)[:, None]
    labels = np.empty((height, width), np.uint8)
    for top in range(0, height, STRIP_ROWS):
        part = slice(top, top + STRIP_ROWS)
        best, winner = None, labels[part]
        for index in range(classes):
            logit = wide_ChW[index, above[part]]
            logit += weight[part] * (wide_ChW[index, below[part]] - logit)
            if best is None:
                best = logit
                winner[:] = 0
                continue
            winner[logit > best] = index
            np.maximum(best, logit, out=best)
    return labels


def _resize(array: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    if (array.shape[1], array.shape[0]) == size:
        return array
    return np.asarray(cv2.resize(array, size, interpolation=cv2.INTER_LINEAR), np.float32)

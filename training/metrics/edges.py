"""Boundary detection without MATLAB: an approximation of the ODS F-measure of the SEISM tools.

Shapes: H height, W width, B batch, K thresholds.
"""

import math
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from training.metrics.dense import IGNORE_LABEL

Map = np.ndarray[Any, np.dtype[np.float32]]

THRESHOLDS = 99
PASCAL_TOLERANCE, NYUD_TOLERANCE = 0.0075, 0.011
"""Largest matching distance as a share of the image's diagonal."""


class EdgeMeter:
    """`edges/ods_f_approx`: the best F-measure of the set at one of 99 thresholds 0.01..0.99.

    Where it differs from SEISM (Pont-Tuset and Marques, 2016): a predicted pixel is right if a labelled one lies within
    the tolerance, and a labelled pixel is found if a predicted one does, instead of matching pixels one to one; so a
    thick or doubled prediction costs nothing while it is near, and values are a little higher. thin: keep only
    predictions that are the largest across their ridge first, as the tools do.
    """

    def __init__(self, tolerance: float = NYUD_TOLERANCE, *, thin: bool = True) -> None:
        if not 0 < tolerance < 1:
            raise ValueError(f"tolerance: expected a share of the diagonal in (0, 1), found {tolerance}")
        self.tolerance, self.thin = tolerance, thin
        self._counts = np.zeros((4, THRESHOLDS), dtype=np.float64)

    def add(self, probability_BHW: Tensor, label_BHW: Tensor) -> None:
        """probability_BHW: float in [0, 1]; label_BHW: 0, 1, or 255 to ignore."""
        for probability, label in zip(probability_BHW, label_BHW, strict=True):
            p: Map = probability.detach().float().cpu().numpy()
            g = label.cpu().numpy()
            p = np.where(g == IGNORE_LABEL, np.float32(0), thinned(p) if self.thin else p)
            disc = _disc(self.tolerance * math.hypot(*p.shape))
            near_label = cv2.dilate((g == 1).astype(np.uint8), disc) > 0
            near_prediction = cv2.dilate(p, disc)
            self._counts += np.stack(
                [
                    _above(p[near_label]),
                    _above(p),
                    _above(near_prediction[g == 1]),
                    np.full(THRESHOLDS, (g == 1).sum(), dtype=np.float64),
                ]
            )

    def result(self) -> dict[str, float]:
        """The best F over thresholds; empty when no label had an edge."""
        right, predicted, found, labelled = self._counts
        if not labelled[0]:
            return {}
        precision, recall = right / np.maximum(predicted, 1), found / labelled
        f_score = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        return {"edges/ods_f_approx": float(f_score.max())}


def thinned(probability_HW: Map) -> Map:
    """The map with 0 wherever a neighbour across the ridge is larger (Canny, PAMI 1986, on a ridge).

    The direction across is that of the strongest second derivative of the map smoothed by 2 pixels, rounded to one of
    four.
    """
    smooth = cv2.GaussianBlur(probability_HW, (0, 0), 2.0)
    xx, yy, xy = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=5) for order in ((2, 0), (0, 2), (1, 1)))
    # The eigenvector of the most negative eigenvalue of the Hessian points across a bright ridge.
    across = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    sector = np.round(across / (np.pi / 4)).astype(np.int64) % 4
    padded = np.pad(probability_HW, 1)
    height, width = probability_HW.shape
    kept = np.zeros(probability_HW.shape, dtype=bool)
    for index, (dx, dy) in enumerate(((1, 0), (1, 1), (0, 1), (-1, 1))):
        before = padded[1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width]
        after = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        # Strict on one side, so that of two equal neighbours one remains.
        kept |= (sector == index) & (probability_HW >= before) & (probability_HW > after)
    return np.where(kept, probability_HW, np.float32(0))


def _disc(radius: float) -> Any:
    """All offsets within `radius` pixels, as a structuring element."""
    reach = math.floor(radius)
    offset = torch.arange(-reach, reach + 1).square()
    return (offset[:, None] + offset[None] <= radius**2).to(torch.uint8).numpy()


def _above(values: Map) -> Any:
    """How many values exceed each threshold [K]."""
    step = np.ceil(values.ravel().astype(np.float64) * (THRESHOLDS + 1) - 1e-6).astype(np.int64) - 1
    histogram = np.bincount(step.clip(0, THRESHOLDS), minlength=THRESHOLDS + 1)
    return histogram[::-1].cumsum()[::-1][1:].astype(np.float64)

"""Does a warp show the same thing in both photographs? Local correlation, blind to exposure.

Zero-mean normalised cross-correlation in small windows, counted only where both windows have texture: a flat wall
agrees with any other flat wall and says nothing.

Legend: h, w network size; 3 = RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """correlation_hw in [-1, 1]; textured_hw: where it means something; mean over those pixels; their share."""

    correlation_hw: NDArray[np.float32]
    textured_hw: NDArray[np.bool_]

    @property
    def mean(self) -> float:
        """Mean correlation over the textured pixels, 0 without any."""
        return float(self.correlation_hw[self.textured_hw].mean()) if self.textured_hw.any() else 0.0

    @property
    def textured(self) -> float:
        """Number of textured pixels ÷ all pixels."""
        return float(self.textured_hw.mean())


def share_that_helps(
    with_it: Agreement, without: Agreement, width: float = 3.0, step: float = 0.003
) -> NDArray[np.float32]:
    """How much of a correction to keep, [h,w] in 0..1: none where correlation rises by less than `step`, all from twice
    that; smoothed over textured neighbours (`width`, a standard deviation in pixels).

    An estimated flow is noisy; where the homography is right already, its noise only blurs.
    """
    textured = (with_it.textured_hw & without.textured_hw).astype(np.float32)
    gain = np.clip((with_it.correlation_hw - without.correlation_hw) / step - 1, 0, 1) * textured
    overall = float(gain.sum() / textured.sum()) if textured.any() else 1.0
    total = cv2.GaussianBlur(np.dstack([gain, textured]), (0, 0), width)
    return np.asarray((total[..., 0] + 1e-3 * overall) / (total[..., 1] + 1e-3), np.float32)


def local_agreement(
    first_hw3: NDArray[np.uint8],
    second_hw3: NDArray[np.uint8],
    where_hw: NDArray[np.bool_],
    window: int = 9,
    texture: float = 3.0,
) -> Agreement:
    """Correlation of two aligned pictures in window x window neighbourhoods.

    Textured = inside `where_hw` (eroded by the window) and a standard deviation of at least `texture` grey levels in
    both pictures.
    """
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (first_hw3, second_hw3)]

    def mean(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.boxFilter(array, cv2.CV_32F, (window, window), borderType=cv2.BORDER_REFLECT).astype(np.float32)

    means = [mean(image) for image in grey]
    variances = [np.maximum(mean(image * image) - m * m, 0) for image, m in zip(grey, means, strict=True)]
    covariance = mean(grey[0] * grey[1]) - means[0] * means[1]
    correlation = covariance / np.sqrt(np.maximum(variances[0] * variances[1], 1e-3))
    reach = window + 4  # the rim itself is a mixture with what lies outside
    whole = cv2.erode(where_hw.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    textured = whole & (variances[0] >= texture**2) & (variances[1] >= texture**2)
    return Agreement(correlation_hw=np.clip(correlation, -1, 1).astype(np.float32), textured_hw=textured)

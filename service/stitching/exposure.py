"""Bring the target's exposure to the reference's: one gain per colour channel.

The gain is the exponential of the median log ratio over pixels that both photographs show for certain, limited to
0.6 EV. The median forgives moving things and wrong matches; the limit keeps a wrong one from ruining the picture.

Legend: h, w network size; H, W full size; 3 = RGB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LIMIT_EV = 0.6
DARKEST, BRIGHTEST = 10, 245
FEWEST = 64


def estimate_gain(
    target_hw3: NDArray[np.uint8], reference_hw3: NDArray[np.uint8], certain_hw: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Gain [3] that takes the target's values to those of the aligned reference, each in [2^-0.6, 2^0.6].

    Nearly black and nearly white values are left out; with too few others the gain is 1.
    """
    gain_3 = np.ones(3, np.float32)
    for channel in range(3):
        target = target_hw3[..., channel][certain_hw].astype(np.float32)
        reference = reference_hw3[..., channel][certain_hw].astype(np.float32)
        usable = (np.minimum(target, reference) >= DARKEST) & (np.maximum(target, reference) <= BRIGHTEST)
        if usable.sum() >= FEWEST:
            log_ratio = np.median(np.log2(reference[usable] / target[usable]))
            gain_3[channel] = 2.0 ** np.clip(log_ratio, -LIMIT_EV, LIMIT_EV)
    return gain_3


def apply_gain(image_HW3: NDArray[np.uint8], gain_3: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float]:
    """The image times the gain, rounded and limited to 255, and the share of its pixels that were limited."""
    if np.abs(gain_3 - 1).max() < 1e-4:
        return image_HW3, 0.0
    values = np.arange(256, dtype=np.float32)[:, None] * gain_3
    table = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    limited = values >= 255.5
    changed = np.empty_like(image_HW3)
    clipped = np.zeros(image_HW3.shape[:2], np.bool_)
    for channel in range(3):
        changed[..., channel] = table[:, channel][image_HW3[..., channel]]
        clipped |= limited[:, channel][image_HW3[..., channel]]
    return changed, float(clipped.mean())

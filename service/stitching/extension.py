"""Carry the residual from where both photographs see the scene to where only the target does.

Outside the overlap nothing can be matched; a residual that runs wild there bends straight lines. The extension is a
cascade of normalised convolutions (Knutsson and Westin, CVPR 1993) of the trusted residual, wide ones first: next to
the overlap it continues the residual, far away it tends to a constant, and in between it is smooth.

Legend: h, w network size; 2 = (dx, dy).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from service.stitching.geometry import Floats, resize_field


@dataclass(frozen=True, kw_only=True)
class ExtensionOptions:
    """Widths (standard deviations, network pixels) of the cascade, wide to narrow, and of the transition to it.

    `network`: share of the network's own answer that remains where it is not trusted.
    """

    widths: tuple[float, ...] = (96.0, 32.0, 10.0)
    transition: float = 2.0
    network: float = 0.0


def extend_residual(residual_hw2: Floats, trust_hw: Floats, options: ExtensionOptions) -> Floats:
    """Residual [h,w,2] that equals the given one where `trust_hw` (0..1) is 1 and is its smooth extension elsewhere.

    Without any trusted pixel the result is zero: the homography alone.
    """
    if float(trust_hw.sum()) < 1:
        return np.zeros_like(residual_hw2)
    smooth_hw2 = _cascade(residual_hw2, trust_hw, options.widths)
    own = np.maximum(trust_hw, cv2.GaussianBlur(trust_hw, (0, 0), options.transition))
    own = np.maximum(own, np.float32(options.network))[..., None]
    return (own * residual_hw2 + (1 - own) * smooth_hw2).astype(np.float32)


def _cascade(residual_hw2: Floats, trust_hw: Floats, widths: tuple[float, ...]) -> Floats:
    height, width = trust_hw.shape
    weighted = np.dstack([residual_hw2 * trust_hw[..., None], trust_hw])
    total = weighted.reshape(-1, 3).sum(0)
    result: Floats = np.broadcast_to(total[:2] / total[2], residual_hw2.shape).astype(np.float32)
    for sigma in widths:
        shrink = max(1, int(sigma / 4))
        small = (max(2, width // shrink), max(2, height // shrink))
        blurred = cv2.resize(weighted, small, interpolation=cv2.INTER_AREA)
        blurred = cv2.GaussianBlur(
            blurred, (0, 0), sigma * small[0] / width, sigmaY=sigma * small[1] / height, borderType=cv2.BORDER_REPLICATE
        )
        mass = blurred[..., 2:]
        local = blurred[..., :2] / np.maximum(mass, 1e-6)
        near = mass / (mass + 0.02)
        enlarged = resize_field(np.dstack([local, near]).astype(np.float32), (width, height))
        result = result + enlarged[..., 2:] * (enlarged[..., :2] - result)
    return result

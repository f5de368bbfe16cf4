"""Even out what one gain per channel leaves between a photograph and the panorama: vignetting, changing light.

Block-wise exposure compensation (Uyttendaele, Eden and Szeliski, CVPR 2001) with a smooth field in place of blocks: the
ratio of local means, carried beyond the overlap, widely and then finely, and fading to 1 there. Brightness has no step
at the rim of the photograph that lies on top, and is as it was taken far from it. Means forgive what is misplaced;
places where the photographs show different things count little.

Convention: arrays lie on the canvas. Legend: H, W canvas; h, w the reduced canvas; 3 = RGB.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from service.stitching.geometry import Floats, lerp_window, reduced_size

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
SIDE = 128
"""Longest side of the reduced canvas. What follows is in shares of it."""
MEAN = 0.01
SPREADS = (0.12, 0.03, 0.012)
DOUBT = 0.02
"""Added to the share of overlap around a place: where it is less than this, the gain tends to 1."""
AGREEING = 0.3
"""A log ratio at which the photographs show different things rather than the same in another light."""
LIMIT_EV = 0.5
STRIP = 256


def even_out(target_HW3: Image, mask_t_HW: Mask, reference_HW3: Image, mask_r_HW: Mask) -> Image:
    """The target in the reference's local brightness and colour.

    Both are black outside their masks. Equal photographs, and those that do not overlap, come back as they are.
    """
    gain_hw3 = estimate_local_gain(target_HW3, mask_t_HW, reference_HW3, mask_r_HW)
    if np.abs(gain_hw3 - 1).max() < 1e-3:
        return target_HW3
    height, width = mask_t_HW.shape
    scale = (gain_hw3.shape[1] / width, gain_hw3.shape[0] / height)
    evened = np.zeros_like(target_HW3)
    for top in range(0, height, STRIP):
        rows = slice(top, min(top + STRIP, height))
        columns = np.flatnonzero(mask_t_HW[rows].any(0))
        if not len(columns):
            continue
        part = (rows, slice(int(columns[0]), int(columns[-1]) + 1))
        window = lerp_window(gain_hw3, scale, (part[1].start, top), (part[1].stop - part[1].start, rows.stop - top))
        window *= target_HW3[part]
        np.minimum(np.rint(window, out=window), 255, out=window)
        evened[part] = window
    return evened


def estimate_local_gain(target_HW3: Image, mask_t_HW: Mask, reference_HW3: Image, mask_r_HW: Mask) -> Floats:
    """Gain float32 [h,w,3] that takes the target's local means to the reference's, within half an EV of 1."""
    height, width = mask_t_HW.shape
    small = reduced_size((width, height), SIDE)
    target, reference = (
        cv2.resize(image, small, interpolation=cv2.INTER_AREA).astype(np.float32)
        for image in (target_HW3, reference_HW3)
    )
    whole = [
        cv2.resize(mask.view(np.uint8) * np.uint8(255), small, interpolation=cv2.INTER_AREA) == 255
        for mask in (mask_t_HW, mask_r_HW)
    ]
    ratio_hw = np.log((reference + 1) / (target + 1)).mean(-1)
    weight_hw = (whole[0] & whole[1]) * np.exp(-np.square(ratio_hw / AGREEING))
    mean = MEAN * SIDE
    known_hw1 = _blurred(weight_hw[..., None], mean)
    means = [_blurred(image * weight_hw[..., None], mean) + 1e-3 for image in (target, reference)]
    limit = LIMIT_EV * np.log(2)
    log_hw3 = np.clip(np.log(means[1] / means[0]), -limit, limit)
    weight_hw1 = np.where(known_hw1 > DOUBT, weight_hw[..., None], 0)
    field_hw3 = np.zeros_like(log_hw3)
    for spread in SPREADS:
        total = _blurred(weight_hw1, spread * SIDE) + DOUBT
        field_hw3 += _blurred((log_hw3 - field_hw3) * weight_hw1, spread * SIDE) / total
    return np.exp(field_hw3).astype(np.float32)


def _blurred(map_hwC: Floats, sigma: float) -> Floats:
    """A Gaussian mean in which all beyond the canvas is zero."""
    blurred = cv2.GaussianBlur(map_hwC.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, np.float32).reshape(map_hwC.shape)

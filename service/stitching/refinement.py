"""Optional last step of the flow: OpenCV's dense inverse search (Kroeger et al., ECCV 2016) from the network's answer.

It sharpens what the network has found, at the network's size, and knows nothing of what lies outside the overlap.

Convention: residuals in network pixels, target to aligned reference. Legend: h, w network size; 2 = (dx, dy); 3 = RGB.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from service.stitching.geometry import Floats


def refine_residual(target_hw3: NDArray[np.uint8], reference_hw3: NDArray[np.uint8], residual_hw2: Floats) -> Floats:
    """A residual float32 [h,w,2] near the given one. Where the reference is black, outside its frame, it is kept."""
    target, reference = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (target_hw3, reference_hw3))
    # The rim of the frame is a mixture with the black outside.
    covered = cv2.erode(np.asarray(reference_hw3.any(-1), np.uint8), np.ones((3, 3), np.uint8)) > 0
    # Outside, the target itself stands in: a motion of zero, and no edge at the frame's rim.
    filled = np.where(covered, reference, target)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    refined = np.asarray(search.calc(target, filled, residual_hw2.astype(np.float32)), np.float32)
    return np.where(covered[..., None], refined, residual_hw2).astype(np.float32)

"""What a stitching method hands back to be scored.

Convention: canvas pixel = reference pixel + offset; flow is target -> reference (dx, dy) in pixels.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


class RefusalError(Exception):
    """A method gave no panorama: why, and after how many seconds."""

    def __init__(self, reason: str, seconds: float = float("nan")) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = seconds


@dataclass(frozen=True, kw_only=True)
class Stitched:
    """One method's answer for one pair; H, W are the canvas, h, w the target."""

    panorama_HW3: np.ndarray
    """uint8 RGB, black outside the union."""
    warped_target_HW3: np.ndarray
    """uint8 RGB, zero where invalid."""
    target_mask_HW: np.ndarray
    reference_mask_HW: np.ndarray
    offset: tuple[int, int]
    flow_HW2: np.ndarray | None = None
    """float32 [h,w,2]; None when the method has no correspondence."""
    seconds: float = float("nan")
    report: dict[str, Any] = field(default_factory=dict)

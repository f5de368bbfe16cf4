"""What a stitching request may choose, and what it gets.

Convention: images are RGB uint8 [H,W,3]; flow is target to reference in pixels; canvas pixel = reference pixel +
offset. Legend: H, W canvas; h, w one photograph's size; 2 = (dx, dy); 3 = RGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.stitching.pair_warp import PairWarp, full_flow
from service.stitching.warp import Gather, gather_image

Image = NDArray[np.uint8]
COMPOSE_MODES = ("compose", "generate")
MOST_IMAGES = 16


@dataclass(frozen=True, kw_only=True)
class StitchOptions:
    """What one request may choose.

    `reference_index`: zero-based; None = 0 for two images, else the central image of the spanning tree.
    `calibration_owner`: whose calibrations; those of other owners, and of other profiles, are kept apart.
    `indexed`: the images came as a list, so files and report go by upload index; None = more than two images.
    """

    profile: str = "default"
    compose: str = "compose"
    reference_index: int | None = None
    calibration_id: str | None = None
    calibration_owner: str | None = None
    indexed: bool | None = None


@dataclass(frozen=True, kw_only=True)
class WarpedImage:
    """A photograph other than the reference, on the cropped canvas.

    `image_HW3` is the photograph after exposure compensation. `render` warps it (again) when asked, so that many large
    photographs do not have to be held at once.
    """

    index: int
    warp: PairWarp
    gather: Gather
    image_HW3: Image
    window: tuple[int, int, int, int]

    def render(self) -> tuple[Image, NDArray[np.bool_]]:
        """The warped photograph uint8 [H,W,3], zero where invalid, and its mask bool [H,W]."""
        return gather_image(self.gather, self.image_HW3, self.window)

    def flow(self) -> NDArray[np.float32]:
        """Flow to the reference, float32 [h,w,2] at the photograph's size, finite everywhere."""
        return full_flow(self.warp, self.gather)


@dataclass(frozen=True, kw_only=True)
class StitchResult:
    """A panorama, cropped to the union of the photographs.

    panorama_HW3 RGB, black outside union and holes; union_HW: seen by any photograph; reference_mask_HW; hole_mask_HW:
    seen by none and filled in; seam_mask_HW: the bands in which one photograph gives way to another; offset (x, y):
    canvas pixel = reference pixel + offset; `overlap` 0..1 (the smallest, with several); `report` is report.json.
    """

    panorama_HW3: Image
    union_HW: NDArray[np.bool_]
    reference_mask_HW: NDArray[np.bool_]
    hole_mask_HW: NDArray[np.bool_]
    seam_mask_HW: NDArray[np.bool_]
    warped: tuple[WarpedImage, ...]
    offset: tuple[int, int]
    overlap: float
    indexed: bool
    report: dict[str, Any]

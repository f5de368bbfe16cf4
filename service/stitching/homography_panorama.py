"""A panorama's counterpart: the same photographs, with one homography each instead of a warp for every pixel.

It is what stitching was before: features, a robust homography, a blend. Set beside the panorama it shows what the
pixel-wise warp changed, for everything else is shared: the homographies are those the warp started from, exposure, seam
and canvas are made the same way.

Convention: canvas pixel = reference pixel + offset. Legend: H, W canvas; 3 = RGB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.runtime import Graph
from service.stitching.canvas import Canvas
from service.stitching.composition import CompositionOptions, blend
from service.stitching.local_gain import even_out
from service.stitching.result import StitchResult
from service.stitching.warp import gather_image, make_gather

Image = NDArray[np.uint8]


def homography_panorama(graph: Graph, result: StitchResult, reference_HW3: Image, options: CompositionOptions) -> Image:
    """RGB uint8 [H,W,3] at the size of `result`'s panorama, cut at its rim, black where no photograph lies.

    graph: SIGMo. reference_HW3: the photograph that keeps its place, as it was stitched.
    """
    height, width = result.panorama_HW3.shape[:2]
    canvas = Canvas(offset=result.offset, size=(width, height))
    panorama = np.zeros((height, width, 3), np.uint8)
    union = result.reference_mask_HW.copy()
    x, y = result.offset
    panorama[y : y + reference_HW3.shape[0], x : x + reference_HW3.shape[1]] = reference_HW3
    for image in result.warped:
        warp = image.warp
        plain = np.zeros_like(warp.residual_hw2)
        gather = make_gather(warp.homography_33, plain, np.ones_like(warp.weight_hw), warp.size_t, canvas)
        warped, valid = gather_image(gather, image.image_HW3)
        if (valid & ~union).any():
            warped = even_out(warped, valid, panorama, union)
            panorama = blend(graph, panorama, union, warped, valid, options).panorama_HW3
            union |= valid
    return panorama

"""From a plan to pixels: exposure, one gather per photograph, one composition after the other, and the report.

Convention: images are RGB uint8 [H,W,3]; canvas pixel = reference pixel + offset. Legend: H, W canvas; 3 = RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.runtime import Graph
from service.stitching.composition import CompositionOptions, blend
from service.stitching.exposure import apply_gain
from service.stitching.local_gain import even_out
from service.stitching.pair_warp import measure_gain
from service.stitching.planning import Plan
from service.stitching.report import build_report, describe_image, timed
from service.stitching.result import StitchOptions, StitchResult, WarpedImage
from service.stitching.warp import gather_image

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class _Layers:
    """The whole canvas: panorama, where photographs and the reference lie, holes that were filled, seams; and per
    further image what became of its exposure."""

    panorama_HW3: Image
    union_HW: Mask
    reference_HW: Mask
    holes_HW: Mask
    seams_HW: Mask
    gains: dict[int, NDArray[np.float32]]
    clipped: dict[int, float]
    adjusted: dict[int, Image]


def render(
    sigmo: Graph,
    images: Sequence[Image],
    plan: Plan,
    options: StitchOptions,
    composition: CompositionOptions,
    seconds: dict[str, float],
    reused: bool,
) -> StitchResult:
    """The panorama of photographs under a plan, cropped to what they cover. `seconds` gains those of each stage.

    reused: the plan is a calibration made before, as the report says. Raises BundleFailed.
    """
    layers = _composed(sigmo, images, plan, options.compose == "generate", composition, seconds)
    window = _bounding_box(layers.union_HW)
    crop = (slice(window[1], window[1] + window[3]), slice(window[0], window[0] + window[2]))
    warped_images = tuple(
        WarpedImage(
            index=child,
            warp=plan.warps[child],
            gather=plan.gathers[child],
            image_HW3=layers.adjusted[child],
            window=window,
        )
        for child, _, _ in plan.rig.links
    )
    offset = (plan.canvas.offset[0] - window[0], plan.canvas.offset[1] - window[1])
    entries = [
        describe_image(child, parent, link, plan.warps[child], layers.gains[child], layers.clipped[child])
        for child, parent, link in plan.rig.links
    ]
    calibration = None if options.calibration_id is None else "reused" if reused else "stored"
    root = plan.rig.reference_index
    report = build_report(entries, options, root, offset, (window[2], window[3]), calibration, seconds)
    indexed = len(images) > 2 if options.indexed is None else options.indexed
    return StitchResult(
        panorama_HW3=np.ascontiguousarray(layers.panorama_HW3[crop]),
        union_HW=layers.union_HW[crop],
        reference_mask_HW=layers.reference_HW[crop],
        hole_mask_HW=layers.holes_HW[crop],
        seam_mask_HW=layers.seams_HW[crop],
        warped=warped_images,
        offset=offset,
        overlap=report["overlap"],
        indexed=indexed,
        report=report,
    )


def _composed(
    sigmo: Graph,
    images: Sequence[Image],
    plan: Plan,
    generated: bool,
    composition: CompositionOptions,
    seconds: dict[str, float],
) -> _Layers:
    """The reference on the canvas, and one photograph after the other laid beside it."""
    root = plan.rig.reference_index
    (x, y), (width, height) = plan.canvas.offset, plan.canvas.size
    panorama = np.zeros((height, width, 3), np.uint8)
    union = np.zeros((height, width), np.bool_)
    inner = (slice(y, y + images[root].shape[0]), slice(x, x + images[root].shape[1]))
    panorama[inner], union[inner] = images[root], True
    reference = union.copy()
    holes, seams = np.zeros_like(union), np.zeros_like(union)
    gains: dict[int, NDArray[np.float32]] = {root: np.ones(3, np.float32)}
    clipped: dict[int, float] = {}
    adjusted: dict[int, Image] = {}
    for child, parent, link in plan.rig.links:
        with timed(seconds, "exposure"):
            gains[child] = gains[parent] * measure_gain(link, images[child], images[parent])
            adjusted[child], clipped[child] = apply_gain(images[child], gains[child])
        with timed(seconds, "gather"):
            warped, valid = gather_image(plan.gathers[child], adjusted[child])
        with timed(seconds, "composition"):
            if link.method == "identical" and not (valid & ~union).any():
                continue
            warped = even_out(warped, valid, panorama, union)
            made = blend(sigmo, panorama, union, warped, valid, composition, generated)
            panorama, holes = made.panorama_HW3, made.holes_HW
            seams |= made.seam_HW
            union |= valid
    return _Layers(
        panorama_HW3=panorama,
        union_HW=union,
        reference_HW=reference,
        holes_HW=holes,
        seams_HW=seams,
        gains=gains,
        clipped=clipped,
        adjusted=adjusted,
    )


def _bounding_box(mask_HW: Mask) -> tuple[int, int, int, int]:
    """(x, y, width, height) of a mask's true pixels."""
    columns, rows = np.flatnonzero(mask_HW.any(0)), np.flatnonzero(mask_HW.any(1))
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)

"""Per-pixel flow of a pair: the network's residual on top of a homography, checked in both directions.

The reference is warped into the target's frame by the homography (black outside), the network (PWM, after Kweon et al.,
AAAI 2023) sees both at its own size and predicts the residual r, and the flow is f(p) = H(p + r(p)) - p. So rotation,
scale and the large part of the motion are not left to the network. The backward direction is the same problem with the
images exchanged; where going there and back does not return, the pixel is hidden, outside, or wrong.

Convention: residuals are in pixels of the full-size target, on the network's grid (half-pixel convention).
Legend: H, W full size; h, w network size; 2 = (x, y) or (dx, dy); 3 = RGB; 33 = matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.preprocess import model_size, to_model_image
from service.runtime import Graph
from service.stitching.exposure import apply_gain, estimate_gain
from service.stitching.geometry import (
    Floats,
    Matrix,
    Size,
    apply_homography,
    inside,
    inverted,
    reduced_grid,
    resize_matrix,
    sample,
    size_of,
    stretch,
    vector,
)
from service.stitching.refinement import refine_residual

Image = NDArray[np.uint8]
LARGEST = 1e4


@dataclass(frozen=True, kw_only=True)
class FlowOptions:
    """Network size, the optional refinement (service.stitching.refinement), and the forward-backward test.

    A pixel is consistent if it returns within `consistency_px + consistency_share * |r|` network pixels. Without the
    backward pass the network's own confidence (at least `confidence`) takes the place of the test.
    """

    longest_side: int = 384
    multiple: int = 32
    smallest_side: int = 64
    fixed: tuple[int, int] | None = None
    backward: bool = True
    refine: bool = True
    consistency_px: float = 1.5
    consistency_share: float = 0.05
    confidence: float = 0.3


@dataclass(frozen=True, kw_only=True)
class RawFlow:
    """What the network says about a pair, on its grid.

    residual_hw2 float32, full-size target pixels, finite; importance_hw [0, 30];
    consistent_hw: inside the reference and returning; inside_hw: lands inside the reference;
    target_hw3, reference_hw3: the two pictures as the network saw them; net_scale = network ÷ full size (x, y).
    """

    residual_hw2: Floats
    importance_hw: Floats
    consistent_hw: NDArray[np.bool_]
    inside_hw: NDArray[np.bool_]
    target_hw3: Image
    reference_hw3: Image
    net_scale: tuple[float, float]


def estimate_flow(
    graph: Graph,
    target_HW3: Image,
    reference_HW3: Image,
    homography_33: Matrix,
    options: FlowOptions,
    equalise: bool = True,
) -> RawFlow:
    """Run the network on a pair that `homography_33` (target to reference, full pixels) roughly aligns.

    `equalise`: the network sees the target at about the reference's exposure.
    """
    size_t, size_r = size_of(target_HW3), size_of(reference_HW3)
    net_t, net_r = model_size(*size_t, options), model_size(*size_r, options)
    inverse_33 = inverted(homography_33)
    small_t = to_model_image(target_HW3, net_t)
    aligned_r = warp_into(reference_HW3, homography_33, size_t, net_t)
    gain = np.ones(3, np.float32)
    if equalise:
        gain = estimate_gain(small_t, aligned_r, np.asarray(aligned_r.any(-1), np.bool_))
    pairs = [(apply_gain(small_t, gain)[0], aligned_r)]
    if options.backward:
        small_r = to_model_image(reference_HW3, net_r)
        pairs.append((small_r, apply_gain(warp_into(target_HW3, inverse_33, size_r, net_r), gain)[0]))
    outputs = _run(graph, pairs)
    if options.refine:
        outputs = [(refine_residual(*pair, out[0]), *out[1:]) for pair, out in zip(pairs, outputs, strict=True)]
    residual, importance, confidence = outputs[0]
    residual_hw2 = residual * vector(size_t[0] / net_t[0], size_t[1] / net_t[1])
    grid_hw2 = reduced_grid(size_t, net_t)
    landed_hw2 = apply_homography(homography_33, grid_hw2 + residual_hw2)
    inside_hw = inside(landed_hw2, size_r) & (stretch(homography_33, grid_hw2 + residual_hw2) > 0)
    if options.backward:
        back_hw2 = outputs[1][0] * vector(size_r[0] / net_r[0], size_r[1] / net_r[1])
        to_net = resize_matrix(size_r, net_r)
        seen_at = apply_homography(to_net, np.clip(landed_hw2, -1e4, 1e5))
        returned_hw2 = apply_homography(inverse_33, landed_hw2 + sample(back_hw2, seen_at))
        error = (returned_hw2 - grid_hw2) * vector(net_t[0] / size_t[0], net_t[1] / size_t[1])
        allowed = options.consistency_px + options.consistency_share * np.linalg.norm(residual, axis=-1)
        consistent_hw = inside_hw & (np.linalg.norm(error, axis=-1) <= allowed)
    else:
        consistent_hw = inside_hw & (confidence >= options.confidence)
    return RawFlow(
        residual_hw2=residual_hw2.astype(np.float32),
        importance_hw=importance,
        consistent_hw=consistent_hw,
        inside_hw=inside_hw,
        target_hw3=small_t,
        reference_hw3=aligned_r,
        net_scale=(net_t[0] / size_t[0], net_t[1] / size_t[1]),
    )


def warp_into(image_HW3: Image, homography_33: Matrix, frame: Size, reduced: Size) -> Image:
    """An image seen in another photograph's frame at reduced size, black where it shows nothing.

    `homography_33` maps full pixels of that frame (`frame` = its width, height) to full pixels of the image. The image
    is shrunk by area averaging to about the scale at which it is shown, so that it does not alias.
    """
    size = size_of(image_HW3)
    grid = reduced_grid(frame, reduced)
    scale = stretch(homography_33, grid)
    seen = scale[inside(apply_homography(homography_33, grid), size) & (scale > 0)]
    shrink = reduced[0] / frame[0] / (np.sqrt(np.median(seen)) if seen.size else 1.0)
    small = tuple(max(1, min(side, round(side * shrink))) for side in size)
    source = image_HW3 if small == size else cv2.resize(image_HW3, small, interpolation=cv2.INTER_AREA)
    matrix = resize_matrix(size, (small[0], small[1])) @ homography_33 @ inverted(resize_matrix(frame, reduced))
    warped = cv2.warpPerspective(source, matrix, reduced, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    warped[scale <= 0] = 0
    return warped.astype(np.uint8, copy=False)


def _run(graph: Graph, pairs: list[tuple[Image, Image]]) -> list[tuple[Floats, Floats, Floats]]:
    """flow [h,w,2], importance [h,w], confidence [h,w] of each (target, reference); one call if the sizes agree."""
    if len({target.shape for target, _ in pairs}) == 1:
        batches = [pairs]
    else:
        batches = [[pair] for pair in pairs]
    results = []
    for batch in batches:
        out = graph.run({"target": np.stack([t for t, _ in batch]), "reference": np.stack([r for _, r in batch])})
        for flow, importance, confidence in zip(out["flow"], out["importance"], out["confidence"], strict=True):
            residual = np.clip(np.nan_to_num(np.ascontiguousarray(flow.transpose(1, 2, 0))), -LARGEST, LARGEST)
            results.append((residual, np.nan_to_num(importance[0]), np.nan_to_num(confidence[0])))
    return results

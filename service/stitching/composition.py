"""One picture from the reference and the warped target: a soft seam, and a correction in holes and along the seam.

SIGMo (inspired by Kweon et al., AAAI 2023) sees the canvas reduced to at most 512 px and answers alpha and delta; only
those two are enlarged. S = alpha R + (1 - alpha) T_w + Hm delta with alpha forced where a single photograph sees the
pixel, and Hm = interior holes plus a band of 9 px around the contour alpha = 0.5. So every pixel outside Hm is real.

A graph that generates answers an image as well. What that changes in the feathered photographs is enlarged and added to
them at full size, so that their detail stays; any pixel may then be invented.

Convention: all arrays lie on the canvas. Legend: H, W canvas; h, w reduced canvas; 3 = RGB; 4 = alpha and delta.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.runtime import Graph
from service.stitching.geometry import Floats, Size, lerp_window, reduced_size

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
TILE = 1024
COVERED = 0.25
"""Share of a reduced pixel that the target must cover to count, as in training."""


@dataclass(frozen=True, kw_only=True)
class CompositionOptions:
    """`longest_side` of what SIGMo sees, its sides' `multiple`, half widths of the band and of the closing."""

    longest_side: int = 512
    multiple: int = 32
    band_radius: int = 4
    closing_radius: int = 15


@dataclass(frozen=True, kw_only=True)
class Composition:
    """panorama uint8 [H,W,3], 0 outside union and holes; holes bool [H,W]: seen by neither, filled by the network; seam
    bool [H,W]: the band around the change from one photograph to the other, where the network corrects too;
    in a generated panorama all of the union.
    """

    panorama_HW3: Image
    holes_HW: Mask
    seam_HW: Mask


def feather(mask_r_HW: Mask, mask_t_HW: Mask) -> Floats:
    """The reference's weight by distance to each mask's rim: float32 [H,W], 1 where only R, 0 where only T.

    d_r / (d_r + d_t) with d = distance to the nearest pixel outside the mask; the canvas' rim counts as outside.
    Outside both masks 0.5.
    """
    distance_r, distance_t = _rim_distance(mask_r_HW), _rim_distance(mask_t_HW)
    total = distance_r + distance_t
    return np.where(total > 0, distance_r / np.maximum(total, 1e-6), 0.5).astype(np.float32)


def interior_holes(union_HW: Mask, radius: int) -> Mask:
    """Gaps enclosed by the union that its morphological closing (a square of 2 * radius + 1) fills.

    Training also fills the tips of notches in the union's outline; here these stay black, being outside the panorama.
    """
    gaps = np.pad(~union_HW, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(gaps, connectivity=4)
    enclosed = (labels != labels[0, 0])[1:-1, 1:-1] & ~union_HW
    if not enclosed.any():
        return enclosed
    rim = 2 * radius
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    closed = cv2.morphologyEx(np.pad(union_HW, rim).astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    return enclosed & (closed[rim:-rim, rim:-rim] > 0)


def compose(
    reference_HW3: Image,
    mask_r_HW: Mask,
    target_HW3: Image,
    mask_t_HW: Mask,
    alpha_HW: Floats,
    delta_HW3: Floats,
    holes_HW: Mask,
    band_radius: int = 4,
) -> tuple[Image, Floats, Mask]:
    """S, the forced alpha, and Hm. `delta_HW3` in units of the full range (-1..1); masked-out colours are ignored.

    Specification section 5, mode `compose`; the training twin is `models.stitched_image.compose`.
    """
    union = mask_r_HW | mask_t_HW
    alpha = _forced(alpha_HW, mask_r_HW, mask_t_HW)
    ours, theirs = union & (alpha >= 0.5), union & (alpha < 0.5)
    kernel = np.ones((2 * band_radius + 1, 2 * band_radius + 1), np.uint8)
    near = [cv2.dilate(side.astype(np.uint8), kernel) > 0 for side in (ours, theirs)]
    corrected = (near[0] & near[1] & union) | holes_HW
    image = _mixed(reference_HW3, mask_r_HW, target_HW3, mask_t_HW, alpha)
    if corrected.any():
        image[corrected] += np.float32(255) * delta_HW3[corrected]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), alpha, corrected


def generate(
    reference_HW3: Image,
    mask_r_HW: Mask,
    target_HW3: Image,
    mask_t_HW: Mask,
    weight_HW: Floats,
    change_HW3: Floats,
    holes_HW: Mask,
) -> Image:
    """The feathered photographs plus `change_HW3` (-1..1) in union and holes, black elsewhere.

    weight_HW: the feather's. The training twin is `models.stitched_image.generate`.
    """
    weight = _forced(weight_HW, mask_r_HW, mask_t_HW)
    image = _mixed(reference_HW3, mask_r_HW, target_HW3, mask_t_HW, weight) + np.float32(255) * change_HW3
    image *= (mask_r_HW | mask_t_HW | holes_HW)[..., None]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def blend(
    graph: Graph,
    reference_HW3: Image,
    mask_r_HW: Mask,
    target_HW3: Image,
    mask_t_HW: Mask,
    options: CompositionOptions,
    generated: bool = False,
) -> Composition:
    """The composition of a whole canvas, in tiles, with alpha and delta from the SIGMo graph.

    generated: take the graph's image instead, which it must have.
    """
    height, width = mask_r_HW.shape
    small = reduced_size((width, height), options.longest_side)
    seam_hw4 = _seam(graph, reference_HW3, mask_r_HW, target_HW3, mask_t_HW, small, options, generated)
    union = mask_r_HW | mask_t_HW
    holes = _holes(union, small, options.closing_radius)
    scale = (small[0] / width, small[1] / height)
    panorama = np.zeros((height, width, 3), np.uint8)
    corrected = np.zeros((height, width), np.bool_)
    halo = options.band_radius
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            bottom, right = min(top + TILE, height), min(left + TILE, width)
            rows, columns = slice(max(top - halo, 0), bottom + halo), slice(max(left - halo, 0), right + halo)
            part = (rows, columns)
            if not (union[part].any() or holes[part].any()):
                continue
            shape = union[part].shape
            seam = lerp_window(seam_hw4, scale, (columns.start, rows.start), (shape[1], shape[0]))
            photographs = (reference_HW3[part], mask_r_HW[part], target_HW3[part], mask_t_HW[part])
            if generated:
                image, changed = generate(*photographs, seam[..., 0], seam[..., 1:], holes[part]), union[part]
            else:
                image, _, changed = compose(*photographs, seam[..., 0], seam[..., 1:], holes[part], options.band_radius)
            inner = (slice(top - rows.start, bottom - rows.start), slice(left - columns.start, right - columns.start))
            panorama[top:bottom, left:right] = image[inner]
            corrected[top:bottom, left:right] = changed[inner]
    return Composition(panorama_HW3=panorama, holes_HW=holes, seam_HW=corrected & ~holes)


def _seam(
    graph: Graph,
    reference_HW3: Image,
    mask_r_HW: Mask,
    target_HW3: Image,
    mask_t_HW: Mask,
    small: Size,
    options: CompositionOptions,
    generated: bool,
) -> Floats:
    """alpha and delta, or the feather's weight and what generation changes, float32 [h,w,4], at reduced size."""
    layers = []
    masks = []
    for image, mask in ((reference_HW3, mask_r_HW), (target_HW3, mask_t_HW)):
        share = cv2.resize(mask.astype(np.float32), small, interpolation=cv2.INTER_AREA)
        colour = cv2.resize(image, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        colour = np.clip(colour / np.maximum(share, 1e-3)[..., None], 0, 1) * (share > 0.02)[..., None]
        layers += [colour, share[..., None]]
        masks.append(share > 0.5)
    canvas = np.dstack([layers[0], (layers[1] > 0.5).astype(np.float32), layers[2], layers[3]])
    padded = tuple(-(-side // options.multiple) * options.multiple for side in small)
    canvas_18hw = np.zeros((1, 8, padded[1], padded[0]), np.float32)
    canvas_18hw[0, :, : small[1], : small[0]] = canvas.transpose(2, 0, 1)
    feather_11hw = np.full((1, 1, padded[1], padded[0]), 0.5, np.float32)
    feather_11hw[0, 0, : small[1], : small[0]] = feather(masks[0], masks[1])
    out = graph.run({"canvas": canvas_18hw, "feather": feather_11hw})
    if not generated:
        both = np.concatenate([out["alpha"][0], out["delta"][0]])[:, : small[1], : small[0]]
        return np.ascontiguousarray(np.nan_to_num(both).transpose(1, 2, 0), np.float32)
    inner = (slice(small[1]), slice(small[0]))
    mask_r, mask_t = canvas[..., 3] > 0.5, canvas[..., 7] > COVERED
    weight = feather_11hw[0, 0][inner]
    before = _mixed(canvas[..., :3], mask_r, canvas[..., 4:7], mask_t, _forced(weight, mask_r, mask_t))
    change = np.nan_to_num(out["image"][0].transpose(1, 2, 0)[inner]) - before
    # Beyond the union the image means nothing, and would bleed in when the change is enlarged.
    change *= (mask_r | mask_t | interior_holes(mask_r | mask_t, options.closing_radius))[..., None]
    return np.dstack([weight, change]).astype(np.float32)


def _forced(alpha_HW: Floats, mask_r_HW: Mask, mask_t_HW: Mask) -> Floats:
    """The weight with 1 where only the reference lies and 0 where only the target does."""
    alpha = np.where(mask_r_HW & ~mask_t_HW, np.float32(1), alpha_HW.astype(np.float32))
    return np.where(mask_t_HW & ~mask_r_HW, np.float32(0), alpha)


def _mixed(
    reference_HW3: Image | Floats, mask_r_HW: Mask, target_HW3: Image | Floats, mask_t_HW: Mask, alpha_HW: Floats
) -> Floats:
    """alpha R + (1 - alpha) T in the units given, 0 where neither lies."""
    weight_r, weight_t = alpha_HW * mask_r_HW, (1 - alpha_HW) * mask_t_HW
    mixed = weight_r[..., None] * reference_HW3 + weight_t[..., None] * target_HW3
    return np.asarray(mixed, np.float32)


def _holes(union_HW: Mask, small: Size, radius: int) -> Mask:
    height, width = union_HW.shape
    if (width, height) == small:
        return interior_holes(union_HW, radius)
    share = cv2.resize(union_HW.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    holes = interior_holes(share > 0.98, radius).astype(np.uint8)
    return (cv2.resize(holes, (width, height), interpolation=cv2.INTER_NEAREST) > 0) & ~union_HW


def _rim_distance(mask_HW: Mask) -> Floats:
    padded = np.pad(mask_HW, 1).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)

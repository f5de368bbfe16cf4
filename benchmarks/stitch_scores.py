"""Scores of a stitched pair: picture on the overlap, coverage, flow error (specs/stitching.md 11).

Pictures are compared on a frame in which frame pixel = reference pixel + origin. Masks are eroded by 1 px for PSNR and
by 5 px for SSIM. Legend: H, W frame; h, w target.
"""

import cv2
import numpy as np

from benchmarks.stitch_items import LONG_SIDE, NOV, OCC, OV, StitchItem
from benchmarks.stitched import Stitched

GREY = 128
LEAST_PIXELS = 50
CEILING_DB = 60.0
"""PSNR reported for a picture without any error."""
FARTHEST_PX = 1e4
RIM_BLOCK, RIM_DEPTH = 24, 4
PARALLELS = (-16, -8, 8, 16)


def psnr(image_HW3: np.ndarray, scene_HW3: np.ndarray, mask_HW: np.ndarray) -> float:
    """-10 log10 of the mean squared error over the mask, images in 0..255 stated for [0,1]; NaN below 50 pixels."""
    if mask_HW.sum() < LEAST_PIXELS:
        return float("nan")
    difference = (image_HW3[mask_HW].astype(np.float64) - scene_HW3[mask_HW].astype(np.float64)) / 255.0
    error = float((difference**2).mean())
    return CEILING_DB if error < 10 ** (-CEILING_DB / 10) else -10 * float(np.log10(error))


def zero_filled_psnr(image_HW3: np.ndarray, scene_HW3: np.ndarray, mask_HW: np.ndarray) -> float:
    """The legacy score of UDIS-D: both images zeroed outside the mask, error over the whole frame."""
    keep = mask_HW[..., None].astype(np.float64)
    return psnr(image_HW3 * keep, scene_HW3 * keep, np.ones_like(mask_HW))


def gain_fitted_psnr(image_HW3: np.ndarray, scene_HW3: np.ndarray, mask_HW: np.ndarray) -> float:
    """psnr after the least-squares gain of every channel, 0.4 to 2.5: geometry without exposure."""
    if mask_HW.sum() < LEAST_PIXELS:
        return float("nan")
    a, b = image_HW3[mask_HW].astype(np.float64), scene_HW3[mask_HW].astype(np.float64)
    gain = np.clip((a * b).sum(axis=0) / np.maximum((a * a).sum(axis=0), 1.0), 0.4, 2.5)
    return psnr(np.minimum(image_HW3 * gain, 255.0), scene_HW3, mask_HW)


def ssim(image_HW3: np.ndarray, scene_HW3: np.ndarray, mask_HW: np.ndarray) -> float:
    """Mean over the mask of the SSIM map: 11x11 Gaussian, sigma 1.5, K = (0.01, 0.03); the scene fills the rest."""
    if mask_HW.sum() < LEAST_PIXELS:
        return float("nan")
    scene = scene_HW3.astype(np.float64)
    image = np.where(mask_HW[..., None], image_HW3.astype(np.float64), scene)

    def blur(x: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.GaussianBlur(x, (11, 11), 1.5))

    mean_a, mean_b = blur(image), blur(scene)
    var_a, var_b = blur(image**2) - mean_a**2, blur(scene**2) - mean_b**2
    both = blur(image * scene) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    value = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return float(value[mask_HW].mean())


def eroded(mask_HW: np.ndarray, radius: int) -> np.ndarray:
    """The mask without its rim of `radius` pixels; the frame's edge counts as a rim."""
    size = 2 * radius + 1
    kernel = np.ones((size, size), np.uint8)
    return np.asarray(cv2.erode(mask_HW.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0)


def on_frame(
    canvas_HW: np.ndarray, offset: tuple[int, int], frame: tuple[int, int], origin: tuple[int, int]
) -> np.ndarray:
    """A canvas (image or mask) cut and padded with zeros to the frame, by whole pixels."""
    shift_x, shift_y = origin[0] - offset[0], origin[1] - offset[1]
    out = np.zeros((*frame, *canvas_HW.shape[2:]), canvas_HW.dtype)
    height, width = canvas_HW.shape[:2]
    top, left = max(0, shift_y), max(0, shift_x)
    bottom, right = min(frame[0], shift_y + height), min(frame[1], shift_x + width)
    if bottom > top and right > left:
        out[top:bottom, left:right] = canvas_HW[top - shift_y : bottom - shift_y, left - shift_x : right - shift_x]
    return out


def flow_errors(flow_hw2: np.ndarray, item: StitchItem) -> dict[str, float]:
    """Mean end-point error on OV, OCC and NOV and shares beyond 1, 3, 5 px on OV, in pixels at long side 512."""
    if item.truth is None:
        return {}
    if flow_hw2.shape != item.truth.flow_hw2.shape:
        raise ValueError(f"flow: expected {item.truth.flow_hw2.shape}, found {flow_hw2.shape}")
    scale = LONG_SIDE / max(item.target.shape[:2])
    error = np.linalg.norm(flow_hw2.astype(np.float64) - item.truth.flow_hw2, axis=-1) * scale
    error = np.minimum(np.nan_to_num(error, nan=FARTHEST_PX), FARTHEST_PX)
    out = {}
    for name, region in (("OV", OV), ("OCC", OCC), ("NOV", NOV)):
        chosen = error[item.truth.region_hw == region]
        out[f"EPE {name}"] = float(chosen.mean()) if chosen.size >= LEAST_PIXELS else float("nan")
        if region == OV:
            out |= {f"beyond {k} px": float((chosen > k).mean()) for k in (1, 3, 5)}
    return out


def rim_step(result: Stitched, reference_size: tuple[int, int]) -> float:
    """How much the panorama's colours jump where the reference (height, width) ends and the target goes on, 0..255.

    Means of blocks on both sides of the rim are compared: by how much their jump differs from those across parallels of
    the rim, less how much these differ among themselves, which is the scene's own. NaN where the target nowhere crosses
    the rim, or the reference was warped as well.
    """
    (x, y), (height, width) = result.offset, reference_size
    place_HW = np.zeros_like(result.target_mask_HW)
    place_HW[max(y, 0) : y + height, max(x, 0) : x + width] = True
    if (result.reference_mask_HW != place_HW).mean() > 0.01:
        return float("nan")
    layers = np.dstack([result.panorama_HW3, result.target_mask_HW, place_HW])
    # Each side in turn as a horizontal line, the reference below it.
    steps = [step for turns in range(4) for step in _steps_at_the_top(np.rot90(layers, turns))]
    return float(np.mean(steps)) if steps else float("nan")


def _steps_at_the_top(layers_HW5: np.ndarray) -> list[float]:
    """Per block along the upper side of the reference: the step there."""
    image_HW3, seen_HW, inside_HW = (
        layers_HW5[..., :3].astype(np.float64),
        layers_HW5[..., 3] > 0,
        layers_HW5[..., 4] > 0,
    )
    top, columns = int(inside_HW.any(1).argmax()), np.flatnonzero(inside_HW.any(0))
    reach = max(map(abs, PARALLELS)) + RIM_DEPTH
    if not reach <= top <= len(image_HW3) - reach:
        return []

    def jump(line: int, block: slice) -> np.ndarray:
        above, below = image_HW3[line - RIM_DEPTH : line, block], image_HW3[line : line + RIM_DEPTH, block]
        return np.asarray(above.mean((0, 1)) - below.mean((0, 1)))

    steps = []
    for left in range(columns[0], columns[-1] + 2 - RIM_BLOCK, RIM_BLOCK):
        block = slice(left, left + RIM_BLOCK)
        if not seen_HW[top - reach : top + reach, block].all():
            continue
        parallels = np.stack([jump(top + shift, block) for shift in PARALLELS])
        usual = parallels.mean(0)
        steps.append(float(np.abs(jump(top, block) - usual).mean() - np.abs(parallels - usual).mean()))
    return steps


class Placed:
    """A method's pictures and masks on the item's frame."""

    def __init__(self, item: StitchItem, result: Stitched) -> None:
        def put(canvas: np.ndarray) -> np.ndarray:
            return on_frame(canvas, result.offset, item.frame, item.origin)

        self.warped = put(result.warped_target_HW3)
        self.panorama = put(result.panorama_HW3)
        self.target_mask = put(result.target_mask_HW)
        self.union = self.target_mask | put(result.reference_mask_HW)
        height, width = item.reference.shape[:2]
        looked = np.zeros(item.frame, bool)
        looked[item.origin[1] : item.origin[1] + height, item.origin[0] : item.origin[0] + width] = True
        self.overlap = self.target_mask & (looked if item.overlap_HW is None else item.overlap_HW)
        """Where this method's warped target can be compared with what the reference saw."""


def score(item: StitchItem, result: Stitched) -> dict[str, float]:
    """All scores of one result; NaN where there is nothing to compare, absent where the item cannot tell."""
    placed = Placed(item, result)
    scene = item.scene_HW3
    thin, thick = eroded(placed.overlap, 1), eroded(placed.overlap, 5)
    values = {
        "mPSNR": psnr(placed.warped, scene, thin),
        "mPSNR gain": gain_fitted_psnr(placed.warped, scene, thin),
        "mSSIM": ssim(placed.warped, scene, thick),
        "zero-filled": zero_filled_psnr(placed.warped, scene, placed.overlap),
    }
    values["rim step"] = rim_step(result, item.reference.shape[:2])
    if item.overlap_HW is None:
        values["own overlap"] = float(placed.overlap.sum() / max(item.reference[..., 0].size, 1))
    else:
        values["OV coverage"] = float(placed.overlap.sum() / max(item.overlap_HW.sum(), 1))
    if item.beyond_HW is not None and item.beyond_HW.sum() >= LEAST_PIXELS:
        values["coverage"] = float((placed.target_mask & item.beyond_HW).sum() / item.beyond_HW.sum())
    if item.overlap_HW is not None and item.beyond_HW is not None and item.scene_beyond:
        required = item.overlap_HW | item.beyond_HW
        full = np.where(placed.union[..., None], placed.panorama, GREY)
        values["full mPSNR"] = psnr(full, scene, eroded(required, 1))
        values["full mSSIM"] = ssim(full, scene, eroded(required, 5))
        alone = np.where(placed.target_mask[..., None], placed.warped, GREY)
        values["NOV mPSNR"] = psnr(alone, scene, eroded(item.beyond_HW, 1))
    if result.flow_HW2 is not None:
        values |= flow_errors(result.flow_HW2, item)
    return values

"""Pairs of real photographs with exact flow: stereo crops, and two views of a sequence with depth and pose.

Convention: flow is target -> reference (dx, dy) px; frame pixel = reference pixel + origin; left pixel (x, y) of a
stereo pair is right pixel (x - d, y). Legend: H, W frame; h, w target.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.geometry import canvas_box, inside, pixel_grid, project, sample_nearest
from benchmarks.real_data import read_array, read_disparity, read_json
from benchmarks.stitch_items import NOV, OCC, OV, UNKNOWN, LazyItem, StitchItem, level_of, make_truth, read_rgb

CROP = 0.65  # share of the width that each photograph of a stereo crop keeps
LONGEST = 768  # stereo photographs are reduced to this (spec 11b)
CORNER_SHIFT = 0.08


def stereo_crops(root: Path, seeds: int = 3) -> Iterator[LazyItem]:
    """Every stereo scene with several random homographies, and once more with the target half a stop darker."""
    entries = [e for e in read_json(root / "manifest.json")["pairs"] if (root / e["pair"]).is_dir()]
    for seed in range(seeds):
        for e in entries:
            yield LazyItem("middlebury", f"{e['pair']}-{seed}", lambda e=e, s=seed: stereo_crop(root, e, s))  # type: ignore[misc]
    for e in entries:
        yield LazyItem(
            "middlebury_exposure",
            f"{e['pair']}-0",
            lambda e=e: stereo_crop(root, e, 0, exposure_ev=-0.5),  # type: ignore[misc]
        )


def corner_homography(width: int, height: int, name: str, seed: int) -> np.ndarray:
    """Left-crop pixels to target pixels: the crop's corners move outwards by up to 8 %, so no border appears."""
    digest = int.from_bytes(hashlib.sha256(f"{name}/{seed}".encode()).digest()[:8], "big")
    shift = np.random.default_rng(digest).uniform(0, CORNER_SHIFT, (4, 2)) * (width, height)
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    taken = (corners + inwards * shift).astype(np.float32)
    return np.asarray(cv2.getPerspectiveTransform(taken, corners.astype(np.float32)))


def stereo_crop(root: Path, entry: dict[str, Any], seed: int, exposure_ev: float = 0.0) -> StitchItem:
    """R = right photograph from 0.35 W on, T = left photograph up to 0.65 W through a random homography (spec 11b).

    The uncropped right photograph is what the reference camera saw beyond its frame: real pixels, nothing rendered.
    """
    folder = root / entry["pair"]
    left, right = read_rgb(folder / "left.png"), read_rgb(folder / "right.png")
    left_disparity = read_disparity(folder, "left", entry["disp_scale"])
    right_disparity = read_disparity(folder, "right", entry["disp_scale"])
    if left_disparity is None:
        raise ValueError(f"{entry['pair']}: expected a left disparity")
    scale = min(1.0, LONGEST / max(left.shape[:2]))
    if scale < 1:
        size = (round(left.shape[1] * scale), round(left.shape[0] * scale))
        left, right = (cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in (left, right))
        left_disparity = cv2.resize(left_disparity, size, interpolation=cv2.INTER_NEAREST) * np.float32(scale)
        if right_disparity is not None:
            right_disparity = cv2.resize(right_disparity, size, interpolation=cv2.INTER_NEAREST) * np.float32(scale)
    height, width = left.shape[:2]
    first, crop = round((1 - CROP) * width), round(CROP * width)
    to_target = corner_homography(crop, height, entry["pair"], seed)
    target = cv2.warpPerspective(
        left[:, :crop], to_target, (crop, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    if exposure_ev:
        target = np.clip(np.rint(target * 2.0**exposure_ev), 0, 255).astype(np.uint8)
    nearest = nearest_in_right(left_disparity)
    flow, region = stereo_flow(left_disparity, right_disparity, nearest, np.linalg.inv(to_target), first, crop)
    source = stereo_source(left_disparity, nearest if right_disparity is None else right_disparity, to_target, crop)
    seen = np.isfinite(source[..., 0])
    column = pixel_grid(height, width)[..., 0]
    truth = make_truth(flow, region, source)
    return StitchItem(
        dataset="middlebury_exposure" if exposure_ev else "middlebury", name=f"{entry['pair']}-{seed}",
        level=level_of(truth.parallax_px), reference=np.ascontiguousarray(right[:, first:]), target=target,
        frame=(height, width), origin=(first, 0), scene_HW3=right, overlap_HW=seen & (column >= first),
        beyond_HW=seen & (column < first), scene_beyond=True, truth=truth,
    )  # fmt: skip


def nearest_in_right(left_disparity_HW: np.ndarray) -> np.ndarray:
    """Largest left disparity that lands on each right pixel, NaN where none does (a depth buffer)."""
    height, width = left_disparity_HW.shape
    y, x = np.nonzero(np.isfinite(left_disparity_HW))
    d = left_disparity_HW[y, x]
    buffer = np.full((height, width), -np.inf, np.float32)
    for landed in (np.floor(x - d), np.ceil(x - d)):
        ok = (landed >= 0) & (landed < width)
        np.maximum.at(buffer, (y[ok], landed[ok].astype(int)), d[ok])
    return np.where(np.isfinite(buffer), buffer, np.nan)


def stereo_flow(
    left_disparity_HW: np.ndarray, right_disparity_HW: np.ndarray | None, nearest_HW: np.ndarray,
    to_left_33: np.ndarray, first: int, crop: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Flow float64 [h,w,2] (NaN unknown) and region uint8 [h,w] of the target's pixels."""
    height, width = left_disparity_HW.shape
    here = pixel_grid(height, crop)
    on_left = project(to_left_33, here)
    d = sample_nearest(left_disparity_HW, on_left)
    right_x = on_left[..., 0] - d
    known = np.isfinite(right_x) & (right_x >= 0) & (right_x <= width - 1)
    on_right = np.stack([right_x, on_left[..., 1]], axis=-1)
    front = sample_nearest(nearest_HW, on_right)
    hidden = np.isfinite(front) & (front > d + 1)
    if right_disparity_HW is not None:
        other = sample_nearest(right_disparity_HW, on_right)
        hidden |= np.isfinite(other) & (np.abs(other - d) > 1)
    within = known & (right_x >= first) & (on_left[..., 1] >= 0) & (on_left[..., 1] <= height - 1)
    region = np.select([within & ~hidden, within & hidden, known & (right_x < first)], [OV, OCC, NOV], UNKNOWN)
    flow = np.where(known[..., None], on_right - (first, 0) - here, np.nan)
    return flow, region.astype(np.uint8)


def stereo_source(
    left_disparity_HW: np.ndarray, right_disparity_HW: np.ndarray, to_target_33: np.ndarray, crop: int
) -> np.ndarray:
    """Target pixel seen at each right pixel, float64 [H,W,2]; NaN where hidden, unknown or outside the target."""
    height, width = left_disparity_HW.shape
    on_left = pixel_grid(height, width)
    on_left[..., 0] += right_disparity_HW
    agree = np.abs(sample_nearest(left_disparity_HW, on_left) - right_disparity_HW) <= 1
    source = project(to_target_33, on_left)
    seen = agree & inside(source, height, crop) & inside(on_left, height, crop)
    return np.where(seen[..., None], source, np.nan)


def sequence_pairs(root: Path) -> Iterator[LazyItem]:
    """Pairs of frames listed in the 7-Scenes manifest whose files are there."""
    manifest = read_json(root / "manifest.json")
    for e in manifest["pairs"]:
        if all((root / f"frame-{e[k]:06d}.color.jpg").exists() for k in ("a", "b")):
            yield LazyItem("sevenscenes", f"{e['a']}-{e['b']}", lambda e=e: sequence_pair(root, manifest, e))  # type: ignore[misc]


def sequence_pair(root: Path, manifest: dict[str, Any], entry: dict[str, Any]) -> StitchItem:
    """Target = frame a, reference = frame b; flow from depth and pose, visibility by the manifest's depth test."""
    fx, fy, cx, cy = manifest["intrinsics_color"]
    camera = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    target, reference = (read_rgb(root / f"frame-{entry[k]:06d}.color.jpg") for k in ("a", "b"))
    target_depth, reference_depth = (
        read_array(root / f"frame-{entry[k]:06d}.depth_rgb.png").astype(np.float64) / 1000 for k in ("a", "b")
    )
    pose = np.array(entry["T_b_from_a"], np.float64)
    landed, state = reproject(target_depth, reference_depth, camera, pose)
    back, back_state = reproject(reference_depth, target_depth, camera, np.linalg.inv(pose))
    height, width = target_depth.shape
    x0, y0, frame_width, frame_height = canvas_box(reference.shape, np.where((state > 0)[..., None], landed, np.nan))
    rows, columns = slice(-y0, -y0 + reference.shape[0]), slice(-x0, -x0 + reference.shape[1])
    scene = np.zeros((frame_height, frame_width, 3), np.uint8)
    scene[rows, columns] = reference
    overlap = np.zeros((frame_height, frame_width), bool)
    overlap[rows, columns] = back_state == OV
    source = np.full((frame_height, frame_width, 2), np.nan)
    source[rows, columns] = np.where((back_state == OV)[..., None], back, np.nan)
    beyond = splat_mask(landed[state == NOV] - (x0, y0), (frame_height, frame_width))
    beyond[rows, columns] = False
    truth = make_truth(landed - pixel_grid(height, width), state, source)
    return StitchItem(
        dataset="sevenscenes", name=f"{entry['a']}-{entry['b']}", level=level_of(truth.parallax_px),
        reference=reference, target=target, frame=(frame_height, frame_width), origin=(-x0, -y0), scene_HW3=scene,
        overlap_HW=overlap, beyond_HW=beyond, truth=truth,
    )  # fmt: skip


def reproject(
    depth_HW: np.ndarray, other_depth_HW: np.ndarray, camera_33: np.ndarray, pose_44: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where pixels of one view land in the other, float64 [H,W,2] (NaN unknown), and OV, OCC, NOV or UNKNOWN."""
    height, width = depth_HW.shape
    rays = (
        np.concatenate([pixel_grid(height, width), np.ones((height, width, 1))], axis=-1) @ np.linalg.inv(camera_33).T
    )
    points = (rays * depth_HW[..., None]) @ pose_44[:3, :3].T + pose_44[:3, 3]
    z = points[..., 2]
    ahead = (depth_HW > 0) & (z > 0.05)
    image = points @ camera_33.T
    landed = np.where(ahead[..., None], image[..., :2] / np.where(ahead, z, 1.0)[..., None], np.nan)
    within = inside(landed, *other_depth_HW.shape)
    other = sample_nearest(other_depth_HW, landed)
    near = np.abs(z - other) < np.maximum(0.05, 0.03 * other)
    state = np.select(
        [ahead & within & (other > 0) & near, ahead & within & (other > 0), ahead & ~within], [OV, OCC, NOV], UNKNOWN
    )
    return landed, state.astype(np.uint8)


def splat_mask(points_N2: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """bool mask of the pixels nearest to points, cracks closed by 5x5."""
    index = np.rint(points_N2).astype(int)
    ok = (index >= 0).all(axis=1) & (index[:, 0] < shape[1]) & (index[:, 1] < shape[0])
    mask = np.zeros(shape, np.uint8)
    mask[index[ok, 1], index[ok, 0]] = 1
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0)

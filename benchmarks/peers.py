"""Stitching methods to stand beside the service, run in the same process and timed in the same run.

`identity` (no motion), `homography` (SIFT, ratio test, MAGSAC), `homography+DIS` (dense optical flow after it),
`OpenCV Stitcher` (bundle-adjusted rotations, mapped back to the reference's plane), and with ground truth the
homography bound and the gather ceiling. A method that finds no reliable motion raises RefusalError.

Convention: homographies map target pixels to reference pixels; flow is target -> reference.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from benchmarks.geometry import canvas_box, gather, inside, pixel_grid, project
from benchmarks.stitch_items import StitchItem
from benchmarks.stitched import RefusalError, Stitched

MAX_FEATURES = 5000
RATIO = 0.75
CANVAS_LIMIT = 60_000_000


def identity(item: StitchItem) -> Stitched:
    """The target laid on the reference without moving it."""
    return render(item.reference, item.target, np.eye(3))


def homography(item: StitchItem) -> Stitched:
    """SIFT features, ratio test, homography by MAGSAC, feathered blend."""
    begun = time.perf_counter()
    result = render(item.reference, item.target, sift_homography(item.reference, item.target, begun))
    return timed(result, begun)


def homography_dis(item: StitchItem) -> Stitched:
    """The same homography, then DIS optical flow for what remains (Kroeger et al., 2016)."""
    begun = time.perf_counter()
    h = sift_homography(item.reference, item.target, begun)
    result = render(item.reference, item.target, h, refine=True)
    return timed(result, begun)


def truth_homography(item: StitchItem) -> Stitched:
    """The least-squares homography of the exact flow: what no homography can beat."""
    if item.truth is None:
        raise RefusalError("no ground truth")
    return render(item.reference, item.target, item.truth.homography_33)


def truth_gather(item: StitchItem) -> Stitched:
    """The exact flow, gathered: the ceiling of a perfect correspondence on real photographs."""
    if item.truth is None:
        raise RefusalError("no ground truth")
    warped, mask = gather(item.target, item.truth.source_HW2)
    return assemble(item.reference, warped, mask, item.origin, item.truth.flow_hw2.astype(np.float32))


def opencv_stitcher(item: StitchItem) -> Stitched:
    """cv2.Stitcher in panorama mode, its cameras mapped back to the reference's plane.

    With rotation-only cameras (K, R) the target lands on the reference by K_r R_r^T R_t K_t^-1. The picture scored on
    the overlap is the target through that homography; the time is that of its own complete panorama.
    """
    begun = time.perf_counter()
    stitcher = cv2.Stitcher.create(cv2.Stitcher_PANORAMA)
    images = [cv2.cvtColor(i, cv2.COLOR_RGB2BGR) for i in (item.reference, item.target)]
    try:
        status = stitcher.estimateTransform(images)
        if status != cv2.Stitcher_OK:
            raise RefusalError(f"status {status}", time.perf_counter() - begun)
        order = [int(i) for i in np.asarray(stitcher.component()).ravel()]
        if sorted(order) != [0, 1]:
            raise RefusalError("one image left out", time.perf_counter() - begun)
        cameras = [stitcher.cameras()[order.index(k)] for k in (0, 1)]
        scale = float(stitcher.workScale())
        check_sphere(cameras, images, scale)
        status, _ = stitcher.composePanorama()
    except cv2.error as error:
        raise RefusalError(f"cv2.error {error.code}", time.perf_counter() - begun) from error
    if status != cv2.Stitcher_OK:
        raise RefusalError(f"status {status}", time.perf_counter() - begun)
    seconds = time.perf_counter() - begun
    (k_r, r_r), (k_t, r_t) = ((np.asarray(c.K(), np.float64), np.asarray(c.R, np.float64)) for c in cameras)
    resize = np.diag([scale, scale, 1.0])
    h = np.linalg.inv(resize) @ k_r @ r_r.T @ r_t @ np.linalg.inv(k_t) @ resize
    try:
        result = render(item.reference, item.target, checked(h / h[2, 2], item.reference, item.target))
    except RefusalError as refusal:
        raise RefusalError(refusal.reason, seconds) from refusal
    return timed(result, begun, seconds)


def check_sphere(cameras: list["cv2.detail.CameraParams"], images: list[np.ndarray], scale: float) -> None:
    """RefusalError when the stitcher's own canvas would be larger than 60 megapixels."""
    focal = float(np.median([c.focal for c in cameras])) / scale
    warper = cv2.PyRotationWarper("spherical", focal)
    boxes = []
    for camera, image in zip(cameras, images, strict=True):
        k = np.asarray(camera.K(), np.float32).copy()
        k[:2] /= scale
        boxes.append(warper.warpRoi((image.shape[1], image.shape[0]), k, np.asarray(camera.R, np.float32)))
    x0, y0 = (min(b[i] for b in boxes) for i in (0, 1))
    x1, y1 = (max(b[i] + b[i + 2] for b in boxes) for i in (0, 1))
    if (x1 - x0) * (y1 - y0) > CANVAS_LIMIT:
        raise RefusalError("canvas too large")


def timed(result: Stitched, begun: float, seconds: float | None = None) -> Stitched:
    """The result with its seconds."""
    return replace(result, seconds=time.perf_counter() - begun if seconds is None else seconds)


def sift_homography(reference: np.ndarray, target: np.ndarray, begun: float | None = None) -> np.ndarray:
    """find_homography with the seconds since `begun` in a refusal."""
    begun = time.perf_counter() if begun is None else begun
    try:
        return find_homography(reference, target)
    except RefusalError as refusal:
        raise RefusalError(refusal.reason, time.perf_counter() - begun) from refusal


def find_homography(reference: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Homography target -> reference.

    Accepted when inliers > 5.9 + 0.22 matches (Brown and Lowe, ICCV 2003) and the target's frame stays convex.
    Raises RefusalError otherwise.
    """
    sift = cv2.SIFT.create(nfeatures=MAX_FEATURES)
    grey = [cv2.cvtColor(i, cv2.COLOR_RGB2GRAY) for i in (target, reference)]
    (points_t, found_t), (points_r, found_r) = (sift.detectAndCompute(g, None) for g in grey)
    if found_t is None or found_r is None or min(len(found_t), len(found_r)) < 8:
        raise RefusalError("too few features")
    matches = one_to_one(cv2.BFMatcher(cv2.NORM_L2).knnMatch(found_t, found_r, k=2))
    if len(matches) < 8:
        raise RefusalError("too few matches")
    a = np.array([points_t[m.queryIdx].pt for m in matches])
    b = np.array([points_r[m.trainIdx].pt for m in matches])
    cv2.setRNGSeed(0)
    h, agreed = cv2.findHomography(a, b, cv2.USAC_MAGSAC, 3.0, maxIters=5000, confidence=0.999)
    inliers = 0 if agreed is None else int(agreed.sum())
    if h is None or inliers <= 5.9 + 0.22 * len(matches):
        raise RefusalError(f"{inliers} inliers of {len(matches)} matches")
    return checked(np.asarray(h), reference, target)


def one_to_one(candidates: Sequence[Sequence[cv2.DMatch]]) -> list[cv2.DMatch]:
    """Matches that pass the ratio test; a reference feature keeps only its best target feature."""
    best: dict[int, cv2.DMatch] = {}
    for pair in candidates:
        if len(pair) == 2 and pair[0].distance < RATIO * pair[1].distance:
            rival = best.get(pair[0].trainIdx)
            if rival is None or pair[0].distance < rival.distance:
                best[pair[0].trainIdx] = pair[0]
    return list(best.values())


def checked(h: np.ndarray, reference: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The homography, or RefusalError when it folds the target's frame or throws it far away."""
    height, width = target.shape[:2]
    corners = project(h, np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64))
    if not np.isfinite(corners).all():
        raise RefusalError("horizon inside the target")
    edges = np.roll(corners, -1, axis=0) - corners
    following = np.roll(edges, -1, axis=0)
    if not (edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0] > 0).all():
        raise RefusalError("the target's frame is folded")
    span = corners.max(axis=0) - corners.min(axis=0)
    if (span > 6.0 * np.array([reference.shape[1], reference.shape[0]])).any():
        raise RefusalError("the target is stretched too far")
    return h


def render(reference: np.ndarray, target: np.ndarray, h: np.ndarray, refine: bool = False) -> Stitched:
    """Both images on one canvas through a homography, with DIS flow for the remainder when `refine`."""
    grid = pixel_grid(*target.shape[:2])
    landed = project(h, grid)
    x0, y0, width, height = canvas_box(reference.shape, landed)
    canvas = pixel_grid(height, width) + np.array([x0, y0])
    back = np.linalg.inv(h)
    source = project(back, canvas)
    flow = landed - grid
    if refine:
        brought, valid_b = gather(reference, landed)
        residual = dis_flow(target, brought, valid_b)
        flow = project(h, grid + residual) - grid
        brought, valid_b = gather(target, source)
        there = np.zeros((height, width, 3), np.uint8)
        there[-y0 : -y0 + reference.shape[0], -x0 : -x0 + reference.shape[1]] = reference
        seen = valid_b & inside(canvas, *reference.shape[:2])
        source = project(back, canvas + dis_flow(there, brought, seen))
    warped, mask = gather(target, source)
    return assemble(reference, warped, mask, (-x0, -y0), np.nan_to_num(flow).astype(np.float32))


def dis_flow(first: np.ndarray, second: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """DIS flow first -> second float64 [H,W,2], kept on `valid` and fading out beyond it."""
    greys = [cv2.cvtColor(i, cv2.COLOR_RGB2GRAY) for i in (first, second)]
    if valid.sum() < 100:
        return np.zeros((*valid.shape, 2))
    gain = float(np.clip(greys[0][valid].mean() / max(greys[1][valid].mean(), 1.0), 0.5, 2.0))
    greys[1] = np.clip(greys[1] * gain, 0, 255).astype(np.uint8)
    greys = [np.where(valid, g, 0).astype(np.uint8) for g in greys]
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.asarray(engine.calc(greys[0], greys[1], np.zeros((*valid.shape, 2), np.float32)))
    weight = cv2.erode(valid.astype(np.float32), np.ones((9, 9), np.uint8))
    small = max(1.0, max(valid.shape) / 128)
    reduced = (round(valid.shape[1] / small), round(valid.shape[0] / small))
    total = cv2.GaussianBlur(cv2.resize(weight, reduced, interpolation=cv2.INTER_AREA), (0, 0), 4)
    moved = cv2.resize(flow * weight[..., None], reduced, interpolation=cv2.INTER_AREA)
    spread = cv2.GaussianBlur(moved, (0, 0), 4) / (total[..., None] + 1e-3)
    outside = cv2.resize(spread, (valid.shape[1], valid.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.where(weight[..., None] > 0.5, flow, outside).astype(np.float64)


def assemble(
    reference: np.ndarray, warped: np.ndarray, mask: np.ndarray, offset: tuple[int, int], flow: np.ndarray
) -> Stitched:
    """Panorama by feathering with distance transforms on the canvas of `warped`."""
    rows = slice(offset[1], offset[1] + reference.shape[0])
    columns = slice(offset[0], offset[0] + reference.shape[1])
    laid, looked = np.zeros_like(warped), np.zeros_like(mask)
    laid[rows, columns], looked[rows, columns] = reference, True
    near_r, near_t = (
        cv2.distanceTransform(np.pad(m, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1] for m in (looked, mask)
    )
    alpha = np.where(looked, near_r / np.maximum(near_r + near_t, 1e-6), 0.0)[..., None]
    panorama = np.rint(alpha * laid + (1 - alpha) * warped).astype(np.uint8)
    return Stitched(
        panorama_HW3=panorama, warped_target_HW3=warped, target_mask_HW=mask, reference_mask_HW=looked, offset=offset,
        flow_HW2=flow,
    )  # fmt: skip

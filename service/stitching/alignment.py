"""One homography for a pair from SIFT matches: the coarse part of the warp, on which the network adds its residual.

Features come from images of at most 800 px, as RootSIFT (Arandjelovic and Zisserman, CVPR 2012), matched both ways with
a ratio test; MAGSAC (Barath et al., CVPR 2019; OpenCV's USAC) finds the homography that most of them agree on, usually
that of one plane. With parallax it leaves large residuals on everything else, so a second one is fitted to all matches
that some motion of the camera explains. Deterministic: OpenCV's USAC starts from a fixed state.

Convention: the homography maps target pixels to reference pixels, both at full size, pixel centres at integers.
Legend: N points, D = 128 descriptor length, 2 = (x, y), 33 = matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from service.stitching.geometry import (
    Floats,
    Matrix,
    Size,
    inverted,
    reduced_grid,
    reduced_size,
    resize_matrix,
    stretch,
)


@dataclass(frozen=True, kw_only=True)
class AlignmentOptions:
    """How a homography is found and believed.

    `threshold_px` and `epipolar_px` are MAGSAC's for the homography and for the fundamental matrix, in pixels of the
    reduced images. `contrast` is SIFT's threshold, below OpenCV's 0.04 so that plain rooms and small images give
    features too. A fit counts as evidence that two photographs belong together if its inliers exceed
    `evidence_base + evidence_share * matches` (Brown and Lowe, IJCV 2007) and `minimum_inliers`.
    """

    long_side: int = 800
    features: int = 3000
    contrast: float = 0.015
    ratio: float = 0.8
    threshold_px: float = 3.0
    epipolar_px: float = 2.5
    minimum_inliers: int = 12
    evidence_base: float = 8.0
    evidence_share: float = 0.2
    largest_stretch: float = 25.0


@dataclass(frozen=True, kw_only=True)
class Features:
    """Keypoints [N,2] in full-size pixels, RootSIFT descriptors float32 [N,D], the image's (width, height)."""

    points_N2: Floats
    descriptors_ND: Floats
    size: Size


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """A believed homography (target to reference) or None, and how much speaks for it.

    `homography_33` is a compromise of all depths, for the network to start from; `plane_33`, given with it, that of the
    plane that most matches lie on. `inliers` are the plane's. `believed_N4`: (x, y) in the target and (x, y) in the
    reference of every match that the plane or a motion of the camera explains. `folded`: many matches agree on a map
    that no two photographs of one scene give (mirror, fold, extreme stretch).
    """

    homography_33: Matrix | None
    matches: int
    inliers: int
    folded: bool = False
    plane_33: Matrix | None = None
    believed_N4: Floats = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    @property
    def inlier_share(self) -> float:
        return self.inliers / max(self.matches, 1)


def find_features(rgb_HW3: NDArray[np.uint8], options: AlignmentOptions) -> Features:
    """SIFT on a copy of at most `long_side` px. An image without texture has N = 0."""
    height, width = rgb_HW3.shape[:2]
    small = reduced_size((width, height), options.long_side)
    grey = cv2.cvtColor(rgb_HW3, cv2.COLOR_RGB2GRAY)
    if small != (width, height):
        grey = cv2.resize(grey, small, interpolation=cv2.INTER_AREA)
    keypoints, descriptors = cv2.SIFT.create(options.features, contrastThreshold=options.contrast).detectAndCompute(
        grey, None
    )
    if descriptors is None or not len(keypoints):
        return Features(
            points_N2=np.zeros((0, 2), np.float32), descriptors_ND=np.zeros((0, 128), np.float32), size=(width, height)
        )
    points = np.array([keypoint.pt for keypoint in keypoints], np.float64)
    points = (points + 0.5) * (np.array([width, height]) / np.array(small)) - 0.5
    root = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6))
    return Features(points_N2=points.astype(np.float32), descriptors_ND=root.astype(np.float32), size=(width, height))


def match_features(target: Features, reference: Features, ratio: float) -> tuple[Floats, Floats]:
    """Mutual nearest neighbours that pass the ratio test in the target's direction, as two arrays [M,2]."""
    if min(len(target.points_N2), len(reference.points_N2)) < 2:
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
    similarity = target.descriptors_ND @ reference.descriptors_ND.T
    best = similarity.argmax(1)
    back = similarity.argmax(0)
    rows = np.arange(len(best))
    first = similarity[rows, best]
    similarity[rows, best] = -1
    second = similarity.max(1)
    # Descriptors have unit length: squared distance = 2 - 2 * similarity.
    good = (back[best] == rows) & (1 - first < ratio**2 * (1 - second))
    points_t, index = np.unique(target.points_N2[good], axis=0, return_index=True)
    return points_t, reference.points_N2[best[good]][index]


def align(target: Features, reference: Features, options: AlignmentOptions) -> Alignment:
    """The homography from target to reference pixels, None unless enough matches agree and the map is sane."""
    points_t, points_r = match_features(target, reference, options.ratio)
    if len(points_t) < options.minimum_inliers:
        return Alignment(homography_33=None, matches=len(points_t), inliers=0)
    # The fit runs in pixels of the reduced images, so that thresholds do not depend on the upload's size.
    small_t, small_r = (reduced_size(features.size, options.long_side) for features in (target, reference))
    to_t, to_r = resize_matrix(target.size, small_t), resize_matrix(reference.size, small_r)
    reduced_t = points_t.astype(np.float64) * to_t.diagonal()[:2] + to_t[:2, 2]
    reduced_r = points_r.astype(np.float64) * to_r.diagonal()[:2] + to_r[:2, 2]
    fitted, mask = cv2.findHomography(
        reduced_t, reduced_r, cv2.USAC_MAGSAC, options.threshold_px, maxIters=5000, confidence=0.9999
    )
    inliers = 0 if mask is None else int(mask.sum())
    needed = max(options.minimum_inliers, options.evidence_base + options.evidence_share * len(points_t))
    if fitted is None or not np.isfinite(fitted).all() or inliers < needed:
        return Alignment(homography_33=None, matches=len(points_t), inliers=inliers)
    agreeing = mask.ravel() > 0
    explained = agreeing | _epipolar(reduced_t, reduced_r, options.epipolar_px)
    plane = refine_homography(np.asarray(fitted, np.float64), reduced_t[agreeing], reduced_r[agreeing], 0.5)
    compromise = refine_homography(plane, reduced_t[explained], reduced_r[explained], 0.9)
    sane = [
        matrix / matrix[2, 2]
        for matrix in (inverted(to_r) @ reduced @ to_t for reduced in (compromise, plane))
        if is_sane(matrix, target.size, options.largest_stretch)
    ]
    if not sane:
        return Alignment(homography_33=None, matches=len(points_t), inliers=inliers, folded=True)
    believed = np.hstack([points_t, points_r])[explained]
    return Alignment(
        homography_33=sane[0], matches=len(points_t), inliers=inliers, plane_33=sane[-1], believed_N4=believed
    )


def is_sane(homography_33: Matrix, size: Size, largest_stretch: float) -> bool:
    """True if the map keeps orientation over the whole (width, height) frame and its area scale stays in bounds."""
    scale = stretch(homography_33, reduced_grid(size, (9, 9)).astype(np.float64))
    if not np.isfinite(scale).all() or (scale <= 0).any():
        return False
    middle = float(np.median(scale))
    bounded = scale.max() < largest_stretch * middle and scale.min() > middle / largest_stretch
    return bool(bounded and 1 / 400 < middle < 400)


def _epipolar(points_t: NDArray[np.float64], points_r: NDArray[np.float64], threshold_px: float) -> NDArray[np.bool_]:
    """Matches [N] that lie on each other's epipolar lines; none where they leave these open."""
    try:
        _, mask = cv2.findFundamentalMat(points_t, points_r, cv2.USAC_MAGSAC, threshold_px, 0.9999, 5000)
    except cv2.error:  # instead of no model, for points that lie on one plane exactly
        mask = None
    return np.zeros(len(points_t), bool) if mask is None else mask.ravel() > 0


def refine_homography(
    homography_33: Matrix, source_N2: NDArray[np.float64], target_N2: NDArray[np.float64], quantile: float
) -> Matrix:
    """Reweighted least squares (Cauchy kernel) from a robust fit, on matched points [N,2].

    The kernel's width is this quantile of the errors. Where so many matches are exact the answer is exact; with
    parallax 0.9 moves from the plane that the fit began with to a compromise of all depths, 0.5 stays with the plane.
    The system is linear in normalised coordinates (Hartley and Zisserman, 2004, section 4.4), weighted by the last
    denominators.
    """
    to_source, to_target = _normalisation(source_N2), _normalisation(target_N2)
    x, y = (source_N2 * to_source[0, 0] + to_source[:2, 2]).T
    u, v = (target_N2 * to_target[0, 0] + to_target[:2, 2]).T
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows_u = np.stack([x, y, one, zero, zero, zero, -u * x, -u * y, -u], -1)
    rows_v = np.stack([zero, zero, zero, x, y, one, -v * x, -v * y, -v], -1)
    best = homography_33
    for _ in range(10):
        depth = source_N2 @ best[2, :2] + best[2, 2]
        error = np.linalg.norm((source_N2 @ best[:2, :2].T + best[:2, 2]) / depth[:, None] - target_N2, axis=1)
        width = max(float(np.quantile(error, quantile)), 0.01)
        weight = 1 / (1 + (error / width) ** 2) / np.maximum(depth**2, 1e-4)
        system = np.einsum("n,ni,nj->ij", weight, rows_u, rows_u) + np.einsum("n,ni,nj->ij", weight, rows_v, rows_v)
        solution = np.linalg.eigh(system)[1][:, 0].reshape(3, 3)
        candidate = inverted(to_target) @ solution @ to_source
        if not np.isfinite(candidate).all() or abs(candidate[2, 2]) < 1e-9:
            return best
        best = candidate / candidate[2, 2]
    return best


def _normalisation(points_N2: NDArray[np.float64]) -> Matrix:
    centre = points_N2.mean(0)
    scale = np.sqrt(2) / max(float(np.linalg.norm(points_N2 - centre, axis=1).mean()), 1e-6)
    return np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]])

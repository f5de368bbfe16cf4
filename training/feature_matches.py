"""What feature matches say of a pair without ground truth: a homography, and the epipolar geometry.

RootSIFT (Arandjelovic and Zisserman, CVPR 2012), mutual nearest neighbours with a ratio test, MAGSAC (Barath et al.,
CVPR 2019; OpenCV's USAC). Deterministic.

Convention: target to reference, pixel centres are integers; q ~ H p and q^T F p = 0 for a target pixel p and its place
q in the reference.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
FEWEST_FOR_HOMOGRAPHY = 12
FEWEST_FOR_FUNDAMENTAL = 50
RATIO = 0.8
NEAR_HOMOGRAPHY = 3.0
PLANAR_SHARE = 0.9


class PairGeometry(NamedTuple):
    """homography: float64 [3, 3], the identity where matches support none. fundamental: float64 [3, 3] of norm 1, zero
    where it is not known. inliers: of the homography and of the fundamental matrix."""

    homography_33: Array
    fundamental_33: Array
    inliers: tuple[int, int]


def match_pair(target_HW3: Array, reference_HW3: Array, *, features: int = 2000) -> PairGeometry:
    """The geometry of two uint8 RGB images of one size.

    The fundamental matrix counts as known with at least 50 inliers, unless nine in ten of these lie within 3 px of the
    homography: a plane, or a camera that turned on the spot, leaves the epipoles open.
    """
    points_t, points_r = _matches(target_HW3, reference_HW3, features)
    homography, on_plane = np.eye(3), 0
    if len(points_t) >= FEWEST_FOR_HOMOGRAPHY:
        found, mask = cv2.findHomography(points_t, points_r, cv2.USAC_MAGSAC, 3.0, maxIters=5000, confidence=0.9999)
        on_plane = 0 if mask is None else int(mask.sum())
        if found is not None and np.isfinite(found).all() and on_plane >= FEWEST_FOR_HOMOGRAPHY:
            homography = np.asarray(found / found[2, 2], np.float64)
    fundamental, on_lines = np.zeros((3, 3)), 0
    if len(points_t) >= FEWEST_FOR_FUNDAMENTAL:
        found, mask = cv2.findFundamentalMat(points_t, points_r, cv2.USAC_MAGSAC, 1.5, 0.9999, 5000)
        agreeing = np.zeros(len(points_t), bool) if mask is None else mask.ravel() > 0
        on_lines = int(agreeing.sum())
        if found is not None and found.shape == (3, 3) and np.isfinite(found).all():
            projected = cv2.perspectiveTransform(points_t[agreeing][:, None], homography)[:, 0] if on_lines else None
            away = np.linalg.norm(projected - points_r[agreeing], axis=1) if projected is not None else np.zeros(0)
            parallax = on_lines and float((away < NEAR_HOMOGRAPHY).mean()) < PLANAR_SHARE
            if on_lines >= FEWEST_FOR_FUNDAMENTAL and parallax:
                fundamental = np.asarray(found / np.linalg.norm(found), np.float64)
    return PairGeometry(homography, fundamental, (on_plane, on_lines))


def _matches(target_HW3: Array, reference_HW3: Array, features: int) -> tuple[Array, Array]:
    """Matched points, float64 [M, 2] each."""
    nothing = np.zeros((0, 2)), np.zeros((0, 2))
    sift = cv2.SIFT.create(features, contrastThreshold=0.015)
    described = []
    for image in (target_HW3, reference_HW3):
        keypoints, descriptors = sift.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
        if descriptors is None or len(keypoints) < 2:
            return nothing
        root = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6))
        described.append((np.array([keypoint.pt for keypoint in keypoints]), root.astype(np.float32)))
    (points_t, roots_t), (points_r, roots_r) = described
    similarity = roots_t @ roots_r.T
    best, back = similarity.argmax(axis=1), similarity.argmax(axis=0)
    rows = np.arange(len(best))
    first = similarity[rows, best]
    similarity[rows, best] = -1
    # Descriptors have unit length: squared distance = 2 - 2 * similarity.
    good = (back[best] == rows) & (1 - first < RATIO**2 * (1 - similarity.max(axis=1)))
    points, index = np.unique(points_t[good], axis=0, return_index=True)
    return points, points_r[best[good]][index]

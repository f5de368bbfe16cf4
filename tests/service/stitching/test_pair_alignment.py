"""The homography of a pair, from points in space whose images are known.

Legend: N points; 2 = (x, y); 33 = matrix.
"""

import cv2
import numpy as np
import pytest

from service.stitching.alignment import AlignmentOptions, Features, align
from service.stitching.geometry import Matrix, apply_homography

SIZE = (640, 480)
CAMERA = np.array([[520.0, 0, 319.5], [0, 520.0, 239.5], [0, 0, 1]])


def views(
    depths: tuple[float, ...], shares: tuple[float, ...], wrong: int = 0
) -> tuple[np.ndarray, np.ndarray, Matrix]:
    """Where points on frontal planes are seen from two places, [N,2] each, and the first plane's own homography.

    The last `wrong` matches are random.
    """
    rng = np.random.default_rng(0)
    rotation = cv2.Rodrigues(np.array([0.02, -0.12, 0.03]))[0]
    translation = np.array([0.25, 0.03, 0.0])
    target_N2 = rng.uniform((100, 10), (630, 470), (400, 2))
    depth_N = np.repeat(depths, [round(400 * share) for share in shares])
    ray_N3 = np.concatenate([target_N2, np.ones((400, 1))], 1) @ np.linalg.inv(CAMERA).T
    there_N3 = (ray_N3 * depth_N[:, None] @ rotation.T + translation) @ CAMERA.T
    reference_N2 = there_N3[:, :2] / there_N3[:, 2:]
    if wrong:
        reference_N2[-wrong:] = rng.uniform((0, 0), SIZE, (wrong, 2))
    normal = np.array([[0, 0, 1 / depths[0]]])
    plane_33 = CAMERA @ (rotation + translation[:, None] @ normal) @ np.linalg.inv(CAMERA)
    return target_N2, reference_N2, plane_33 / plane_33[2, 2]


def features(points_N2: np.ndarray) -> Features:
    """Point i has a descriptor of its own, the same in both photographs."""
    descriptors = np.abs(np.random.default_rng(1).normal(size=(len(points_N2), 128))) ** 2
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return Features(
        points_N2=points_N2.astype(np.float32), descriptors_ND=descriptors.astype(np.float32), size=SIZE
    )  # fmt: skip


def errors(homography_33: Matrix, source_N2: np.ndarray, target_N2: np.ndarray) -> np.ndarray:
    return np.linalg.norm(apply_homography(homography_33, source_N2) - target_N2, axis=1)


def found(target_N2: np.ndarray, reference_N2: np.ndarray) -> Matrix:
    homography = align(features(target_N2), features(reference_N2), AlignmentOptions()).homography_33
    assert homography is not None
    return homography


@pytest.mark.parametrize("wrong", [0, 40])
def test_one_plane_is_exact_in_spite_of_wrong_matches(wrong: int) -> None:
    target, reference, plane = views((3.0,), (1.0,), wrong)
    homography = found(target, reference)
    assert errors(homography, target, apply_homography(plane, target)).max() < 0.05


@pytest.mark.parametrize("wrong", [0, 40])
def test_two_planes_share_what_is_left(wrong: int) -> None:
    target, reference, plane = views((3.0, 1.5), (0.6, 0.4), wrong)
    true = slice(None, 400 - wrong)
    optimum = np.asarray(cv2.findHomography(target[true], reference[true], 0)[0], np.float64)
    of_plane, least, here = (
        float(np.sqrt(np.square(errors(matrix, target[true], reference[true])).mean()))
        for matrix in (plane, optimum, found(target, reference))
    )
    assert least <= here + 1e-6
    assert here < 1.1 * least
    assert here < 0.9 * of_plane

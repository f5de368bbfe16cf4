"""Small plane geometry used by truths and peers.

Convention: pixel centres are integers; points are (x, y); a homography maps target pixels to reference pixels.
"""

import cv2
import numpy as np

Box = tuple[int, int, int, int]
"""x0, y0, width, height in reference pixels."""


def pixel_grid(height: int, width: int) -> np.ndarray:
    """float64 [H,W,2] of (x, y)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y], axis=-1).astype(np.float64)


def project(homography_33: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [...,2] through a homography; NaN where they fall on or behind the horizon."""
    moved = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1) @ np.asarray(homography_33).T
    depth = np.where(moved[..., 2:] > 1e-9, moved[..., 2:], np.nan)
    return moved[..., :2] / depth


def sample_nearest(map_HW: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of a map at the pixels nearest to points [...,2]; NaN points and outside take the border's value."""
    height, width = map_HW.shape[:2]
    index = np.rint(np.nan_to_num(points, nan=0.0, posinf=0.0, neginf=0.0))
    x = np.clip(index[..., 0], 0, width - 1).astype(int)
    y = np.clip(index[..., 1], 0, height - 1).astype(int)
    return np.asarray(map_HW[y, x])


def inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """bool [...]: the point lies within the pixel centres of an image; False for NaN."""
    x, y = points[..., 0], points[..., 1]
    with np.errstate(invalid="ignore"):
        return (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)


def canvas_box(reference_shape: tuple[int, ...], landed: np.ndarray) -> Box:
    """Box of the reference and the 0.5-99.5 percentiles of landed target points, within 3W x 3H, plus 8 px (spec 2)."""
    height, width = reference_shape[:2]
    points = landed.reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    low, high = np.zeros(2), np.array([width - 1.0, height - 1.0])
    if len(points):
        low = np.minimum(low, np.percentile(points, 0.5, axis=0))
        high = np.maximum(high, np.percentile(points, 99.5, axis=0))
    low = np.maximum(low, [-width, -height])
    high = np.minimum(high, [2 * width - 1, 2 * height - 1])
    x0, y0 = (np.floor(low) - 8).astype(int)
    x1, y1 = (np.ceil(high) + 8).astype(int)
    return int(x0), int(y0), int(x1 - x0 + 1), int(y1 - y0 + 1)


def gather(image_HW3: np.ndarray, source_hw2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cubic samples of an image at source positions; returns (uint8 [h,w,3], bool [h,w] where it was sampled)."""
    valid = inside(source_hw2, *image_HW3.shape[:2])
    where = np.where(valid[..., None], source_hw2, -1.0).astype(np.float32)
    picture = cv2.remap(image_HW3, where[..., 0], where[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.where(valid[..., None], picture, 0).astype(np.uint8), valid


def least_squares_homography(target_N2: np.ndarray, reference_N2: np.ndarray) -> np.ndarray:
    """Homography of all correspondences by least squares, no outlier rejection (the homography bound)."""
    homography, _ = cv2.findHomography(target_N2.astype(np.float64), reference_N2.astype(np.float64), 0)
    if homography is None:
        raise ValueError(f"target_N2: expected correspondences that span a plane, found {len(target_N2)}")
    return np.asarray(homography)

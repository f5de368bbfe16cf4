"""Scores of depth, normals and segmentation, kept as sums per image and pooled over a set.

Depth: absRel, rmse, delta_1; normals: mean, median and share below 11.25 degrees; segmentation: mIoU and pixel accuracy
(specs: dense-models 3.3; Eigen et al. 2014; Fouhey et al. 2013). A pooled score is a ratio of sums over all pixels of a
set, and its interval comes from resampling images.

Legend: H, W image; N valid pixels; C classes.
"""

from typing import NamedTuple

import numpy as np

from benchmarks.intervals import Interval, bootstrap
from benchmarks.real_data import FARTHEST, IGNORE, NYU13

ANGLE_BIN = 0.05  # degrees: resolution of the pooled median


class DenseMaps(NamedTuple):
    """What is scored for one photograph; absent tasks are None."""

    depth_HW: np.ndarray | None = None
    label_HW: np.ndarray | None = None
    """NYU-13 index; values above 12 match nothing."""
    normal_HW3: np.ndarray | None = None


def angle_degrees(a_N3: np.ndarray, b_N3: np.ndarray) -> np.ndarray:
    """Angle 2 atan2(|a-b|, |a+b|) of normalised vectors in degrees [0, 180], accurate at both ends."""
    a_N3, b_N3 = (v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12) for v in (a_N3, b_N3))
    apart = np.linalg.norm(a_N3 - b_N3, axis=-1)
    along = np.linalg.norm(a_N3 + b_N3, axis=-1)
    return np.degrees(2 * np.arctan2(apart, along))


def depth_sums(predicted_N: np.ndarray, measured_N: np.ndarray) -> np.ndarray:
    """float64 [4]: pixels, sum |p-g|/g, sum (p-g)^2, count max(p/g, g/p) < 1.25; p is clamped to 1e-9."""
    p = np.maximum(np.nan_to_num(predicted_N.astype(np.float64), nan=1e-9), 1e-9)
    g = measured_N.astype(np.float64)
    ratio = np.maximum(p / g, g / p)
    return np.array([g.size, (np.abs(p - g) / g).sum(), ((p - g) ** 2).sum(), (ratio < 1.25).sum()])


def abs_rel(sums_N4: np.ndarray) -> float:
    """Pooled mean |p-g|/g."""
    total = sums_N4.sum(axis=0)
    return float(total[1] / max(total[0], 1))


def rmse(sums_N4: np.ndarray) -> float:
    """Pooled root mean square error in metres."""
    total = sums_N4.sum(axis=0)
    return float(np.sqrt(total[2] / max(total[0], 1)))


def delta1(sums_N4: np.ndarray) -> float:
    """Pooled share of pixels within a factor 1.25."""
    total = sums_N4.sum(axis=0)
    return float(total[3] / max(total[0], 1))


def median_scaled(predicted_N: np.ndarray, measured_N: np.ndarray) -> np.ndarray:
    """Prediction times the one factor that makes the medians agree."""
    return predicted_N * (np.median(measured_N) / max(float(np.median(predicted_N)), 1e-9))


def affine_in_inverse_depth(predicted_N: np.ndarray, measured_N: np.ndarray) -> np.ndarray:
    """Prediction after the least-squares scale and shift of its inverse depth, limited to 10 m (MiDaS protocol)."""
    inverse = 1.0 / np.maximum(predicted_N.astype(np.float64), 1e-3)
    wanted = 1.0 / measured_N.astype(np.float64)
    spread = inverse - inverse.mean()
    variance = float((spread**2).mean())
    slope = float((spread * (wanted - wanted.mean())).mean()) / variance if variance > 1e-12 else 0.0
    fitted = wanted.mean() + slope * spread
    return 1.0 / np.clip(fitted, 1.0 / FARTHEST, 1e3)


def angle_histogram(degrees_N: np.ndarray) -> np.ndarray:
    """float64 [2 + bins]: pixels, sum of angles, then counts in bins of 0.05 degrees from 0 to 180."""
    bins = round(180 / ANGLE_BIN)
    index = np.clip((degrees_N / ANGLE_BIN).astype(int), 0, bins - 1)
    return np.concatenate([[degrees_N.size, degrees_N.sum()], np.bincount(index, minlength=bins)])


def mean_angle(rows: np.ndarray) -> float:
    """Pooled mean angle in degrees."""
    total = rows[:, :2].sum(axis=0)
    return float(total[1] / max(total[0], 1))


def median_angle(rows: np.ndarray) -> float:
    """Pooled median angle in degrees, to the histogram's resolution."""
    counts = rows[:, 2:].sum(axis=0)
    middle = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return float((middle + 0.5) * ANGLE_BIN)


def share_below(rows: np.ndarray, degrees: float = 11.25) -> float:
    """Pooled share of pixels whose angle is below the limit."""
    counts = rows[:, 2:].sum(axis=0)
    return float(counts[: round(degrees / ANGLE_BIN)].sum() / max(counts.sum(), 1))


def confusion(predicted_HW: np.ndarray, label_HW: np.ndarray) -> np.ndarray:
    """int64 [C, C+1] counts, row = measured class, column = predicted class, last column = no known class."""
    count = len(NYU13)
    valid = label_HW != IGNORE
    guess = np.minimum(predicted_HW[valid].astype(np.int64), count)
    cells = label_HW[valid].astype(np.int64) * (count + 1) + guess
    return np.bincount(cells, minlength=count * (count + 1)).reshape(count, count + 1)


def class_iou(confusions: np.ndarray) -> np.ndarray:
    """float64 [C] intersection over union from summed confusions; NaN for classes absent from the labels."""
    total = confusions.sum(axis=0) if confusions.ndim == 3 else confusions
    hit = np.diagonal(total[:, : len(NYU13)])
    union = total.sum(axis=1) + total[:, : len(NYU13)].sum(axis=0) - hit
    return np.where(total.sum(axis=1) > 0, hit / np.maximum(union, 1), np.nan)


def mean_iou(confusions: np.ndarray) -> float:
    """Mean intersection over union over the classes present in the labels."""
    iou = class_iou(confusions)
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")


def pixel_accuracy(confusions: np.ndarray) -> float:
    """Share of labelled pixels with the right class."""
    total = confusions.sum(axis=0) if confusions.ndim == 3 else confusions
    return float(np.trace(total[:, : len(NYU13)]) / max(total.sum(), 1))


def disparity_agreement(depth_HW: np.ndarray, disparity_HW: np.ndarray) -> tuple[float, float]:
    """(signed r^2, Spearman's rho) of predicted inverse depth and measured disparity, whose offset is unknown."""
    known = np.isfinite(disparity_HW)
    inverse, disparity = 1.0 / np.maximum(depth_HW[known].astype(np.float64), 1e-3), disparity_HW[known]
    if inverse.std() < 1e-9 or disparity.std() < 1e-9:
        return 0.0, 0.0
    r = float(np.corrcoef(inverse, disparity)[0, 1])
    return r * abs(r), float(np.corrcoef(_ranks(inverse), _ranks(disparity))[0, 1])


def _ranks(values_N: np.ndarray) -> np.ndarray:
    """Ranks with ties averaged."""
    _, back, count = np.unique(values_N, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return ((last - count + last - 1) / 2.0)[back]


def depth_summary(sums_N4: np.ndarray) -> dict[str, Interval]:
    """absRel, rmse and delta1 with intervals over images."""
    return {name: bootstrap(sums_N4, f) for name, f in (("absRel", abs_rel), ("rmse", rmse), ("delta1", delta1))}


def normal_summary(rows: np.ndarray) -> dict[str, Interval]:
    """mean, median and share below 11.25 degrees with intervals over images."""
    functions = (("mean", mean_angle), ("median", median_angle), ("below 11.25", share_below))
    return {name: bootstrap(rows, f, resamples=400) for name, f in functions}


def label_summary(confusions: np.ndarray) -> dict[str, Interval]:
    """mIoU over the classes present and pixel accuracy with intervals over images."""
    return {name: bootstrap(confusions, f) for name, f in (("mIoU", mean_iou), ("accuracy", pixel_accuracy))}

"""Bootstrap intervals over images: the image is the unit that was sampled, not the pixel.

Legend: N images; the rest of a row is whatever the statistic sums over.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A value with its 95 % percentile-bootstrap interval."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 3, scale: float = 1.0) -> str:
        """`value [low, high]` with so many digits after the point, everything multiplied by `scale`."""
        if not np.isfinite(self.value):
            return "-"
        value, low, high = (f"{scale * x:.{digits}f}" for x in self)
        return f"{value} [{low}, {high}]"


def mean_statistic(rows_N: np.ndarray) -> float:
    """Mean of per-image values."""
    return float(np.mean(rows_N))


def bootstrap(
    rows_N: np.ndarray,
    statistic: Callable[[np.ndarray], float] = mean_statistic,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Statistic of all images with the 2.5 and 97.5 percentiles over resampled images (Efron, 1979).

    Args:
        rows_N: array whose first axis is the image; the statistic receives resampled rows of the same shape.
        statistic: maps rows to a number, for example a ratio of summed pixel counts (a pooled score).
        resamples: number of bootstrap samples.
        seed: seed of the resampling, so that a table can be made again.

    Raises:
        ValueError: there is no row.
    """
    rows_N = np.asarray(rows_N)
    if len(rows_N) == 0:
        raise ValueError("rows_N: expected at least one image, found none")
    random = np.random.default_rng(seed)
    picks = random.integers(0, len(rows_N), size=(resamples, len(rows_N)))
    samples = [statistic(rows_N[pick]) for pick in picks]
    low, high = np.nanpercentile(samples, [2.5, 97.5]) if np.isfinite(samples).any() else (np.nan, np.nan)
    return Interval(float(statistic(rows_N)), float(low), float(high))

"""How well a score finds the bad ones among samples. Pure functions of scores and a mask; higher scores are suspected.

Samples of equal score cannot be told apart by it, so each measure takes the mean over their orders (ROC area and
recall) or treats them as one threshold (average precision).
"""

from collections.abc import Sequence

import numpy as np


def roc_area(scores: Sequence[float], bad: Sequence[bool]) -> float:
    """Probability that a bad sample scores higher than a good one, a tie counting half.

    Raises ValueError unless there are bad and good samples.
    """
    score, mask = _arrays(scores, bad)
    positives, negatives = int(mask.sum()), int((~mask).sum())
    if positives == 0 or negatives == 0:
        raise ValueError(f"bad: expected bad and good samples, found {positives} and {negatives}")
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    rank = (last - (counts - 1) / 2)[place]  # from 1, the mean over ties
    return float((rank[mask].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(scores: Sequence[float], bad: Sequence[bool]) -> float:
    """Sum over falling thresholds of the recall gained times the precision there, without interpolation.

    Raises ValueError when no sample is bad.
    """
    score, mask = _arrays(scores, bad)
    if not mask.any():
        raise ValueError("bad: expected a bad sample, found none")
    _, place = np.unique(-score, return_inverse=True)
    found = np.bincount(place, weights=mask)
    precision = np.cumsum(found) / np.cumsum(np.bincount(place))
    return float((found / mask.sum() * precision).sum())


def recall_among_first(scores: Sequence[float], bad: Sequence[bool], count: int) -> float:
    """Share of the bad samples among the `count` of highest score; ties at the border count by their share.

    Raises ValueError when no sample is bad, or for a count below 1.
    """
    score, mask = _arrays(scores, bad)
    if not mask.any() or count < 1:
        raise ValueError(f"bad, count: expected a bad sample and at least 1, found {int(mask.sum())}, {count}")
    if count >= len(score):
        return 1.0
    border = np.sort(score)[::-1][count - 1]
    above, level = score > border, score == border
    taken = (count - above.sum()) / level.sum()
    return float((mask[above].sum() + taken * mask[level].sum()) / mask.sum())


def _arrays(scores: Sequence[float], bad: Sequence[bool]) -> tuple["np.ndarray", "np.ndarray"]:
    score, mask = np.asarray(scores, np.float64), np.asarray(bad, bool)
    if score.ndim != 1 or score.shape != mask.shape or np.isnan(score).any():
        raise ValueError(f"scores, bad: expected numbers, as many as bad, found {score.shape} and {mask.shape}")
    return score, mask

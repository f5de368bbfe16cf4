"""Two groups of numbers told apart: a mixture of two Gaussians on a line, by expectation maximisation."""

from typing import NamedTuple

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class TwoGroups(NamedTuple):
    """Means, standard deviations and shares of the lower and the upper group, and each value's place in the upper."""

    means: tuple[float, float]
    deviations: tuple[float, float]
    shares: tuple[float, float]
    upper: Array
    """Posterior probability [n] of the upper group."""


STARTS = (0.5, 0.7, 0.9)
"""Shares of the values that begin in the lower group."""


def two_groups(values: Array, *, iterations: int = 500, tolerance: float = 1e-9) -> TwoGroups | None:
    """The likeliest mixture whose upper group is a minority, of those found from a few starts; the same for the same
    values.

    A group's deviation is kept above 1/1000 of that of all values, so that none shrinks onto one sample. The posterior
    never falls towards higher values, though a wide lower group would take the far end: there values are the more
    suspicious. None for fewer than four values, values that are all alike, or where every start ends in a majority.
    """
    values = np.asarray(values, np.float64)
    spread = float(values.std()) if len(values) else 0.0
    if len(values) < 4 or spread <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return None
    found = [_fitted(values, start, spread, iterations, tolerance) for start in STARTS]
    likely = [(likelihood, groups) for likelihood, groups in found if groups.shares[1] <= 0.5]
    if not likely:
        return None
    _, best = max(likely, key=lambda pair: pair[0])
    order = np.argsort(values, kind="stable")
    upper = np.empty(len(values))
    upper[order] = _rising(values[order], best)
    return best._replace(upper=upper)


def _fitted(values: Array, start: float, spread: float, iterations: int, tolerance: float) -> tuple[float, TwoGroups]:
    """Mean log likelihood and mixture that expectation maximisation reaches."""
    upper = np.zeros(len(values))
    upper[np.argsort(values, kind="stable")[int(start * len(values)) :]] = 1.0
    before = -np.inf
    for _ in range(iterations):
        weights = np.stack((1 - upper, upper))
        shares = weights.mean(axis=1).clip(1e-6, 1)
        totals = weights.sum(axis=1).clip(1e-12)
        means = (weights @ values) / totals
        variances = (weights * (values - means[:, None]) ** 2).sum(axis=1) / totals
        deviations = np.sqrt(variances).clip(1e-3 * spread)
        logs = np.log(shares / deviations)[:, None] - 0.5 * ((values - means[:, None]) / deviations[:, None]) ** 2
        top = logs.max(axis=0)
        joint = top + np.log(np.exp(logs - top).sum(axis=0))
        upper = np.exp(logs[1] - joint)
        likelihood = float(joint.mean())
        if likelihood - before < tolerance:
            break
        before = likelihood
    if means[0] > means[1]:
        means, deviations, shares, upper = means[::-1], deviations[::-1], shares[::-1], 1 - upper
    pairs = [(float(low), float(high)) for low, high in (means, deviations, shares)]
    return likelihood, TwoGroups(pairs[0], pairs[1], pairs[2], upper)


def _rising(ordered: Array, groups: TwoGroups) -> Array:
    """Posteriors of rising values: as the mixture says between the means, never falling above, never rising below."""
    logs = [
        np.log(share / deviation) - 0.5 * ((ordered - mean) / deviation) ** 2
        for mean, deviation, share in zip(groups.means, groups.deviations, groups.shares, strict=True)
    ]
    upper = 1 / (1 + np.exp(np.clip(logs[0] - logs[1], -700, 700)))
    middle = int(np.searchsorted(ordered, groups.means[0]))
    upper[:middle] = np.minimum.accumulate(upper[:middle][::-1])[::-1]
    if middle < len(upper):
        upper[:middle] = np.minimum(upper[:middle], upper[middle])
    return np.maximum.accumulate(upper)

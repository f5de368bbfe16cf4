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


def two_groups(values: Array, *, iterations: int = 500, tolerance: float = 1e-9) -> TwoGroups | None:
    """The mixture, from the split into halves of equal count to the fixed point; the same for the same values.

    A group's deviation is kept above 1/1000 of that of all values, so that none shrinks onto one sample. Beyond the
    upper mean the posterior never falls, though a wide lower group would take the far tail: there values are the more
    suspicious. None for fewer than four values or values that are all alike.
    """
    values = np.asarray(values, np.float64)
    spread = float(values.std()) if len(values) else 0.0
    if len(values) < 4 or spread <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return None
    order = np.argsort(values, kind="stable")
    upper = np.zeros(len(values))
    upper[order[len(values) // 2 :]] = 1.0
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
    beyond = values > means[1]
    if beyond.any():
        ranked = np.flatnonzero(beyond)[np.argsort(values[beyond], kind="stable")]
        upper[ranked] = np.maximum.accumulate(upper[ranked])
    below = values < means[0]
    upper[below] = np.minimum(upper[below], upper[np.abs(values - means[0]).argmin()])
    pair = [tuple(float(value) for value in numbers) for numbers in (means, deviations, shares)]
    return TwoGroups(pair[0], pair[1], pair[2], upper)  # type: ignore[arg-type]

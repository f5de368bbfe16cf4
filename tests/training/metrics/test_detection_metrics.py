"""Measures of a score that ought to find bad samples, by hand and by definition."""

import numpy as np
import pytest

from training.metrics.detection import average_precision, recall_among_first, roc_area
from training.two_groups import two_groups

SCORES = [0.9, 0.8, 0.8, 0.4, 0.3, 0.1]
BAD = [True, False, True, False, True, False]


def test_by_hand_with_a_tie() -> None:
    # pairs won by the bad ones: 0.9 beats 3; 0.8 beats 2 and ties 1; 0.3 beats 1
    assert roc_area(SCORES, BAD) == (3 + 2.5 + 1) / 9
    # thresholds 0.9: 1 of 1; 0.8: 2 of 3; 0.3: 3 of 5
    assert average_precision(SCORES, BAD) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3, rel=1e-15)
    assert [recall_among_first(SCORES, BAD, count) for count in (1, 2, 3, 5, 6, 9)] == pytest.approx(
        [1 / 3, 1.5 / 3, 2 / 3, 1, 1, 1]
    )


def test_perfect_worst_and_uninformative_scores() -> None:
    bad = [True] * 3 + [False] * 7
    falling = list(range(10, 0, -1))
    assert roc_area(falling, bad) == average_precision(falling, bad) == recall_among_first(falling, bad, 3) == 1
    assert roc_area(falling[::-1], bad) == 0
    assert roc_area([1.0] * 10, bad) == 0.5
    assert average_precision([1.0] * 10, bad) == pytest.approx(0.3)
    assert recall_among_first([1.0] * 10, bad, 5) == 0.5


def test_definitions_on_random_scores() -> None:
    rng = np.random.default_rng(0)
    scores, bad = rng.integers(0, 8, 60).astype(float), rng.random(60) < 0.3
    higher = scores[bad][:, None] > scores[~bad]
    equal = scores[bad][:, None] == scores[~bad]
    assert roc_area(scores, bad) == pytest.approx((higher + equal / 2).mean(), rel=1e-12)  # type: ignore[arg-type]
    assert roc_area(3 * scores - 5, bad) == roc_area(scores, bad)  # type: ignore[arg-type]
    expected, before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        chosen = scores >= threshold
        recall = (chosen & bad).sum() / bad.sum()
        expected, before = expected + (recall - before) * (chosen & bad).sum() / chosen.sum(), recall
    assert average_precision(scores, bad) == pytest.approx(expected, rel=1e-12)  # type: ignore[arg-type]


def test_what_cannot_be_measured_is_refused() -> None:
    for measure in (roc_area, average_precision):
        with pytest.raises(ValueError, match="bad"):
            measure([1.0, 2.0], [False, False])
        with pytest.raises(ValueError, match="scores"):
            measure([1.0, float("nan")], [False, True])
    with pytest.raises(ValueError, match="count"):
        recall_among_first([1.0], [True], 0)


def test_two_groups_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate((rng.normal(-2, 0.3, 700), rng.normal(1.5, 0.5, 300)))
    groups = two_groups(values)
    assert groups is not None
    assert groups.means == pytest.approx((-2, 1.5), abs=0.1)
    assert groups.deviations == pytest.approx((0.3, 0.5), abs=0.05)
    assert groups.shares == pytest.approx((0.7, 0.3), abs=0.01)
    assert ((groups.upper > 0.5) == (np.arange(1000) >= 700)).mean() > 0.999
    assert (np.diff(groups.upper[np.argsort(values)]) >= -1e-12).all()
    again = two_groups(values[::-1])
    assert again is not None
    assert again.upper[::-1] == pytest.approx(groups.upper, abs=1e-6)
    assert two_groups(np.ones(10)) is None
    assert two_groups(np.arange(3.0)) is None
    tail = np.concatenate((rng.normal(0, 3, 500), rng.normal(1, 0.1, 200)))  # a wide group around a narrow one
    wide = two_groups(tail)
    assert wide is not None
    assert (np.diff(wide.upper[np.argsort(tail)]) >= 0).all()


def test_the_upper_group_is_a_minority() -> None:
    rng = np.random.default_rng(2)
    few_low = np.concatenate((rng.normal(-3, 0.1, 10), rng.normal(0, 0.3, 90)))
    groups = two_groups(few_low)
    assert groups is None or groups.shares[1] <= 0.5
    assert groups is None or (groups.upper > 0.5).mean() <= 0.5

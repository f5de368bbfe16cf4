"""The approximate ODS F-measure: exact cases, tolerance, thinning."""

import pytest
import torch

from training.metrics.edges import EdgeMeter, thinned


def score(probability: torch.Tensor, label: torch.Tensor, **options: float) -> float:
    meter = EdgeMeter(**options)  # type: ignore[arg-type]
    meter.add(probability, label)
    return meter.result()["edges/ods_f_approx"]


def line(column: int, value: float = 1.0) -> torch.Tensor:
    picture = torch.zeros(1, 30, 40)
    picture[:, :, column] = value
    return picture


def test_a_line_is_matched_within_the_tolerance_and_not_beyond() -> None:
    # The diagonal is 50 pixels: a tolerance of 0.05 reaches 2.5 of them.
    label = line(20).byte()
    assert score(line(20, 0.7), label, tolerance=0.05) == 1.0
    assert score(line(22, 0.7), label, tolerance=0.05) == 1.0
    assert score(line(23, 0.7), label, tolerance=0.05) == 0.0


def test_the_best_threshold_is_one_for_the_whole_set() -> None:
    meter = EdgeMeter(0.03, thin=False)
    meter.add(line(20, 0.9) + line(5, 0.8), line(20).byte())  # a false line that a threshold of 0.8 removes
    meter.add(line(20, 0.5), line(20).byte())  # a true line that the same threshold loses
    # Below 0.5: precision 2/3, recall 1. Between 0.8 and 0.9: precision 1, recall 1/2.
    assert meter.result()["edges/ods_f_approx"] == pytest.approx(0.8)


def test_ignored_pixels_cost_nothing() -> None:
    label = line(20).byte()
    label[:, :, :10] = 255
    assert score(line(20) + line(5), label, tolerance=0.03, thin=False) == 1.0
    assert EdgeMeter().result() == {}


@pytest.mark.parametrize("transpose", [False, True])
def test_thinning_leaves_the_crest_of_a_ridge(transpose: bool) -> None:
    columns = torch.arange(40.0)
    ridge = torch.exp(-((columns - 20) ** 2) / 8).expand(30, 40)
    ridge = ridge.T.contiguous() if transpose else ridge.contiguous()
    kept = torch.from_numpy(thinned(ridge.numpy())) > 0.1
    inner = (kept.T if transpose else kept)[5:-5]
    assert inner.sum(dim=1).eq(1).all()
    assert inner[:, 20].all()

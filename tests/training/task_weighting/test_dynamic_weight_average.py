"""Dynamic weight average: three epochs by hand, its invariants, the states that it refuses."""

import math

import pytest

from training.task_weighting.build import build_weighting
from training.task_weighting.dynamic_weight_average import DynamicWeightAverage, DynamicWeightAverageConfig
from training.task_weighting.loss_prioritisation import LossPrioritisation, LossPrioritisationConfig

TASKS = ("segmentation", "depth")


def dwa(temperature: float = 2.0) -> DynamicWeightAverage:
    return DynamicWeightAverage(DynamicWeightAverageConfig(temperature=temperature), TASKS)


def observe(weighting: DynamicWeightAverage, *epochs: tuple[float, ...]) -> tuple[float, ...]:
    for losses in epochs:
        weighting.observe(dict(zip(TASKS, losses, strict=True)))
        weighting.end_epoch()
    return tuple(weighting.weights().values())


def test_three_epochs_by_hand() -> None:
    assert tuple(dwa().weights().values()) == (1, 1)
    assert observe(dwa(), (4.0, 1.0)) == (1, 1)
    # Ratios 1/2 and 1 over a temperature of 2: 2 / (1 + exp(+-1/4)).
    expected = (2 / (1 + math.exp(0.25)), 2 / (1 + math.exp(-0.25)))
    assert observe(dwa(), (4.0, 1.0), (2.0, 1.0)) == pytest.approx(expected)
    # Ratios 1 and 1/2 in the third epoch: the other way round.
    assert observe(dwa(), (4.0, 1.0), (2.0, 1.0), (2.0, 0.5)) == pytest.approx(expected[::-1])


def test_an_epochs_loss_is_its_mean() -> None:
    weighting = dwa()
    for step in ((3.0, 1.5), (5.0, 0.5)):
        weighting.observe(dict(zip(TASKS, step, strict=True)))
    weighting.end_epoch()
    assert observe(weighting, (2.0, 1.0)) == observe(dwa(), (4.0, 1.0), (2.0, 1.0))


def test_invariants() -> None:
    epochs = ((4.0, 1.0), (2.0, 0.9))
    scaled = tuple((100 * first, 0.01 * second) for first, second in epochs)
    assert observe(dwa(), *epochs) == pytest.approx(observe(dwa(), *scaled))
    assert sum(observe(dwa(0.001), *epochs)) == pytest.approx(2)  # exponents of 900 do not overflow
    assert observe(dwa(1e9), *epochs) == pytest.approx((1, 1))
    weighting = dwa()
    weights = observe(weighting, *epochs)
    weighting.end_epoch()  # without an observation
    assert tuple(weighting.weights().values()) == weights


def test_other_states_and_temperatures_are_refused() -> None:
    assert isinstance(build_weighting(DynamicWeightAverageConfig(), TASKS), DynamicWeightAverage)
    for state in (
        DynamicWeightAverage(DynamicWeightAverageConfig(), ("depth",)),
        LossPrioritisation(LossPrioritisationConfig(), TASKS),
    ):
        with pytest.raises(ValueError, match="dynamic weight average"):
            dwa().load_state_dict(state.state_dict())
    with pytest.raises(ValueError, match="temperature"):
        dwa(0)

"""Loss prioritisation: three epochs by hand, its invariants, the states that it refuses."""

import math

import pytest
import torch

from training.task_weighting.build import build_weighting
from training.task_weighting.fixed import EqualConfig, FixedConfig, FixedWeights
from training.task_weighting.loss_prioritisation import LossPrioritisation, LossPrioritisationConfig, spread

TASKS = ("segmentation", "depth", "normals")
EPOCHS = ((2.0, 0.5, 0.5), (1.8, 0.4, 0.5), (1.7, 0.38, 0.4))


def observe(weighting: LossPrioritisation, *epochs: tuple[float, ...]) -> tuple[float, ...]:
    for losses in epochs:
        weighting.observe(dict(zip(TASKS, losses, strict=True)))
        weighting.end_epoch()
    return tuple(weighting.weights().values())


def raw(kappa: float = 7.5) -> LossPrioritisation:
    return LossPrioritisation(LossPrioritisationConfig(kappa=kappa, statistic="raw"), TASKS)


def test_three_epochs_by_hand() -> None:
    assert tuple(raw().weights().values()) == (1, 1, 1)
    assert observe(raw(), *EPOCHS[:1]) == pytest.approx((1.5, 6, 6))
    assert observe(raw(), *EPOCHS[:2]) == pytest.approx((1, 1 / 6, 11 / 6), abs=1e-9)
    assert observe(raw(1.6), *EPOCHS[:2]) == pytest.approx((1, 0.822222, 1.177778), abs=5e-7)
    assert observe(raw(), *EPOCHS) == pytest.approx((1.355847, 1.401210, 0.176411), abs=5e-7)


def test_a_negative_weight_is_clamped() -> None:
    ratios = dict(zip(TASKS, (0.8, 1.1, 1.1), strict=True))
    assert spread(ratios, LossPrioritisationConfig(clamp=None))["segmentation"] == pytest.approx(-0.5)
    assert spread(ratios, LossPrioritisationConfig())["segmentation"] == 0.05


def test_invariants_of_the_spread() -> None:
    generator = torch.Generator().manual_seed(0)
    for kappa in (0.5, 1.0, 1.6, 7.5):
        ratios = {str(k): float(q) for k, q in enumerate(0.5 + torch.rand(5, generator=generator))}
        weights = spread(ratios, LossPrioritisationConfig(kappa=kappa, clamp=None))
        assert sum(weights.values()) == pytest.approx(sum(ratios.values()))
        assert sorted(weights, key=weights.__getitem__) == sorted(ratios, key=ratios.__getitem__)
        if kappa == 1.0:
            assert weights == pytest.approx(ratios)
    halved = tuple(loss / 2 for loss in EPOCHS[0])
    assert observe(raw(), EPOCHS[0], halved) == pytest.approx((1, 1, 1))


def test_the_statistic_is_the_epochs_mean_of_what_it_names() -> None:
    losses = {"depth": (1.0, 3.0), "normals": (0.5, 0.5)}
    for statistic, of in (("raw", float), ("log", lambda loss: math.log(loss + 1 + 1e-6))):
        weighting = LossPrioritisation(LossPrioritisationConfig(statistic=statistic), tuple(losses))  # type: ignore[arg-type]
        for step in range(2):
            weighting.observe({task: values[step] for task, values in losses.items()})
        weighting.end_epoch()
        depth, normals = ((of(a) + of(b)) / 2 for a, b in losses.values())
        assert weighting.weights() == pytest.approx({"depth": 1 + normals / depth, "normals": 1 + depth / normals})


def test_an_epoch_without_observations_changes_nothing() -> None:
    weighting = raw()
    weights = observe(weighting, *EPOCHS[:2])
    weighting.end_epoch()
    assert tuple(weighting.weights().values()) == weights


def test_states_of_other_tasks_or_methods_are_refused() -> None:
    with pytest.raises(ValueError, match="depth"):
        raw().load_state_dict(LossPrioritisation(LossPrioritisationConfig(), ("depth",)).state_dict())
    with pytest.raises(ValueError, match="fixed"):
        FixedWeights().load_state_dict(raw().state_dict())
    raw_state = FixedWeights().state_dict()
    with pytest.raises(ValueError, match="prioritisation"):
        raw().load_state_dict(raw_state)


def test_weights_multiply_losses_and_are_constants() -> None:
    weighting = raw()
    observe(weighting, EPOCHS[0])
    losses = {task: torch.tensor(2.0, requires_grad=True) for task in TASKS}
    weighting.combine(losses).backward()
    assert [float(loss.grad) for loss in losses.values()] == [1.5, 6, 6]  # type: ignore[arg-type]
    unit = {name: torch.tensor(1.0) for name in TASKS}
    assert float(build_weighting(EqualConfig(), TASKS).combine(unit)) == 3
    assert float(build_weighting(FixedConfig(), TASKS).combine(unit)) == 12
    with pytest.raises(ValueError, match="losses"):
        weighting.combine({})

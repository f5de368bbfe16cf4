"""What all weights that change once an epoch share: their state, and epochs in which tasks have no labels."""

import json

import pytest

from training.task_weighting.build import WeightingConfig, build_weighting
from training.task_weighting.dynamic_weight_average import DynamicWeightAverageConfig
from training.task_weighting.epoch_weights import EpochWeights
from training.task_weighting.loss_prioritisation import LossPrioritisationConfig

TASKS = ("segmentation", "depth", "normals")
EPOCHS = ((2.0, 0.5, 0.5), (1.8, 0.4, 0.5), (1.7, 0.38, 0.4))
METHODS = pytest.mark.parametrize(
    "config", [DynamicWeightAverageConfig(), LossPrioritisationConfig()], ids=lambda config: config.kind
)


def build(config: WeightingConfig) -> EpochWeights:
    weighting = build_weighting(config, TASKS)
    assert isinstance(weighting, EpochWeights)
    return weighting


def observe(weighting: EpochWeights, *epochs: tuple[float, ...]) -> dict[str, float]:
    for losses in epochs:
        weighting.observe(dict(zip(TASKS, losses, strict=True)))
        weighting.end_epoch()
    return weighting.weights()


@METHODS
@pytest.mark.parametrize("split", range(6))
def test_a_state_restored_at_any_step_goes_on_exactly(config: WeightingConfig, split: int) -> None:
    def step(weighting: EpochWeights, number: int) -> None:
        weighting.observe({task: 1 + 0.3 * k + 0.1 * number**1.5 % 0.7 for k, task in enumerate(TASKS) if number != k})
        if number % 2:
            weighting.end_epoch()

    whole, first, second = (build(config) for _ in range(3))
    for number in range(6):
        step(whole, number)
        if number == split:
            second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        step(first if number < split else second, number)
    assert second.state_dict() == whole.state_dict()


@METHODS
def test_a_task_is_averaged_over_the_steps_that_had_labels_of_it(config: WeightingConfig) -> None:
    weighting = build(config)
    for segmentation, depth, normals in EPOCHS:
        weighting.observe({"segmentation": segmentation, "normals": normals})
        weighting.observe({"normals": normals, "depth": depth, "segmentation": segmentation})
        weighting.observe({})
        weighting.end_epoch()
    assert weighting.weights() == pytest.approx(observe(build(config), *EPOCHS))


@METHODS
def test_an_epoch_without_labels_of_a_task_changes_nothing(config: WeightingConfig) -> None:
    weighting = build(config)
    weights = observe(weighting, *EPOCHS[:2])
    weighting.observe({"segmentation": 9.0, "normals": 0.1})
    weighting.end_epoch()
    assert weighting.weights() == weights
    assert observe(weighting, EPOCHS[2]) == observe(build(config), *EPOCHS)


@METHODS
def test_a_state_with_one_count_for_all_tasks_is_read(config: WeightingConfig) -> None:
    weighting, other = build(config), build(config)
    for _ in range(2):
        weighting.observe(dict(zip(TASKS, EPOCHS[0], strict=True)))
    state = weighting.state_dict()
    counts = state.pop("counts")
    assert counts == dict.fromkeys(TASKS, 2)
    other.load_state_dict(state | {"count": 2})
    assert other.state_dict() == weighting.state_dict()

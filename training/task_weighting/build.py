"""From a configuration to a weighting."""

from collections.abc import Sequence

from training.task_weighting.dynamic_weight_average import DynamicWeightAverage, DynamicWeightAverageConfig
from training.task_weighting.fixed import EqualConfig, FixedConfig, FixedWeights
from training.task_weighting.loss_prioritisation import LossPrioritisation, LossPrioritisationConfig
from training.task_weighting.task_weighting import TaskWeighting
from training.task_weighting.uncertainty import UncertaintyConfig, UncertaintyWeighting

WeightingConfig = EqualConfig | FixedConfig | UncertaintyConfig | DynamicWeightAverageConfig | LossPrioritisationConfig


def build_weighting(config: WeightingConfig, tasks: Sequence[str]) -> TaskWeighting:
    """The weighting of a network's main tasks, in its first state."""
    if isinstance(config, LossPrioritisationConfig):
        return LossPrioritisation(config, tasks)
    if isinstance(config, UncertaintyConfig):
        return UncertaintyWeighting(config, tasks)
    if isinstance(config, DynamicWeightAverageConfig):
        return DynamicWeightAverage(config, tasks)
    return FixedWeights(config.weights() if isinstance(config, FixedConfig) else None)

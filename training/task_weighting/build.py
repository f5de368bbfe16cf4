"""From a configuration to a weighting."""

from collections.abc import Sequence

from training.instance_losses import form_of
from training.instance_parameters import InstanceParameters, InstanceParametersConfig
from training.losses.tasks import TaskLossConfig
from training.task_weighting.dynamic_weight_average import DynamicWeightAverage, DynamicWeightAverageConfig
from training.task_weighting.fixed import EqualConfig, FixedConfig, FixedWeights
from training.task_weighting.loss_prioritisation import LossPrioritisation, LossPrioritisationConfig
from training.task_weighting.task_weighting import TaskWeighting
from training.task_weighting.uncertainty import UncertaintyConfig, UncertaintyWeighting

WeightingConfig = (
    EqualConfig
    | FixedConfig
    | UncertaintyConfig
    | DynamicWeightAverageConfig
    | LossPrioritisationConfig
    | InstanceParametersConfig
)


def build_weighting(
    config: WeightingConfig, tasks: Sequence[str], *, losses: TaskLossConfig | None = None, classes: int = 0
) -> TaskWeighting:
    """The weighting of a network's main tasks, in its first state.

    losses: of the tasks, whose forms decide how weights of images act on them. classes: of the segmentation.
    """
    if isinstance(config, InstanceParametersConfig):
        forms = {task: form_of(task, losses or TaskLossConfig()) for task in tasks}
        return InstanceParameters(config, forms, classes)
    if isinstance(config, LossPrioritisationConfig):
        return LossPrioritisation(config, tasks)
    if isinstance(config, UncertaintyConfig):
        return UncertaintyWeighting(config, tasks)
    if isinstance(config, DynamicWeightAverageConfig):
        return DynamicWeightAverage(config, tasks)
    return FixedWeights(config.weights() if isinstance(config, FixedConfig) else None)

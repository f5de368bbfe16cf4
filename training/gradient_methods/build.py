"""From a configuration to a gradient method."""

from training.gradient_methods.gradient_method import GradientMethod
from training.gradient_methods.weighted_sum import SumConfig, WeightedSum
from training.objectives.objective import Objective, SplitsTasks

GradientConfig = SumConfig


def build_gradients(config: GradientConfig, objective: Objective) -> GradientMethod:
    """The method in its first state. Raises ValueError for an objective whose loss is not a sum over tasks."""
    if isinstance(config, SumConfig):
        return WeightedSum(config)
    if not isinstance(objective, SplitsTasks):
        raise ValueError(
            f"gradients: {config.kind} needs an objective of dense tasks, found {type(objective).__name__}"
        )
    raise ValueError(f"gradients: expected a known method, found {type(config).__name__}")

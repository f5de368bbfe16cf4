"""From a configuration to a gradient method."""

from training.connection_strength import ConnectionStrength, ConnectionStrengthConfig
from training.gradient_methods.combination import CombinedGradients
from training.gradient_methods.gradient_method import GradientMethod
from training.gradient_methods.gradnorm import GradNorm, GradNormConfig
from training.gradient_methods.pairs import require_sensible_pair
from training.gradient_methods.torchjd_methods import PcGradConfig, TorchJdCombiner, TorchJdConfig
from training.gradient_methods.weighted_sum import SumConfig, WeightedSum
from training.objectives.objective import Objective, SplitsTasks
from training.task_weighting.task_weighting import WeighsTasks

GradientConfig = SumConfig | GradNormConfig | TorchJdConfig | ConnectionStrengthConfig


def build_gradients(config: GradientConfig, objective: Objective) -> GradientMethod:
    """The method in its first state.

    Raises ValueError for an objective whose loss is not a sum over tasks, for a weighting that makes no sense with the
    method, and where a library is missing.
    """
    if isinstance(config, SumConfig):
        return WeightedSum(config)
    if not isinstance(objective, SplitsTasks):
        raise ValueError(
            f"gradients: {config.kind} needs an objective of dense tasks, found {type(objective).__name__}"
        )
    if isinstance(objective, WeighsTasks):
        require_sensible_pair(config.kind, objective.weighting)
    if isinstance(config, GradNormConfig):
        return GradNorm(config)
    if isinstance(config, TorchJdConfig):
        return CombinedGradients(TorchJdCombiner(config))
    if isinstance(config, ConnectionStrengthConfig):
        return ConnectionStrength(config, TorchJdCombiner(PcGradConfig()) if config.conflicts == "pcgrad" else None)
    raise ValueError(f"gradients: expected a known method, found {type(config).__name__}")

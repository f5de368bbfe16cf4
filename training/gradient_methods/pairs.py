"""Which weightings make no sense with which gradient methods; each pair is refused with its reason."""

from training.instance_parameters import InstanceParameters
from training.task_weighting.dynamic_weight_average import DynamicWeightAverage
from training.task_weighting.fixed import FixedWeights
from training.task_weighting.loss_prioritisation import LossPrioritisation
from training.task_weighting.task_weighting import TaskWeighting
from training.task_weighting.uncertainty import UncertaintyWeighting

OBSERVING = {UncertaintyWeighting: "uncertainty", DynamicWeightAverage: "dwa", LossPrioritisation: "lps"}
"""Weightings that set each task's weight from its losses, by their names in recipes."""
SCALE_FREE = "gives the same direction whatever the losses' scale, so that the weights would reach the heads alone"
REASONS = {
    "mgda": "gives a task the smaller a share the larger its gradient, which turns the weights around",
    "imtl_g": SCALE_FREE,
    "nash_mtl": SCALE_FREE,
    "gradnorm": "learns the tasks' weights itself",
}


def require_tasks_apart(what: str, weighting: TaskWeighting) -> None:
    """Raises ValueError for a weighting that cannot weigh one task alone; `what` asks for that."""
    if isinstance(weighting, InstanceParameters) and weighting.config.granularity == "class":
        raise ValueError(
            f"{what} looks at each task alone, and parameters per class come from the labels of segmentation; expected "
            "granularity 'instance' or 'task', found 'class'"
        )


def require_sensible_pair(kind: str, weighting: TaskWeighting) -> None:
    """Raises ValueError when the gradient method `kind` makes no sense with the weighting. Fixed weights fit all."""
    if kind == "sum" or isinstance(weighting, FixedWeights):
        return
    require_tasks_apart(f"gradients: {kind}", weighting)
    name = OBSERVING.get(type(weighting))
    if isinstance(weighting, InstanceParameters) and weighting.config.granularity == "task":
        name = "instance with one parameter per task"  # which is uncertainty weighting
    if kind in REASONS and name is not None:
        raise ValueError(f"gradients: {kind} {REASONS[kind]}; expected equal or fixed weights, found {name}")
    if kind == "gradnorm":
        raise ValueError(
            f"gradients: gradnorm compares losses with those of the first step; expected equal or fixed weights, found "
            f"{type(weighting).__name__}"
        )
    if isinstance(weighting, LossPrioritisation) and weighting.config.clamp is None:
        raise ValueError(
            f"gradients: {kind} compares gradients that a negative weight would turn around; expected lps with a "
            "clamp, found none"
        )

"""How much the tasks' gradients of what they share disagree: their cosines, measured beside a run."""

import time
from contextlib import nullcontext
from itertools import combinations

import torch
import torch.nn.functional as F

from training.gradient_methods.combination import shared_gradients
from training.gradient_methods.pairs import require_tasks_apart
from training.gradient_methods.update import Update
from training.instance_parameters import InstanceParameters
from training.objectives.objective import Objective, SplitsTasks
from training.task_weighting.task_weighting import WeighsTasks

SECONDS = "conflict_seconds"
"""Name under which the time that a measurement took is logged."""


def require_measurable(objective: Objective) -> None:
    """Raises ValueError for an objective whose loss is not a sum over tasks, or whose weighting needs all of them."""
    if not isinstance(objective, SplitsTasks):
        raise ValueError(f"conflicts: expected an objective of dense tasks, found {type(objective).__name__}")
    if isinstance(objective, WeighsTasks):
        require_tasks_apart("conflicts: measuring", objective.weighting)


def conflict(update: Update) -> dict[str, float]:
    """`cosine/<task>+<task>` of the weighted losses' gradients for every pair, and the seconds that this took.

    Costs one more pass and a backward pass for each task. Augmentation, running statistics, random state, the update's
    loss terms and what the weighting remembers stay as they were, so that measuring changes nothing that is learnt.
    Where a task's gradient is 0 its cosines are 0. Raises ValueError like `require_measurable`.
    """
    require_measurable(update.objective)
    weighting = update.objective.weighting if isinstance(update.objective, WeighsTasks) else None
    undisturbed = weighting.undisturbed() if isinstance(weighting, InstanceParameters) else nullcontext()
    start = time.monotonic()
    device = update.fabric.device
    statistics = [buffer.clone() for buffer in update.model.buffers()]
    with undisturbed, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        gradients = update.twin().task_gradients()
    with torch.no_grad():
        for buffer, before in zip(update.model.buffers(), statistics, strict=True):
            buffer.copy_(before)
    shared = shared_gradients(gradients, update)
    directions_KN = F.normalize(shared.gradients_KN, dim=1)
    cosines_KK = (directions_KN @ directions_KN.T).tolist()
    pairs = combinations(range(len(shared.tasks)), 2)
    values = {f"cosine/{shared.tasks[i]}+{shared.tasks[j]}": cosines_KK[i][j] for i, j in pairs}
    return values | {SECONDS: time.monotonic() - start}

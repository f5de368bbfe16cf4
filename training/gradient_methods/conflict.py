"""How much the tasks' gradients of what they share disagree: their cosines, measured beside a run."""

import time
from itertools import combinations

import torch
import torch.nn.functional as F

from training.gradient_methods.combination import shared_gradients
from training.gradient_methods.update import Update
from training.objectives.objective import SplitsTasks

SECONDS = "conflict_seconds"
"""Name under which the time that a measurement took is logged."""


def conflict(update: Update) -> dict[str, float]:
    """`cosine/<task>+<task>` of the weighted losses' gradients for every pair, and the seconds that this took.

    Costs one more pass and a backward pass for each task. Augmentation, running statistics, random state and the
    update's loss terms stay as they were, so that measuring changes nothing that is learnt. Where a task's gradient is
    0 its cosines are 0. Raises ValueError for an objective whose loss is not a sum over tasks.
    """
    if not isinstance(update.objective, SplitsTasks):
        raise ValueError(f"conflicts: expected an objective of dense tasks, found {type(update.objective).__name__}")
    start = time.monotonic()
    device = update.fabric.device
    statistics = [buffer.clone() for buffer in update.model.buffers()]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
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

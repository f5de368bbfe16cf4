"""What a run says about each training image and task: learned log variance and last loss.

Shapes: N images of the training set, T tasks, B batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from training.losses.per_image import per_image_loss
from training.objectives.dense_tasks import DenseTasksObjective, Prepared
from training.prefetch import Batch

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Scores(NamedTuple):
    """Per image and task [N, T], NaN where an image has no label of the task or was never trained on."""

    log_variance: Array | None
    """s of instance parameters, None for a run without them."""
    loss: Array
    loss_kind: str
    """ "last_loss", as training saw it, or "final_loss", of the final weights without augmentation."""


def scores_of(state: Mapping[str, Any], tasks: list[str], count: int) -> Scores | None:
    """Scores that a checkpoint's weighting state holds; None where it kept nothing about images."""
    if "last_loss" not in state or state.get("tasks") != tasks:
        return None
    learned = state["granularity"] == "instance"
    return Scores(
        _table(state["log_variance"], count) if learned else None, _table(state["last_loss"], count), "last_loss"
    )


def measured(objective: DenseTasksObjective, model: nn.Module, read: Callable[[int], Batch], count: int) -> Scores:
    """The losses of the network as it is, in evaluation mode, image by image: `read` answers a batch of one image."""
    losses = np.full((count, len(objective.tasks)), np.nan)
    for index in range(count):
        for column, (value, valid) in enumerate(image_losses(objective, model, read(index))):
            if valid:
                losses[index, column] = value
    return Scores(None, losses, "final_loss")


@torch.no_grad()
def image_losses(objective: DenseTasksObjective, model: nn.Module, batch: Batch) -> list[tuple[float, bool]]:
    """Unweighted loss of one image's final maps and whether it has a valid label, per task of the objective."""
    prepared = prepare_plainly(objective, batch)
    outputs = model(prepared.image_B3HW)
    found = []
    for task in objective.tasks:
        losses = per_image_loss(
            task.name, outputs.final[task.name], prepared.labels[task.name], objective.options.losses
        )
        found.append((float(losses.loss_B[0]), bool(losses.valid_B[0])))
    return found


def prepare_plainly(objective: DenseTasksObjective, batch: Batch) -> Prepared:
    """The batch as the network trains on it, without augmentation. Raises ValueError for a task without labels."""
    plain = DenseTasksObjective(replace(objective.options, camera=None, photometric=None), objective.tasks)
    prepared = plain.prepare(batch, torch.Generator())
    for task in objective.tasks:
        if task.name not in prepared.labels:
            raise ValueError(f"{task.name}: expected labels in the training set, found only {sorted(prepared.labels)}")
    return prepared


def _table(rows: Mapping[str, Tensor], count: int) -> Array:
    keys, values = rows["keys"].numpy(), rows["values"].double().numpy()
    table = np.full((count, values.shape[1]), np.nan)
    inside = (keys >= 0) & (keys < count)
    table[keys[inside]] = values[inside]
    return table

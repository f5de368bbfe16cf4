"""Methods that make one gradient for the shared parameters out of the tasks' gradients: one pass, one step.

Shapes: K tasks, N values of all shared parameters.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from training.gradient_methods.update import TaskGradients, Update


class SharedGradients(NamedTuple):
    """The tasks' gradients of what they share; a task that does not reach a parameter has zeros there."""

    tasks: tuple[str, ...]
    gradients_KN: Tensor
    """float32, of the weighted losses, averaged over processes."""
    slices: dict[str, slice]
    """Where each shared parameter lies in N, by its name in the network, in the network's order."""


class Combiner(Protocol):
    """One method, as pure as it can be: the same in all processes, since its inputs are."""

    def combine(self, shared: SharedGradients, losses: Mapping[str, float], seed: int) -> Tensor:
        """The gradient [N] to step along; losses by task are the weighted ones, seed is of this update's choices."""

    def scalars(self) -> dict[str, float]:
        """Numbers of the last call, for the log."""

    def state_dict(self) -> dict[str, Any]:
        """See `GradientMethod`."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `GradientMethod`."""


class CombinedGradients:
    """See `GradientMethod`: every task's gradient from one pass, combined where shared, as it is where not."""

    def __init__(self, combiner: Combiner) -> None:
        self.combiner = combiner

    def update(self, update: Update) -> dict[str, float]:
        """One step along the combination."""
        gradients = update.task_gradients()
        update.set_gradients(combined(self.combiner, gradients, update))
        update.step()
        return self.combiner.scalars()

    def state_dict(self) -> dict[str, Any]:
        """The combiner's."""
        return self.combiner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The combiner's."""
        self.combiner.load_state_dict(state)


def combined(combiner: Combiner, gradients: TaskGradients, update: Update) -> list[Tensor | None]:
    """One gradient for each parameter: the combiner's where several tasks reach it, else the only task's, or none."""
    shared = shared_gradients(gradients, update)
    result = [next((g for g in reached if g is not None), None) for reached in zip(*gradients.values(), strict=True)]
    if not shared.slices:
        return result
    combination_N = combiner.combine(shared, update.task_totals, update.seed)
    for index, (name, parameter) in enumerate(update.named_parameters):
        if name in shared.slices:
            result[index] = combination_N[shared.slices[name]].view(parameter.shape).to(parameter.dtype)
    return result


def shared_gradients(gradients: TaskGradients, update: Update) -> SharedGradients:
    """The matrix of the parameters that at least two tasks reach."""
    tasks = tuple(gradients)
    rows: list[list[Tensor]] = [[] for _ in tasks]
    slices: dict[str, slice] = {}
    begin = 0
    for index, (name, parameter) in enumerate(update.named_parameters):
        reached = [gradients[task][index] for task in tasks]
        if sum(gradient is not None for gradient in reached) < 2:
            continue
        for row, gradient in zip(rows, reached, strict=True):
            row.append((torch.zeros_like(parameter) if gradient is None else gradient).reshape(-1).float())
        slices[name] = slice(begin, begin + parameter.numel())
        begin += parameter.numel()
    matrix = torch.stack([torch.cat(row) for row in rows]) if slices else torch.zeros(len(tasks), 0)
    return SharedGradients(tasks, matrix, slices)

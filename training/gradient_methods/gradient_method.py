"""How the tasks' losses become changes of the weights.

A weighting decides how much each loss counts; a gradient method decides what is done with the gradients that follow,
and in how many steps. What it works with is an `Update`: one batch, and the passes and steps that can be made with it.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import nn

from training.gradient_methods.update import Update


class GradientMethod(Protocol):
    """One method. The loop calls `update` once per batch."""

    def update(self, update: Update) -> dict[str, float]:
        """Makes the batch's backward passes and optimiser steps; answers numbers for the log."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON values from which `load_state_dict` goes on exactly."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a saved state. Raises ValueError when it is of another method or other tasks."""


@runtime_checkable
class ReportsShares(Protocol):
    """A method by which tasks own parts of the network; the loop logs what it reports at every evaluation."""

    def report(self, model: nn.Module) -> dict[str, dict[str, float]]:
        """By layer, then by task, the share of the layer that the task owns."""

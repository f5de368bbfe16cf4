"""How the tasks' losses become changes of the weights.

A weighting decides how much each loss counts; a gradient method decides what is done with the gradients that follow,
and in how many steps. What it works with is an `Update`: one batch, and the passes and steps that can be made with it.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from training.gradient_methods.update import Update


class GradientMethod(Protocol):
    """One method. The loop calls `update` once per batch."""

    def update(self, update: Update) -> dict[str, float]:
        """Makes the batch's backward passes and optimiser steps; answers numbers for the log."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON values from which `load_state_dict` goes on exactly."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a saved state. Raises ValueError when it is of another method or other tasks."""

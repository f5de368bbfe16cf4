"""The plain way: the gradient of the weighted sum of the losses, in one backward pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from training.gradient_methods.update import Update


@dataclass(frozen=True, kw_only=True)
class SumConfig:
    """steps: optimiser steps on each batch, one as a rule.

    As many as there are tasks make the control for methods that step once per task: the same number of steps.
    """

    kind: Literal["sum"] = "sum"
    steps: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: expected at least 1, found {self.steps}")


class WeightedSum:
    """See `GradientMethod`. The loss terms that are logged are those before the first step."""

    def __init__(self, config: SumConfig) -> None:
        self.config = config

    def update(self, update: Update) -> dict[str, float]:
        """Steps along the gradient of the objective's total."""
        for number in range(self.config.steps):
            update.backward(note=number == 0)
            update.step()
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError for the state of another method."""
        if state:
            raise ValueError(f"state: expected none for the plain sum, found {sorted(state)}")

"""Uncertainty weighting (Kendall, Gal and Cipolla, CVPR 2018, section 3): one learned log variance for each task.

Convention: s = log sigma^2. A task's term of the loss is a exp(-s) L + b s with L its loss; a exp(-s) is its weight.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from training.task_weighting.fixed import weighted_sum

LAPLACE_TASKS = ("depth", "normals")


@dataclass(frozen=True, kw_only=True)
class UncertaintyConfig:
    """form: what the losses are the likelihoods of.

    "gaussian": every loss is taken for a squared error, exp(-s) L / 2 + s / 2, as most comparisons have it.
    "by_loss": cross-entropies exp(-s) L + s / 2 (the paper's approximation of a scaled softmax), depth and normals,
    whose losses are absolute errors and cosines here, exp(-s) L + s (a Laplace distribution; ours).

    learning_rate: of the log variances, constant. Ours; the paper leaves them to the network's optimiser.
    """

    kind: Literal["uncertainty"] = "uncertainty"
    form: Literal["gaussian", "by_loss"] = "gaussian"
    learning_rate: float = 0.005

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate: expected a positive number, found {self.learning_rate}")


class UncertaintyWeighting:
    """Learned weights; see `TaskWeighting`.

    The log variances start at 0. Their gradient is known in closed form, b - a exp(-s) L, and they have an Adam of
    their own, stepped in `observe`: once per batch whatever number of steps the gradient method makes of it, from
    losses that are means over all processes, and without weight decay. Where a network predicts inside itself, the
    losses of its final maps alone drive them. A task without labels in a step is left alone, its moments included.
    """

    def __init__(self, config: UncertaintyConfig, tasks: Sequence[str]) -> None:
        if not tasks:
            raise ValueError("tasks: expected at least one, found none")
        self.config = config
        self.tasks = tuple(tasks)
        by_loss = config.form == "by_loss"
        self._loss_factors = dict.fromkeys(tasks, 1.0 if by_loss else 0.5)
        self._penalties = {task: 1.0 if by_loss and task in LAPLACE_TASKS else 0.5 for task in tasks}
        self._log_variances = {task: nn.Parameter(torch.zeros(1, dtype=torch.float64)) for task in tasks}
        self._optimizer = torch.optim.Adam(self._log_variances.values(), lr=config.learning_rate)

    def log_variances(self) -> dict[str, float]:
        """s by task."""
        return {task: variance.item() for task, variance in self._log_variances.items()}

    def weights(self) -> dict[str, float]:
        """a exp(-s) by task."""
        return {task: self._loss_factors[task] * math.exp(-s) for task, s in self.log_variances().items()}

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Sum of a exp(-s) L + b s over the given tasks; s is a constant to the gradient."""
        variances = self.log_variances()
        penalty = sum(self._penalties[task] * variances[task] for task in losses)
        return weighted_sum(losses, self.weights()) + penalty

    def observe(self, losses: Mapping[str, float]) -> None:
        """One step of the log variances against their gradient at one step's losses."""
        weights = self.weights()
        self._optimizer.zero_grad()
        for task, loss in losses.items():
            variance = self._log_variances[task]
            variance.grad = torch.full_like(variance, self._penalties[task] - weights[task] * loss)
        self._optimizer.step()

    def end_epoch(self) -> None:
        """Nothing to update."""

    def state_dict(self) -> dict[str, Any]:
        """Log variances by task, and their optimiser."""
        return {"log_variances": self.log_variances(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError when the state is of other tasks or of another method."""
        values = state.get("log_variances", {})
        if set(values) != set(self.tasks):
            raise ValueError(f"state: expected log variances of {sorted(self.tasks)}, found {sorted(values or state)}")
        with torch.no_grad():
            for task, variance in self._log_variances.items():
                variance.fill_(values[task])
        self._optimizer.load_state_dict(_by_task(state["optimizer"], len(self.tasks)))


def _by_task(optimizer: Mapping[str, Any], tasks: int) -> dict[str, Any]:
    """Adam's state; that of earlier checkpoints, which hold the tasks in one tensor, is taken apart."""
    (group,) = optimizer["param_groups"]
    if len(group["params"]) == tasks:
        return dict(optimizer)
    together = optimizer["state"].get(0, {})  # none before the first step
    state = {k: {name: v[k : k + 1] if v.ndim else v.clone() for name, v in together.items()} for k in range(tasks)}
    return {"state": state if together else {}, "param_groups": [{**group, "params": list(range(tasks))}]}

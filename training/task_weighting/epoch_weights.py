"""Weights that change once an epoch, from the mean losses of that epoch and of the one before."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from training.task_weighting.fixed import weighted_sum


class EpochWeights(ABC):
    """What such methods share: the epoch's means, their state, and the weighted sum; see `TaskWeighting`.

    In the first epoch all weights are 1. name: of the method, kept in its state so that no other takes it up.
    """

    name: str

    def __init__(self, tasks: Sequence[str]) -> None:
        if not tasks:
            raise ValueError("tasks: expected at least one, found none")
        self.tasks = tuple(tasks)
        self._weights = dict.fromkeys(tasks, 1.0)
        self._previous: dict[str, float] = {}
        self._sums = dict.fromkeys(tasks, 0.0)
        self._counts = dict.fromkeys(tasks, 0)

    @abstractmethod
    def next_weights(self, means: Mapping[str, float], previous: Mapping[str, float]) -> dict[str, float]:
        """The next epoch's weights from positive means; `previous` is empty after the first epoch."""

    def statistic(self, loss: float) -> float:
        """What the means are taken of: the loss itself."""
        return loss

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Sum of weight times loss; the weights are constants to the gradient."""
        return weighted_sum(losses, self._weights)

    def weights(self) -> dict[str, float]:
        """Of the running epoch."""
        return dict(self._weights)

    def observe(self, losses: Mapping[str, float]) -> None:
        """Adds one step's raw losses, of the tasks that had labels, to the epoch's means."""
        for task, loss in losses.items():
            self._sums[task] += self.statistic(loss)
            self._counts[task] += 1

    def end_epoch(self) -> None:
        """Sets the next epoch's weights; passes over an epoch in which a task has no observation, or a mean of 0."""
        means = {task: total / max(self._counts[task], 1) for task, total in self._sums.items()}
        self._sums, self._counts = dict.fromkeys(self.tasks, 0.0), dict.fromkeys(self.tasks, 0)
        if min(means.values()) <= 0:
            return
        self._weights, self._previous = self.next_weights(means, self._previous), means

    def state_dict(self) -> dict[str, Any]:
        """Everything, the running epoch's sums included, so that a run may stop at any step."""
        return {
            "method": self.name,
            "weights": dict(self._weights),
            "previous": dict(self._previous),
            "sums": dict(self._sums),
            "counts": dict(self._counts),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError when the state is of other tasks or of another method.

        Earlier checkpoints hold one `count` for all tasks.
        """
        found = state.get("method"), sorted(state.get("weights", ()))
        if found != (self.name, sorted(self.tasks)):
            raise ValueError(f"state: expected {self.name} of {sorted(self.tasks)}, found {found[0]} of {found[1]}")
        self._counts = dict(state["counts"]) if "counts" in state else dict.fromkeys(self.tasks, state["count"])
        self._weights, self._previous = dict(state["weights"]), dict(state["previous"])
        self._sums = dict(state["sums"])

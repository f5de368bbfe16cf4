"""Dynamic weight average (Liu, Johns and Davison, CVPR 2019, equation 7): slowly falling losses get more weight."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from training.task_weighting.fixed import weighted_sum


@dataclass(frozen=True, kw_only=True)
class DynamicWeightAverageConfig:
    """temperature: 2 in the paper; the larger, the more equal the weights."""

    kind: Literal["dwa"] = "dwa"
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature: expected a positive number, found {self.temperature}")


class DynamicWeightAverage:
    """Weights from the ratio of the two last epochs' mean losses; see `TaskWeighting`.

    With L_k the epoch's mean loss of task k: r_k = L_k / (L_k one epoch before), and in the next epoch
    w_k = K exp(r_k / T) / sum_i exp(r_i / T). The weights sum to K; in the first two epochs all are 1.
    """

    def __init__(self, config: DynamicWeightAverageConfig, tasks: Sequence[str]) -> None:
        if not tasks:
            raise ValueError("tasks: expected at least one, found none")
        self.config = config
        self.tasks = tuple(tasks)
        self._weights = dict.fromkeys(tasks, 1.0)
        self._previous: dict[str, float] = {}
        self._sums = dict.fromkeys(tasks, 0.0)
        self._count = 0

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Sum of weight times loss; the weights are constants to the gradient."""
        return weighted_sum(losses, self._weights)

    def weights(self) -> dict[str, float]:
        """Of the running epoch."""
        return dict(self._weights)

    def observe(self, losses: Mapping[str, float]) -> None:
        """Adds one step's raw losses, of every task, to the epoch's mean."""
        for task in self.tasks:
            self._sums[task] += losses[task]
        self._count += 1

    def end_epoch(self) -> None:
        """Sets the next epoch's weights. An epoch without an observation, or with a mean of 0, changes nothing."""
        means = {task: total / max(self._count, 1) for task, total in self._sums.items()}
        self._sums, self._count = dict.fromkeys(self.tasks, 0.0), 0
        if min(means.values()) <= 0:
            return
        if self._previous:
            scaled = {task: means[task] / self._previous[task] / self.config.temperature for task in self.tasks}
            largest = max(scaled.values())  # keeps the exponentials finite; cancels in the quotient
            shares = {task: math.exp(value - largest) for task, value in scaled.items()}
            whole = sum(shares.values())
            self._weights = {task: len(self.tasks) * share / whole for task, share in shares.items()}
        self._previous = means

    def state_dict(self) -> dict[str, Any]:
        """Everything, the running epoch's sums included, so that a run may stop at any step."""
        return {
            "weights": dict(self._weights),
            "previous": dict(self._previous),
            "epoch_sums": dict(self._sums),
            "count": self._count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError when the state is of other tasks or of another method."""
        if "epoch_sums" not in state or set(state["weights"]) != set(self.tasks):
            raise ValueError(f"state: expected dynamic weight average of {sorted(self.tasks)}, found {sorted(state)}")
        self._count = state["count"]
        self._weights, self._previous = dict(state["weights"]), dict(state["previous"])
        self._sums = dict(state["epoch_sums"])

"""Loss prioritisation (after MT-CP, WACV 2025): once an epoch, tasks that improve more slowly get more weight.

The paper's exact text was not to be found; this follows the authors' code where that computes the weights, with our own
choices named in `LossPrioritisationConfig`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from training.task_weighting.fixed import weighted_sum


@dataclass(frozen=True, kw_only=True)
class LossPrioritisationConfig:
    """kappa: spread of the weights about their mean (7.5 for NYUD-v2, 1.6 for PASCAL-Context).

    Ours: statistic, the losses whose epoch means are compared, "log" for log(L + 1 + 1e-6) or "raw" for L (on raw
    losses the largest one rules the aggregate); clamp, the smallest weight, None for none (a spread above 1 makes the
    weight of a task that improves quickly negative).
    """

    kind: Literal["lps"] = "lps"
    kappa: float = 7.5
    statistic: Literal["log", "raw"] = "log"
    clamp: float | None = 0.05

    def __post_init__(self) -> None:
        if self.kappa <= 0:
            raise ValueError(f"kappa: expected a positive number, found {self.kappa}")


class LossPrioritisation:
    """Weights from the ratio of successive epoch means; see `TaskWeighting`.

    With mu_t the epoch's mean loss of task t and mu the sum over tasks: w_t = 1 in epoch 0, mu / mu_t after it, and
    after every later epoch w_t = m + kappa (q_t - m), where q_t = (mu_t / mu_t before) / (mu / mu before) and m is the
    mean of q_t.
    """

    def __init__(self, config: LossPrioritisationConfig, tasks: Sequence[str]) -> None:
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
            loss = losses[task]
            self._sums[task] += math.log(loss + 1 + 1e-6) if self.config.statistic == "log" else loss
        self._count += 1

    def end_epoch(self) -> None:
        """Sets the next epoch's weights. An epoch without an observation, or with a mean of 0, changes nothing."""
        means = {task: total / max(self._count, 1) for task, total in self._sums.items()}
        self._sums, self._count = dict.fromkeys(self.tasks, 0.0), 0
        if min(means.values()) <= 0:
            return
        whole = sum(means.values())
        if not self._previous:
            weights = {task: whole / mean for task, mean in means.items()}
        else:
            shrink = whole / sum(self._previous.values())
            weights = spread({task: means[task] / self._previous[task] / shrink for task in self.tasks}, self.config)
        self._weights, self._previous = weights, means

    def state_dict(self) -> dict[str, Any]:
        """Everything, the running epoch's sums included, so that a run may stop at any step."""
        return {
            "weights": dict(self._weights),
            "previous": dict(self._previous),
            "sums": dict(self._sums),
            "count": self._count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError when the state is of other tasks."""
        if set(state.get("weights", ())) != set(self.tasks):
            found = sorted(state.get("weights", ()))
            raise ValueError(f"state: expected loss prioritisation of {sorted(self.tasks)}, found {found}")
        self._count = state["count"]
        self._weights, self._previous = dict(state["weights"]), dict(state["previous"])
        self._sums = dict(state["sums"])


def spread(ratios: Mapping[str, float], config: LossPrioritisationConfig) -> dict[str, float]:
    """w = m + kappa (q - m) about the mean m of the ratios q, not below `config.clamp`."""
    mean = sum(ratios.values()) / len(ratios)
    weights = {task: mean + config.kappa * (ratio - mean) for task, ratio in ratios.items()}
    if config.clamp is None:
        return weights
    return {task: max(weight, config.clamp) for task, weight in weights.items()}

"""Loss prioritisation (after MT-CP, WACV 2025): once an epoch, tasks that improve more slowly get more weight.

The paper's exact text was not to be found; this follows the authors' code where that computes the weights, with our own
choices named in `LossPrioritisationConfig`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from training.task_weighting.epoch_weights import EpochWeights


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


class LossPrioritisation(EpochWeights):
    """Weights from the ratio of successive epoch means; see `TaskWeighting`.

    With mu_t the epoch's mean loss of task t and mu the sum over tasks: w_t = 1 in epoch 0, mu / mu_t after it, and
    after every later epoch w_t = m + kappa (q_t - m), where q_t = (mu_t / mu_t before) / (mu / mu before) and m is the
    mean of q_t.
    """

    name = "loss prioritisation"

    def __init__(self, config: LossPrioritisationConfig, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.config = config

    def statistic(self, loss: float) -> float:
        """log(L + 1 + 1e-6), or the loss itself."""
        return math.log(loss + 1 + 1e-6) if self.config.statistic == "log" else loss

    def next_weights(self, means: Mapping[str, float], previous: Mapping[str, float]) -> dict[str, float]:
        whole = sum(means.values())
        if not previous:
            return {task: whole / mean for task, mean in means.items()}
        shrink = whole / sum(previous.values())
        return spread({task: means[task] / previous[task] / shrink for task in self.tasks}, self.config)


def spread(ratios: Mapping[str, float], config: LossPrioritisationConfig) -> dict[str, float]:
    """w = m + kappa (q - m) about the mean m of the ratios q, not below `config.clamp`."""
    mean = sum(ratios.values()) / len(ratios)
    weights = {task: mean + config.kappa * (ratio - mean) for task, ratio in ratios.items()}
    if config.clamp is None:
        return weights
    return {task: max(weight, config.clamp) for task, weight in weights.items()}

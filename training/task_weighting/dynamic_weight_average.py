"""Dynamic weight average (Liu, Johns and Davison, CVPR 2019, equation 7): slowly falling losses get more weight."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from training.task_weighting.epoch_weights import EpochWeights


@dataclass(frozen=True, kw_only=True)
class DynamicWeightAverageConfig:
    """temperature: 2 in the paper; the larger, the more equal the weights."""

    kind: Literal["dwa"] = "dwa"
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature: expected a positive number, found {self.temperature}")


class DynamicWeightAverage(EpochWeights):
    """Weights from the ratio of the two last epochs' mean losses; see `TaskWeighting`.

    With L_k the epoch's mean loss of task k: r_k = L_k / (L_k one epoch before), and in the next epoch
    w_k = K exp(r_k / T) / sum_i exp(r_i / T). The weights sum to K; in the first two epochs all are 1.
    """

    name = "dynamic weight average"

    def __init__(self, config: DynamicWeightAverageConfig, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.config = config

    def next_weights(self, means: Mapping[str, float], previous: Mapping[str, float]) -> dict[str, float]:
        if not previous:
            return self.weights()
        scaled = {task: means[task] / previous[task] / self.config.temperature for task in self.tasks}
        largest = max(scaled.values())  # keeps the exponentials finite; cancels in the quotient
        shares = {task: math.exp(value - largest) for task, value in scaled.items()}
        whole = sum(shares.values())
        return {task: len(self.tasks) * share / whole for task, share in shares.items()}

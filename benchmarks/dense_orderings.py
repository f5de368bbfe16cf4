"""Delta_m of the compared dense networks, and which orderings of the papers they show.

Delta_m of a seed is taken against the means of the single-task networks over their seeds, so that its spread is the
network's own; the spread of the single-task row says how far the reference itself moves.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from training.metrics.delta_m import delta_m

SINGLE = "single-task"
"""The row made of one network per task."""
SINGLE_RECIPES = {
    "segmentation": "rooms_single_segmentation",
    "depth": "rooms_single_depth",
    "normals": "rooms_single_normals",
}
METRICS = {"segmentation": "segmentation/miou", "depth": "depth/rmse", "normals": "normals/mean"}

Values = Mapping[str, Mapping[int, Mapping[str, float]]]
"""Row, seed, task -> its metric of METRICS."""
Gains = dict[str, dict[int, float]]
"""Row, seed -> delta_m in per cent."""


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """delta_m of `better` lies above that of `worse`; `published` is where that comes from."""

    better: str
    worse: str
    published: str

    @property
    def name(self) -> str:
        return f"{self.better} > {self.worse}"


MTI_TABLE = "MTI-Net, NYUD-v2"
MTI_SCALES = "MTI-Net, NYUD-v2, scales"
PARTS = "the paper's reason for the part; its tables were not available"
ORDERINGS = (
    Ordering(better=SINGLE, worse="rooms_shared", published=f"{MTI_TABLE}: 0 > -1.71"),
    Ordering(better="rooms_pad_net", worse="rooms_shared", published=f"{MTI_TABLE}: -0.02 > -1.71"),
    Ordering(better=SINGLE, worse="rooms_pad_net", published=f"{MTI_TABLE}: 0 > -0.02"),
    Ordering(better="rooms_mti_net_without_fpm", worse="rooms_pad_net", published=f"{MTI_TABLE}: +3.85 > -0.02"),
    Ordering(better="rooms_mti_net", worse="rooms_mti_net_without_fpm", published=f"{MTI_TABLE}: +6.40 > +3.85"),
    Ordering(better="rooms_mti_net", worse=SINGLE, published=f"{MTI_TABLE}: +6.40 > 0"),
    Ordering(better="rooms_mti_net_scales_2", worse="rooms_mti_net_scales_1", published=f"{MTI_SCALES}: +3.80 > -0.02"),
    Ordering(better="rooms_mti_net_scales_3", worse="rooms_mti_net_scales_2", published=f"{MTI_SCALES}: +5.53 > +3.80"),
    Ordering(better="rooms_mti_net", worse="rooms_mti_net_scales_3", published=f"{MTI_SCALES}: +6.40 > +5.53"),
    Ordering(better="rooms_mt_cp_lps", worse="rooms_mti_net", published="MT-CP: said to be the best of its time"),
    Ordering(better="rooms_mt_cp_lps", worse=SINGLE, published="MT-CP: said to be the best of its time"),
    Ordering(better="rooms_mt_cp", worse="rooms_mt_cp_without_trace_back", published=PARTS),
    Ordering(better="rooms_mt_cp", worse="rooms_mt_cp_without_coherence", published=PARTS),
    Ordering(better="rooms_mt_cp_lps", worse="rooms_mt_cp", published=PARTS),
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """In how many of the seeds that both rows have an ordering holds, and by how much: mean and standard deviation of
    the difference in points of delta_m (nan without a seed, and for the deviation of one)."""

    holds: int
    seeds: int
    margin: float
    deviation: float

    def text(self) -> str:
        """As in "2 of 3", or a dash where no seed has both."""
        return f"{self.holds} of {self.seeds}" if self.seeds else "–"


def single_task_values(metrics: Mapping[str, Mapping[int, Mapping[str, float]]]) -> dict[int, dict[str, float]]:
    """Per seed the metrics of the three single-task recipes as one network's; seeds that all three have."""
    runs = {task: metrics.get(recipe, {}) for task, recipe in SINGLE_RECIPES.items()}
    seeds = set.intersection(*(set(found) for found in runs.values()))
    return {seed: {task: found[seed][METRICS[task]] for task, found in runs.items()} for seed in sorted(seeds)}


def gains(values: Values) -> Gains:
    """delta_m of every row and seed; nothing while the single-task row has no seed."""
    single = values.get(SINGLE, {})
    if not single:
        return {}
    reference = {task: sum(found[task] for found in single.values()) / len(single) for task in METRICS}
    return {row: {seed: delta_m(found, reference) for seed, found in seeds.items()} for row, seeds in values.items()}


def judge(ordering: Ordering, gained: Gains) -> Verdict:
    """What the seeds say about an ordering."""
    better, worse = gained.get(ordering.better, {}), gained.get(ordering.worse, {})
    margins = [better[seed] - worse[seed] for seed in sorted(better.keys() & worse.keys())]
    mean, deviation = mean_and_deviation(margins)
    return Verdict(holds=sum(m > 0 for m in margins), seeds=len(margins), margin=mean, deviation=deviation)


def mean_and_deviation(values: list[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; nan where there are too few values."""
    if not values:
        return math.nan, math.nan
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))

"""Errors planted in the labels of a training set, to measure methods that ought to withstand or find them.

Which samples are bad, and how, follows from the seed and the sample's index alone (a swapped map's origin also from the
number of samples), whoever reads them and in which order. Validation sets stay clean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch

from training.prefetch import Batch

NoisyTask = Literal["depth", "segmentation"]
STREAMS: dict[NoisyTask, int] = {"depth": 1, "segmentation": 2}
"""Each task draws from numbers of its own, so that one task's errors do not depend on the other's."""


@dataclass(frozen=True, kw_only=True)
class LabelNoiseConfig:
    """depth: share of the depth maps that are multiplied by `depth_factor`. segmentation: share of the label maps that
    are those of another image. Edges that are derived from labels follow them."""

    depth: float = 0.0
    depth_factor: float = 2.0
    segmentation: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.depth <= 1 and 0 <= self.segmentation <= 1):
            raise ValueError(f"depth, segmentation: expected shares in 0..1, found {self.depth}, {self.segmentation}")
        if self.depth_factor <= 0 or self.depth_factor == 1:
            raise ValueError(f"depth_factor: expected a positive factor other than 1, found {self.depth_factor}")

    def tasks(self) -> tuple[NoisyTask, ...]:
        """Those with errors."""
        return tuple(task for task in STREAMS if getattr(self, task) > 0)


class ReadsBatches(Protocol):
    """`training.datasets.read_batch` of a data set."""

    def __call__(self, indices: Sequence[int], step: int = 0) -> Batch: ...


def is_bad(config: LabelNoiseConfig, task: NoisyTask, index: int) -> bool:
    """Whether this sample's label of the task is wrong."""
    return bool(_draws(config, task, index)[0] < getattr(config, task))


def bad_samples(config: LabelNoiseConfig, count: int) -> dict[NoisyTask, list[int]]:
    """The wrong samples of a set of `count`, by task."""
    return {task: [index for index in range(count) if is_bad(config, task, index)] for task in config.tasks()}


def origin(config: LabelNoiseConfig, index: int, count: int) -> int:
    """The other image, of `count`, whose label map a bad sample gets."""
    return (index + 1 + int(_draws(config, "segmentation", index)[1] * (count - 1))) % count


class NoisyLabels:
    """A training set with planted errors: batches as `read` gives them, but for the bad labels."""

    def __init__(self, config: LabelNoiseConfig, read: ReadsBatches, count: int, shard_size: int) -> None:
        if config.segmentation > 0 and count < 2:
            raise ValueError(f"count: expected at least 2 samples to exchange label maps between, found {count}")
        self.config, self.count, self.shard_size = config, count, shard_size
        self._read = read

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int], step: int = 0) -> Batch:
        """The samples of these indices. Raises ValueError for data without the labels that ought to be wrong."""
        batch = self._read(indices, step)
        if self.config.depth > 0:
            depth = _of(batch, "depth")
            factors = [self.config.depth_factor if is_bad(self.config, "depth", index) else 1.0 for index in indices]
            batch["depth"] = depth * torch.tensor(factors, device=depth.device).view(-1, 1, 1)
        bad = [place for place, index in enumerate(indices) if is_bad(self.config, "segmentation", index)]
        if bad:
            name = "label" if "label" in batch else "segmentation"
            others = self._read([origin(self.config, indices[place], self.count) for place in bad], step)
            label = _of(batch, name).clone()
            if others[name].shape[1:] != label.shape[1:]:
                raise ValueError(f"label_noise: expected label maps of one size, found {tuple(others[name].shape[1:])}")
            label[bad] = others[name]
            batch[name] = label
        return batch


def _of(batch: Batch, name: str) -> Any:
    if name not in batch:
        raise ValueError(f"label_noise: expected labels {name!r} in the data, found {sorted(batch)}")
    return batch[name]


def _draws(config: LabelNoiseConfig, task: NoisyTask, index: int) -> "np.ndarray":
    return np.random.default_rng([config.seed, STREAMS[task], index]).random(2)

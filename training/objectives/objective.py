"""What the training loop asks of an objective.

An objective turns samples into inputs, judges a network's answer and draws it. It never calls backward and never
steps; all randomness comes from the generator that the loop derives from seed and step. The only state that it keeps
between steps is that of its weighting, where it has one (see `WeighsTasks`).
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

Batch = dict[str, Tensor]
Pictures = dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"]


class Objective(Protocol):
    """One training task.

    best_metric: key of `evaluate`'s answer that chooses the best checkpoint; best_is_lower says which way.
    """

    best_metric: str
    best_is_lower: bool

    def to(self, device: torch.device) -> None:
        """Moves auxiliary networks and constants."""

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalar loss terms of one training batch; "total" is the one to minimise."""

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Metrics of a network in evaluation mode over a validation set."""

    def images(self, model: nn.Module, batch: Batch) -> Pictures:
        """Sheets to look at, HxWx3 uint8, by name."""


class SplitLoss(NamedTuple):
    """One pass's loss, task by task."""

    by_task: dict[str, Tensor]
    """What each task adds to the total: weighted, its maps inside the network included."""
    terms: dict[str, Tensor]
    """Unweighted scalar terms for the log, and "total"."""


@runtime_checkable
class SplitsTasks(Protocol):
    """An objective whose total is a sum over tasks: what methods need that look at each task's gradient."""

    def prepare(self, batch: Batch, generator: torch.Generator) -> Any:
        """The batch as passes take it, augmented."""

    def split_loss(self, model: nn.Module, prepared: Any) -> SplitLoss:
        """The loss of one pass over what `prepare` answered, of the tasks that the model answers."""

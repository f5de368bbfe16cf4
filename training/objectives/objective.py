"""What the training loop asks of an objective.

An objective turns samples into inputs, judges a network's answer and draws it. It never calls backward, never steps
and keeps no state between steps: all randomness comes from the generator that the loop derives from seed and step.
"""

from collections.abc import Iterable
from typing import Protocol

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

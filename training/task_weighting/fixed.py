"""Weights that never change: all equal, or one number for each task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class EqualConfig:
    """Every task counts 1."""

    kind: Literal["equal"] = "equal"


@dataclass(frozen=True, kw_only=True)
class FixedConfig:
    """One weight for each task; the defaults are those of MTI-Net (ECCV 2020) and the work that followed it."""

    kind: Literal["fixed"] = "fixed"
    segmentation: float = 1.0
    parts: float = 2.0
    depth: float = 1.0
    normals: float = 10.0
    saliency: float = 5.0
    edges: float = 50.0

    def weights(self) -> dict[str, float]:
        """By task name."""
        names = ("segmentation", "parts", "depth", "normals", "saliency", "edges")
        return {name: getattr(self, name) for name in names}


class FixedWeights:
    """The sum of weight times loss; see `TaskWeighting`. A task that `weights` does not name counts 1."""

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self._weights = dict(weights or {})

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Sum of weight times loss."""
        return weighted_sum(losses, self._weights)

    def weights(self) -> dict[str, float]:
        """As given."""
        return dict(self._weights)

    def observe(self, losses: Mapping[str, float]) -> None:
        """Nothing to learn."""

    def end_epoch(self) -> None:
        """Nothing to update."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError for the state of another method."""
        if state:
            raise ValueError(f"state: expected none for fixed weights, found {sorted(state)}")


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Sum of weight times loss; a task without a weight counts 1. Raises ValueError when there is no loss."""
    if not losses:
        raise ValueError("losses: expected at least one task, found none")
    return torch.stack([weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()

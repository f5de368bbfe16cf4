"""Exponential moving average of a network's weights (Polyak and Juditsky 1992, with the usual warm-up)."""

import copy

import torch
from torch import Tensor, nn


class MovingAverage:
    """A copy of a network whose weights follow it slowly; running statistics are averaged, counters copied.

    The decay of update n (from 0) is min(decay, (1 + n) / (10 + n)), so that early weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay: expected a share in (0, 1), found {decay}")
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        pairs = list(zip(self.model.state_dict().values(), model.state_dict().values(), strict=True))
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Takes in the network's present weights after update number `updates`, counted from 0."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        own: list[Tensor] = [pair[0] for pair in self._averaged]
        torch._foreach_lerp_(own, [pair[1] for pair in self._averaged], 1 - decay)
        for mine, theirs in self._copied:
            mine.copy_(theirs)

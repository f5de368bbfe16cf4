"""Random scalars for one scene, all from one seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch

T = TypeVar("T")

_BLOCK = 4096
_MIX = 0x9E3779B97F4A7C15


class Draw:
    """A stream of random scalars from a `torch.Generator` on the CPU.

    Scalars are drawn in blocks, because one tensor call per scalar would cost more than the scene itself.
    Two streams with the same `seed` and `stream` give the same values on every machine. Seeds count modulo 2**32, as
    the generator takes no more.
    """

    def __init__(self, seed: int, stream: int = 0) -> None:
        if seed < 0:
            raise ValueError(f"seed: expected a number >= 0, found {seed}")
        mixed = (seed * 1_000_003 + stream + 1) * _MIX % (1 << 63)
        self.generator = torch.Generator().manual_seed(mixed)
        self._values: list[float] = []
        self._next = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A float in [low, high)."""
        if self._next == len(self._values):
            self._values = torch.rand(_BLOCK, generator=self.generator).tolist()
            self._next = 0
        value = self._values[self._next]
        self._next += 1
        return low + (high - low) * value

    def normal(self, mean: float = 0.0, deviation: float = 1.0, limit: float = 3.0) -> float:
        """A normal value, cut at `limit` deviations."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform() * 0.999999))
        value = radius * math.cos(2.0 * math.pi * self.uniform())
        return mean + deviation * max(-limit, min(limit, value))

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high], both ends included."""
        return low + min(int(self.uniform() * (high - low + 1)), high - low)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.uniform() < probability

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, all equally likely."""
        return items[self.integer(0, len(items) - 1)]

    def weighted(self, items: Sequence[tuple[T, float]]) -> T:
        """One of the (item, weight) pairs' items, in proportion to its weight."""
        mark = self.uniform() * sum(weight for _, weight in items)
        for item, weight in items:
            mark -= weight
            if mark < 0:
                return item
        return items[-1][0]

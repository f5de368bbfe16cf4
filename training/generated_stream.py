"""Generated samples that are rendered when they are wanted and never seen twice: for a device faster than its training.

A cache repeats its samples every epoch; a stream gives step n the samples n * batch_size ..., rendered on the training
device, in the same values that a cache of that seed would hold, 8 bits of colour included.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from training.data.pairs import PairConfig, render_pairs
from training.data.rooms import RoomConfig, render_rooms
from training.data.shards import CODES, SEEDS_PER_SET
from training.prefetch import Batch


class GeneratedStream:
    """Samples 0, 1, ... of one source, configuration and seed.

    count: samples that count as an epoch, for schedules that know epochs; nothing repeats after it.
    """

    shard_size = 1

    def __init__(
        self, config: RoomConfig | PairConfig, seed: int, count: int, device: torch.device | str = "cpu"
    ) -> None:
        self.source = "rooms" if isinstance(config, RoomConfig) else "pairs"
        self.config, self.seed, self.count, self.device = config, seed, count, device

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples of these numbers on the stream's device, in the form of `training.datasets.read_batch`.

        Raises IndexError for a number outside the seed's own range of ten million.
        """
        if not indices or min(indices) < 0 or max(indices) >= SEEDS_PER_SET:
            raise IndexError(f"indices: expected numbers in 0..{SEEDS_PER_SET - 1}, found {list(indices)[:4]}")
        render: Callable[..., Any] = render_rooms if self.source == "rooms" else render_pairs
        rendered = render([self.seed * SEEDS_PER_SET + index for index in indices], self.config, self.device)
        batch: dict[str, Tensor] = {}
        for field, value in rendered._asdict().items():
            name = field.rsplit("_", 1)[0]
            code = CODES[self.source][name]
            batch[name] = code.decode(code.encode(value))
        return {**batch, "index": torch.tensor(list(indices))}

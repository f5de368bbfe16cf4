"""Generated samples that are rendered when they are wanted and never seen twice: for a device faster than its training.

A cache repeats its samples every epoch; a stream gives step n the samples n * batch_size ..., rendered on the training
device, in the same values that a cache of that seed would hold, 8 bits of colour included. Rooms are furnished by other
processes meanwhile: that takes about 20 ms of a CPU each, during which a GPU could render several.
"""

import pickle
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor

from training.data.pairs import PairConfig, render_pairs
from training.data.rooms import RoomConfig, Shot, render_shots, sample_shot
from training.data.shards import CODES, SEEDS_PER_SET
from training.prefetch import Batch

AHEAD = 3
"""Steps whose scenes are built before they are wanted."""


class GeneratedStream:
    """Samples 0, 1, ... of one source, configuration and seed.

    count: samples that count as an epoch, for schedules that know epochs; nothing repeats after it. workers: processes
    that furnish rooms, 0 for none.
    """

    shard_size = 1

    def __init__(
        self,
        config: RoomConfig | PairConfig,
        seed: int,
        count: int,
        device: torch.device | str = "cpu",
        workers: int = 0,
    ) -> None:
        self.source = "rooms" if isinstance(config, RoomConfig) else "pairs"
        self.config, self.seed, self.count, self.device = config, seed, count, device
        self._built: dict[int, Future[bytes]] = {}
        self._pool = None
        if workers and self.source == "rooms":
            context = get_context("spawn")  # torch's threads do not survive a fork
            self._pool = ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,))

    def __len__(self) -> int:
        return self.count

    def prepare(self, indices: Sequence[int]) -> None:
        """Has the scenes of these numbers built by the workers, if there are any, until `batch` asks for them."""
        if self._pool is None or not isinstance(self.config, RoomConfig):
            return
        for index in indices:
            if index not in self._built:
                self._built[index] = self._pool.submit(_built_shot, self._sample_seed(index), self.config)

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples of these numbers on the stream's device, in the form of `training.datasets.read_batch`.

        Raises IndexError for a number outside the seed's own range of ten million.
        """
        if not indices or min(indices) < 0 or max(indices) >= SEEDS_PER_SET:
            raise IndexError(f"indices: expected numbers in 0..{SEEDS_PER_SET - 1}, found {list(indices)[:4]}")
        if isinstance(self.config, RoomConfig):
            rendered: Any = render_shots([self._shot(index) for index in indices], self.config, self.device)
        else:
            rendered = render_pairs([self._sample_seed(index) for index in indices], self.config, self.device)
        batch: dict[str, Tensor] = {}
        for field, value in rendered._asdict().items():
            name = field.rsplit("_", 1)[0]
            code = CODES[self.source][name]
            batch[name] = code.decode(code.encode(value))
        return {**batch, "index": torch.tensor(list(indices))}

    def _sample_seed(self, index: int) -> int:
        return self.seed * SEEDS_PER_SET + index

    def _shot(self, index: int) -> Shot:
        assert isinstance(self.config, RoomConfig)  # pairs are not built apart
        future = self._built.pop(index, None)
        return sample_shot(self._sample_seed(index), self.config) if future is None else pickle.loads(future.result())


def _built_shot(seed: int, config: RoomConfig) -> bytes:
    """A worker's answer as bytes: torch's own way of handing tensors over keeps a file open for each of them."""
    return pickle.dumps(sample_shot(seed, config))

"""Which samples make up step number n: a pure function, so that the data position of a run is its step."""

import torch


class EpochOrder:
    """A deterministic permutation per epoch that keeps reads local.

    Shards are permuted, put in groups of `group` shards, and the samples of a group are permuted together. Epochs
    follow each other without a gap: a batch may hold the end of one and the beginning of the next.
    """

    def __init__(self, count: int, batch_size: int, *, seed: int, shard_size: int = 64, group: int = 8) -> None:
        for name, value in (("count", count), ("batch_size", batch_size), ("shard_size", shard_size), ("group", group)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, found {value}")
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.shard_size, self.group = shard_size, group
        self._epoch = -1
        self._order: list[int] = []

    def indices(self, step: int) -> list[int]:
        """The `batch_size` sample indices of `step`, counted from 0."""
        first = step * self.batch_size
        return [self._permutation(k // self.count)[k % self.count] for k in range(first, first + self.batch_size)]

    def epoch(self, step: int) -> int:
        """The epoch, from 0, that the first sample of `step` belongs to."""
        return step * self.batch_size // self.count

    def epochs(self, steps: int) -> int:
        """How many epochs `steps` begin."""
        return -(-steps * self.batch_size // self.count)

    def _permutation(self, epoch: int) -> list[int]:
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
            starts = range(0, self.count, self.shard_size)
            shards = torch.randperm(len(starts), generator=generator).tolist()
            order: list[int] = []
            for first in range(0, len(shards), self.group):
                pool = [
                    index
                    for shard in shards[first : first + self.group]
                    for index in range(starts[shard], min(starts[shard] + self.shard_size, self.count))
                ]
                order += [pool[k] for k in torch.randperm(len(pool), generator=generator).tolist()]
            self._epoch, self._order = epoch, order
        return self._order

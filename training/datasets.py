"""Which generated data a recipe trains and validates on, and where its cache lies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open

from training.data.pairs import PairConfig
from training.data.rooms import RoomConfig
from training.data.shards import CODES, ShardedDataset
from training.prefetch import Batch

Split = Literal["train", "validation"]
DEFAULT_ROOT = Path("artifacts/data")
VALIDATION_SEED_OFFSET = 1_000


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """A generated set: `source` and its configuration, how many samples, and the seed that they follow from.

    name: folder of the cache under the data root; the validation set lies in `<name>_validation` and uses another seed.
    """

    source: Literal["rooms", "pairs"]
    name: str
    config: RoomConfig | PairConfig
    count: int
    validation_count: int
    seed: int = 1
    shard_size: int = 64


def open_dataset(data: DataRecipe, root: Path, split: Split) -> ShardedDataset:
    """The cached set of one split; samples that are not cached yet are generated when they are asked for."""
    training = split == "train"
    return ShardedDataset(
        root / (data.name if training else f"{data.name}_validation"),
        data.source,
        data.count if training else data.validation_count,
        data.config,
        data.seed if training else data.seed + VALIDATION_SEED_OFFSET,
        data.shard_size,
    )


def read_batch(dataset: ShardedDataset, indices: Sequence[int]) -> Batch:
    """The samples of a cache as one batch, decoded together: several times faster than one by one.

    The same values as `dataset[i]`, but for normals, which keep the length that their 8 bits give them (within 1 %).
    Raises IndexError for an index outside the set.
    """
    codes = CODES[dataset.source]
    stored: dict[str, list[torch.Tensor]] = {name: [] for name in codes}
    for index in indices:
        if not 0 <= index < len(dataset):
            raise IndexError(f"index: expected 0..{len(dataset) - 1}, found {index}")
        shard, row = divmod(index, dataset.shard_size)
        dataset.ensure_shard(shard)
        with safe_open(str(dataset.shard_path(shard)), framework="pt") as file:
            for name, values in stored.items():
                values.append(file.get_slice(name)[row])
    batch = {name: code.decode(torch.stack(stored[name])) for name, code in codes.items()}
    return {**batch, "index": torch.tensor(list(indices))}


def in_order(dataset: ShardedDataset, batch_size: int, count: int | None = None) -> Iterator[Batch]:
    """The first `count` samples in their order, in batches of at most `batch_size`."""
    count = len(dataset) if count is None else min(count, len(dataset))
    for first in range(0, count, batch_size):
        yield read_batch(dataset, range(first, min(first + batch_size, count)))

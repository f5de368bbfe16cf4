"""Which data a recipe trains and validates on, and where it lies: generated sets in a cache, public sets on disk."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

import torch
from safetensors import safe_open
from torch import Tensor

from training.data.pairs import PairConfig
from training.data.rooms import RoomConfig
from training.data.shards import CODES, ShardedDataset
from training.epoch_order import EpochOrder
from training.folder_dataset import FolderConfig, FolderDataset, open_folder_dataset, stacked
from training.generated_stream import AHEAD, GeneratedStream
from training.label_noise import LabelNoiseConfig, NoisyLabels
from training.pair_folder_dataset import PairFolderConfig, PairFolderDataset, open_pair_folder
from training.prefetch import Batch
from training.readers.pair_build import PAIR_LAYOUTS, PairLayout
from training.readers.reader import Split

GENERATED = ("rooms", "pairs")
DEFAULT_ROOT = Path("artifacts/data")
VALIDATION_SEED_OFFSET = 1_000

AnyDataset = ShardedDataset | FolderDataset | PairFolderDataset
TrainingData = AnyDataset | GeneratedStream | NoisyLabels


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """A set of samples: `source` and its configuration, how many samples, and the seed that they follow from.

    Generated sources ("rooms", "pairs"): name is the folder of the cache under the data root; the validation set lies
    in `<name>_validation` and uses another seed; both counts are needed.
    Sources on disk ("udis" and "middlebury" hold pairs): config says where and what; the counts limit the samples of
    the published splits, None for all; the seed is that of the augmentation.
    label_noise: errors to plant in the labels of the training set; None for none.
    """

    source: Literal["rooms", "pairs", "nyud", "pascal_context", "cityscapes", "mtan", "udis", "middlebury"]
    name: str
    config: RoomConfig | PairConfig | FolderConfig | PairFolderConfig
    count: int | None = None
    validation_count: int | None = None
    seed: int = 1
    shard_size: int = 64
    stream: bool = False
    label_noise: LabelNoiseConfig | None = None

    def __post_init__(self) -> None:
        generated = self.source in GENERATED
        holds_pairs = self.source in PAIR_LAYOUTS
        fit = RoomConfig | PairConfig if generated else PairFolderConfig if holds_pairs else FolderConfig
        if not isinstance(self.config, fit):
            raise ValueError(f"config: unfit for the source {self.source!r}, found {type(self.config).__name__}")
        if generated and (self.count is None or self.validation_count is None):
            raise ValueError(f"count, validation_count: expected numbers for the source {self.source!r}, found None")
        if self.stream and not generated:
            raise ValueError(f"stream: expected a generated source, found {self.source!r}")
        if self.label_noise is not None and (self.stream or self.source in ("pairs", *PAIR_LAYOUTS)):
            raise ValueError("label_noise: expected a set of labelled images that repeat, found a stream or pairs")


def open_dataset(data: DataRecipe, root: Path, split: Split, *, augmented: bool = True) -> AnyDataset:
    """One split, clean; training samples of a public set as in validation unless `augmented`.

    Generated samples that are not cached yet are made when they are asked for; for a public set, `root` is the folder
    that its own folder lies in. Raises ValueError for a folder that holds something else.
    """
    training = split == "train"
    count = data.count if training else data.validation_count
    if isinstance(data.config, FolderConfig):
        return open_folder_dataset(
            data.source, data.config, root, split, count=count, seed=data.seed, augmented=augmented
        )
    if isinstance(data.config, PairFolderConfig):
        layout = cast(PairLayout, data.source)
        return open_pair_folder(layout, data.config, root, split, count=count, seed=data.seed, augmented=augmented)
    assert count is not None  # checked by the recipe
    return ShardedDataset(
        root / (data.name if training else f"{data.name}_validation"),
        data.source,
        count,
        data.config,
        data.seed if training else data.seed + VALIDATION_SEED_OFFSET,
        data.shard_size,
    )


def open_training(data: DataRecipe, root: Path, device: torch.device | str) -> TrainingData:
    """The training split, with planted errors or as a stream of fresh samples on `device` where the recipe says so.

    Beside a GPU up to 8 processes build the stream's scenes; on a CPU they would only take the cores from rendering.
    """
    if data.stream:
        assert isinstance(data.config, RoomConfig | PairConfig)  # checked by the recipe, as is the count
        assert data.count is not None
        cores = len(os.sched_getaffinity(0))
        workers = min(8, cores - 1) if torch.device(device).type == "cuda" else 0
        return GeneratedStream(data.config, data.seed, data.count, device, workers)
    dataset = open_dataset(data, root, "train")
    if data.label_noise is not None:
        return NoisyLabels(data.label_noise, partial(read_batch, dataset), len(dataset), dataset.shard_size)
    return dataset


def step_reader(dataset: TrainingData, order: EpochOrder, share: slice) -> Callable[[int], Batch]:
    """A function from a step to its batch; `share` chooses this process's samples out of it."""
    if isinstance(dataset, NoisyLabels):
        noisy = dataset
        return lambda step: noisy.batch(order.indices(step)[share], step)
    if not isinstance(dataset, GeneratedStream):
        cached = dataset
        return lambda step: read_batch(cached, order.indices(step)[share], step)
    size, stream = order.batch_size, dataset

    def read(step: int) -> Batch:
        for later in range(step, step + AHEAD + 1):
            stream.prepare(range(later * size, (later + 1) * size)[share])
        return stream.batch(range(step * size, (step + 1) * size)[share])

    return read


def read_batch(dataset: AnyDataset, indices: Sequence[int], step: int = 0) -> Batch:
    """The samples of a set as one batch. Raises IndexError for an index outside the set.

    Of a cache, decoded together: several times faster than one by one, the same values as `dataset[i]`, but for
    normals, which keep the length that their 8 bits give them (within 1 %). Of a public set, augmented by a generator
    that follows from the set's seed, `step` and the index.
    """
    if isinstance(dataset, FolderDataset | PairFolderDataset):
        return dataset.batch(indices, step)
    codes = CODES[dataset.source]
    stored: dict[str, list[Tensor]] = {name: [] for name in codes}
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


def in_order(dataset: AnyDataset, batch_size: int, count: int | None = None) -> Iterator[Batch]:
    """The first `count` samples in their order, in batches of at most `batch_size`.

    A batch ends early where the next sample has other sizes, so that every sample is scored at its native size; then
    labels may be larger or smaller than the image.
    """
    count = len(dataset) if count is None else min(count, len(dataset))
    if isinstance(dataset, FolderDataset | PairFolderDataset):
        yield from _of_one_size(dataset, batch_size, count)
        return
    for first in range(0, count, batch_size):
        yield read_batch(dataset, range(first, min(first + batch_size, count)))


def _of_one_size(dataset: FolderDataset | PairFolderDataset, batch_size: int, count: int) -> Iterator[Batch]:
    pending: list[Batch] = []
    for index in range(count):
        sample = dataset.sample(index)
        if pending and (len(pending) == batch_size or _shapes(pending[0]) != _shapes(sample)):
            yield stacked(pending)
            pending = []
        pending.append(sample)
    if pending:
        yield stacked(pending)


def _shapes(sample: Batch) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in sample.items()}

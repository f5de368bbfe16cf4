"""A public data set on disk as samples for the training loop: a reader, the wanted labels, and a pipeline."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch
from torch import Tensor

from models.tasks import TaskName
from training.pipelines import Pipeline, evaluation_sample, training_sample
from training.readers.build import DatasetName, open_reader
from training.readers.cache import DEFAULT_CACHE
from training.readers.reader import Arrays, DepthUnit, Reader, Split, require_tasks

READING_THREADS = min(8, os.cpu_count() or 1)
"""Decoding and warping run outside the interpreter's lock, so threads share the work."""


@dataclass(frozen=True, kw_only=True)
class FolderConfig:
    """What is read from a data set on disk.

    root: its folder, absolute or below the folder that the command line calls --data-root. tasks: the labels to read.
    pipeline: augmentation, sizes and test protocol. classes: size of the label set where the data offer several
    (Cityscapes 19 or 7, MTAN arrays); None for the usual one. normal_signs: factors of (n_x, n_y, n_z) that turn the
    data set's normals into the wanted frame; (1, 1, 1) keeps them as they are. depth_unit: None for the layout's own;
    arrays without normals have the layout of MTAN's Cityscapes, whose depth is inverse, whatever is in them.
    """

    root: str
    tasks: tuple[TaskName, ...]
    pipeline: Pipeline
    classes: int | None = None
    normal_signs: tuple[int, int, int] = (1, 1, 1)
    depth_unit: DepthUnit | None = None

    def __post_init__(self) -> None:
        if any(sign not in (-1, 1) for sign in self.normal_signs):
            raise ValueError(f"normal_signs: expected three of 1 and -1, found {self.normal_signs}")
        if self.depth_unit is not None and self.depth_unit not in get_args(DepthUnit):
            raise ValueError(f"depth_unit: expected one of {get_args(DepthUnit)} or None, found {self.depth_unit!r}")

    @property
    def height(self) -> int:
        """Of the network's input."""
        return self.pipeline.size[0]

    @property
    def width(self) -> int:
        """Of the network's input."""
        return self.pipeline.size[1]


class FolderDataset:
    """One split of a data set on disk, augmented for training, or as the protocol scores it for validation.

    Samples are dicts of tensors: "image" float32 [3, H, W] in [0, 1]; "segmentation", "parts", "saliency", "edges"
    uint8 [h, w], 255 = ignore; "depth" float32 [h, w], 0 = invalid; "normals" float32 [3, h, w], zero = invalid;
    "index" int64, the place of the sample in the split's list. In training h, w = H, W = the pipeline's size; in
    validation under pipeline A the labels keep their native size. A training sample follows from (seed, step, index);
    with augmented=False it is made as one of validation.
    """

    shard_size = 1
    """Any order of the samples reads equally well."""

    def __init__(
        self,
        reader: Reader,
        split: Split,
        tasks: Sequence[str],
        pipeline: Pipeline,
        *,
        count: int | None = None,
        seed: int = 0,
        source: str | None = None,
        augmented: bool = True,
    ) -> None:
        require_tasks(tasks, reader)
        self.reader, self.split, self.tasks, self.pipeline = reader, split, tuple(tasks), pipeline
        self.seed, self.source = seed, source or reader.dataset
        self.names = reader.names(split)[:count]
        self._augmented = augmented and split == "train"
        self._threads = ThreadPoolExecutor(READING_THREADS, "reader")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def classes(self) -> int:
        """Of the segmentation."""
        return len(self.reader.class_names)

    def sample(self, index: int, step: int = 0) -> dict[str, Tensor]:
        """One sample. Raises IndexError for an index outside the set, DamagedFile for a damaged file."""
        if not 0 <= index < len(self):
            raise IndexError(f"index: expected 0..{len(self) - 1}, found {index}")
        arrays = self.reader.read(self.split, self.names[index], self.tasks)
        if self._augmented:
            generator = np.random.default_rng([self.seed, step, index])
            arrays = training_sample(self.pipeline, arrays, generator, self.reader.depth_unit)
        else:
            arrays = evaluation_sample(self.pipeline, arrays, self.reader.depth_unit)
        return {**_tensors(arrays), "index": torch.tensor(index)}

    def batch(self, indices: Sequence[int], step: int = 0) -> dict[str, Tensor]:
        """Several samples stacked, read by a few threads; they must have one size. See `sample`."""
        return stacked(list(self._threads.map(lambda index: self.sample(index, step), indices)))


def open_folder_dataset(
    source: str,
    config: FolderConfig,
    data_root: Path,
    split: Split,
    *,
    count: int | None = None,
    seed: int = 0,
    cache: Path = DEFAULT_CACHE,
    augmented: bool = True,
) -> FolderDataset:
    """The split of `source` in data_root / config.root. Raises ValueError for a folder that holds something else or
    lacks a wanted label."""
    folder = data_root / config.root
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected the folder of a data set, found none; --data-root is the one above it")
    reader = open_reader(cast(DatasetName, source), folder, classes=config.classes, cache=cache)
    reader.normal_signs = config.normal_signs
    if config.depth_unit is not None:
        reader.depth_unit = config.depth_unit
    return FolderDataset(
        reader, split, config.tasks, config.pipeline, count=count, seed=seed, source=source, augmented=augmented
    )


def stacked(samples: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """A batch of samples whose sizes agree."""
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


def _tensors(arrays: Arrays) -> dict[str, Tensor]:
    planes = (np.moveaxis(value, -1, 0) if value.ndim == 3 else value for value in arrays.values())
    return {name: torch.from_numpy(np.ascontiguousarray(plane)) for name, plane in zip(arrays, planes, strict=True)}

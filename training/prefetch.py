"""Batches read ahead by one thread, in the order of the steps."""

import queue
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

Batch = dict[str, Tensor]


class Samples(Protocol):
    """What training needs of a dataset."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Tensor]: ...


def collate(dataset: Samples, indices: Sequence[int]) -> Batch:
    """Stacks samples along a new first dimension; values that are not tensors are left out."""
    samples = [dataset[index] for index in indices]
    keys = [key for key, value in samples[0].items() if isinstance(value, Tensor)]
    return {key: torch.stack([sample[key] for sample in samples]) for key in keys}


def prefetched(
    dataset: Samples, steps: range, indices: Callable[[int], list[int]], ahead: int = 2
) -> Generator[Batch, None, None]:
    """Yields the batch of every step in order, reading up to `ahead` batches before they are asked for.

    An error while reading is raised at the step that needed the sample. Closing the iterator ends the thread.
    """
    results: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def put(item: Batch | BaseException) -> None:
        while not stopped.is_set():
            try:
                results.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def read() -> None:
        for step in steps:
            if stopped.is_set():
                return
            try:
                put(collate(dataset, indices(step)))
            except BaseException as error:  # handed to the consumer, which raises it
                put(error)
                return

    thread = threading.Thread(target=read, name="prefetch", daemon=True)
    thread.start()
    try:
        for _ in steps:
            item = results.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()

"""Batches read ahead by one thread, in the order of the steps."""

import queue
import threading
from collections.abc import Callable, Generator

from torch import Tensor

Batch = dict[str, Tensor]


def prefetched(steps: range, read_step: Callable[[int], Batch], ahead: int = 2) -> Generator[Batch, None, None]:
    """Yields `read_step(step)` of every step in order, up to `ahead` of them read before they are asked for.

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
                put(read_step(step))
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

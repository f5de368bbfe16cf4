"""One worker: three threads that read, compute and write, each at another item, with one item waiting between them.

Decoding, inference and encoding release Python's lock, so while one item computes, the next is fetched and the one
before is stored. At most five items are in memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

import cv2
from threadpoolctl import threadpool_limits

from service.batch.failures import Failure, ItemError, describe
from service.batch.items import Entry, Item, Refused
from service.batch.ledger import Ledger, Row
from service.batch.steps import Steps
from service.batch.storage import Store

OUTPUTS = "items"


@dataclass
class _Passing:
    """An item on its way: what the last step answered, or why it failed."""

    item: Item
    value: Any = None
    failure: Failure | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def step(self, name: str, work: Callable[[Any], Any]) -> None:
        """Run a step on the value, unless an earlier one failed."""
        if self.failure is not None:
            return
        began = time.perf_counter()
        try:
            self.value = work(self.value)
        except Exception as error:  # whatever it is, the other items go on
            self.failure, self.value = describe(error, self.item.id), None
        self.seconds[f"seconds_{name}"] = round(time.perf_counter() - began, 4)


def run_pipeline(
    items: Iterable[Item], steps: Steps, store: Store, names: tuple[str, ...], finished: Callable[[Item, Row], None]
) -> None:
    """Do all items, in order. `finished` is called from the writing thread with each item's row, recorded or not.

    names: of the inputs, for the row. Answers when everything is written.
    """
    writer_input: Queue[_Passing | None] = Queue(1)
    compute_input: Queue[_Passing | None] = Queue(1)
    ledger = Ledger(store)

    def read() -> None:
        try:
            for item in items:
                passing = _Passing(item, item)
                passing.step("read", steps.read)
                compute_input.put(passing)
        finally:
            compute_input.put(None)

    def write() -> None:
        while (passing := writer_input.get()) is not None:
            finished(passing.item, _store(passing, steps, store, ledger, names))
            del passing  # before waiting for the next one, which may take long

    limit_threads()
    threads = [threading.Thread(target=target, daemon=True) for target in (read, write)]
    for thread in threads:
        thread.start()
    while (passing := compute_input.get()) is not None:
        cv2.setRNGSeed(0)
        passing.step("compute", steps.compute)
        writer_input.put(passing)
        del passing
    writer_input.put(None)
    for thread in threads:
        thread.join()


def limit_threads() -> None:
    """One thread for OpenCV and for NumPy's matrix library in this process.

    There is a worker per core; and results may depend on how these libraries divide their work, but not on the workers.
    """
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")


def failed_row(entry: Entry, names: tuple[str, ...], failure: Failure) -> Row:
    """The row of something that has no result."""
    return _head(entry, names) | {"status": "failed", "code": failure.code, "message": failure.message}


def refused_row(entry: Refused, names: tuple[str, ...]) -> Row:
    return failed_row(entry, names, Failure(code=entry.code, message=entry.message))


def _head(entry: Entry, names: tuple[str, ...]) -> Row:
    return {"id": entry.id, **dict(zip(names, entry.inputs, strict=False))}


def _store(passing: _Passing, steps: Steps, store: Store, ledger: Ledger, names: tuple[str, ...]) -> Row:
    """Write outputs, then the row; the row as it is, also where it could not be recorded."""
    item, folder = passing.item, f"{OUTPUTS}/{passing.item.folder}"
    written: list[str] = []
    row = _head(item, names)

    def write(value: Any) -> None:
        store.sweep(folder)
        row.update(steps.facts(value))
        for name, data in steps.files(value):
            written.append(f"{folder}/{name}")
            store.write(written[-1], data)

    passing.step("write", write)
    if passing.failure is None:
        row |= {"status": "ok", "folder": folder, **passing.seconds}
        passing.failure = _record(ledger, item, row)
        if passing.failure is None:
            return row
        # The outputs stay: a store may have kept the row although it reported an error.
    else:
        for name in written:
            store.remove(name)
    row = failed_row(item, names, passing.failure) | passing.seconds
    _record(ledger, item, row)
    return row


def _record(ledger: Ledger, item: Item, row: Row) -> Failure | None:
    try:
        ledger.record(item, row)
    except ItemError as error:
        return describe(error, item.id)
    return None

"""The embedded engine: a pool of processes on this machine, each with its models loaded once.

A worker that is killed, by the system for want of memory for example, takes at most the items with it that it had in
hand. They are given to its successor one at a time, so that the one at fault is found, recorded and left.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from service.batch.failures import BatchError, Failure, ItemError
from service.batch.items import Item
from service.batch.ledger import Ledger, Row
from service.batch.pipeline import failed_row, run_pipeline
from service.batch.steps import Task
from service.batch.storage import Store
from service.bundle import BundleError
from service.errors import PolyviewError

# One item being read, one computed, one written.
IN_HAND = 3
MOST_FAILED_STARTS = 3
CONTEXT = multiprocessing.get_context("spawn")


def run_here(items: Iterator[Item], task: Task, store_url: str, stop: threading.Event) -> Iterator[tuple[Item, Row]]:
    """The whole batch in this process, an item at a time: to debug, and to compare with."""
    steps, store = task.open(), Store(store_url, task.patience)
    for item in items:
        if stop.is_set():
            return
        rows: list[Row] = []

        def finished(item: Item, row: Row, rows: list[Row] = rows) -> None:
            rows.append(row)

        run_pipeline([item], steps, store, task.inputs, finished)
        yield item, rows[0]


def run_pool(
    items: Iterator[Item], task: Task, store_url: str, stop: threading.Event, workers: int
) -> Iterator[tuple[Item, Row]]:
    """Every item with its row, as they come. Raises BatchError if the workers cannot start.

    `items` is read only as far as there is a worker for the next one. After `stop` is set no further one is begun.
    """
    pool = [_Worker(task, store_url) for _ in range(workers)]
    suspects: deque[Item] = deque()
    ledger = Ledger(Store(store_url, task.patience))
    more = True
    try:
        while True:
            more = more and not stop.is_set()
            for worker in pool:
                while more and worker.has_room():
                    item = next(items, None)
                    if item is None:
                        more = False
                    else:
                        worker.give(item)
                if suspects and not worker.in_hand:
                    worker.give(suspects.popleft(), alone=True)
            busy = [worker for worker in pool if worker.in_hand]
            if not busy and not more and not suspects:
                return
            for connection in wait([worker.connection for worker in pool]):
                worker = next(worker for worker in pool if worker.connection is connection)
                try:
                    yield from worker.receive()
                except (EOFError, OSError):
                    items_lost, failure = worker.bury()
                    if failure is not None and len(items_lost) == 1:
                        yield items_lost[0], _blame(ledger, items_lost[0], task, failure)
                    else:
                        suspects.extend(items_lost)
                    pool[pool.index(worker)] = worker.successor()
    finally:
        for worker in pool:
            worker.close()


class _Worker:
    """One process, and what it has in hand."""

    def __init__(self, task: Task, store_url: str, failed_starts: int = 0) -> None:
        self._made_of = (task, store_url)
        self._failed_starts = failed_starts
        self._ready = False
        self._alone = False
        self.in_hand: dict[str, Item] = {}
        self.connection, other = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_work, args=(other, task, store_url), daemon=True)
        self._process.start()
        other.close()

    def has_room(self) -> bool:
        return not self._alone and len(self.in_hand) < IN_HAND

    def give(self, item: Item, alone: bool = False) -> None:
        self._alone = alone
        self.in_hand[item.key] = item
        with suppress(OSError):  # it has died; `receive` will notice
            self.connection.send(item)

    def receive(self) -> Iterator[tuple[Item, Row]]:
        """What the process has to say. Raises EOFError if it has died, BatchError if it cannot start."""
        message: tuple[str, Any] = self.connection.recv()
        kind, content = message
        if kind == "broken":
            raise BatchError(content)
        self._ready = True
        if kind == "row":
            key, row = content
            self._alone = False
            yield self.in_hand.pop(key), row

    def bury(self) -> tuple[list[Item], Failure | None]:
        """The items lost with a dead process, and how it ended; None if it had not begun with any.

        Raises BatchError after several starts in a row that came to nothing.
        """
        self._process.join()
        code = self._process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        if self._ready:
            failure = Failure(code="worker_died", message=f"The process that worked on it ended with {how}.")
            return list(self.in_hand.values()), failure
        self._failed_starts += 1
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise BatchError(f"the workers do not start ({how}); use fewer workers if memory is short")
        return list(self.in_hand.values()), None

    def successor(self) -> _Worker:
        return _Worker(*self._made_of, failed_starts=0 if self._ready else self._failed_starts)

    def close(self) -> None:
        """End the process: it has nothing in hand, or the batch is being abandoned."""
        self.connection.close()
        if self.in_hand:
            self._process.kill()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _blame(ledger: Ledger, item: Item, task: Task, failure: Failure) -> Row:
    """The recorded row of an item that ended its worker."""
    row = failed_row(item, task.inputs, failure)
    with suppress(ItemError):  # the run goes on; the report has the row all the same
        ledger.record(item, row)
    return row


def _work(connection: Connection, task: Task, store_url: str) -> None:
    """What a worker process does until its connection closes."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they often go to the whole group; the parent decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        steps, store = task.open(), Store(store_url, task.patience)
    except PolyviewError as error:
        connection.send(("broken", f"{error.message} {error.hint}"))
        return
    except (BundleError, BatchError, ValueError) as error:
        connection.send(("broken", str(error)))
        return
    connection.send(("ready", None))
    run_pipeline(
        _received(connection), steps, store, task.inputs, lambda item, row: connection.send(("row", (item.key, row)))
    )


def _received(connection: Connection) -> Iterator[Item]:
    while True:
        try:
            yield connection.recv()
        except (EOFError, OSError):
            return


def _end_with_parent() -> None:
    """A parent that was killed cannot say so; nobody would take the rows."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)

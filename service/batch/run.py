"""A batch from beginning to end: what is left, who does it, what the report says."""

from __future__ import annotations

import fcntl
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from tqdm import tqdm

from service.batch.failures import BatchError, ItemError
from service.batch.inputs import parquet_library, read_entries
from service.batch.items import Entry, Item, Refused
from service.batch.ledger import Ledger, Row, outdated
from service.batch.pipeline import OUTPUTS
from service.batch.report import Tally, write_report
from service.batch.steps import Task
from service.batch.storage import Store, absolute

RUN_FILE, LOCK_FILE = "run.json", ".lock"


class Engine(Protocol):
    """Who does the items: answers each with its row, recorded or not, in any order. Ends early once `stop` is set."""

    def __call__(
        self, items: Iterator[Item], task: Task, store_url: str, stop: threading.Event
    ) -> Iterator[tuple[Item, Row]]: ...


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """source, out: paths or URLs. report: jsonl or parquet. retry_failed: also do what failed before."""

    source: str
    out: str
    report: str = "jsonl"
    retry_failed: bool = False
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """report: its address. stopped: a signal ended the run before everything was done."""

    report: str
    tally: Tally
    total: int
    stopped: bool

    @property
    def status(self) -> int:
        """Exit status: 0 everything is done, 1 some failed, 130 stopped before the end."""
        if self.stopped and self.tally.left:
            return 130
        return 1 if self.tally.failed or self.tally.left else 0


def run_batch(task: Task, engine: Engine, options: BatchOptions) -> Outcome:
    """Do what is left of a batch and write its report.

    Raises BatchError where nothing can be done: the source, the output or the models are unusable, the folder belongs
    to another batch, or the report cannot be written (the results stay; the same command writes it again).
    """
    if options.report == "parquet":
        parquet_library()
    entries = read_entries(options.source, task.inputs, f"{absolute(options.out)}/{OUTPUTS}")
    items = [entry for entry in entries if isinstance(entry, Item)]
    store = Store(absolute(options.out))
    try:
        with _alone(store), _stopping() as stop:
            ledger = Ledger(store)
            ledger.sweep()
            done, failed = ledger.done(), ledger.failed()
            _check_same(store, task.describe(), claimed=bool(done or failed))
            again = outdated(done | failed, items)
            ledger.forget(again)  # before an output is replaced, so that no row speaks of outputs of other inputs
            settled = (done if options.retry_failed else done | failed) - again
            wanted = [item for item in items if item.key not in settled]
            unrecorded: dict[str, Row] = {}
            _say_refused(entries)
            with _progress(len(entries), len(wanted), options.quiet) as bar:
                _do(wanted, task, engine, store, unrecorded, bar, stop)
                name, tally = write_report(store, task, entries, unrecorded, options.report)
                if tally.damaged and not stop.is_set():
                    ledger.forget(item.key for item in tally.damaged)
                    _do(tally.damaged, task, engine, store, unrecorded, bar, stop)
                    name, tally = write_report(store, task, entries, unrecorded, options.report)
    except ItemError as error:
        raise BatchError(f"{error.message} ({error.code}); what is done stays, give the command again") from error
    tally.left += len(tally.damaged)
    return Outcome(report=f"{store.url}/{name}", tally=tally, total=len(entries), stopped=stop.is_set())


def _do(
    items: Sequence[Item],
    task: Task,
    engine: Engine,
    store: Store,
    unrecorded: dict[str, Row],
    bar: tqdm,
    stop: threading.Event,
) -> None:
    """Send the items through the engine. `unrecorded` gets the rows of failures, in case the ledger has them not."""
    failed = 0
    if not items:
        return
    for item, row in engine(iter(items), task, store.url, stop):
        if row["status"] != "ok":
            failed += 1
            unrecorded[item.key] = row
            bar.set_postfix(failed=failed, refresh=False)
        bar.update()


def _say_refused(entries: Sequence[Entry]) -> None:
    refused = sum(isinstance(entry, Refused) for entry in entries)
    if refused:
        rows = "1 row of the input is no item" if refused == 1 else f"{refused} rows of the input are no items"
        print(f"polyview: {rows}; the report says why", file=sys.stderr)


def _progress(total: int, wanted: int, quiet: bool) -> tqdm:
    interval = 0.5 if sys.stderr.isatty() else 10.0
    return tqdm(total=total, initial=total - wanted, disable=quiet, mininterval=interval, unit="item")


def _check_same(store: Store, wanted: dict[str, Any], claimed: bool) -> None:
    """Claim the folder for this batch. Raises BatchError if it holds the results of other options or models.

    claimed: whether any item was finished there; a run whose options were refused has finished none.
    """
    text = json.dumps(wanted, indent=2, sort_keys=True).encode()
    found = store.read(RUN_FILE)
    if found is None or not claimed:
        if found != text:
            store.write(RUN_FILE, text)
        return
    try:
        there = json.loads(found)
    except ValueError as error:
        raise BatchError(f"{store.url}/{RUN_FILE} is damaged; choose another folder, or remove the file") from error
    if there != json.loads(text):
        raise BatchError(
            f"{store.url} holds results of another batch: {'; '.join(_differences(there, json.loads(text)))} "
            f"({RUN_FILE}); choose another folder"
        )


def _differences(there: Any, here: dict[str, Any]) -> list[str]:
    """What differs, options with both values."""
    if not isinstance(there, dict) or there.get("kind") != here["kind"]:
        return ["it is of another kind"]
    if isinstance(there.get("bundles"), dict):
        return ["an earlier version began it, which recorded neither the precision nor the default model"]
    then, now = there.get("options"), here["options"]
    then = then if isinstance(then, dict) else {}
    differences = [
        f"{name} was {then.get(name)!r}, is {now.get(name)!r}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    if there.get("bundles") != here.get("bundles"):
        differences.append("the bundles, or their order, are others")
    return differences or ["its description differs"]


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Make sure that no second run on this machine writes to the same local folder."""
    if store.folder is None:
        yield
        return
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
        lock = (store.folder / LOCK_FILE).open("w")
    except OSError as error:
        raise BatchError(f"{store.url}: cannot be written to: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BatchError(f"{store.url}: another run is writing there; wait for its end") from error
        yield


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Set by the first SIGINT or SIGTERM: what is in hand is finished, then the report written. A second one kills."""
    stop = threading.Event()
    previous = {}

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print("\npolyview: finishing what is in hand; once more to stop at once", file=sys.stderr)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, handle)
    except ValueError:  # not the main thread: the caller decides about signals
        pass
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

"""One job: its progress, its items one by one, its end. `service.jobs.store` says which files it consists of.

A worker takes an item by a file lock, which the kernel gives back when a process dies, and looks again once it has it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from service.atomic_files import atomic_file, write_atomically
from service.errors import NotReady, ResultGone
from service.jobs.archive import Item


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An item that this worker, and no other, may work on. attempts: how often it was begun, this time included."""

    index: int
    item: Item
    attempts: int
    lock: IO[bytes]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One accepted job. options: text fields of the endpoint. owner: name of the key it was sent with, or None.

    created, expires: seconds since 1970.
    """

    folder: Path
    kind: str
    options: Mapping[str, str]
    owner: str | None
    created: float
    expires: float
    items: tuple[Item, ...]

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def inputs(self) -> Path:
        return self.folder / "inputs.zip"

    @property
    def _items_folder(self) -> Path:
        return self.folder / "items"

    @property
    def _closed(self) -> Path:
        return self.folder / "closed.json"

    # ------------------------------------------------------------------------------------------------- progress

    def status(self) -> dict[str, Any]:
        """The answer of GET /v1/jobs/{id}. `done` and `failed` together are the finished items."""
        names = self._names()
        closed = self._read_closed()  # afterwards: without it no name was gone yet
        if closed is None:
            done, failed = _count(names, ".done"), _count(names, ".failed")
            status = self._stage(done, failed, begun=bool(done or failed or _count(names, ".lock")))
        else:
            status, done, failed = closed["status"], closed["done"], closed["failed"]
        return {
            "id": self.id,
            "kind": self.kind,
            "status": status,
            "total": len(self.items),
            "done": done,
            "failed": failed,
            "created": _timestamp(self.created),
            "expires": _timestamp(self.expires),
        }

    def _stage(self, done: int, failed: int, begun: bool) -> str:
        if time.time() >= self.expires:
            return "expired"
        if done + failed == len(self.items):
            return "done" if done else "failed"
        return "running" if begun else "queued"

    def open(self) -> bool:
        """Whether there is still work to do."""
        return self.status()["status"] in ("queued", "running")

    def finished(self) -> list[tuple[int, dict[str, Any]]]:
        """(index, line of the report) of every finished item, in the order of the items.

        Raises NotReady if there is none yet, ResultGone if the job was cancelled or has expired.
        """
        status = self.status()
        if status["status"] in ("cancelled", "expired"):
            raise ResultGone(f"The job is {status['status']}; its results are gone.", "Send it again.")
        lines = []
        for name in self._names():
            index, _, ending = name.partition(".")
            if ending in ("done", "failed"):
                try:
                    line = (self._items_folder / name).read_bytes()
                except FileNotFoundError as error:
                    raise ResultGone("The job has just ended; its results are gone.", "Send it again.") from error
                lines.append((int(index), json.loads(line)))
        if not lines:
            raise NotReady("No item is finished yet.", "Ask for the job's status, and try again.")
        return sorted(lines, key=lambda line: line[0])

    def result_path(self, index: int) -> Path:
        """The zip of an item that is finished and not refused."""
        return self._items_folder / f"{index}.zip"

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._items_folder)
        except FileNotFoundError:
            return []

    # ----------------------------------------------------------------------------------------------------- work

    def claim(self) -> Claim | None:
        """The next item that is neither finished nor in other hands; those never begun before come first."""
        if not self.open():
            return None
        names = set(self._names())
        waiting = [i for i in range(len(self.items)) if f"{i}.done" not in names and f"{i}.failed" not in names]
        for index in sorted(waiting, key=lambda i: (self._attempts(i) if f"{i}.lock" in names else 0, i)):
            try:
                lock = (self._items_folder / f"{index}.lock").open("ab", buffering=0)
            except FileNotFoundError:  # the job was closed in the meantime
                return None
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            if self._is_finished(index):
                lock.close()
                continue
            lock.write(b".")
            attempts = os.fstat(lock.fileno()).st_size
            return Claim(index=index, item=self.items[index], attempts=attempts, lock=lock)
        return None

    def publish(self, claim: Claim, line: Mapping[str, Any], write: Callable[[IO[bytes]], None] | None) -> None:
        """Make an item finished: its files if there are any (`write` fills a zip), then its line of the report.

        Nothing happens if the job was closed in the meantime. Raises OSError if it cannot be stored; the attempt then
        does not count.
        """
        ending = "failed" if write is None else "done"
        try:
            if write is not None:
                with atomic_file(self.result_path(claim.index)) as file:
                    write(file)
            write_atomically(self._items_folder / f"{claim.index}.{ending}", json.dumps(line).encode())
            (self._items_folder / f"{claim.index}.lock").unlink(missing_ok=True)
        except OSError:
            if self._items_folder.exists():
                os.truncate(claim.lock.fileno(), claim.attempts - 1)
                raise

    def _attempts(self, index: int) -> int:
        try:
            return (self._items_folder / f"{index}.lock").stat().st_size
        except FileNotFoundError:
            return 0

    def _is_finished(self, index: int) -> bool:
        return any((self._items_folder / f"{index}.{ending}").exists() for ending in ("done", "failed"))

    # ---------------------------------------------------------------------------------------------------- ending

    def close(self, status: str) -> None:
        """Cancel (or expire) the job and delete its files; the first closing counts."""
        if self._read_closed() is None:
            counts = self.status()
            record = {"status": status, "done": counts["done"], "failed": counts["failed"]}
            write_atomically(self._closed, json.dumps(record).encode())
        self.inputs.unlink(missing_ok=True)
        shutil.rmtree(self._items_folder, ignore_errors=True)

    def _read_closed(self) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self._closed.read_bytes()))
        except FileNotFoundError:
            return None


def _count(names: Sequence[str], ending: str) -> int:
    return sum(name.endswith(ending) for name in names)


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

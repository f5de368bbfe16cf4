"""Jobs as folders: what was accepted and what is finished, safe from a kill at any moment.

    <folder>/<job>/job.json        kind, options, items; the folder appears with everything in it, by one rename
                   inputs.zip      the upload
                   items/3.zip     files of an item's answer
                   items/3.done    its line of the report; the item is finished when this file is there
                   items/3.failed  the same for an item that was refused
                   items/3.lock    locked while a worker has the item; one byte for every time that it was begun
                   closed.json     the counts of a job that was cancelled or has expired; its other files are gone

The queue only says which job to look at next. If it loses or repeats a message, nothing is lost or done twice, for a
worker takes an item by a file lock, which the kernel gives back when a process dies, and looks again once it has it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from service.atomic_files import atomic_file, sync_folder, write_atomically
from service.errors import NotReady, UnknownJob
from service.jobs.archive import Item

logger = logging.getLogger("polyview.jobs")

VERSION = 1
ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{22}")
MOST_ATTEMPTS = 5
STALE_SECONDS = 3600.0


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
        closed = self._read_closed()
        if closed is None:
            names = self._names()
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

        Raises NotReady if there is none, or if the job was cancelled or has expired.
        """
        status = self.status()
        if status["status"] in ("cancelled", "expired"):
            raise NotReady(f"The job is {status['status']}; its results are gone.", "Send it again.")
        lines = []
        for name in self._names():
            index, _, ending = name.partition(".")
            if ending in ("done", "failed"):
                lines.append((int(index), json.loads((self._items_folder / name).read_bytes())))
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
                lock = (self._items_folder / f"{index}.lock").open("ab")
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
            lock.flush()
            attempts = os.fstat(lock.fileno()).st_size
            return Claim(index=index, item=self.items[index], attempts=attempts, lock=lock)
        return None

    def publish(self, claim: Claim, line: Mapping[str, Any], write: Callable[[IO[bytes]], None] | None) -> None:
        """Make an item finished: its files if there are any (`write` fills a zip), then its line of the report.

        Nothing happens if the job was closed in the meantime.
        """
        ending = "failed" if write is None else "done"
        try:
            if write is not None:
                with atomic_file(self.result_path(claim.index)) as file:
                    write(file)
            write_atomically(self._items_folder / f"{claim.index}.{ending}", json.dumps(line).encode())
            (self._items_folder / f"{claim.index}.lock").unlink(missing_ok=True)
        except FileNotFoundError:
            if self._items_folder.exists():
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


class JobStore:
    """All jobs of one folder, which several services may share."""

    def __init__(self, folder: Path, hours: float) -> None:
        self.folder = folder
        self._seconds = 3600.0 * hours
        # Jobs with nothing left to do, and when there is something to tidy up, so that they are not read all the time.
        self._ended: dict[str, float] = {}

    def create(
        self,
        kind: str,
        options: Mapping[str, str],
        owner: str | None,
        items: Sequence[Item],
        write_inputs: Callable[[IO[bytes]], None],
    ) -> Job:
        """Accept a job: after this it survives everything but its folder."""
        now = time.time()
        record = {
            "version": VERSION,
            "kind": kind,
            "options": dict(options),
            "owner": owner,
            "created": now,
            "expires": now + self._seconds,
            "items": [asdict(item) for item in items],
        }
        id = secrets.token_urlsafe(16)
        draft = self.folder / f".new-{id}"
        try:
            (draft / "items").mkdir(parents=True)
            with atomic_file(draft / "inputs.zip") as file:
                write_inputs(file)
            write_atomically(draft / "job.json", json.dumps(record).encode())
            draft.rename(self.folder / id)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync_folder(self.folder)
        return self.get(id)

    def get(self, id: str) -> Job:
        """Raises UnknownJob."""
        if ID_PATTERN.fullmatch(id):
            try:
                record = json.loads((self.folder / id / "job.json").read_bytes())
                return Job(
                    folder=self.folder / id,
                    kind=record["kind"],
                    options=record["options"],
                    owner=record["owner"],
                    created=record["created"],
                    expires=record["expires"],
                    items=tuple(Item(**item) for item in record["items"]),
                )
            except FileNotFoundError:
                pass
        raise UnknownJob(f"There is no job {id[:80]!r}.", "Jobs are forgotten some time after they have expired.")

    def open_jobs(self) -> Iterator[Job]:
        """Every job with work left to do, in no order."""
        for id in os.listdir(self.folder):
            if id not in self._ended and (job := self._readable(id)) is not None:
                if job.open():
                    yield job
                else:
                    self._ended[id] = job.expires

    def tidy(self) -> None:
        """Delete files of expired jobs, forget jobs that expired long ago, and drafts that a kill left behind."""
        now = time.time()
        for id in os.listdir(self.folder):
            if self._ended.get(id, 0.0) > now or (job := self._readable(id)) is None:
                continue
            if now >= job.expires + self._seconds:
                shutil.rmtree(job.folder, ignore_errors=True)
                self._ended.pop(id, None)
            elif now >= job.expires:
                job.close("expired")
                self._ended[id] = job.expires + self._seconds
        for draft in self.folder.glob(".new-*"):
            if now - draft.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(draft, ignore_errors=True)

    def _readable(self, id: str) -> Job | None:
        try:
            return self.get(id)
        except UnknownJob:
            return None
        except (ValueError, KeyError, TypeError, OSError):
            logger.exception("the job in %s cannot be read", self.folder / id)
            return None


def _count(names: Sequence[str], ending: str) -> int:
    return sum(name.endswith(ending) for name in names)


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

"""Jobs as folders: what was accepted and what is finished, safe from a kill at any moment.

    <folder>/<job>/job.json        kind, options, items; the folder appears with everything in it, by one rename
                   inputs.zip      the upload
                   items/3.zip     files of an item's answer
                   items/3.done    its line of the report; the item is finished when this file is there
                   items/3.failed  the same for an item that was refused
                   items/3.lock    locked while a worker has the item; one byte for every time that it was begun
                   closed.json     the counts of a job that was cancelled or has expired; its other files are gone

The queue only says which job to look at next. If it loses or repeats a message, nothing is lost or done twice.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from service.atomic_files import atomic_file, sync_folder, write_atomically
from service.errors import UnknownJob
from service.jobs.archive import Item
from service.jobs.job import Job

logger = logging.getLogger("polyview.jobs")

VERSION = 1
ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{22}")
STALE_SECONDS = 3600.0
# Left free on the disk: room for the results of the items that are being worked on, and for others.
FREE_BYTES = 500_000_000


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

    def has_room(self, more_bytes: int = 0) -> bool:
        """Whether the disk can take results, or `more_bytes` besides."""
        return shutil.disk_usage(self.folder).free >= FREE_BYTES + more_bytes

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
            with suppress(FileNotFoundError):  # it has become a job
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

"""The result of a job, finished or not, as one zip that is made while it is sent.

Only a piece of it is in memory at any time. What was finished when the request came is in it; each item once.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from typing import IO, Any, cast

from service.jobs.archive import REPORT
from service.jobs.job import Job
from service.pieces import EPOCH, PIECE_BYTES


class _Pieces:
    """A file that cannot seek, and gives back what was written to it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def result_zip(job: Job, finished: list[tuple[int, dict[str, Any]]]) -> Iterator[bytes]:
    """`<id>/…` for every item that is done, and report.jsonl with a line for every finished one."""
    pieces = _Pieces()
    with zipfile.ZipFile(cast(IO[bytes], pieces), "w", zipfile.ZIP_STORED) as archive:
        for index, line in finished:
            if line["status"] == "ok":
                yield from _item(archive, pieces, job, index, line["id"])
        report = "".join(json.dumps(line) + "\n" for _, line in finished)
        archive.writestr(zipfile.ZipInfo(REPORT, EPOCH), report)
    yield pieces.take()


def _item(archive: zipfile.ZipFile, pieces: _Pieces, job: Job, index: int, id: str) -> Iterator[bytes]:
    with zipfile.ZipFile(job.result_path(index)) as answer:
        for info in answer.infolist():
            target = zipfile.ZipInfo(f"{id}/{info.filename}", EPOCH)
            target.file_size = info.file_size
            with answer.open(info) as source, archive.open(target, "w") as sink:
                while piece := source.read(PIECE_BYTES):
                    sink.write(piece)
                    yield pieces.take()

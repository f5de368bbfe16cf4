"""What the operator may set about jobs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from service.variables import Variables

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_FOLDER = ROOT / "artifacts" / "jobs"
# A hundred years: the time at which a job expires must be a date.
MOST_HOURS = 876_000


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """How jobs are kept and worked on.

    folder: uploads, results and the embedded queue; None chooses `usable_folder()`.
    redis_url: a Redis queue instead of the embedded one; services that share it must share the folder too.
    threads: items worked on at the same time, beside the threads of requests.
    most_items, most_bytes: of one job, the bytes after unpacking. most_unfinished: jobs that may wait or run.
    hours: how long a job and its results are kept.
    """

    folder: Path | None = None
    redis_url: str = ""
    threads: int = 1
    most_items: int = 1000
    most_bytes: int = 2_000_000_000
    most_unfinished: int = 100
    hours: float = 24.0


def read_job_settings(variables: Variables, request_threads: int) -> JobSettings:
    """From `POLYVIEW_JOB*`. Raises ValueError naming the variable."""
    folder = variables.text("POLYVIEW_JOBS")
    redis_url = variables.text("POLYVIEW_JOBS_REDIS")
    if redis_url:
        _check_redis_url(redis_url)
    hours = variables.positive("POLYVIEW_JOB_HOURS", JobSettings.hours, "hours")
    if hours > MOST_HOURS:
        found = variables.text("POLYVIEW_JOB_HOURS")
        raise ValueError(f"POLYVIEW_JOB_HOURS: expected at most {MOST_HOURS} hours, found {found!r}")
    return JobSettings(
        folder=ROOT / folder if folder else None,
        redis_url=redis_url,
        threads=variables.whole("POLYVIEW_JOB_THREADS", max(1, request_threads // 2), 1),
        most_items=variables.whole("POLYVIEW_JOB_ITEMS", JobSettings.most_items, 1),
        most_bytes=variables.whole("POLYVIEW_JOB_BYTES", JobSettings.most_bytes, 1),
        most_unfinished=variables.whole("POLYVIEW_JOB_QUEUE", JobSettings.most_unfinished, 1),
        hours=hours,
    )


def _check_redis_url(url: str) -> None:
    from redis import ConnectionPool  # slow to import, and most services have no Redis

    try:
        ConnectionPool.from_url(url).make_connection()  # which does not connect yet
    except (TypeError, ValueError) as error:
        raise ValueError(f"POLYVIEW_JOBS_REDIS: expected redis://host:port/database, found {url!r}: {error}") from error


def usable_folder(folder: Path | None) -> tuple[Path, bool]:
    """(a folder that exists and can be written, whether it is the one that was meant).

    Without a choice it is artifacts/jobs, or a temporary folder where the program's own cannot be written, as in a
    container with a read-only file system. Raises ValueError if a chosen folder cannot be used.
    """
    wanted = folder or DEFAULT_FOLDER
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted, True
    except OSError as error:
        if folder is not None:
            raise ValueError(f"POLYVIEW_JOBS: expected a writable folder, found {folder}: {error}") from error
    wanted = Path(tempfile.gettempdir()) / "polyview-jobs"
    wanted.mkdir(exist_ok=True)
    return wanted, False

"""A service that cannot start ends, instead of leaving its callers hanging.

BentoML's supervisor starts a worker that died again, for ever, and holds the port open meanwhile: connections succeed
and nothing answers. So the worker ends the supervisor when it cannot start; connections are refused then, and whoever
started the service sees it, by the exit status 1 as well where `service.supervisor` runs the supervisor.
`python -m service serve` finds most causes before it comes to that.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("polyview")

WORKER_MODULE = "_bentoml_impl.worker.service"
MOST_FAILED_STARTS = 3
# What the record of a supervisor holds: a sign for every start that failed, or goes on, and one if a worker ended it.
FAILED, ENDED = b".", b"!"


@contextmanager
def supervising() -> Iterator[None]:
    """Around the life of the supervisor: its exit status becomes 1 if a worker ended it."""
    record = _record(os.getpid())
    record.unlink(missing_ok=True)
    try:
        yield
    finally:
        ended = ENDED in _read(record)
        record.unlink(missing_ok=True)
        if ended:
            sys.exit(1)


@contextmanager
def starting() -> Iterator[None]:
    """Around what a worker does to start: ends the supervisor if that raises, or killed the workers before this one.

    Does nothing in a process that is not a worker of BentoML's supervisor. Call `started` once the worker answers.
    """
    if not _is_worker():
        yield
        return
    if _read(_record(os.getppid())).count(FAILED) >= MOST_FAILED_STARTS:
        _end(f"{MOST_FAILED_STARTS} processes died while they started, for want of memory perhaps")
    _note(FAILED)
    try:
        yield
    except Exception as error:
        _end(str(error))
        raise


def started() -> None:
    """This worker has started: forget the ones before it."""
    if _is_worker():
        _record(os.getppid()).unlink(missing_ok=True)


def _is_worker() -> bool:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == WORKER_MODULE


def _record(supervisor: int) -> Path:
    """The file in which the workers of a supervisor, by its process id, tell each other and it what became of them."""
    return Path(tempfile.gettempdir()) / f"polyview-starts-{os.getuid()}-{supervisor}"


def _read(record: Path) -> bytes:
    try:
        return record.read_bytes()
    except OSError:
        return b""


def _note(event: bytes) -> None:
    try:
        with _record(os.getppid()).open("ab") as file:
            file.write(event)
    except OSError as error:
        logger.warning("failed starts cannot be counted: %s", error)


def _end(reason: str) -> None:
    logger.critical("the service cannot start and ends: %s", reason)
    _record(os.getppid()).unlink(missing_ok=True)
    _note(ENDED)
    os.kill(os.getppid(), signal.SIGTERM)

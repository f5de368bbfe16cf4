"""A service that cannot start ends, instead of leaving its callers hanging.

BentoML's supervisor starts a worker that died again, for ever, and holds the port open meanwhile: connections succeed
and nothing answers. So the worker ends the supervisor when it cannot start; connections are refused then, and whoever
started the service sees it. `python -m service serve` finds most causes before it comes to that.
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


@contextmanager
def starting() -> Iterator[None]:
    """Around what a worker does to start: ends the supervisor if that raises, or killed the workers before this one.

    Does nothing in a process that is not a worker of BentoML's supervisor. Call `started` once the worker answers.
    """
    if not _is_worker():
        yield
        return
    if _failed_starts() >= MOST_FAILED_STARTS:
        _end(f"{MOST_FAILED_STARTS} processes died while they started, for want of memory perhaps")
    _note_start()
    try:
        yield
    except Exception as error:
        _end(str(error))
        raise


def started() -> None:
    """This worker has started: forget the ones before it."""
    if _is_worker():
        _record().unlink(missing_ok=True)


def _is_worker() -> bool:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == WORKER_MODULE


def _record() -> Path:
    """A file of as many bytes as starts have failed under this supervisor."""
    return Path(tempfile.gettempdir()) / f"polyview-starts-{os.getuid()}-{os.getppid()}"


def _failed_starts() -> int:
    try:
        return _record().stat().st_size
    except OSError:
        return 0


def _note_start() -> None:
    try:
        with _record().open("ab") as file:
            file.write(b".")
    except OSError as error:
        logger.warning("failed starts cannot be counted: %s", error)


def _end(reason: str) -> None:
    logger.critical("the service cannot start and ends: %s", reason)
    _record().unlink(missing_ok=True)
    os.kill(os.getppid(), signal.SIGTERM)

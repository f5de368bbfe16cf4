"""Atomic publication of a folder: readers and kills see the earlier bundle whole or the new one whole, nothing between.

A bundle is written into a staging folder beside its destination, flushed to disk, and exchanged with the earlier one
in a single system call (Linux `renameat2` with RENAME_EXCHANGE). Where a file system lacks that call, the earlier
bundle is renamed aside first, and `recover` brings it back should the program die between the two renames.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.errors import DiskFullError
from service.bundle import MANIFEST_FILE

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space on the disk, none in the quota, or a file larger than allowed."""
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A new folder beside `target`; published when the block ends well, removed when it raises.

    target: a new path, an empty folder or a bundle; where it is a symbolic link, what it points to is replaced.
    Raises ValueError for any other, DiskFullError when the block or the publication ran out of space.
    """
    target = target.resolve()
    if target.exists() and not target.is_dir():
        raise ValueError(f"out: expected a folder or a new path, found the file {target}")
    if target.exists() and not (target / MANIFEST_FILE).is_file() and any(target.iterdir()):
        held = sorted(path.name for path in target.iterdir())[:3]
        raise ValueError(f"out: expected a bundle to replace, or an empty folder, found {held} in {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    recover(target)
    folder = target.parent / f".{target.name}.staging-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
        publish(folder, target)
    except OSError as error:
        if error.errno in FULL:
            raise DiskFullError(f"{target}: expected room for the bundle, found: {error.strerror}") from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, target: Path) -> None:
    """Put `folder` in the place of `target`; the earlier content of `target` is deleted afterwards."""
    for path in sorted(folder.rglob("*")):
        flush(path)
    flush(folder)
    if not target.exists():
        os.rename(folder, target)
    elif _exchange(folder, target):
        flush(target.parent)
        shutil.rmtree(folder)
    else:
        aside = _aside(target)
        os.rename(target, aside)
        os.rename(folder, target)
        flush(target.parent)
        shutil.rmtree(aside)
    flush(target.parent)


def recover(target: Path) -> None:
    """Undo what a killed publication left beside `target`: stale staging folders, an earlier bundle moved aside."""
    aside = _aside(target)
    if aside.exists():
        if target.exists():
            shutil.rmtree(aside)
        else:
            os.rename(aside, target)
    for folder in target.parent.glob(f".{target.name}.staging-*"):
        process = folder.name.rpartition("-")[2]
        if not (process.isdigit() and _runs(int(process))):
            shutil.rmtree(folder, ignore_errors=True)


def flush(path: Path) -> None:
    """fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _aside(target: Path) -> Path:
    return target.parent / f".{target.name}.previous"


def _runs(process: int) -> bool:
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _exchange(first: Path, second: Path) -> bool:
    """Swap two paths atomically; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0)

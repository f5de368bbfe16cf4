"""Files of a batch, on the local disk or in any store that fsspec reaches.

Local files appear whole or not at all (temporary file, fsync, rename). Object stores do that by themselves for every
single object; they cannot rename, which is why nothing here relies on it: what counts as finished is a row, written
after everything it speaks of (`service.batch.ledger`).

Whatever may be a passing trouble is tried again, with growing pauses; what is definite is not.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from service.batch.failures import BatchError, ItemError

T = TypeVar("T")
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
TEMPORARY = ".tmp"


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often a file operation is tried, and the pause before the second try in seconds; every further doubles."""

    tries: int = 5
    pause: float = 0.2


def open_url(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """(file system, path in it). Raises BatchError where no file system is known, or installed, for the URL."""
    try:
        return fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise BatchError(f"{url}: {error}") from error


def absolute(url: str) -> str:
    """A local path made absolute, so that workers may have another current folder; URLs as they are."""
    return url if "://" in url or "::" in url else str(Path(url).absolute())


def read_url(url: str, patience: Patience) -> bytes:
    """The content of an input. Raises ItemError with missing_file or read_failed."""
    try:
        fs, path = open_url(url)
        return _patiently(lambda: bytes(fs.cat_file(path)), patience)
    except FileNotFoundError as error:
        raise ItemError("missing_file", f"{url}: there is no such file.") from error
    except Exception as error:  # file systems raise exceptions of their own libraries
        raise ItemError("read_failed", f"{url}: {_text(error)}") from error


class Store:
    """The folder of a batch's results. Names in it are relative, with slashes."""

    def __init__(self, url: str, patience: Patience | None = None) -> None:
        self.url = url
        self._patience = patience or Patience()
        self._fs, self._root = open_url(url)
        self._token = uuid.uuid4().hex[:8]

    @property
    def folder(self) -> Path | None:
        """Where the results lie on the local disk; None in a remote store."""
        return Path(self._root) if isinstance(self._fs, LocalFileSystem) else None

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write one file whole. Raises ItemError with unwritable, disk_full or write_failed."""
        with self._refusals(name):
            if self.folder is None:
                _patiently(lambda: self._fs.pipe_file(self._path(name), bytes(data)), self._patience)
            else:
                _patiently(lambda: self._write_local(name, data), self._patience)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A local file to write piece by piece, which takes the name when the block ends well. Raises as `write`."""
        with self._refusals(name):
            parent = None if self.folder is None else (self.folder / name).parent
            if parent is not None:
                parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=parent, prefix=".", suffix=TEMPORARY)
            try:
                with os.fdopen(handle, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                if self.folder is not None:
                    os.chmod(temporary, 0o644)
                    os.replace(temporary, self.folder / name)
                else:
                    _patiently(lambda: self._fs.put_file(temporary, self._path(name)), self._patience)
            finally:
                Path(temporary).unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        """A file's content; None if there is none. Raises ItemError with read_failed."""
        return self.read_many([name])[0]

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Several files at once, which remote stores answer in parallel; None for each that is not there.

        Only what failed is tried again. Raises ItemError with read_failed.
        """
        found: dict[str, bytes | None] = {}
        for attempt in range(self._patience.tries):
            wanted = [self._path(name) for name in names if self._path(name) not in found]
            answers = self._cat(wanted)
            found |= {path: bytes(answer) for path, answer in answers.items() if isinstance(answer, bytes)}
            found |= {path: None for path, answer in answers.items() if isinstance(answer, FileNotFoundError)}
            errors = [answers[path] for path in wanted if path not in found]
            if not errors:
                return [found[self._path(name)] for name in names]
            if any(isinstance(error, Exception) and _is_definite(error) for error in errors):
                break
            time.sleep(self._patience.pause * 2**attempt)
        error = errors[0]
        text = _text(error) if isinstance(error, Exception) else "no answer"
        raise ItemError("read_failed", f"{self.url}: {text}")

    def names(self, folder: str) -> set[str]:
        """Names of the files right below a folder; none if it does not exist. Raises ItemError with read_failed."""
        try:
            path = self._path(folder)
            found = _patiently(lambda: self._fs.ls(path, detail=True, refresh=True), self._patience)
        except FileNotFoundError:
            return set()
        except Exception as error:  # as in read_url
            raise ItemError("read_failed", f"{self.url}/{folder}: {_text(error)}") from error
        return {entry["name"].rsplit("/", 1)[-1] for entry in found if entry["type"] == "file"}

    def remove(self, name: str) -> None:
        """Remove a file. One that is not there, or that cannot be removed, stays without a word."""
        with suppress(Exception):
            self._fs.rm_file(self._path(name))

    def sweep(self, folder: str) -> None:
        """Remove temporary files that a killed process left in a folder."""
        if self.folder is None:
            return
        with suppress(OSError):
            for path in (self.folder / folder).glob(f".*{TEMPORARY}"):
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _cat(self, paths: list[str]) -> dict[str, bytes | Exception]:
        if len(paths) > 1 and not any(sign in self._root for sign in "*?["):  # `cat` takes these for patterns
            return dict(self._fs.cat(paths, on_error="return"))
        answers: dict[str, bytes | Exception] = {}
        for path in paths:
            try:
                answers[path] = bytes(self._fs.cat_file(path))
            except Exception as error:  # as in read_url
                answers[path] = error
        return answers

    def _write_local(self, name: str, data: bytes | memoryview) -> None:
        target = Path(self._path(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{self._token}{TEMPORARY}")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    @contextmanager
    def _refusals(self, name: str) -> Iterator[None]:
        where = f"{self.url}/{name}"
        try:
            yield
        except ItemError:
            raise
        except OSError as error:
            code = (
                "disk_full"
                if error.errno in NO_ROOM
                else "unwritable"
                if error.errno in NOT_ALLOWED or isinstance(error, PermissionError)
                else "write_failed"
            )
            raise ItemError(code, f"{where}: {_text(error)}") from error
        except Exception as error:  # as in read_url
            raise ItemError("write_failed", f"{where}: {_text(error)}") from error


def _patiently(action: Callable[[], T], patience: Patience) -> T:
    """The action's answer, trying again while its exception may be a passing one."""
    for attempt in range(patience.tries - 1):
        try:
            return action()
        except Exception as error:  # whose, depends on the file system
            if _is_definite(error):
                raise
            time.sleep(patience.pause * 2**attempt)
    return action()


def _is_definite(error: Exception) -> bool:
    if isinstance(error, FileNotFoundError | PermissionError | BatchError | MemoryError):
        return True
    return isinstance(error, OSError) and error.errno in NO_ROOM | NOT_ALLOWED


def _text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__

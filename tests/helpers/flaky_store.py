"""An object store in memory that fails as it is told to."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from typing import Any

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

Rule = Callable[[str, str], Exception | None]


class FlakyStore(MemoryFileSystem):
    """`rule(operation, path)` answers the exception to raise, or None. Operations: read, write, list.

    A write that is told to fail may leave half of the content behind, as stores without atomic writes do.
    """

    protocol = "flaky"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]
    rule: Rule = staticmethod(lambda operation, path: None)
    tears = False

    @classmethod
    def reset(cls, rule: Rule | None = None, tears: bool = False) -> None:
        cls.rule = staticmethod(rule or (lambda operation, path: None))
        cls.tears = tears

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.replace("flaky://", "memory://", 1))

    def unstrip_protocol(self, name: str) -> str:
        return f"flaky://{name.lstrip('/')}"

    def _may_fail(self, operation: str, path: str) -> None:
        error = type(self).rule(operation, path)
        if error is not None:
            raise error

    def cat_file(self, path: str, *args: Any, **kwargs: Any) -> bytes:
        self._may_fail("read", path)
        return super().cat_file(path, *args, **kwargs)

    def pipe_file(self, path: str, value: bytes, *args: Any, **kwargs: Any) -> None:
        try:
            self._may_fail("write", path)
        except Exception:
            if self.tears:
                super().pipe_file(path, value[: len(value) // 2], *args, **kwargs)
            raise
        super().pipe_file(path, value, *args, **kwargs)

    def put_file(self, lpath: str, rpath: str, *args: Any, **kwargs: Any) -> None:
        self._may_fail("write", rpath)
        super().put_file(lpath, rpath, *args, **kwargs)

    def ls(self, path: str, *args: Any, **kwargs: Any) -> Any:
        self._may_fail("list", path)
        return super().ls(path, *args, **kwargs)


fsspec.register_implementation("flaky", FlakyStore, clobber=True)


def now_and_then(share: float, seed: int = 0) -> Rule:
    """Every operation fails with this probability, as a connection does."""
    chance = random.Random(seed)

    def rule(operation: str, path: str) -> Exception | None:
        if chance.random() >= share:
            return None
        return chance.choice(
            [ConnectionResetError("reset by peer"), TimeoutError("slow down"), OSError(errno.EIO, "io")]
        )

    return rule

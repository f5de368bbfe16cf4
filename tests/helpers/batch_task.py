"""A batch without networks: one input, two outputs that follow from its bytes, and inputs that misbehave.

Run as a program it is a whole batch: python -m tests.helpers.batch_task SOURCE OUT WORKERS [pause]
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import cv2
import numpy  # noqa: F401  # so that its matrix library is among those that are counted
from threadpoolctl import threadpool_info

from service.batch.items import Item
from service.batch.storage import Patience, read_url


@dataclass(frozen=True)
class DigestTask:
    """Outputs are digests of the input's bytes. Inputs that begin with `die`, `raise` or `memory` do that.

    broken: `open` refuses. pause: seconds that computing takes.
    """

    pause: float = 0.0
    broken: bool = False
    label: str = ""
    patience: Patience = field(default_factory=lambda: Patience(tries=5, pause=0.001))

    inputs: ClassVar[tuple[str, ...]] = ("image",)
    columns: ClassVar[Mapping[str, type]] = {"size": int, "digest": str, "threads": int}

    def open(self) -> DigestSteps:
        if self.broken:
            raise ValueError("the model is not there")
        return DigestSteps(self)

    def describe(self) -> dict[str, Any]:
        return {"kind": "digest", "options": {"label": self.label}}


class DigestSteps:
    def __init__(self, task: DigestTask) -> None:
        self._task = task

    def read(self, item: Item) -> bytes:
        return read_url(item.inputs[0], self._task.patience)

    def compute(self, read: bytes) -> bytes:
        if read.startswith(b"die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if read.startswith(b"raise"):
            raise RuntimeError("as asked")
        if read.startswith(b"memory"):
            raise MemoryError
        time.sleep(self._task.pause)
        return read

    def facts(self, computed: bytes) -> dict[str, Any]:
        blas = (library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        threads = max(cv2.getNumThreads(), *blas)
        return {"size": len(computed), "digest": hashlib.sha256(computed).hexdigest(), "threads": threads}

    def files(self, computed: bytes) -> Iterator[tuple[str, bytes]]:
        yield "content.bin", computed * 3
        yield "digest.txt", hashlib.sha256(computed).hexdigest().encode()


def main() -> int:
    from service.batch.local import run_pool
    from service.batch.run import BatchOptions, run_batch

    source, out, workers, *pause = sys.argv[1:]
    task = DigestTask(pause=float(pause[0]) if pause else 0.0)
    outcome = run_batch(task, partial(run_pool, workers=int(workers)), BatchOptions(source=source, out=out, quiet=True))
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())

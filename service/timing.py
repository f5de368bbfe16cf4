"""Where the milliseconds of a request go: for the answer, the metrics, and as spans of its trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace

TRACER = trace.get_tracer("polyview")


class Stopwatch:
    """Milliseconds per named stage; a stage entered twice adds up. One per request, not shared between threads."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            with TRACER.start_as_current_span(name):
                yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - begin

    def milliseconds(self) -> dict[str, float]:
        return {name: round(1000 * seconds, 3) for name, seconds in self._seconds.items()}

    def header(self) -> str:
        """The value of a `Server-Timing` header, for instance `decode;dur=1.2, network;dur=50.1`."""
        return ", ".join(f"{name};dur={value}" for name, value in self.milliseconds().items())

"""How often one caller may ask: a token bucket each."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from service.errors import RateLimited

REMEMBERED_CALLERS = 10_000


class RateLimiter:
    """`per_minute` requests of one caller, evenly refilled; a full bucket may be spent at once. 0: no limit."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count(self, caller: str) -> None:
        """Note one request. Raises RateLimited if this caller has none left."""
        if not self._per_minute:
            return
        now = self._clock()
        tokens, then = self._buckets.pop(caller, (float(self._per_minute), now))
        tokens = min(self._per_minute, tokens + (now - then) * self._per_minute / 60)
        self._buckets[caller] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._buckets) > REMEMBERED_CALLERS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            raise RateLimited(
                f"More than {self._per_minute} requests per minute.", "Wait for the seconds in Retry-After."
            )

"""How often one caller may ask: a token bucket each."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from service.errors import RateLimited

REMEMBERED_CALLERS = 10_000


class RateLimiter:
    """Requests per minute of one caller, evenly refilled; a full bucket may be spent at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count(self, caller: str, per_minute: int) -> None:
        """Note one request; 0 means no limit. Raises RateLimited, with the seconds to wait, if none is left."""
        if not per_minute:
            return
        now = self._clock()
        tokens, then = self._buckets.pop(caller, (float(per_minute), now))
        tokens = min(per_minute, tokens + (now - then) * per_minute / 60)
        self._buckets[caller] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._buckets) > REMEMBERED_CALLERS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            wait = max(1, math.ceil((1 - tokens) * 60 / per_minute - 1e-6))
            raise RateLimited(
                f"More than {per_minute} requests per minute.", "Wait for the seconds in Retry-After.", wait
            )

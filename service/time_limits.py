"""One time limit for a request, ours (service.middleware), and not BentoML's beside it.

BentoML 1.4 cannot be told to leave its own out. Its answer would bypass every middleware, and it starts a timer for
each request that nobody cancels: until it fires, 5 KB of every request stay in memory.
"""

from typing import Any

from bentoml._internal.server.http import traffic


class _NoTimeLimit:
    """Stands where BentoML's TimeoutMiddleware would."""

    def __init__(self, app: Any, timeout: float) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def leave_out_bentomls() -> None:
    """To be called before BentoML puts its application together."""
    traffic.TimeoutMiddleware = _NoTimeLimit  # type: ignore[assignment,misc]

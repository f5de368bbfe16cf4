"""The model tier ends after the API tier.

The supervisor ends both at once, but what the API tier has accepted still needs networks.
"""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType

import psutil

from service.failed_starts import WORKER_MODULE

LOOK_SECONDS = 0.2


def leave_last() -> None:
    """Put off SIGTERM and SIGINT until no other worker of the supervisor is left. To be called in the event loop."""
    loop, me, supervisor = asyncio.get_running_loop(), os.getpid(), os.getppid()
    server_handlers = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)}
    leaving: list[asyncio.Task[None]] = []

    async def leave(kind: int) -> None:
        while os.getppid() == supervisor and _other_workers(supervisor, me):
            await asyncio.sleep(LOOK_SECONDS)
        handler = server_handlers[signal.Signals(kind)]
        if callable(handler):
            handler(kind, None)

    def begin(kind: int, frame: FrameType | None) -> None:
        if not leaving:
            # In the handler of a signal, the loop may be in the middle of anything.
            leaving.append(loop.create_task(leave(kind)))
            loop.call_soon_threadsafe(lambda: None)

    for kind in server_handlers:
        signal.signal(kind, begin)


def _other_workers(supervisor: int, me: int) -> bool:
    try:
        siblings = psutil.Process(supervisor).children()
        return any(WORKER_MODULE in p.cmdline() for p in siblings if p.pid != me and p.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False

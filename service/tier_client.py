"""The API tier's side of the model tier (service.model_tier): calls that end, whatever becomes of the other process.

BentoML restarts a process that died, and meanwhile the supervisor holds its socket open: calls connect and get no
answer. So the model tier is looked at every second. While it is away, calls are refused at once, and those under way
are given up; whoever has time (jobs) waits until it is back.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

import aiohttp
import numpy as np
from bentoml.exceptions import BentoMLException
from numpy.typing import NDArray

from service.bundle import Bundle
from service.errors import BundleFailed
from service.metrics import BATCHES

logger = logging.getLogger("polyview")

LOOK_SECONDS = 1.0
# A look that takes longer counts as none: the process is gone, or its event loop stands still.
PROBE_SECONDS = 3.0
# Away for longer, after having been there: the service calls itself dead, so that an orchestrator starts it anew.
DEAD_SECONDS = 120.0
PATIENCE: contextvars.ContextVar[float] = contextvars.ContextVar("polyview_patience", default=0.0)


class _Away(Exception):
    """The model tier does not answer."""


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Let calls of this thread wait so long for a model tier that is away, instead of failing at once."""
    token = PATIENCE.set(seconds)
    try:
        yield
    finally:
        PATIENCE.reset(token)


class TierClient:
    """Calls to the model tier from any thread.

    proxy: BentoML's RemoteProxy of it. timeout: seconds after which a call is given up.
    """

    def __init__(self, proxy: Any, timeout: float) -> None:
        self._remote = proxy
        self._timeout = timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[Any]] = set()
        self._up = threading.Event()
        self._stopped = False
        self._providers: dict[str, str] = {}
        self._away_since: float | None = None

    @property
    def up(self) -> bool:
        """Whether the model tier answered when it was last looked at."""
        return self._up.is_set()

    @property
    def alive(self) -> bool:
        """False once the model tier was there and has been away for too long."""
        return self._away_since is None or time.monotonic() - self._away_since < DEAD_SECONDS

    def start(self) -> None:
        """Begin to look. To be called in the event loop in which the proxy lives."""
        self._loop = asyncio.get_running_loop()
        self._watcher = asyncio.ensure_future(self._watch())

    def stop(self) -> None:
        """The process ends: end the calls that are left. To be called in the same event loop."""
        self._stopped = True
        if self._watcher is not None:
            self._watcher.cancel()
        self._give_up_calls()
        self._up.set()

    def provider(self, bundle: str) -> str:
        """The provider that runs a bundle, by its sha256. Raises BundleFailed before the model tier was first there."""
        if bundle not in self._providers:
            raise _failed("The model tier is still starting.")
        return self._providers[bundle]

    def run(self, bundle: str, image_HW3: NDArray[np.uint8]) -> dict[str, Any]:
        """The answer of `Batches.run` to one call. Raises BundleFailed.

        Raises SystemExit where the service ends and the caller has patience: nobody is to note a failure then.
        """
        end = time.monotonic() + PATIENCE.get()
        while True:
            self._up.wait(max(0.0, end - time.monotonic()))
            if self._stopped and PATIENCE.get():
                raise SystemExit
            if not self.up or self._stopped or self._loop is None:
                raise _failed("The model tier is away.")
            future = asyncio.run_coroutine_threadsafe(self._call((bundle, image_HW3)), self._loop)
            try:
                return future.result(self._timeout)
            except TimeoutError as error:
                future.cancel()
                raise _failed(f"The model tier gave no answer within {self._timeout:g} seconds.") from error
            except (_Away, CancelledError) as error:
                if time.monotonic() >= end:
                    raise _failed("The model tier went away.") from error
            except BentoMLException as error:
                raise _failed("The model tier failed.") from error

    async def _call(self, call: tuple[str, NDArray[np.uint8]]) -> dict[str, Any]:
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            for attempt in (1, 2):
                try:
                    (answer,) = await self._remote.to_async.call("infer", [call])
                    return dict(answer)
                except (aiohttp.ClientError, OSError) as error:  # the process died, or closed an idle connection
                    # Networks have no memory, so a call may be repeated.
                    if attempt == 2 or not await self._look():
                        raise _Away from error
            raise AssertionError("a second attempt returns or raises")
        finally:
            self._calls.discard(task)

    async def _watch(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> bool:
        """Ask the model tier whether it is ready, and act on the answer."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                found = await self._remote.is_ready()
                if found and not self.up:
                    self._providers = await self._remote.to_async.call("providers")
                reason = "it says that it is not ready"
        except Exception as error:  # timeouts, and whatever a connection to a dying process raises
            found, reason = False, repr(error)
        if found and not self.up:
            logger.info("the model tier is ready")
            self._away_since = None
            self._up.set()
        elif not found and self.up:
            logger.error("the model tier is away (%s); %d calls are given up", reason, len(self._calls))
            self._away_since = time.monotonic()
            self._up.clear()
            self._give_up_calls()
        return bool(found)

    def _give_up_calls(self) -> None:
        current = asyncio.current_task()
        for task in self._calls:
            if task is not current:
                task.cancel()


class RemoteGraph:
    """A perceive bundle's network in the model tier. Safe to call from several threads at once."""

    def __init__(self, tier: TierClient, bundle: Bundle) -> None:
        self._tier = tier
        self._bundle = bundle

    @property
    def provider(self) -> str:
        return self._tier.provider(self._bundle.sha256)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Every output by name, for one image. Raises BundleFailed."""
        (images_1HW3,) = inputs.values()
        answer = self._tier.run(self._bundle.sha256, images_1HW3[0])
        if "error" in answer:
            raise _failed(str(answer["error"]))
        BATCHES.labels(self._bundle.manifest.name).observe(answer["batch"])
        return {name: values[None] for name, values in answer["maps"].items()}


def _failed(message: str) -> BundleFailed:
    return BundleFailed(message, "Try again shortly; if it stays, the service's log names the cause.")

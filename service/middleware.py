"""The door of the service: a pure ASGI middleware around BentoML's application.

It alone turns requests away before they run (401, 413, 429, 503, 504), and it gives every error, BentoML's own
included, the one shape {"error": {"code", "message", "hint"}}.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access import identify
from service.errors import (
    BodyTooLarge,
    BundleFailed,
    InternalError,
    MalformedRequest,
    MethodNotAllowed,
    PolyviewError,
    QueueFull,
    TooSlow,
    UnknownRoute,
)
from service.rate import RateLimiter
from service.settings import DoorSettings
from service.ticket import TICKET_KEY, Ticket

logger = logging.getLogger("polyview")

GUARDED = "/v1/"
CODE_HEADER = "X-Polyview-Error"
# A refused upload is still read for so long, for a client that gets its answer in the middle of sending often loses it.
DRAIN_SECONDS = 10.0
DRAIN_TIMES_LIMIT = 4
# A client that takes no part of its answer for so long is cut off: until then it holds its place, and its answer.
STALL_SECONDS = 30.0


def error_response(error: PolyviewError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The one shape of an error, as a response."""
    extra = {CODE_HEADER: error.code, **(headers or {})}
    if error.retry_after is not None:
        extra["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        extra["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error.body(), status_code=error.status, headers=extra)


class Door:
    """Checks keys, rates, sizes, the queue and the time of everything under /v1/; health and page pass freely."""

    def __init__(self, app: ASGIApp, settings: DoorSettings) -> None:
        self.app = app
        self.settings = settings
        self._in_flight = 0
        self._rates = RateLimiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        ticket = scope.get(TICKET_KEY) or Ticket()
        exchange = _Exchange(scope, receive, send, self.settings.max_body_bytes, ticket)
        try:
            if scope["path"].startswith(GUARDED):
                await self._guarded({**scope, TICKET_KEY: ticket}, exchange, ticket)
            else:
                await self.app(scope, exchange.receive, exchange.send)
        except PolyviewError as error:
            await exchange.refuse(error)
        except Exception:
            if exchange.stalled:
                logger.warning("%s %s: the client stopped reading its answer", scope["method"], scope["path"][:200])
            else:
                logger.exception("%s %s failed", scope["method"], scope["path"])
            await exchange.refuse(InternalError("The service failed on this request.", "Its log names the cause."))
        finally:
            exchange.end()

    async def _guarded(self, scope: Scope, exchange: _Exchange, ticket: Ticket) -> None:
        headers = Headers(scope=scope)
        self._count_caller(scope, headers, ticket)
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > self.settings.max_body_bytes:
            raise too_large(self.settings.max_body_bytes)
        works = scope["method"] == "POST"
        if works and self._in_flight >= self.settings.in_flight:
            raise QueueFull(f"{self._in_flight} requests are running or waiting.", "Try again shortly.")
        ticket.deadline = time.monotonic() + self.settings.timeout
        task = asyncio.ensure_future(self.app(scope, exchange.receive, exchange.send))
        if works:
            self._in_flight += 1
            task.add_done_callback(self._leave)
        await asyncio.wait({task}, timeout=self.settings.timeout)
        if not task.done() and not exchange.started:
            exchange.abandoned = True
            if not exchange.body_complete:
                task.cancel()  # still receiving; work that has begun in a thread ends by itself and keeps its place
            raise TooSlow(
                f"No answer within {self.settings.timeout:g} seconds.", "Send smaller images, or try again later."
            )
        await task

    def _leave(self, task: asyncio.Future[Any]) -> None:
        self._in_flight -= 1
        if not task.cancelled():
            task.exception()  # marks it as seen: after a timeout nobody else asks

    def _count_caller(self, scope: Scope, headers: Headers, ticket: Ticket) -> None:
        """Who asks, the key or else the address, and how often. Raises Unauthorized, RateLimited."""
        rate = self.settings.requests_per_minute
        if not self.settings.keys:
            self._rates.count(f"address {(scope.get('client') or ('unknown',))[0]}", rate)
            return
        key = identify(self.settings.keys, headers.get("authorization", ""))
        ticket.caller = key.name
        self._rates.count(f"key {key.name}", rate if key.per_minute is None else key.per_minute)


def too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {limit / 1e6:g} MB.", "Send fewer or smaller files.")


class _Exchange:
    """One request and its answer: counts what comes in, reshapes errors that go out, answers at most once."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int, ticket: Ticket) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._limit = limit
        self._ticket = ticket
        self._watcher: asyncio.Task[None] | None = None
        self._received = 0
        self._held: Message | None = None
        self._too_large: PolyviewError | None = None
        self.body_complete = False
        self.started = False
        self.stalled = False
        self.abandoned = False

    async def receive(self) -> Message:
        """The next part of the body; once it is complete, nothing until the connection is closed."""
        if self._watcher is not None:
            await asyncio.wait({self._watcher})
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._note(message)
        if self._received > self._limit and self._scope["path"].startswith(GUARDED):
            self._too_large = too_large(self._limit)
            raise self._too_large
        if self.body_complete:
            self._watcher = asyncio.ensure_future(self._watch())
        return message

    async def _watch(self) -> None:
        """Notice that the client closes its connection, so that work for it need not begin."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.started:
            self._ticket.gone = True

    def end(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    async def send(self, message: Message) -> None:
        """Passes answers on; holds a foreign error back until it is complete, and sends ours instead."""
        if self.abandoned:
            return
        if message["type"] == "http.response.start" and message["status"] >= 400:
            if CODE_HEADER not in Headers(raw=message.get("headers", [])):
                self._held = message
                return
            await self._drain()
        if self._held is not None:
            if not message.get("more_body", False):
                held, self._held = self._held, None
                # Whatever the application made of our own refusal, that refusal is still the reason.
                reason = self._too_large
                await self._answer(error_response(reason) if reason else _translated(held, self._scope))
            return
        await self._deliver(message)

    async def refuse(self, error: PolyviewError) -> None:
        """Answer with an error, unless an answer is already under way."""
        self.abandoned = True
        if not self.started:
            await self._answer(error_response(error))

    async def _answer(self, response: JSONResponse) -> None:
        await self._drain()
        await response(self._scope, self._receive, self._deliver)

    async def _deliver(self, message: Message) -> None:
        """Raises TimeoutError if the client does not read on; the server then closes the connection."""
        self.started = True
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._send(message)
        except TimeoutError:
            self.stalled = self._ticket.gone = True
            raise

    async def _drain(self) -> None:
        """Read on what the client is still sending, within bounds. Not if it waits for our consent to send."""
        if Headers(scope=self._scope).get("expect"):
            return
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self.body_complete and self._received < DRAIN_TIMES_LIMIT * self._limit:
                    self._note(await self._receive())
        except TimeoutError:
            pass

    def _note(self, message: Message) -> None:
        self._received += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            self.body_complete = True


def _translated(start: Message, scope: Scope) -> JSONResponse:
    """Our error for one that BentoML or Starlette made; only `Allow` is kept of it."""
    status, place = start["status"], f"{scope['method']} {scope['path'][:200]}"
    error: PolyviewError
    if status == 404:
        error = UnknownRoute(f"{place}: there is no such route.", "GET /docs.json lists the routes.")
    elif status == 405:
        error = MethodNotAllowed(f"{place}: this route does not have that method.", "The Allow header lists them.")
    elif status < 500:
        error = MalformedRequest(f"{place}: the request cannot be read.", "Send multipart/form-data.")
    elif status == 503:
        error = BundleFailed("The service is not ready.", "Try again shortly.")
    else:
        error = InternalError("The service failed on this request.", "Its log names the cause.")
    allow = Headers(raw=start.get("headers", [])).get("allow")
    return error_response(error, {"Allow": allow} if allow else None)

"""What is seen of every request: its id, one line of log, its metrics, and attributes of its trace.

An ASGI middleware outside of all others of ours, so that refusals are seen too.
"""

from __future__ import annotations

import contextvars
import logging
import re
import time
import uuid
from contextlib import nullcontext
from typing import Any

from opentelemetry import trace
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import IN_PROGRESS, SERVICE, count_request, endpoint_of
from service.middleware import CODE_HEADER
from service.ticket import TICKET_KEY, Ticket

logger = logging.getLogger("polyview.access")

ID_HEADER = "X-Request-ID"
ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Answered too often, and of no interest, to be logged. Nor are they load: a look at the metrics would count itself.
QUIET = ("/livez", "/healthz", "/readyz", "/metrics")
REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("polyview_request_id", default="")


class Observer:
    """Gives every request a Ticket with an id: the client's `X-Request-ID` if it is a plain word, else a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        ticket = Ticket(request_id=_request_id(scope))
        sent = _Sent(send, ticket)
        endpoint, begun = endpoint_of(scope["path"]), time.perf_counter()
        REQUEST_ID.set(ticket.request_id)
        load = nullcontext() if endpoint in QUIET else IN_PROGRESS.labels(endpoint, SERVICE).track_inprogress()
        with load:
            try:
                await self.app({**scope, TICKET_KEY: ticket}, receive, sent)
            finally:
                _note(scope, endpoint, sent, time.perf_counter() - begun, ticket)


class _Sent:
    """Passes the answer on, and remembers how it began."""

    def __init__(self, send: Send, ticket: Ticket) -> None:
        self._send = send
        self._ticket = ticket
        self.status = 0
        self.code = "ok"
        self.bytes = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers[ID_HEADER] = self._ticket.request_id
            self.status = message["status"]
            self.code = headers.get(CODE_HEADER, "ok" if self.status < 400 else f"http_{self.status}")
            self._describe_span()
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
        await self._send(message)

    def _describe_span(self) -> None:
        """Now, for the span ends with the last byte of the answer."""
        span = trace.get_current_span()
        facts = {"request_id": self._ticket.request_id, "bundle": self._ticket.bundle, "outcome": self.code}
        for name, value in facts.items():
            span.set_attribute(f"polyview.{name}", value)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(ID_HEADER, "")
    return given if ID_PATTERN.fullmatch(given) else uuid.uuid4().hex


def _note(scope: Scope, endpoint: str, sent: _Sent, seconds: float, ticket: Ticket) -> None:
    # 499 is how servers commonly log that nobody was left to answer.
    status, outcome = (499, "abandoned") if ticket.gone or not sent.status else (sent.status, sent.code)
    count_request(endpoint, status, outcome, seconds, ticket)
    if endpoint in QUIET:
        return
    facts: dict[str, Any] = {
        "method": scope["method"],
        "path": scope["path"][:200],
        "status": status,
        "outcome": outcome,
        "milliseconds": round(1000 * seconds, 1),
        "bytes": sent.bytes,
        "bundle": ticket.bundle,
        "stages": ticket.stages,
        "caller": ticket.caller or "",
        "address": str((scope.get("client") or ("",))[0]),
    }
    line = f"{facts['method']} {facts['path']!r} {status} {outcome} {facts['milliseconds']} ms {ticket.request_id}"
    logger.info(line, extra=facts)

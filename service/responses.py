"""A finished answer, and the same as an HTTP response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from starlette.responses import Response, StreamingResponse

# Maps of a large photograph take hundreds of megabytes. Given to the server in one piece they would be copied whole.
PIECE_BYTES = 1 << 20
ONE_PIECE_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A body, its media type, the name under which a browser would save it, and further headers."""

    body: bytes | memoryview
    media_type: str
    filename: str
    headers: Mapping[str, str] = field(default_factory=dict)


def respond(answer: Answer) -> Response:
    """200 with a known length; large bodies go out in pieces, as fast as the client takes them."""
    body = answer.body
    headers = {**answer.headers, "Content-Disposition": f'inline; filename="{answer.filename}"'}
    if len(body) <= ONE_PIECE_BYTES:
        return Response(body, media_type=answer.media_type, headers=headers)
    headers["Content-Length"] = str(len(body))
    return StreamingResponse(_pieces(memoryview(body)), media_type=answer.media_type, headers=headers)


async def _pieces(body: memoryview) -> AsyncIterator[memoryview]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]

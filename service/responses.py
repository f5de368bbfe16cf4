"""A finished answer, and the same as an HTTP response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from starlette.responses import Response, StreamingResponse

from service.pieces import Pieces

# Smaller bodies are sent at once, which takes fewer steps than it saves copies.
ONE_PIECE_BYTES = 256 << 10


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A body, its media type, the name under which a browser would save it, and further headers."""

    body: bytes | Pieces
    media_type: str
    filename: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The body as one object."""
        return bytes(self.body)


def respond(answer: Answer) -> Response:
    """200 with a known length; large bodies go out in portions, as fast as the client takes them."""
    body = answer.body
    headers = {**answer.headers, "Content-Disposition": f'inline; filename="{answer.filename}"'}
    if len(body) <= ONE_PIECE_BYTES:
        return Response(answer.content, media_type=answer.media_type, headers=headers)
    headers["Content-Length"] = str(len(body))
    pieces = body if isinstance(body, Pieces) else Pieces()
    if pieces is not body:
        pieces.write(answer.content)
    return StreamingResponse(_portions(pieces), media_type=answer.media_type, headers=headers)


async def _portions(pieces: Pieces) -> AsyncIterator[bytes | memoryview]:
    for portion in pieces.portions():
        yield portion

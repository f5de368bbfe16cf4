"""A finished answer as an HTTP response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from starlette.responses import Response, StreamingResponse

# Maps of a large photograph take hundreds of megabytes. Given to the server in one piece they would be copied whole.
PIECE_BYTES = 1 << 20
ONE_PIECE_BYTES = 8 << 20


def respond(body: bytes | memoryview, media_type: str, filename: str, headers: Mapping[str, str]) -> Response:
    """200 with a known length; large bodies go out in pieces, as fast as the client takes them."""
    headers = {**headers, "Content-Disposition": f'inline; filename="{filename}"'}
    if len(body) <= ONE_PIECE_BYTES:
        return Response(body, media_type=media_type, headers=headers)
    headers["Content-Length"] = str(len(body))
    return StreamingResponse(_pieces(memoryview(body)), media_type=media_type, headers=headers)


async def _pieces(body: memoryview) -> AsyncIterator[memoryview]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]

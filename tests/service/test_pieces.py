"""Bodies in pieces hold, byte for byte, what a buffer would hold, and do not copy what is large."""

import asyncio
import io
import zipfile
from typing import Any

import numpy as np
import pytest

from service.pieces import PIECE_BYTES, Pieces
from service.responses import ONE_PIECE_BYTES, Answer, respond

LARGE = np.arange(3 * PIECE_BYTES // 8 + 5, dtype=np.float64)


def archive(file: Any, method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(file, "w", method) as writer:
        for name, content in (("small", b"abc"), ("large", LARGE.data.cast("B")), ("empty", b"")):
            with writer.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(content)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_is_the_one_that_a_buffer_would_hold(method: int) -> None:
    pieces, buffer = Pieces(), io.BytesIO()
    archive(pieces, method)
    archive(buffer, method)
    assert bytes(pieces) == buffer.getvalue()
    assert len(pieces) == len(buffer.getvalue())
    assert b"".join(pieces.portions()) == buffer.getvalue()
    assert max(len(portion) for portion in pieces.portions()) <= PIECE_BYTES


def test_what_is_large_is_not_copied() -> None:
    pieces = Pieces()
    archive(pieces)
    shared = [portion for portion in pieces.portions() if np.shares_memory(np.frombuffer(portion, np.uint8), LARGE)]
    assert sum(map(len, shared)) == LARGE.nbytes


def test_only_whole_pieces_are_written_again() -> None:
    pieces = Pieces()
    for part in (b"one", b"three"):
        pieces.write(part)
    pieces.seek(0)
    pieces.write(b"two")
    assert bytes(pieces) == b"twothree"
    for position, part in ((0, b"four"), (1, b"wot")):
        pieces.seek(position)
        with pytest.raises(ValueError, match=f"what stands at {position}"):
            pieces.write(part)


@pytest.mark.parametrize("size", [0, ONE_PIECE_BYTES, ONE_PIECE_BYTES + 1, 3 * PIECE_BYTES + 1])
@pytest.mark.parametrize("kind", [bytes, Pieces])
def test_a_response_has_its_length_and_every_byte(size: int, kind: type) -> None:
    body: Any = np.random.default_rng(size).bytes(size)
    if kind is Pieces:
        content, body = body, Pieces()
        body.write(content)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.sleep(60)

    scope = {"type": "http", "asgi": {"spec_version": "2.4"}, "method": "POST", "headers": []}
    answer = Answer(body=body, media_type="text/plain", filename="a")
    asyncio.run(respond(answer)(scope, receive, send))
    start, *rest = sent
    assert dict(start["headers"])[b"content-length"] == str(size).encode()
    assert b"".join(message["body"] for message in rest) == bytes(body)

"""Large bodies without a second copy: what is written is remembered, not copied, and sent piece by piece.

Maps of a 60 megapixel photograph are a gigabyte; as the content of one buffer they would be there twice.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Small enough that a slow client takes one before it counts as stalled (service.middleware).
PIECE_BYTES = 256 << 10
EPOCH = (1980, 1, 1, 0, 0, 0)


class Pieces:
    """A file that is written from start to end, for `zipfile.ZipFile(pieces, "w")`. Nobody may change what was written.

    Going back is for what `zipfile` goes back for: to write a member's header again once its sum is known.
    """

    def __init__(self) -> None:
        self._pieces: dict[int, memoryview] = {}
        self._size = 0
        self._position = 0

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        """A file is there, also an empty one."""
        return True

    def write(self, data: bytes | memoryview) -> int:
        """Raises ValueError for writing over anything but one whole piece."""
        piece = memoryview(data).cast("B")
        if not piece:
            return 0
        if self._position < self._size and len(self._pieces.get(self._position, b"")) != len(piece):
            raise ValueError(f"data: expected the length of what stands at {self._position}, found {len(piece)}")
        self._pieces[self._position] = piece
        self._position += len(piece)
        self._size = max(self._size, self._position)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        self._position = position
        return position

    def flush(self) -> None:
        """Nothing waits to be written."""

    def close(self) -> None:
        """Nothing is open."""

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces.values())

    def portions(self) -> Iterator[bytes | memoryview]:
        """The whole in portions of at most PIECE_BYTES: small pieces joined, large ones cut without a copy."""
        small: list[memoryview] = []
        for piece in self._pieces.values():
            if len(piece) + sum(map(len, small)) <= PIECE_BYTES // 16:
                small.append(piece)
                continue
            if small:
                yield b"".join(small)
                small = []
            for start in range(0, len(piece), PIECE_BYTES):
                yield piece[start : start + PIECE_BYTES]
        if small:
            yield b"".join(small)


def as_pieces(content: bytes | Pieces) -> Pieces:
    if isinstance(content, Pieces):
        return content
    pieces = Pieces()
    pieces.write(content)
    return pieces


def add_file(archive: zipfile.ZipFile, name: str, content: bytes | Pieces) -> None:
    """A stored member, always of the same date; `archive.writestr` would need its content in one buffer."""
    info = zipfile.ZipInfo(name, EPOCH)
    info.file_size = len(content)
    with archive.open(info, "w") as file:
        for portion in as_pieces(content).portions():
            file.write(portion)


def add_array(archive: zipfile.ZipFile, name: str, values: NDArray[Any]) -> None:
    """A .npy member; np.lib.format.write_array would copy what it writes."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        if values.ndim == 0:
            np.lib.format.write_array(file, values, allow_pickle=False)
            return
        values = np.ascontiguousarray(values)
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(values))
        file.write(values.data.cast("B"))

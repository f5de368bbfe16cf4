"""Small pictures in every file format and state that a client may send."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image


def scene(width: int = 96, height: int = 64, seed: int = 0) -> np.ndarray:
    """Smooth colours with edges, uint8 RGB [height, width, 3]; every corner looks different."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    picture[: height // 3, : width // 4] = (250, 20, 30)
    return picture


def encoded(picture: np.ndarray | Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def with_exif(picture: np.ndarray, file_format: str = "JPEG", orientation: int = 1, focal_35mm: int = 0) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    if focal_35mm:
        exif.get_ifd(0x8769)[0xA405] = focal_35mm
    return encoded(picture, file_format, exif=exif)


def sixteen_bit(picture: np.ndarray, extension: str) -> bytes:
    """The picture with 16 bits per sample, through OpenCV; RGB or grey."""
    wide = picture.astype(np.uint16) * 257
    done, data = cv2.imencode(extension, wide if wide.ndim == 2 else wide[:, :, ::-1])
    assert done
    return data.tobytes()


def png_header_only(width: int, height: int) -> bytes:
    """A PNG that announces its size and holds nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

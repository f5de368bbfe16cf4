"""Uploaded bytes to oriented RGB pixels, and pixels to PNG.

Sizes are checked from the header, before anything is decoded. Pillow reads; OpenCV takes over for whole JPEG files,
which it decodes faster and, where fewer pixels are needed, directly at 1/2, 1/4 or 1/8 of the size.

Convention: the EXIF orientation is applied first; every size and focal length speaks of the oriented image.
Colour: transparent pixels lie on white; samples of 12 and 16 bits are scaled to 8; CMYK becomes RGB; of an animation or
a multi-page file the first picture counts.
Legend: H, W height and width; 3 = RGB.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, COMPRESSION, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT

from service.errors import NotAnImage, PolyviewError, TooManyPixels, TooSmall

# Our own limit replaces Pillow's; it is checked below, from the header, with a message that says the size.
Image.MAX_IMAGE_PIXELS = None

PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
JPEG_FORMATS = ("JPEG", "MPO")
LONGEST_SIDE = 1_000_000
"""Of a photograph, in pixels: what libpng writes, so that every answer can hold its maps."""
READ_HINT = "Send a whole JPEG, PNG, WebP, TIFF or BMP file."
# What people also have on their disks: (first bytes, where they stand, name). Only to say what was sent.
SIGNATURES = (
    (b"ftyphei", 4, "HEIC"), (b"ftyphev", 4, "HEIC"), (b"ftypmif1", 4, "HEIF"), (b"ftypavif", 4, "AVIF"),
    (b"ftyp", 4, "video"), (b"GIF8", 0, "GIF"), (b"%PDF", 0, "PDF"), (b"PK\x03\x04", 0, "zip"),
    (b"\x1f\x8b", 0, "gzip"), (b"\0\0\0\x0cjP  ", 0, "JPEG 2000"), (b"<svg", 0, "SVG"), (b"<?xml", 0, "XML"),
)  # fmt: skip
JPEG_END = b"\xff\xd9"
# What decoders fill a JPEG up with where its data end early: middle grey, or that as CMYK in RGB.
FILLING = frozenset((63, 64, 128))
# With every restart marker, for a picture that lacks one would pass over anything else.
MORE_DATA = b"".join(bytes((*range(1, 255), 0xFF, marker)) for marker in range(0xD0, 0xD8))
# Values of TIFF tags.
UNCOMPRESSED, WHITE_IS_ZERO, YCBCR, SIGNED = 1, 0, 6, 2
ORIENTATION_TAG, EXIF_FOLDER_TAG, FOCAL_35MM_TAG = 0x0112, 0x8769, 0xA405
# Differences to the row above, and runs of them: quicker than every other setting, and smaller than OpenCV's own, which
# takes differences to the left (benchmarks/codecs.py).
PNG_PARAMETERS = [
    cv2.IMWRITE_PNG_COMPRESSION, 1,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP,
]  # fmt: skip
Z_RLE = 3  # zlib's constant, which Python's module does not name
FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """max_pixels: width times height of one image. min_side: its smaller side in pixels."""

    max_pixels: int = 60_000_000
    min_side: int = 32


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A decoded upload.

    rgb_HW3: uint8, contiguous; smaller than `size` only if `read_photo` was allowed to reduce it.
    size: (width, height) of the whole image after orientation.
    focal_px: from the EXIF 35 mm equivalent, in pixels of `size`; None if the file does not say.
    """

    rgb_HW3: NDArray[np.uint8]
    size: tuple[int, int]
    focal_px: float | None


def read_photo(data: bytes, limits: ImageLimits, *, enough: int | None = None, name: str = "image") -> Photo:
    """Decode one upload.

    enough: longest side that suffices; a JPEG may then come back at a power of two smaller, never below `enough`.
    name: the field, for messages.

    Raises NotAnImage (empty, truncated, damaged, another format), TooSmall, TooManyPixels.
    """
    if not data:
        raise NotAnImage(f"{name}: the file is empty.", READ_HINT)
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=PILLOW_FORMATS)
    except Exception as error:  # decoders meet damaged files with any exception there is
        raise NotAnImage(f"{name}: {_what_it_is(data)}", READ_HINT) from error
    with image:
        _check_size(image.size, limits, name)
        try:
            focal_mm = _exif_focal_mm(image)
            pixels = _decode_whole_jpeg(image, data, enough)
            if pixels is None:
                pixels = _to_rgb(image, name)
            if image.format in JPEG_FORMATS and _ends_early(data, pixels):
                raise NotAnImage(f"{name}: the JPEG file is truncated or damaged.", READ_HINT)
            orientation = _exif_orientation(image)
            rgb = _orient(pixels, orientation)
        except PolyviewError:
            raise
        except Exception as error:  # as above
            raise NotAnImage(f"{name}: the {image.format} file is truncated or damaged.", READ_HINT) from error
        width, height = image.size
        if orientation >= 5:
            width, height = height, width
    # 35 mm equivalence is by the diagonal of the picture.
    focal_px = None if focal_mm is None else focal_mm / FILM_DIAGONAL_MM * math.hypot(width, height)
    return Photo(rgb_HW3=rgb, size=(width, height), focal_px=focal_px)


def encode_png(pixels: NDArray[Any]) -> bytes:
    """uint8 or uint16 [H,W] or RGB uint8 [H,W,3] to PNG."""
    picture = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".png", picture, PNG_PARAMETERS)
    if not done:
        raise ValueError(f"pixels: no PNG can hold {pixels.dtype} {list(pixels.shape)}")
    return encoded.tobytes()


def encode_palette_png(index_HW: NDArray[np.uint8], palette: tuple[tuple[int, int, int], ...]) -> bytes:
    """A PNG whose pixel values are palette indices, uint8 [H,W] with values below len(palette)."""
    image = Image.fromarray(index_HW)
    image.putpalette([channel for colour in palette for channel in colour])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1, compress_type=Z_RLE)
    return buffer.getvalue()


def _what_it_is(data: bytes) -> str:
    """A sentence about a file that no decoder takes; damaged files of a readable format begin right."""
    for signature, place, kind in SIGNATURES:
        if data[place : place + len(signature)] == signature:
            return f"the file is {kind}, which the service does not read."
    return "the file is not an image that the service reads."


def _check_size(size: tuple[int, int], limits: ImageLimits, name: str) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise TooManyPixels(
            f"{name}: {width} x {height} is {width * height / 1e6:.1f} megapixels, the limit is "
            f"{limits.max_pixels / 1e6:.1f}.",
            "Send a smaller image.",
        )
    if max(width, height) > LONGEST_SIDE:
        raise TooManyPixels(
            f"{name}: {width} x {height} pixels: a side has at most {LONGEST_SIDE}.", "Send a smaller image."
        )
    if min(width, height) < limits.min_side:
        raise TooSmall(
            f"{name}: {width} x {height} pixels; the smaller side must have at least {limits.min_side}.",
            "Send a larger image.",
        )


def _decode_whole_jpeg(image: Image.Image, data: bytes, enough: int | None) -> NDArray[np.uint8] | None:
    """OpenCV's decoder for RGB and grey JPEG. None if the file is another one, or lacks its end marker:

    OpenCV fills what is missing of a truncated file with grey and says nothing; Pillow refuses it.
    """
    if image.format not in JPEG_FORMATS or image.mode not in ("RGB", "L"):
        return None
    if not data[-64:].rstrip(b"\0").endswith(JPEG_END):
        return None
    flag = cv2.IMREAD_COLOR_RGB
    for factor, reduced in ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4)):
        if enough is not None and max(image.size) >= factor * enough:
            flag = reduced
            break
    else:
        if enough is not None and max(image.size) >= 2 * enough:
            flag = cv2.IMREAD_REDUCED_COLOR_2
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        return None
    if flag != cv2.IMREAD_COLOR_RGB:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return np.asarray(pixels, np.uint8)


def _ends_early(data: bytes, pixels: NDArray[np.uint8]) -> bool:
    """Whether a JPEG has an end marker, but too little data before it: decoders fill up with grey, and only warn.

    More data before the marker then change the picture; after a whole one they are passed over. What is missing of a
    progressive file is detail all over the picture, and is not noticed. pixels: as stored, uint8 [H,W,3].
    """
    if not FILLING.issuperset(pixels[-1, -1].tolist()):
        return False
    end = data.rfind(JPEG_END)
    return _small_picture(data) != _small_picture(data[:end] + MORE_DATA + data[end:])


def _small_picture(data: bytes) -> bytes:
    """Samples of a JPEG at an eighth of its size."""
    with Image.open(io.BytesIO(data), formats=JPEG_FORMATS) as image:
        image.draft(None, (1, 1))
        return image.tobytes()


def _to_rgb(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """Any mode Pillow decodes to RGB uint8 [H,W,3]."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    if image.mode in ("I", "F") or SIGNED in tags.get(SAMPLEFORMAT, ()):
        raise NotAnImage(
            f"{name}: signed samples, and those of 32 bits, have no agreed range.",
            "Send unsigned samples of 8 or 16 bits.",
        )
    if tags.get(PHOTOMETRIC_INTERPRETATION) == YCBCR and tags.get(COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED:
        # Pillow would take three samples for four.
        raise NotAnImage(f"{name}: the TIFF file holds uncompressed YCbCr, which the service does not read.", READ_HINT)
    image.load()
    if image.mode.startswith("I;16"):
        samples_HW = np.asarray(image).astype(np.uint32)
        most = 2 ** tags.get(BITSPERSAMPLE, (16,))[0] - 1
        grey_HW = ((samples_HW * 255 + most // 2) // most).astype(np.uint8)
        if tags.get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO:
            grey_HW = 255 - grey_HW
        if "transparency" in image.info:
            grey_HW[samples_HW == image.info["transparency"]] = 255
        return np.repeat(grey_HW[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        backdrop = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(backdrop, rgba)
    return np.asarray(image.convert("RGB"))


def _exif_focal_mm(image: Image.Image) -> float | None:
    """The 35 mm equivalent focal length, None if absent or absurd. Call before `load`, which drops it from TIFF."""
    try:
        focal_mm = float(image.getexif().get_ifd(EXIF_FOLDER_TAG).get(FOCAL_35MM_TAG) or 0)
    except Exception:  # EXIF is written by everything and everyone; damaged EXIF counts as none
        return None
    return focal_mm if 4 <= focal_mm <= 4000 else None


def _exif_orientation(image: Image.Image) -> int:
    """1 to 8, by the EXIF block alone: `getexif` would take XMP's where that has none, which no browser follows.

    TIFF has no such block; Pillow turns it itself.
    """
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(ORIENTATION_TAG, 1)
    except Exception:  # as above
        return 1
    return orientation if orientation in TRANSPOSITIONS else 1


def _orient(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    if orientation == 1:
        return np.ascontiguousarray(pixels)
    return np.array(Image.fromarray(pixels).transpose(TRANSPOSITIONS[orientation]))

"""A stitching result as bytes: one image, or a zip with everything.

The zip is stored, not compressed: PNGs are compressed already and the flow's floats hardly compress. Names, keys and
headers are the contract of DESIGN.md section 4.

Legend: H, W canvas; 2 = (dx, dy); 3 = RGB.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import CanvasTooLarge, InvalidField
from service.pieces import Pieces, add_array, add_file
from service.stitching.result import StitchResult

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "zip": "application/zip"}
LONGEST_SIDE = {"jpeg": 65500, "webp": 16383}
"""Of OpenCV's encoders, in pixels."""
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]
WEBP = [cv2.IMWRITE_WEBP_QUALITY, 90]


@dataclass(frozen=True, kw_only=True)
class StitchAnswer:
    """Body, Content-Type and the X-Stitch-* headers of a 200."""

    body: bytes | Pieces
    media_type: str
    headers: dict[str, str]


def encode_answer(result: StitchResult, format: str, extra: Mapping[str, bytes | Pieces] | None = None) -> StitchAnswer:
    """Encode as png, jpeg, webp or zip; `extra` are further files for the zip by name.

    Raises InvalidField for another format, CanvasTooLarge where the format cannot hold the panorama.
    """
    if format not in MEDIA_TYPES:
        raise InvalidField(f"format: expected {', '.join(MEDIA_TYPES)}, found {format!r}.", "The default is png.")
    body = _zip(result, extra or {}) if format == "zip" else encode_image(result.panorama_HW3, format)
    headers = {
        "X-Stitch-Status": "ok",
        "X-Stitch-Offset": f"{result.offset[0]},{result.offset[1]}",
        "X-Stitch-Overlap": f"{result.overlap:.4f}",
    }
    return StitchAnswer(body=body, media_type=MEDIA_TYPES[format], headers=headers)


def encode_image(rgb_HW3: NDArray[np.uint8], format: str) -> bytes:
    """RGB uint8 [H,W,3] as png (lossless), jpeg or webp. Raises CanvasTooLarge where the format cannot hold it."""
    height, width = rgb_HW3.shape[:2]
    if max(width, height) > LONGEST_SIDE.get(format, 1 << 31):
        raise CanvasTooLarge(
            f"{format} holds at most {LONGEST_SIDE[format]} pixels a side; the panorama has {width} x {height}.",
            "Ask for png, or send smaller images.",
        )
    suffix, settings = {"png": (".png", PNG), "jpeg": (".jpg", JPEG), "webp": (".webp", WEBP)}[format]
    return _encoded(suffix, cv2.cvtColor(rgb_HW3, cv2.COLOR_RGB2BGR), settings)


def encode_mask(mask_HW: NDArray[np.bool_]) -> bytes:
    """A mask as an 8-bit grey PNG, 255 = true."""
    return _encoded(".png", mask_HW.astype(np.uint8) * np.uint8(255), PNG)


def _encoded(suffix: str, image: NDArray[Any], settings: list[int]) -> bytes:
    made, data = cv2.imencode(suffix, image, settings)
    if not made:
        raise CanvasTooLarge(f"No {suffix} file holds {image.shape[1]} x {image.shape[0]} pixels.", "Ask for png.")
    return bytes(data)


def encode_flow(flow_HW2: NDArray[np.float32]) -> bytes:
    """flow.npz: key `flow`, float32 [H,W,2], readable with allow_pickle=False."""
    return bytes(_flow_npz(flow_HW2))


def _flow_npz(flow_HW2: NDArray[np.float32]) -> Pieces:
    pieces = Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED) as archive:
        add_array(archive, "flow", flow_HW2)
    return pieces


def _zip(result: StitchResult, extra: Mapping[str, bytes | Pieces]) -> Pieces:
    pieces = Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED) as archive:
        add_file(archive, "panorama.png", encode_image(result.panorama_HW3, "png"))
        add_file(archive, "reference_mask.png", encode_mask(result.reference_mask_HW))
        add_file(archive, "hole_mask.png", encode_mask(result.hole_mask_HW))
        for image in result.warped:
            tail = f"_{image.index}" if result.indexed else ""
            colours, valid = image.render()
            add_file(archive, f"warped_target{tail}.png", encode_image(colours, "png"))
            add_file(archive, f"target_mask{tail}.png", encode_mask(valid))
            add_file(archive, f"flow{tail}.npz", _flow_npz(image.flow()))
        for name, content in extra.items():
            add_file(archive, name, content)
        add_file(archive, "report.json", json.dumps(result.report, allow_nan=False).encode())
    return pieces

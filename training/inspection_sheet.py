"""A contact sheet of samples of a public data set: one row each, the image and its labels in colours."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from training.pictures import Picture
from training.readers.files import IGNORE, Array
from training.readers.reader import Arrays

CELL_HEIGHT, GAP, CAPTION = 160, 4, 14
GOLDEN = 0.6180339887


def write_sheet(path: Path, samples: Sequence[tuple[str, Arrays]], fields: Sequence[str]) -> None:
    """Writes the PNG; a caption of every row names the sample, its cells follow `fields`."""
    rows = [_row(caption, arrays, fields) for caption, arrays in samples]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(padded)).save(path)


def _row(caption: str, arrays: Arrays, fields: Sequence[str]) -> Picture:
    cells: list[Picture] = []
    for name in fields:
        picture = _picture(name, arrays[name])
        width = max(1, round(picture.shape[1] * CELL_HEIGHT / picture.shape[0]))
        cell = cv2.resize(picture, (width, CELL_HEIGHT), interpolation=cv2.INTER_AREA if name == "image" else 0)
        cells += [cell.astype(np.uint8), np.full((CELL_HEIGHT, GAP, 3), 255, np.uint8)]
    row = np.pad(np.concatenate(cells[:-1], axis=1), ((CAPTION, 0), (0, 0), (0, 0)), constant_values=255)
    canvas = Image.fromarray(row)
    ImageDraw.Draw(canvas).text((2, 1), f"{caption}: {', '.join(fields)}", fill=(0, 0, 0))
    return np.asarray(canvas)


def _picture(name: str, value: Array) -> Picture:
    if name == "image":
        return (value * 255 + 0.5).astype(np.uint8)
    if name == "normals":
        coded = ((value + 1) * 127.5 + 0.5).astype(np.uint8)
        return np.where((value != 0).any(axis=2, keepdims=True), coded, np.uint8(0))
    if name == "depth":
        return _ramp(value)
    if name in ("saliency", "edges"):
        grey = np.where(value == IGNORE, 96, np.where(value > 0, 255, 0)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return PALETTE[value]


def _ramp(depth_HW: Array) -> Picture:
    """Small values bright; invalid pixels black."""
    valid = depth_HW > 0
    low, high = np.quantile(depth_HW[valid], (0.02, 0.98)) if valid.any() else (0.0, 1.0)
    t = 1 - np.clip((depth_HW - low) / max(float(high - low), 1e-6), 0, 1)
    colour = np.stack((t, 0.15 + 0.75 * t, 0.45 + 0.35 * t - 0.65 * t**3), axis=-1) * valid[..., None]
    return (colour * 255 + 0.5).astype(np.uint8)


def _palette() -> Picture:
    """Many hues far apart for neighbouring numbers; ignored pixels are black."""
    colours = [
        colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.45 + 0.25 * (number % 3), 0.95 - 0.2 * (number // 3 % 3))
        for number in range(IGNORE)
    ]
    return np.array([*((np.array(colours) * 255).astype(np.uint8)), (0, 0, 0)], np.uint8)


PALETTE = _palette()

"""Dense maps as the four answers of /v1/perceive: npz, a zip of PNG files, JSON, or one picture to look at.

Legend: H, W height and width; 3 = RGB or normal components.
"""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.image_codecs import encode_palette_png, encode_png
from service.manifest import CLASS_TASKS, Manifest
from service.palette import classes_picture, depth_picture, normals_picture, probability_grey, side_by_side
from service.perceive import DenseMaps
from service.pieces import Pieces, add_array
from service.responses import Answer
from service.timing import Stopwatch

PREVIEW_SIDE = 640


def encode_npz(
    maps: DenseMaps, rgb_HW3: NDArray[np.uint8], manifest: Manifest, watch: Stopwatch, compress: bool = False
) -> Answer:
    """`np.load(..., allow_pickle=False)` reads it: one array per task, and `meta`, a 0-d unicode array of JSON.

    The body holds the maps themselves, not copies. compress: deflate; takes longer than the network and saves a sixth.
    """
    pieces = Pieces()
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(pieces, "w", method, compresslevel=1) as archive:
        with watch.stage("encode"):
            for task, values in maps.by_task.items():
                add_array(archive, task, values)
        add_array(archive, "meta", np.array(json.dumps(_meta(maps, watch))))
    return Answer(body=pieces, media_type="application/x-npz", filename="perceive.npz")


def encode_png_zip(maps: DenseMaps, rgb_HW3: NDArray[np.uint8], manifest: Manifest, watch: Stopwatch) -> Answer:
    """A PNG file per task (`depth.png` and so on), preview.png, meta.json."""
    with watch.stage("encode"):
        pictures = _pictures(maps, rgb_HW3, manifest)
    pieces = Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED) as archive:
        for name, data in pictures.items():
            archive.writestr(f"{name}.png", data)
        archive.writestr("meta.json", json.dumps(_meta(maps, watch)))
    return Answer(body=pieces, media_type="application/zip", filename="perceive.zip")


def encode_json(maps: DenseMaps, rgb_HW3: NDArray[np.uint8], manifest: Manifest, watch: Stopwatch) -> Answer:
    """The same PNG files in base64, keys `depth_png` and so on, and `meta`."""
    with watch.stage("encode"):
        pictures = _pictures(maps, rgb_HW3, manifest)
        content: dict[str, Any] = {f"{name}_png": base64.b64encode(data).decode() for name, data in pictures.items()}
    content["meta"] = _meta(maps, watch)
    return Answer(body=json.dumps(content).encode(), media_type="application/json", filename="perceive.json")


def encode_preview(maps: DenseMaps, rgb_HW3: NDArray[np.uint8], manifest: Manifest, watch: Stopwatch) -> Answer:
    """The photograph and the maps beside each other."""
    with watch.stage("encode"):
        body = encode_png(_preview(maps, rgb_HW3, manifest))
    return Answer(body=body, media_type="image/png", filename="preview.png")


ENCODERS: dict[str, Callable[[DenseMaps, NDArray[np.uint8], Manifest, Stopwatch], Answer]] = {
    "npz": encode_npz,
    "png": encode_png_zip,
    "json": encode_json,
    "preview": encode_preview,
}


def depth_millimetres(depth_HW: NDArray[np.float32]) -> NDArray[np.uint16]:
    """uint16 [H,W] millimetres, saturating at 65535; at least 1, since 0 would read as invalid."""
    return np.clip(np.rint(depth_HW * 1000.0), 1, 65535).astype(np.uint16)


def _meta(maps: DenseMaps, watch: Stopwatch) -> dict[str, Any]:
    return {**maps.meta, "timings": watch.milliseconds()}


def _pictures(maps: DenseMaps, rgb_HW3: NDArray[np.uint8], manifest: Manifest) -> dict[str, bytes]:
    pictures = {task: _data_png(task, values, manifest) for task, values in maps.by_task.items()}
    return pictures | {"preview": encode_png(_preview(maps, rgb_HW3, manifest))}


def _data_png(task: str, values: NDArray[Any], manifest: Manifest) -> bytes:
    """A map as a file that programs read: millimetres, class ids, (n + 1) / 2, or 255 times a probability."""
    if task in CLASS_TASKS:
        return encode_palette_png(values, manifest.palette_of(task))
    if task == "depth":
        return encode_png(depth_millimetres(values))
    return encode_png(normals_picture(values) if task == "normals" else probability_grey(values))


def _preview(maps: DenseMaps, rgb_HW3: NDArray[np.uint8], manifest: Manifest) -> NDArray[np.uint8]:
    width, height = maps.meta["size"]
    scale = min(1.0, PREVIEW_SIDE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    row = [np.asarray(cv2.resize(rgb_HW3, size, interpolation=cv2.INTER_AREA), np.uint8)]
    row += [_picture(task, _nearest(values, size), manifest) for task, values in maps.by_task.items()]
    return side_by_side(row)


def _picture(task: str, values: NDArray[Any], manifest: Manifest) -> NDArray[np.uint8]:
    """A map as RGB uint8 [H,W,3] to look at."""
    if task in CLASS_TASKS:
        return classes_picture(values, manifest.palette_of(task))
    if task == "depth":
        return depth_picture(values)
    if task == "normals":
        return normals_picture(values)
    return np.repeat(probability_grey(values)[..., None], 3, axis=2)


def _nearest(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_NEAREST_EXACT))

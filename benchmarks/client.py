"""The REST contract as a client sees it: multipart in, arrays out.

Convention: canvas pixel = reference pixel + offset; flow is target -> reference (dx, dy) in pixels. Images are RGB.
"""

import io
import json
import time
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import httpx
import numpy as np

from benchmarks.dense_scores import DenseMaps
from benchmarks.real_data import NYU13
from benchmarks.stitched import RefusalError, Stitched

SYNONYMS = {"book": "books", "couch": "sofa", "television": "tv", "object": "objects", "painting": "picture"}


class Perceived(NamedTuple):
    """Answer of `/v1/perceive` with `format=npz`."""

    maps: DenseMaps
    meta: dict[str, Any]
    seconds: float


class Client:
    """Talks to one service. `seconds` in the answers are wall time from sending the request to its last byte."""

    def __init__(self, url: str, timeout: float = 180.0, key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, timeout=timeout, headers=headers, trust_env=False)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def models(self) -> list[dict[str, Any]]:
        """Entries of `/v1/models`."""
        answer = self._http.get("/v1/models")
        answer.raise_for_status()
        return list(answer.json()["models"])

    def post(
        self, route: str, files: Mapping[str, tuple[str, bytes, str]], fields: Mapping[str, str]
    ) -> tuple[httpx.Response, float]:
        """The response and its seconds; any status."""
        begun = time.perf_counter()
        answer = self._http.post(route, files=dict(files), data=dict(fields))
        return answer, time.perf_counter() - begun

    def perceive(self, photograph: bytes, name: str, focal_px: float | None = None) -> Perceived:
        """Maps of an encoded photograph at its own size.

        Raises:
            ValueError: the answer's status is not 200, or a map has the wrong shape.
        """
        fields = {"format": "npz"} | ({"focal_px": f"{focal_px:.4f}"} if focal_px else {})
        answer, seconds = self.post("/v1/perceive", {"image": (name, photograph, media_type(name))}, fields)
        if answer.status_code != 200:
            raise ValueError(f"perceive {name}: expected 200, found {answer.status_code}: {answer.text[:300]}")
        with np.load(io.BytesIO(answer.content), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        meta = json.loads(str(arrays["meta"])) if "meta" in arrays else {}
        maps = DenseMaps(arrays.get("depth"), arrays.get("segmentation"), arrays.get("normals"))
        check_maps(name, maps)
        return Perceived(maps, meta, seconds)

    def stitch(
        self, reference_HW3: np.ndarray, target_HW3: np.ndarray, fields: Mapping[str, str] | None = None
    ) -> Stitched:
        """Stitches two RGB images, sent as PNG.

        Raises:
            RefusalError: the service did not answer 200 with status `ok`.
        """
        files = {
            "reference": ("reference.png", encode_png(reference_HW3), "image/png"),
            "target": ("target.png", encode_png(target_HW3), "image/png"),
        }
        answer, seconds = self.post("/v1/stitch", files, {"format": "zip", **(fields or {})})
        if answer.status_code != 200:
            raise RefusalError(refusal_word(answer), seconds)
        return read_stitch_zip(answer.content, seconds)


def check_maps(name: str, maps: DenseMaps) -> None:
    """Depth finite and positive, normals of unit length; ValueError otherwise."""
    if maps.depth_HW is not None and not (np.isfinite(maps.depth_HW).all() and (maps.depth_HW > 0).all()):
        raise ValueError(f"perceive {name}: depth: expected finite values > 0, found others")
    if maps.normal_HW3 is not None:
        length = np.linalg.norm(maps.normal_HW3.astype(np.float64), axis=-1)
        if np.abs(length - 1).max() > 1e-2:
            raise ValueError(
                f"perceive {name}: normals: expected unit length, found {length.min():.3f}..{length.max():.3f}"
            )


def refusal_word(answer: httpx.Response) -> str:
    """`422 low_overlap` from an error answer."""
    try:
        return f"{answer.status_code} {answer.json()['error']['code']}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} without an error body"


def read_stitch_zip(content: bytes, seconds: float) -> Stitched:
    """The zip answer of `/v1/stitch` as arrays. Raises RefusalError when its report is not `ok`."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        report = json.loads(archive.read("report.json"))
        if report.get("status") != "ok":
            raise RefusalError(f"200 with status {report.get('status')}", seconds)
        with np.load(io.BytesIO(archive.read("flow.npz")), allow_pickle=False) as flows:
            flow = flows["flow"]
        return Stitched(
            panorama_HW3=decode_png(archive.read("panorama.png"))[..., :3],
            warped_target_HW3=decode_png(archive.read("warped_target.png"))[..., :3],
            target_mask_HW=decode_mask(archive.read("target_mask.png")),
            reference_mask_HW=decode_mask(archive.read("reference_mask.png")),
            offset=(int(report["offset"][0]), int(report["offset"][1])),
            flow_HW2=flow,
            seconds=seconds,
            report=report,
        )


def media_type(name: str) -> str:
    """Media type of a file name that ends in .png, else JPEG."""
    return "image/png" if name.lower().endswith(".png") else "image/jpeg"


def encode_png(rgb_HW3: np.ndarray) -> bytes:
    """PNG bytes of an RGB image."""
    done, code = cv2.imencode(".png", cv2.cvtColor(rgb_HW3, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError("rgb_HW3: expected an image that can be written as PNG")
    return bytes(code.tobytes())


def decode_png(content: bytes) -> np.ndarray:
    """RGB image uint8 [H,W,3] of PNG bytes."""
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("content: expected a PNG image")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def decode_mask(content: bytes) -> np.ndarray:
    """bool [H,W] of a PNG in which 255 is true."""
    grey = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise ValueError("content: expected a PNG mask")
    return np.asarray(grey > 127)


def class_table(names: list[str]) -> np.ndarray:
    """Lookup uint8 [256] from a bundle's class ids to NYU-13; ids without a namesake become 13."""
    table = np.full(256, len(NYU13), np.uint8)
    for i, name in enumerate(names):
        word = SYNONYMS.get(name.strip().lower(), name.strip().lower())
        if word in NYU13:
            table[i] = NYU13.index(word)
    return table

"""POST /v1/stitch by a real server whose flow network is untrained: the contract, not the quality."""

import io
import json
import zipfile
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.helpers.pictures import encoded, scene

RNG = np.random.default_rng(7)


def textured(width: int, height: int, seed: int) -> np.ndarray:
    """Detail at several scales, so that features are found."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (height // cell, width // cell, 3), dtype=np.uint8)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
        )
        for cell in (4, 12, 40)
    ]
    return np.mean(layers, axis=0).astype(np.uint8)


WORLD = textured(480, 240, 1)
REFERENCE, TARGET = WORLD[:, :320], WORLD[:, 120:440]
PAIR = {"reference": ("a.png", encoded(REFERENCE)), "target": ("b.png", encoded(TARGET))}


def stitch(client: httpx.Client, files: Any = PAIR, **fields: Any) -> httpx.Response:
    return client.post("/v1/stitch", files=files, data=fields)


def code_of(response: httpx.Response) -> tuple[int, str]:
    error = response.json()["error"]
    assert set(error) == {"code", "message", "hint"}
    assert error["message"]
    assert error["hint"]
    return response.status_code, error["code"]


def images(*pictures: np.ndarray) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{index}.png", encoded(picture))) for index, picture in enumerate(pictures)]


def test_zip_of_a_pair_follows_the_contract_or_is_refused(client: httpx.Client) -> None:
    response = stitch(client, format="zip", perceive="true", inspect="true")
    assert response.status_code == 200, response.text
    assert response.headers["X-Stitch-Status"] == "ok"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert set(files) == {
        "panorama.png",
        "reference_mask.png",
        "target_mask.png",
        "hole_mask.png",
        "warped_target.png",
        "flow.npz",
        "report.json",
        "perceive.npz",
        "homography.png",
        "seam_mask.png",
    }
    report = json.loads(files["report.json"])
    keys = {"status", "offset", "canvas", "overlap", "method", "gain", "clipped", "flow", "seconds"}
    assert keys <= set(report)
    width, height = report["canvas"]
    x, y = report["offset"]
    assert response.headers["X-Stitch-Offset"] == f"{x},{y}"
    assert float(response.headers["X-Stitch-Overlap"]) == pytest.approx(report["overlap"], abs=1e-3)
    panorama = np.asarray(Image.open(io.BytesIO(files["panorama.png"])))
    assert panorama.shape == (height, width, 3)
    masks = {
        name: np.asarray(Image.open(io.BytesIO(files[f"{name}.png"])))
        for name in ("reference_mask", "target_mask", "hole_mask", "seam_mask")
    }
    assert np.asarray(Image.open(io.BytesIO(files["homography.png"]))).shape == (height, width, 3)
    for mask in masks.values():
        assert mask.shape == (height, width)
        assert set(np.unique(mask)) <= {0, 255}
    assert masks["reference_mask"][y : y + 240, x : x + 320].all()
    assert (np.asarray(Image.open(io.BytesIO(files["warped_target.png"])))[masks["target_mask"] == 0] == 0).all()
    flow = np.load(io.BytesIO(files["flow.npz"]), allow_pickle=False)["flow"]
    assert flow.shape == (240, 320, 2)
    assert np.isfinite(flow).all()
    with np.load(io.BytesIO(files["perceive.npz"]), allow_pickle=False) as maps:
        inside = (masks["reference_mask"] | masks["target_mask"] | masks["hole_mask"]) > 0
        assert maps["depth"].shape == (height, width)
        assert ((maps["depth"] > 0) == inside).all()
        assert (maps["normals"][~inside] == 0).all()
        assert json.loads(str(maps["meta"]))["size"] == [width, height]


@pytest.mark.parametrize(
    ("output", "media_type"), [("png", "image/png"), ("jpeg", "image/jpeg"), ("webp", "image/webp")]
)
def test_image_answers(client: httpx.Client, output: str, media_type: str) -> None:
    response = stitch(client, format=output)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == media_type
    assert {"X-Stitch-Status", "X-Stitch-Offset", "X-Stitch-Overlap", "Server-Timing"} <= {
        name.title().replace("X-Stitch", "X-Stitch") for name in response.headers
    }
    assert Image.open(io.BytesIO(response.content)).size[0] >= 320


def test_identical_images_come_back_unchanged(client: httpx.Client) -> None:
    data = encoded(REFERENCE)
    response = stitch(client, {"reference": ("a.png", data), "target": ("b.png", data)})
    assert response.status_code == 200, response.text
    assert response.headers["X-Stitch-Offset"] == "0,0"
    assert float(response.headers["X-Stitch-Overlap"]) > 0.99
    assert (np.asarray(Image.open(io.BytesIO(response.content))) == REFERENCE).all()


def test_unrelated_images_are_refused(client: httpx.Client) -> None:
    files = {"reference": ("a.png", encoded(REFERENCE)), "target": ("b.png", encoded(textured(320, 240, 99)))}
    assert code_of(stitch(client, files)) == (422, "low_overlap")
    files["target"] = ("b.png", encoded(np.full((240, 320, 3), 90, np.uint8)))
    assert code_of(stitch(client, files)) == (422, "low_overlap")


def test_images_of_different_sizes_and_modes(client: httpx.Client) -> None:
    large = Image.fromarray(TARGET).resize((640, 480), Image.Resampling.BICUBIC).convert("CMYK")
    response = stitch(client, {"reference": ("a.png", encoded(REFERENCE)), "target": ("b.jpg", encoded(large, "JPEG"))})
    assert response.status_code in (200, 422), response.text


def test_calibration(client: httpx.Client) -> None:
    first = stitch(client, calibration_id="rig-1", format="zip")
    again = stitch(client, calibration_id="rig-1", format="zip")
    assert first.status_code == again.status_code == 200, first.text

    def panorama(response: httpx.Response) -> bytes:
        return zipfile.ZipFile(io.BytesIO(response.content)).read("panorama.png")

    assert panorama(first) == panorama(again)
    files = {**PAIR, "target": ("b.png", encoded(TARGET[:200]))}
    assert code_of(stitch(client, files, calibration_id="rig-1")) == (422, "calibration_mismatch")
    swapped = {"reference": PAIR["target"], "target": PAIR["reference"]}
    assert code_of(stitch(client, swapped, calibration_id="rig-1")) == (422, "calibration_mismatch")


def test_several_images(client: httpx.Client) -> None:
    three = images(WORLD[:, :260], WORLD[:, 110:370], WORLD[:, 220:480])
    response = stitch(client, three, format="zip")
    assert response.status_code == 200, response.text
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        report = json.loads(archive.read("report.json"))
        assert report["reference_index"] == 1
        assert len(report["images"]) >= 2
        assert {"target_mask_0.png", "target_mask_2.png", "flow_0.npz", "flow_2.npz"} <= set(archive.namelist())
    unrelated = [*three, ("images", ("x.png", encoded(textured(260, 240, 99))))]
    refused = stitch(client, unrelated)
    assert code_of(refused) == (422, "low_overlap")
    assert "3" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("files", "fields", "expected"),
    [
        ({"reference": PAIR["reference"]}, {}, (400, "malformed_request")),
        ({"target": PAIR["target"]}, {}, (400, "malformed_request")),
        ({"image": PAIR["target"]}, {}, (400, "unknown_field")),
        ([*PAIR.items(), *images(REFERENCE, TARGET)], {}, (400, "malformed_request")),
        (images(REFERENCE), {}, (400, "malformed_request")),
        ({"format": (None, "png")}, {}, (400, "malformed_request")),
        (images(*[REFERENCE[:40, :40]] * 17), {}, (400, "invalid_field")),
        (images(REFERENCE, TARGET), {"reference_index": "2"}, (400, "invalid_field")),
        (images(REFERENCE, TARGET), {"reference_index": "-1"}, (400, "invalid_field")),
        (images(REFERENCE, TARGET), {"reference_index": "9" * 5000}, (400, "invalid_field")),
        (images(REFERENCE, TARGET), {"reference_index": "0" * 5000}, (400, "invalid_field")),
        (PAIR, {"reference_index": "0"}, (400, "invalid_field")),
        (PAIR, {"format": "npz"}, (400, "invalid_field")),
        (PAIR, {"profile": "slow"}, (400, "invalid_field")),
        (PAIR, {"compose": "both"}, (400, "invalid_field")),
        (PAIR, {"perceive": "true"}, (400, "invalid_field")),
        (PAIR, {"inspect": "true", "format": "jpeg"}, (400, "invalid_field")),
        (PAIR, {"perceive": "yes", "format": "zip"}, (400, "invalid_field")),
        (PAIR, {"calibration_id": "../etc"}, (400, "invalid_field")),
        (PAIR, {"calibration_id": ""}, (400, "invalid_field")),
        (PAIR, {"calibration_id": "x" * 65}, (400, "invalid_field")),
        (PAIR, {"model": "tiny-perceive"}, (404, "unknown_model")),
        (PAIR, {"tasks": "depth"}, (400, "unknown_field")),
        ({**PAIR, "target": ("b", b"")}, {}, (415, "not_an_image")),
        ({**PAIR, "target": ("b", PAIR["target"][1][:500])}, {}, (415, "not_an_image")),
        ({**PAIR, "target": ("b", encoded(np.zeros((1, 1, 3), np.uint8)))}, {}, (422, "too_small")),
    ],
)
def test_requests_that_are_refused(
    client: httpx.Client, files: Any, fields: dict[str, str], expected: tuple[int, str]
) -> None:
    assert code_of(stitch(client, files, **fields)) == expected


@pytest.mark.parametrize("size", [(32, 32), (33, 500), (640, 40)])
def test_small_and_narrow_pairs_never_break(client: httpx.Client, size: tuple[int, int]) -> None:
    for seeds in ((1, 1), (1, 2)):
        pictures = [encoded(scene(*size, seed=seed)) for seed in seeds]
        files = {"reference": ("a.png", pictures[0]), "target": ("b.png", pictures[1])}
        response = stitch(client, files, profile="fast")
        assert response.status_code in (200, 422), response.text

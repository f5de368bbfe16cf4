"""POST /v1/perceive, GET /v1/models and the rest of the contract, by a real server."""

import base64
import io
import json
import zipfile

import httpx
import numpy as np
import pytest
from PIL import Image

from service.observation import QUIET
from tests.helpers.pictures import encoded, scene, with_exif

PHOTO = encoded(scene(150, 100), "JPEG", quality=95)
META_KEYS = {"model", "size", "focal_px", "focal_source", "classes", "timings"}
CLASSES = 13


def ask(client: httpx.Client, data: bytes = PHOTO, **fields: str) -> httpx.Response:
    response = client.post("/v1/perceive", files={"image": ("photo", data)}, data=fields)
    assert response.status_code == 200, response.text
    return response


def maps(client: httpx.Client, data: bytes = PHOTO, **fields: str) -> tuple[dict[str, np.ndarray], dict]:
    with np.load(io.BytesIO(ask(client, data, **fields).content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = arrays.pop("meta")
    assert meta.shape == ()
    assert meta.dtype.kind == "U"
    return arrays, json.loads(str(meta))


def test_npz(client: httpx.Client) -> None:
    arrays, meta = maps(client)
    assert {name: (a.shape, a.dtype) for name, a in arrays.items()} == {
        "depth": ((100, 150), np.dtype("float32")),
        "segmentation": ((100, 150), np.dtype("uint8")),
        "normals": ((100, 150, 3), np.dtype("float32")),
    }
    assert np.isfinite(arrays["depth"]).all()
    assert (arrays["depth"] > 0).all()
    assert arrays["segmentation"].max() < CLASSES
    assert np.abs(np.linalg.norm(arrays["normals"].astype(float), axis=2) - 1).max() < 1e-5
    assert set(meta) == META_KEYS
    assert meta["size"] == [150, 100]
    assert meta["focal_source"] == "default"
    assert len(meta["classes"]) == CLASSES
    assert set(meta["timings"]) == {"decode", "preprocess", "network", "postprocess", "encode"}
    assert all(value >= 0 for value in meta["timings"].values())


def test_server_timing_header(client: httpx.Client) -> None:
    stages = dict(part.split(";dur=") for part in ask(client).headers["Server-Timing"].split(", "))
    assert set(stages) == {"decode", "preprocess", "network", "postprocess", "encode"}


def test_depth_scales_with_the_focal_length_and_says_where_it_came_from(client: httpx.Client) -> None:
    short, meta = maps(client, focal_px="100")
    assert (meta["focal_px"], meta["focal_source"]) == (100, "request")
    long, _ = maps(client, focal_px="250")
    assert np.allclose(long["depth"], 2.5 * short["depth"], rtol=1e-4)
    data = with_exif(scene(150, 100), "JPEG", orientation=6, focal_35mm=28)
    _, meta = maps(client, data)
    assert meta["focal_source"] == "exif"
    assert meta["focal_px"] == pytest.approx(28 / 43.2666 * np.hypot(150, 100), rel=1e-4)
    assert meta["size"] == [100, 150]
    _, meta = maps(client, data, focal_px="90")
    assert meta["focal_source"] == "request"


@pytest.mark.parametrize(("resolution", "shape"), [("native", (100, 150)), ("75", (50, 75)), ("600", (400, 600))])
def test_resolution(client: httpx.Client, resolution: str, shape: tuple[int, int]) -> None:
    arrays, meta = maps(client, resolution=resolution, focal_px="120")
    assert arrays["depth"].shape == arrays["segmentation"].shape == arrays["normals"].shape[:2] == shape
    assert meta["size"] == [150, 100]
    assert meta["focal_px"] == 120


def test_model_resolution_is_what_native_was_made_from(client: httpx.Client) -> None:
    model, _ = maps(client, resolution="model")
    height, width = model["depth"].shape
    same, _ = maps(client, resolution=str(max(width, height)))
    assert width > height
    assert abs(same["depth"].shape[0] - height) <= height // 4
    assert np.median(model["depth"]) == pytest.approx(np.median(same["depth"]), rel=0.05)


@pytest.mark.parametrize("tasks", ["depth", "segmentation", "normals", "normals,depth", " depth , segmentation "])
def test_tasks(client: httpx.Client, tasks: str) -> None:
    arrays, _ = maps(client, tasks=tasks)
    assert set(arrays) == {task.strip() for task in tasks.split(",")}
    with zipfile.ZipFile(io.BytesIO(ask(client, tasks=tasks, format="png").content)) as archive:
        assert set(archive.namelist()) == {f"{task}.png" for task in arrays} | {"preview.png", "meta.json"}


def test_png_zip_agrees_with_npz(client: httpx.Client) -> None:
    arrays, _ = maps(client)
    response = ask(client, format="png")
    assert response.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert set(json.loads(files["meta.json"])) == META_KEYS
    _agree({name.removesuffix(".png"): data for name, data in files.items() if name.endswith(".png")}, arrays, client)


def test_json_agrees_with_npz(client: httpx.Client) -> None:
    arrays, _ = maps(client)
    content = ask(client, format="json").json()
    assert set(content) == {"depth_png", "segmentation_png", "normals_png", "preview_png", "meta"}
    assert set(content["meta"]) == META_KEYS
    pictures = {
        name.removesuffix("_png"): base64.b64decode(text) for name, text in content.items() if name.endswith("_png")
    }
    _agree(pictures, arrays, client)


def _agree(pictures: dict[str, bytes], arrays: dict[str, np.ndarray], client: httpx.Client) -> None:
    images = {name: Image.open(io.BytesIO(data)) for name, data in pictures.items()}
    millimetres = np.asarray(images["depth"])
    assert millimetres.dtype == np.uint16
    assert (np.abs(millimetres - np.clip(arrays["depth"] * 1000.0, 1, 65535)) <= 0.51).all()
    assert images["segmentation"].mode == "P"
    assert (np.asarray(images["segmentation"]) == arrays["segmentation"]).all()
    palette = client.get("/v1/models").json()["models"][0]["tasks"]["segmentation"]["palette"]
    first = int(arrays["segmentation"][0, 0])
    assert images["segmentation"].convert("RGB").getpixel((0, 0)) == tuple(palette[first])
    normals = np.asarray(images["normals"]).astype(float) / 127.5 - 1
    assert np.abs(normals - arrays["normals"]).max() < 0.005
    assert images["preview"].size == (4 * 150 + 3 * 4, 100)


def test_preview(client: httpx.Client) -> None:
    response = ask(client, format="preview")
    assert response.headers["Content-Type"] == "image/png"
    image = Image.open(io.BytesIO(response.content))
    assert image.size == (4 * 150 + 3 * 4, 100)
    assert np.abs(np.asarray(image)[:, :150].astype(int) - scene(150, 100)).mean() < 6


def test_large_photographs_are_answered_at_their_size(client: httpx.Client) -> None:
    arrays, meta = maps(client, encoded(scene(3000, 2000), "JPEG"), tasks="depth,segmentation")
    assert arrays["depth"].shape == (2000, 3000)
    assert meta["size"] == [3000, 2000]


def test_extreme_shapes(client: httpx.Client) -> None:
    for width, height in ((40_000, 32), (32, 5000), (32, 32)):
        arrays, _ = maps(client, encoded(np.zeros((height, width, 3), np.uint8)))
        assert arrays["normals"].shape == (height, width, 3)


def test_models(client: httpx.Client) -> None:
    models = client.get("/v1/models").json()["models"]
    assert [model["kind"] for model in models] == ["perceive", "stitch"]
    for model in models:
        assert set(model) == {"name", "kind", "version", "tasks", "precision", "provider", "sha256"}
        assert model["provider"] == "CPUExecutionProvider"
        assert len(model["sha256"]) == 64
    tasks = models[0]["tasks"]
    assert set(tasks) == {"depth", "segmentation", "normals"}
    assert tasks["depth"]["unit"] == "m"
    assert len(tasks["segmentation"]["classes"]) == len(tasks["segmentation"]["palette"]) == CLASSES
    maps(client, model=models[0]["name"])


def test_health_metrics_and_description(client: httpx.Client) -> None:
    ask(client)
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    lines = client.get("/metrics").text.splitlines()
    counted = [
        line
        for line in lines
        if line.startswith("bentoml_service_request_total") and '"/v1/perceive"' in line and '="200"' in line
    ]
    assert float(counted[0].rsplit(" ", 1)[1]) >= 1
    load = [line for line in lines if line.startswith("bentoml_service_request_in_progress{")]
    assert any('"/v1/perceive"' in line for line in load)
    assert not any(f'"{path}"' in line for line in load for path in QUIET), "the autoscaler would count its own look"
    description = client.get("/docs.json").json()
    assert {"/v1/perceive", "/v1/stitch"} <= set(description["paths"])
    assert "multipart/form-data" in description["paths"]["/v1/perceive"]["post"]["requestBody"]["content"]


def test_the_page_is_served(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")


def test_requests_run_side_by_side(client: httpx.Client) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        depths = [arrays["depth"] for arrays, _ in pool.map(lambda _: maps(client), range(16))]
    assert all((depth == depths[0]).all() for depth in depths)


def test_a_compressed_npz_holds_the_same_in_fewer_bytes(client: httpx.Client) -> None:
    plain, packed = (
        client.post("/v1/perceive", files={"image": PHOTO}, data={"compression": compression})
        for compression in ("none", "deflate")
    )
    assert len(packed.content) < len(plain.content)
    with np.load(io.BytesIO(plain.content)) as expected, np.load(io.BytesIO(packed.content)) as found:
        assert expected.files == found.files
        assert all(np.array_equal(expected[name], found[name]) for name in expected.files if name != "meta")

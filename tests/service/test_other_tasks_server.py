"""A real server with a bundle that has neither depth nor normals: segmentation, human parts and saliency."""

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.helpers.pictures import encoded, scene
from tests.helpers.servers import running_service

# Not a JPEG, which may be decoded at another scale for another format.
PHOTO = encoded(scene(150, 100), "PNG")
TASKS = ("segmentation", "parts", "saliency")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, people_bundle: Path) -> Iterator[httpx.Client]:
    log = tmp_path_factory.mktemp("people") / "service.log"
    with running_service(log, people_bundle) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def ask(client: httpx.Client, **fields: str) -> httpx.Response:
    return client.post("/v1/perceive", files={"image": ("photo", PHOTO)}, data=fields)


def test_every_format_has_the_tasks_of_the_bundle(people: httpx.Client) -> None:
    with np.load(io.BytesIO(ask(people).content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = json.loads(str(arrays.pop("meta")))
    assert {name: (a.shape, str(a.dtype)) for name, a in arrays.items()} == {
        "segmentation": ((100, 150), "uint8"),
        "parts": ((100, 150), "uint8"),
        "saliency": ((100, 150), "float32"),
    }
    assert 0 <= arrays["saliency"].min() <= arrays["saliency"].max() <= 1
    assert len(meta["classes"]) == 21
    assert meta["part_classes"][:2] == ["background", "head"]
    with zipfile.ZipFile(io.BytesIO(ask(people, format="png").content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert set(files) == {*(f"{task}.png" for task in TASKS), "preview.png", "meta.json"}
    content = ask(people, format="json").json()
    assert set(content) == {*(f"{task}_png" for task in TASKS), "preview_png", "meta"}
    for task in TASKS:
        assert base64.b64decode(content[f"{task}_png"]) == files[f"{task}.png"]
        values = np.asarray(Image.open(io.BytesIO(files[f"{task}.png"])))
        assert np.array_equal(values, np.rint(255 * arrays[task]) if task == "saliency" else arrays[task])
    preview = Image.open(io.BytesIO(ask(people, format="preview").content))
    assert preview.size == (4 * 150 + 3 * 4, 100)


def test_tasks_of_other_bundles_are_refused_by_name(people: httpx.Client) -> None:
    for task in ("depth", "normals", "edges", "mood"):
        error = ask(people, tasks=f"parts,{task}")
        assert error.status_code == 400
        assert f"'{task}' is not one of segmentation, parts, saliency" in error.json()["error"]["message"]
    with np.load(io.BytesIO(ask(people, tasks="saliency").content), allow_pickle=False) as archive:
        assert set(archive.files) == {"saliency", "meta"}


def test_models_lists_the_tasks(people: httpx.Client) -> None:
    (model,) = people.get("/v1/models").json()["models"]
    assert list(model["tasks"]) == list(TASKS)
    assert len(model["tasks"]["parts"]["classes"]) == len(model["tasks"]["parts"]["palette"]) == 7
    assert model["tasks"]["saliency"]["range"] == [0, 1]

"""/v1/jobs by a real server: the contract, and `kill -9` in the middle of a job."""

import io
import json
import os
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.helpers.pictures import encoded, scene
from tests.helpers.servers import running_process

PHOTO = encoded(scene(), "JPEG")
WORLD = np.concatenate([scene(240, 160, seed) for seed in range(3)], axis=1)
PAIR = {"reference.png": encoded(WORLD), "target.jpg": encoded(WORLD, "JPEG", quality=95)}


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def send(client: httpx.Client, members: dict[str, bytes], kind: str, **options: Any) -> httpx.Response:
    data = {"kind": kind, "options": json.dumps(options)}
    return client.post("/v1/jobs", files={"archive": ("job.zip", zipped(members))}, data=data)


def accepted(response: httpx.Response) -> str:
    assert response.status_code == 202, response.text
    body = response.json()
    assert set(body) == {"id", "status", "total"}
    assert response.headers["Location"] == f"/v1/jobs/{body['id']}"
    return str(body["id"])


def finished(client: httpx.Client, id: str, seconds: float = 60) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while (status := client.get(f"/v1/jobs/{id}").json())["status"] in ("queued", "running"):
        assert time.monotonic() < end, status
        time.sleep(0.05)
    return dict(status)


def result(client: httpx.Client, id: str) -> dict[str, bytes]:
    response = client.get(f"/v1/jobs/{id}/result")
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert len(set(archive.namelist())) == len(archive.namelist())
        return {name: archive.read(name) for name in archive.namelist()}


def error_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_perceive_from_an_archive(client: httpx.Client) -> None:
    members = {"a.jpg": PHOTO, "rooms/b.png": encoded(scene(seed=1)), "rooms/bad.jpg": b"no image"}
    id = accepted(send(client, members, "perceive", tasks="depth", focal_px=90))
    status = finished(client, id)
    assert (status["kind"], status["status"], status["total"], status["done"], status["failed"]) == (
        "perceive", "done", 3, 2, 1,
    )  # fmt: skip
    assert status["created"] < status["expires"]
    files = result(client, id)
    names = {
        f"{item}/{name}" for item in ("a.jpg", "rooms/b.png") for name in ("depth.png", "preview.png", "meta.json")
    }
    assert set(files) == names | {"report.jsonl"}
    assert json.loads(files["a.jpg/meta.json"])["focal_px"] == 90
    report = {line["id"]: line for line in map(json.loads, files["report.jsonl"].splitlines())}
    assert [report[id]["status"] for id in ("a.jpg", "rooms/b.png", "rooms/bad.jpg")] == ["ok", "ok", "failed"]
    assert report["rooms/bad.jpg"]["error"]["code"] == "not_an_image"
    alone = client.post(
        "/v1/perceive", files={"image": PHOTO}, data={"format": "png", "tasks": "depth", "focal_px": "90"}
    )
    with zipfile.ZipFile(io.BytesIO(alone.content)) as archive:
        assert archive.read("depth.png") == files["a.jpg/depth.png"]


def test_stitch_from_single_files(client: httpx.Client) -> None:
    uploads = [("files", (f"pairs/1/{name}", data)) for name, data in PAIR.items()]
    id = accepted(client.post("/v1/jobs", files=uploads, data={"kind": "stitch", "options": '{"profile": "fast"}'}))
    assert finished(client, id)["status"] == "done"
    files = result(client, id)
    expected = [
        "panorama.png",
        "reference_mask.png",
        "target_mask.png",
        "hole_mask.png",
        "warped_target.png",
        "flow.npz",
    ]
    assert set(files) == {f"pairs/1/{name}" for name in [*expected, "report.json"]} | {"report.jsonl"}
    assert json.loads(files["pairs/1/report.json"])["profile"] == "fast"


def test_options_are_checked_for_the_format_that_jobs_have(client: httpx.Client) -> None:
    """A zip per pair, where the single endpoint answers a picture: what only a zip can hold needs no `format`."""
    members = {f"1/{name}": data for name, data in PAIR.items()}
    id = accepted(send(client, members, "stitch", profile="fast", perceive=True, inspect=True))
    assert finished(client, id)["status"] == "done"
    assert {"1/perceive.npz", "1/homography.png", "1/seam_mask.png"} <= set(result(client, id))


def test_another_format_is_one_file_per_item(client: httpx.Client) -> None:
    id = accepted(send(client, {"a.jpg": PHOTO}, "perceive", format="npz"))
    finished(client, id)
    files = result(client, id)
    assert set(files) == {"a.jpg/perceive.npz", "report.jsonl"}
    with np.load(io.BytesIO(files["a.jpg/perceive.npz"]), allow_pickle=False) as maps:
        assert maps["depth"].shape == scene().shape[:2]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, (400, "invalid_field")),
        ({"kind": "train"}, (400, "invalid_field")),
        ({"kind": "perceive", "options": "no json"}, (400, "invalid_field")),
        ({"kind": "perceive", "options": "[1]"}, (400, "invalid_field")),
        ({"kind": "perceive", "options": "[" * 50_000}, (400, "invalid_field")),
        ({"kind": "perceive", "options": '{"tasks": ["depth"]}'}, (400, "invalid_field")),
        ({"kind": "perceive", "options": '{"tasks": "edges"}'}, (400, "invalid_field")),
        ({"kind": "perceive", "options": '{"focal_px": NaN}'}, (400, "invalid_field")),
        ({"kind": "perceive", "options": '{"image": "x"}'}, (400, "unknown_field")),
        ({"kind": "perceive", "options": '{"profile": "fast"}'}, (400, "unknown_field")),
        ({"kind": "perceive", "options": '{"model": "nobody"}'}, (404, "unknown_model")),
        ({"kind": "stitch", "options": '{"perceive": true, "format": "png"}'}, (400, "invalid_field")),
        ({"kind": "perceive", "options": '{"compression": "deflate"}'}, (400, "invalid_field")),  # of PNG files
        ({"kind": "stitch", "options": '{"calibration_id": "../x"}'}, (400, "invalid_field")),
        ({"kind": "stitch", "options": '{"reference_index": 0}'}, (400, "invalid_field")),
        ({"kind": "stitch", "options": '{"compose": "generate"}'}, (400, "invalid_field")),  # of no bundle here
        ({"kind": "stitch"}, (422, "bad_archive")),
        ({"kind": "perceive", "priority": "1"}, (400, "unknown_field")),
    ],
)
def test_fields_that_are_refused(client: httpx.Client, data: dict[str, str], expected: tuple[int, str]) -> None:
    upload = {"archive": ("a.zip", zipped({"a.jpg": PHOTO}))}
    assert error_of(client.post("/v1/jobs", files=upload, data=data)) == expected


def test_uploads_that_are_refused(client: httpx.Client) -> None:
    kind = {"kind": "perceive"}
    both = [("archive", ("a.zip", zipped({"a.jpg": PHOTO}))), ("files", ("a.jpg", PHOTO))]
    assert error_of(client.post("/v1/jobs", files=both, data=kind)) == (400, "malformed_request")
    neither = {"kind": (None, "perceive")}
    assert error_of(client.post("/v1/jobs", files=neither)) == (400, "malformed_request")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}.bmp", bytes(110_000_000))
    assert len(bomb.getvalue()) < 3_000_000
    answer = client.post("/v1/jobs", files={"archive": ("a.zip", bomb.getvalue())}, data=kind)
    assert error_of(answer) == (422, "bad_archive")
    for name in ("../../etc/cron.d/a", "/etc/passwd"):
        assert error_of(send(client, {name: PHOTO}, "perceive")) == (422, "bad_archive")
        upload = {"files": (name, PHOTO)}
        assert error_of(client.post("/v1/jobs", files=upload, data=kind)) == (422, "bad_archive")


def test_cancelling(client: httpx.Client) -> None:
    members = {f"{i}.jpg": PHOTO for i in range(40)}
    id = accepted(send(client, members, "perceive"))
    for _ in range(2):
        response = client.delete(f"/v1/jobs/{id}")
        assert (response.status_code, response.content) == (204, b"")
        assert client.get(f"/v1/jobs/{id}").json()["status"] == "cancelled"
    assert error_of(client.get(f"/v1/jobs/{id}/result")) == (410, "result_gone")


@pytest.mark.parametrize("id", ["nobody", "a" * 22, "%2e%2e", "..%2f..", "%00" * 22])
def test_unknown_jobs(client: httpx.Client, id: str) -> None:
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/result")):
        status, code = error_of(client.request(method, f"/v1/jobs/{id}{tail}"))
        assert status == 404
        assert code in ("unknown_job", "unknown_route")
    wrong = client.request("PUT", f"/v1/jobs/{'a' * 22}")
    assert error_of(wrong) == (405, "method_not_allowed")
    assert {"GET", "DELETE"} <= set(wrong.headers["Allow"].split(", "))


def test_kill_and_restart(perceive_bundle: Path, tmp_path: Path) -> None:
    """Killed with everything it has started, once while a job is worked on; the next start ends the job."""
    members = {f"{i:02}.jpg": encoded(scene(320, 240, i), "JPEG") for i in range(16)}
    with running_process(tmp_path / "first.log", perceive_bundle, JOB_THREADS=1) as (process, url):
        with httpx.Client(base_url=url, timeout=60) as client:
            id = accepted(send(client, members, "perceive", resolution=1000))
            while (status := client.get(f"/v1/jobs/{id}").json())["done"] < 2:
                time.sleep(0.01)
            partial = result(client, id)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert status["status"] == "running"
    with (
        running_process(tmp_path / "second.log", perceive_bundle) as (_, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        status = finished(client, id, 120)
        whole = result(client, id)
    assert (status["status"], status["done"]) == ("done", 16)
    assert set(whole) == {f"{name}/{file}" for name in members for file in FILES} | {"report.jsonl"}
    assert len(whole["report.jsonl"].splitlines()) == 16
    for name, data in partial.items():
        assert name == "report.jsonl" or whole[name] == data


FILES = ("depth.png", "segmentation.png", "normals.png", "preview.png", "meta.json")

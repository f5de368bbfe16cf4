"""Starting and limiting: `python -m service`, its settings, and what it refuses to start with."""

import json
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service import __main__ as command
from service.access import hash_key
from tests.helpers.pictures import encoded, scene
from tests.helpers.servers import ROOT, running_service, service_environment

PHOTO = encoded(scene(), "JPEG")


def run(*arguments: str, bundles: tuple[Path, ...], **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env=service_environment(*bundles, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_importing_the_service_leaves_torch_out() -> None:
    program = (
        "import sys, service.app, service.registry, service.stitching.pipeline, service.__main__\n"
        "heavy = {'torch', 'onnx', 'transformers', 'lightning', 'models', 'training', 'export'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_check_names_whole_bundles(perceive_bundle: Path, stitch_bundle: Path) -> None:
    done = run("check", bundles=(perceive_bundle, stitch_bundle))
    assert done.returncode == 0, done.stderr
    assert "perceive bundle tiny-perceive" in done.stdout
    assert "stitch bundle tiny-stitch" in done.stdout


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_missing_bundle_is_named(command: str, perceive_bundle: Path, tmp_path: Path) -> None:
    done = run(command, bundles=(perceive_bundle, tmp_path / "nowhere"))
    assert done.returncode == 1
    assert str(tmp_path / "nowhere") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_bundle_is_named(perceive_bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(perceive_bundle, tmp_path / "damaged")
    graph = folder / json.loads((folder / "manifest.json").read_text())["graphs"]["perceive"]["file"]
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    done = run("serve", bundles=(folder,))
    assert done.returncode == 1
    assert str(folder) in done.stderr
    assert graph.name in done.stderr


def test_two_bundles_of_one_name_are_refused(perceive_bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(perceive_bundle, tmp_path / "twin")
    done = run("check", bundles=(perceive_bundle, folder))
    assert done.returncode == 1
    assert "same kind and name" in done.stderr


def test_a_wrong_setting_is_named(perceive_bundle: Path) -> None:
    done = run("serve", bundles=(perceive_bundle,), THREADS="many")
    assert done.returncode == 1
    assert "POLYVIEW_THREADS" in done.stderr


def test_variables_that_are_no_settings_are_told(perceive_bundle: Path, tmp_path: Path) -> None:
    done = run("check", bundles=(perceive_bundle,), JOBS=tmp_path, VERSION=2)
    assert done.returncode == 0
    assert done.stderr == "polyview: set, but no setting of the service: POLYVIEW_VERSION\n"


def test_a_port_that_somebody_has_is_named(perceive_bundle: Path, tmp_path: Path) -> None:
    """Not found here, it would be a trace of the supervisor."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = run("serve", "--port", port, bundles=(perceive_bundle,), JOBS=tmp_path)
    assert done.returncode == 1
    assert f"127.0.0.1, port {port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_of_another_machine_is_named(
    perceive_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POLYVIEW_BUNDLES", str(perceive_bundle))
    monkeypatch.setattr(command, "_become_bentoml", lambda *_: pytest.fail("it started"))
    assert command.main(["serve", "--host", "192.0.2.1"]) == 1
    assert "cannot listen at 192.0.2.1, port 3000" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "99999", "web"])
def test_what_is_no_port_is_named(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["serve", "--port", port])
    assert f"from 1 to 65535, found '{port}'" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_is_not_there_ends_the_start(
    device: str, perceive_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POLYVIEW_BUNDLES", str(perceive_bundle))
    monkeypatch.setenv("POLYVIEW_DEVICE", device)
    monkeypatch.setattr(command, "gpu_at_hand", lambda: False)
    assert command.main(["check"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"polyview: POLYVIEW_DEVICE: expected a GPU for {device}")
    assert "requirements/serve-gpu.txt" in error


def test_a_folder_for_calibrations_that_cannot_be_written_ends_the_start(perceive_bundle: Path, tmp_path: Path) -> None:
    """Later it would be a 500 for every request with a calibration_id."""
    (tmp_path / "file").touch()
    done = run("check", bundles=(perceive_bundle,), JOBS=tmp_path, CALIBRATIONS=tmp_path / "file" / "rigs")
    assert done.returncode == 1
    assert "POLYVIEW_CALIBRATIONS: expected a writable folder" in done.stderr


def test_one_kind_alone_with_keys_and_limits(perceive_bundle: Path, tmp_path: Path) -> None:
    entries = ",".join(hash_key(name, f"{name}-key-of-some-length") for name in ("secret", "other"))
    settings = {"KEYS": entries, "MAX_BODY_BYTES": 100_000, "MAX_PIXELS": 100_000, "MIN_SIDE": 50}
    with (
        running_service(tmp_path / "log", perceive_bundle, **settings) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        files = {"image": ("a.jpg", PHOTO)}
        assert client.post("/v1/perceive", files=files).json()["error"]["code"] == "unauthorized"
        assert client.get("/v1/models").status_code == 401
        assert client.get("/").status_code == 200
        assert client.get("/readyz").status_code == 200
        client.headers["Authorization"] = "Bearer other-key-of-some-length"
        assert client.post("/v1/perceive", files=files).status_code == 200
        pair = {"reference": ("a.jpg", PHOTO), "target": ("b.jpg", PHOTO)}
        stitch = client.post("/v1/stitch", files=pair)
        assert (stitch.status_code, stitch.json()["error"]["code"]) == (404, "unknown_model")
        for size, code in (((400, 300), "too_many_pixels"), ((200, 49), "too_small")):
            answer = client.post("/v1/perceive", files={"image": ("a.png", encoded(scene(*size), "JPEG"))})
            assert answer.json()["error"]["code"] == code

        def pieces() -> object:
            yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
            for _ in range(5000):
                yield b"x" * 1000

        for large in ({"files": {"image": ("a", b"x" * 5_000_000)}}, {"content": pieces()}):
            headers = {"Content-Type": "multipart/form-data; boundary=b"} if "content" in large else {}
            answer = client.post("/v1/perceive", headers=headers, **large)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_queue_and_time_limit(stitch_bundle: Path, perceive_bundle: Path, tmp_path: Path) -> None:
    """Large maps keep the one thread busy: some requests are late, those beyond the queue are turned away at once."""
    settings = {"THREADS": 1, "QUEUE": 2, "TIMEOUT": 0.3}
    photo = encoded(scene(2400, 1800), "JPEG")
    with (
        running_service(tmp_path / "log", perceive_bundle, stitch_bundle, **settings) as url,
        httpx.Client(base_url=url, timeout=60) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        files = {"image": ("a.jpg", photo)}
        answers = list(pool.map(lambda _: client.post("/v1/perceive", files=files, data={"format": "png"}), range(8)))
        codes = {answer.json()["error"]["code"] if answer.status_code != 200 else "ok" for answer in answers}
        assert {"queue_full", "too_slow"} <= codes
        assert codes <= {"queue_full", "too_slow", "ok"}
        for answer in answers:
            assert ("Retry-After" in answer.headers) == (answer.status_code == 503)
        assert client.get("/livez").status_code == 200


@pytest.mark.full
def test_a_bento_holds_the_service_and_its_weights_only(tmp_path: Path) -> None:
    environment = service_environment() | {"BENTOML_HOME": str(tmp_path), "BENTOML_DO_NOT_TRACK": "True"}
    subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "."], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    (source,) = tmp_path.glob("bentos/polyview/*/src")
    assert {entry.name for entry in source.iterdir()} <= {"service", "weights", "bentofile.yaml"}
    assert (source / "service" / "app.py").is_file()

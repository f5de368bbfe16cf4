"""Faults and length: a worker that is killed under load, a worker that cannot start, memory over many requests."""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from service import __main__ as command
from service import failed_starts
from tests.helpers.pictures import encoded, scene
from tests.helpers.servers import ROOT, free_port, running_process, service_environment

PHOTO = encoded(scene(), "JPEG")
SOAK = 10_000


def ask(url: str, client: httpx.Client | None = None) -> str:
    """The status, or what went wrong with the connection."""
    try:
        post = client.post if client else httpx.post
        return str(post(f"{url}/v1/perceive", files={"image": PHOTO}, timeout=60).status_code)
    except httpx.TransportError as error:
        return type(error).__name__


def worker_of(process: subprocess.Popen[bytes]) -> psutil.Process:
    """The process that answers: the one with the models in it."""
    return max(psutil.Process(process.pid).children(recursive=True), key=lambda p: p.memory_info().rss)


@pytest.mark.full
def test_a_killed_worker_is_replaced_within_ten_seconds(perceive_bundle: Path, tmp_path: Path) -> None:
    with running_process(tmp_path / "log", perceive_bundle) as (process, url), ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, url) for _ in range(40)]
        time.sleep(0.3)
        worker_of(process).send_signal(signal.SIGKILL)
        begun = time.monotonic()
        while ask(url) != "200":
            assert time.monotonic() - begun < 10, "the service did not come back"
        statuses = Counter(answer.result() for answer in answers)
        # Those in the killed process are cut off; nobody is left hanging, and nobody gets half an answer.
        assert set(statuses) <= {"200", "503", "ReadError", "RemoteProtocolError", "ConnectError"}
        assert Counter(pool.map(ask, [url] * 40)) == {"200": 40}


@pytest.mark.full
def test_memory_stays_where_it_is(perceive_bundle: Path, tmp_path: Path) -> None:
    with (
        running_process(tmp_path / "log", perceive_bundle) as (process, url),
        httpx.Client() as client,
        ThreadPoolExecutor(8) as pool,
    ):

        def many(count: int) -> Counter[str]:
            return Counter(pool.map(lambda _: ask(url, client), range(count)))

        many(2000)
        worker = worker_of(process)
        before = worker.memory_info().rss
        assert many(SOAK) == {"200": SOAK}
        assert worker.memory_info().rss <= 1.02 * before


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("OTLP", "http://localhost:4318/v1/traces", "opentelemetry-exporter-otlp-proto-http"),
        ("OTLP", "localhost:4317", "POLYVIEW_OTLP"),
        ("JOBS", "/dev/null/jobs", "POLYVIEW_JOBS"),
        ("JOBS_REDIS", "localhost:6379", "POLYVIEW_JOBS_REDIS"),
        ("JOBS_REDIS", "redis://localhost:x/0", "POLYVIEW_JOBS_REDIS"),
        ("KEY", "lab:sha256.00.11", "POLYVIEW_KEYS"),
        ("KEYS", "plain-key-that-nobody-hashed", "hash-key"),
        ("LOG", "xml", "POLYVIEW_LOG"),
    ],
)
def test_what_would_stop_the_worker_stops_the_start(
    perceive_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    value: str,
    expected: str,
) -> None:
    """BentoML would restart the worker for ever, and callers would hang; so it is not started."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    monkeypatch.setattr(command, "_become_bentoml", lambda host, port: pytest.fail("it was started"))
    monkeypatch.setenv("POLYVIEW_BUNDLES", str(perceive_bundle))
    monkeypatch.setenv("POLYVIEW_JOBS", str(tmp_path))
    monkeypatch.setenv(f"POLYVIEW_{setting}", value)
    assert command.main(["serve"]) == 1
    assert re.fullmatch(rf"polyview: .*{expected}.*\n", capsys.readouterr().err)


def unloadable(bundle: Path, folder: Path) -> Path:
    """A copy that passes every check of its files and sums, and whose graph ONNX Runtime cannot load."""
    copy = shutil.copytree(bundle, folder)
    manifest, verify = (json.loads((copy / name).read_text()) for name in ("manifest.json", "verify.json"))
    name = manifest["graphs"]["perceive"]["file"]
    (copy / name).write_bytes(b"no graph")
    digest = hashlib.sha256(b"no graph").hexdigest()
    for entry in manifest["files"]:
        if entry["path"] == name:
            entry |= {"size": 8, "sha256": digest}
    verify["files"][name]["sha256"] = digest
    (copy / "manifest.json").write_text(json.dumps(manifest))
    (copy / "verify.json").write_text(json.dumps(verify))
    return copy


def test_a_worker_that_cannot_start_ends_the_service(perceive_bundle: Path, tmp_path: Path) -> None:
    """BentoML would start it for ever; connections would succeed, and nothing would answer."""
    port = free_port()
    environment = service_environment(unloadable(perceive_bundle, tmp_path / "bundle"), JOBS=tmp_path / "jobs")
    done = subprocess.run(
        [sys.executable, "-m", "service", "serve", "--port", str(port)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "cannot start and ends" in done.stdout + done.stderr
    assert "perceive.onnx: ONNX Runtime cannot load it" in done.stdout + done.stderr
    assert done.returncode == 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/livez", timeout=5)


def test_workers_that_are_killed_while_they_start_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed one cannot tell; the fourth knows by what the others left."""
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(failed_starts.os, "kill", lambda pid, kind: signals.append((pid, kind)))
    monkeypatch.setattr(failed_starts.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(failed_starts, "_is_worker", lambda: True)

    def killed() -> None:
        failed_starts.starting().__enter__()

    for _ in range(3):
        killed()
    with failed_starts.starting():
        failed_starts.started()
    assert signals == [(failed_starts.os.getppid(), signal.SIGTERM)]
    assert not list(tmp_path.iterdir())
    for _ in range(3):
        killed()
        failed_starts.started()
    assert len(signals) == 1


def test_the_supervisor_s_status_says_whether_a_worker_ended_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_starts.os, "kill", lambda pid, kind: None)
    monkeypatch.setattr(failed_starts.os, "getppid", failed_starts.os.getpid)
    monkeypatch.setattr(failed_starts.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(failed_starts, "_is_worker", lambda: True)

    def failing() -> None:
        with pytest.raises(RuntimeError), failed_starts.starting():
            raise RuntimeError("no start")

    failing()  # under an earlier supervisor with the same number
    with failed_starts.supervising(), failed_starts.starting():
        failed_starts.started()
    with failed_starts.supervising():
        failed_starts.starting().__enter__()  # told to end before it had started

    def ended_by_a_worker() -> None:
        with failed_starts.supervising():
            failing()
            failed_starts.starting().__enter__()  # started again before the supervisor ended
            sys.exit(0)  # as BentoML does

    with pytest.raises(SystemExit) as ended:
        ended_by_a_worker()
    assert ended.value.code == 1
    assert not list(tmp_path.iterdir())


def test_a_process_that_is_no_worker_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_starts.os, "kill", lambda pid, kind: pytest.fail("it was ended"))
    with pytest.raises(RuntimeError), failed_starts.starting():
        raise RuntimeError("no start")

"""A real server in its own process, on a free port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 120


def service_environment(*bundles: Path, **settings: object) -> dict[str, str]:
    """The environment of a service with these bundles; settings without their POLYVIEW_ prefix."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYVIEW_")}
    environment["POLYVIEW_BUNDLES"] = ":".join(str(bundle) for bundle in bundles)
    return environment | {f"POLYVIEW_{name}": str(value) for name, value in settings.items()}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_service(log: Path, *bundles: Path, **settings: object) -> Iterator[str]:
    """The address of a service that is ready, until the end of the block."""
    with running_process(log, *bundles, **settings) as (_, url):
        yield url


@contextmanager
def running_process(log: Path, *bundles: Path, **settings: object) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`python -m service serve`, leader of a process group of its own, and its address once it is ready.

    `log` keeps what it says; jobs are kept beside the log unless the settings say otherwise.
    """
    port = free_port()
    settings = {"JOBS": log.parent / "jobs", **settings}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", str(port)],
            cwd=ROOT,
            env=service_environment(*bundles, **settings),
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, process, log)
            yield process, url
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the service did not become ready:\n{log.read_text(errors='replace')[-4000:]}")

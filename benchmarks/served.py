"""A service to measure: the one at a given address, or one started here on a free port and stopped afterwards."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120.0


def free_port() -> int:
    """A TCP port on the loopback interface that nothing uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(url: str | None, command: Sequence[str] | None = None, seconds: float = START_SECONDS) -> Iterator[str]:
    """Yields the base address of a service that answers `/readyz`.

    Args:
        url: address of a running service, which is then left alone; None starts one.
        command: how to start it, `{port}` is replaced; default `python -m service serve --port {port}`.
        seconds: longest time to wait for it.

    Raises:
        ValueError: it did not become ready; the end of its log is in the message.
    """
    if url is not None:
        yield url.rstrip("/")
        return
    port = free_port()
    words = command or (sys.executable, "-m", "service", "serve", "--host", "127.0.0.1", "--port", "{port}")
    words = [word.replace("{port}", str(port)) for word in words]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        try:
            if not wait_until_ready(address, process, seconds):
                log.seek(0)
                tail = log.read().decode(errors="replace")[-2000:]
                raise ValueError(f"service: expected ready within {seconds:.0f} s at {address}, found:\n{tail}")
            yield address
        finally:
            stop(process)


def wait_until_ready(address: str, process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Whether the service answered 200 on `/readyz` before the time was over or the process ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{address}/readyz", timeout=2, trust_env=False).status_code == 200:
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    return False


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends the process group that was started here, first politely."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            try:
                os.killpg(process.pid, kind)
                process.wait(timeout=20)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

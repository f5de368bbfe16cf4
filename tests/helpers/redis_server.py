"""A real Redis server of the distribution's, on a free port and without files."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.helpers.servers import free_port


@contextmanager
def running_redis() -> Iterator[str]:
    """Its address. Skips, or with POLYVIEW_REQUIRE_ALL=1 fails, where Redis is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        reason = "tests of the Redis queue need the package redis-server (apt-get install redis-server)"
        if os.environ.get("POLYVIEW_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        _wait_until_it_answers(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_it_answers(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            with redis.Redis(port=port) as connection:
                connection.ping()
            return
        except redis.ConnectionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)

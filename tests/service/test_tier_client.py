"""Calls to a made-up model tier that dies, stands still, comes back, and closes idle connections."""

import asyncio
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import numpy as np
import pytest

from service import tier_client
from service.errors import BundleFailed
from service.tier_client import TierClient, patience

IMAGE = np.zeros((2, 2, 3), np.uint8)


class Remote:
    """What BentoML's proxy does, as far as the client uses it. state: up, dead or standing."""

    def __init__(self) -> None:
        self.state = "up"
        self.calls = 0
        self.cut_next = False
        self.to_async = SimpleNamespace(call=self.call)

    async def is_ready(self) -> bool:
        await self._answer()
        return True

    async def call(self, name: str, argument: Any = None) -> Any:
        if name == "providers":
            return {"sha": "CPUExecutionProvider"}
        self.calls += 1
        if self.cut_next:
            self.cut_next = False
            raise aiohttp.ServerDisconnectedError
        await self._answer()
        return [{"maps": {}, "batch": 1}]

    async def _answer(self) -> None:
        if self.state == "dead":
            raise ConnectionRefusedError
        while self.state == "standing":
            await asyncio.sleep(0.01)


@pytest.fixture
def remote() -> Remote:
    return Remote()


@pytest.fixture
def client(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> Iterator[TierClient]:
    monkeypatch.setattr(tier_client, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(tier_client, "PROBE_SECONDS", 0.2)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    client = TierClient(remote, timeout=2.0)
    loop.call_soon_threadsafe(client.start)
    wait_until(lambda: client.up)
    yield client

    async def end() -> None:
        client.stop()
        await asyncio.sleep(0)

    asyncio.run_coroutine_threadsafe(end(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def wait_until(condition: Any) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


def test_a_cut_connection_is_tried_again_once(client: TierClient, remote: Remote) -> None:
    remote.cut_next = True
    assert client.run("sha", IMAGE) == {"maps": {}, "batch": 1}
    assert remote.calls == 2


def test_calls_fail_at_once_while_it_is_away_and_succeed_when_it_is_back(client: TierClient, remote: Remote) -> None:
    remote.state = "dead"
    wait_until(lambda: not client.up)
    with pytest.raises(BundleFailed, match="away") as caught:
        client.run("sha", IMAGE)
    assert caught.value.retry_after
    assert remote.calls == 0
    assert client.provider("sha") == "CPUExecutionProvider"
    remote.state = "up"
    wait_until(lambda: client.up)
    assert client.run("sha", IMAGE)["batch"] == 1


def test_calls_under_way_are_given_up_when_it_stands_still(client: TierClient, remote: Remote) -> None:
    remote.state = "standing"
    with pytest.raises(BundleFailed, match="went away"):  # not the message of the time limit
        client.run("sha", IMAGE)


def test_who_has_patience_waits_until_it_is_back(client: TierClient, remote: Remote) -> None:
    remote.state = "standing"
    threading.Timer(0.6, lambda: setattr(remote, "state", "up")).start()
    with patience(10):
        assert client.run("sha", IMAGE)["batch"] == 1
    assert tier_client.PATIENCE.get() == 0


@pytest.mark.parametrize("state", ["standing", "dead"])
def test_a_job_notes_no_failure_when_the_service_ends(client: TierClient, remote: Remote, state: str) -> None:
    """What is begun then is taken up at the next start."""
    remote.state = state
    assert client._loop is not None
    threading.Timer(0.1, client._loop.call_soon_threadsafe, (client.stop,)).start()
    with patience(10), pytest.raises(SystemExit):
        client.run("sha", IMAGE)
    with pytest.raises(BundleFailed):
        client.run("sha", IMAGE)


def test_a_call_ends_at_its_time_limit(client: TierClient, remote: Remote) -> None:
    client._timeout = 0.05
    remote.state = "standing"
    with pytest.raises(BundleFailed, match=r"within 0\.05 seconds"):
        client.run("sha", IMAGE)


def test_it_is_dead_once_it_was_there_and_is_away_for_long(
    client: TierClient, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.alive
    remote.state = "dead"
    wait_until(lambda: not client.up)
    assert client.alive
    monkeypatch.setattr(tier_client, "DEAD_SECONDS", 0.0)
    assert not client.alive
    assert TierClient(remote, 1.0).alive  # never there yet: starting


def test_before_it_was_there_its_provider_is_not_known(remote: Remote) -> None:
    with pytest.raises(BundleFailed, match="still starting"):
        TierClient(remote, 1.0).provider("sha")

"""The door in front of small applications, in this process."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from service import middleware
from service.access import hash_key, read_keys
from service.errors import RateLimited
from service.middleware import Door
from service.pieces import PIECE_BYTES
from service.rate import RateLimiter
from service.settings import DoorSettings

LARGE_PORTIONS = 128


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"received": len(await request.body())})


async def slow(request: Request) -> PlainTextResponse:
    """Answers when `go` of the application's state is set."""
    await request.body()
    await request.app.state.go.wait()
    return PlainTextResponse("late")


async def large(request: Request) -> StreamingResponse:
    """More than the buffers of a connection hold."""

    async def portions() -> AsyncIterator[bytes]:
        for _ in range(LARGE_PORTIONS):
            yield bytes(PIECE_BYTES)

    return StreamingResponse(portions())


async def broken(request: Request) -> PlainTextResponse:
    raise RuntimeError("secret detail")


async def plain_error(request: Request) -> JSONResponse:
    return JSONResponse([{"error": "as BentoML says it"}], status_code=int(request.query_params["status"]))


APP = Starlette(
    routes=[
        Route("/v1/echo", echo, methods=["POST"]),
        Route("/v1/slow", slow, methods=["POST"]),
        Route("/v1/large", large, methods=["POST"]),
        Route("/v1/broken", broken),
        Route("/v1/plain", plain_error),
        Route("/readyz", plain_error),
    ]
)


def client_of(door: Door) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(door, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def ask(settings: DoorSettings, *requests: dict[str, Any]) -> list[httpx.Response]:
    """All requests at the same time through one door."""

    async def run() -> list[httpx.Response]:
        async with client_of(Door(APP, settings)) as client:
            return list(await asyncio.gather(*(client.request(**request) for request in requests)))

    return asyncio.run(run())


def error_of(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "hint"}
    assert response.headers["X-Polyview-Error"] == body["error"]["code"]
    return response.status_code, body["error"]["code"]


async def chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 100


@pytest.mark.parametrize("announced", [True, False])
def test_large_bodies(announced: bool) -> None:
    settings = DoorSettings(max_body_bytes=1000)

    def post(count: int) -> dict[str, Any]:
        return {"method": "POST", "url": "/v1/echo", "content": b"x" * 100 * count if announced else chunks(count)}

    fits, over, far_over = ask(settings, post(10), post(11), post(500))
    assert fits.json() == {"received": 1000}
    assert error_of(over) == error_of(far_over) == (413, "body_too_large")


def test_keys() -> None:
    first, second = "first-key-of-some-length", "second-key-of-some-length"
    settings = DoorSettings(keys=read_keys([hash_key("a", first), hash_key("b", second)], None))

    def post(**headers: str) -> dict[str, Any]:
        return {"method": "POST", "url": "/v1/echo", "headers": headers}

    good = ask(settings, post(Authorization=f"Bearer {first}"), post(Authorization=f"bearer {second}"))
    assert [response.status_code for response in good] == [200, 200]
    bad = ask(settings, post(), post(Authorization=f"Bearer {first}x"), post(Authorization=f"Basic {first}"))
    for response in bad:
        assert error_of(response) == (401, "unauthorized")
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_full_queue() -> None:
    async def run() -> None:
        APP.state.go = asyncio.Event()
        async with client_of(Door(APP, DoorSettings(in_flight=2))) as client:
            requests = [asyncio.ensure_future(client.post("/v1/slow")) for _ in range(3)]
            (turned_away,), waiting = await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
            assert error_of(turned_away.result()) == (503, "queue_full")
            assert int(turned_away.result().headers["Retry-After"]) >= 1
            APP.state.go.set()
            assert [response.status_code for response in await asyncio.gather(*waiting)] == [200, 200]

    asyncio.run(run())


def test_time_limit_and_the_place_that_abandoned_work_keeps() -> None:
    async def run() -> None:
        APP.state.go = asyncio.Event()
        async with client_of(Door(APP, DoorSettings(timeout=0.1, in_flight=1))) as client:
            assert error_of(await client.post("/v1/slow")) == (504, "too_slow")
            assert error_of(await client.post("/v1/echo")) == (503, "queue_full")
            APP.state.go.set()
            while (answer := await client.post("/v1/echo")).status_code == 503:
                await asyncio.sleep(0.01)
            assert answer.status_code == 200

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_client_that_stops_reading_loses_its_place_and_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """On real connections, whose buffers hold a part of the answer."""
    monkeypatch.setattr(middleware, "STALL_SECONDS", 0.3)

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            door = Door(APP, DoorSettings(in_flight=1))
            server = uvicorn.Server(uvicorn.Config(door, lifespan="off", log_level="critical"))
            serving = asyncio.ensure_future(server.serve([listener]))
            port = listener.getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(b"POST /v1/large HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                assert error_of(await client.post("/v1/echo")) == (503, "queue_full")
                while (answer := await client.post("/v1/echo")).status_code == 503:
                    await asyncio.sleep(0.02)
                assert answer.status_code == 200
                assert len((await client.post("/v1/large")).content) == LARGE_PORTIONS * PIECE_BYTES
            rest = await reader.read()
            assert len(rest) < LARGE_PORTIONS * PIECE_BYTES
            assert not rest.endswith(b"0\r\n\r\n"), "it looks complete"
            writer.close()
            server.should_exit = True
            await serving

    asyncio.run(asyncio.wait_for(run(), 60))


def test_rate_per_caller() -> None:
    requests = [{"method": "POST", "url": "/v1/echo"}] * 3
    answers = ask(DoorSettings(requests_per_minute=2), *requests)
    assert sorted(response.status_code for response in answers) == [200, 200, 429]
    limited = next(response for response in answers if response.status_code == 429)
    assert error_of(limited) == (429, "rate_limited")
    assert "Retry-After" in limited.headers


def test_rate_refills() -> None:
    now = [0.0]
    limiter = RateLimiter(lambda: now[0])
    for _ in range(60):
        limiter.count("a", 60)
    with pytest.raises(RateLimited):
        limiter.count("a", 60)
    limiter.count("b", 60)
    limiter.count("a", 0)
    now[0] += 1.01
    limiter.count("a", 60)
    with pytest.raises(RateLimited):
        limiter.count("a", 60)


def test_retry_after_is_when_the_next_request_is_free() -> None:
    now = [0.0]
    limiter = RateLimiter(lambda: now[0])
    limiter.count("slow", 1)
    now[0] += 20
    with pytest.raises(RateLimited) as refused:
        limiter.count("slow", 1)
    assert refused.value.retry_after == 40
    now[0] += 39.9
    with pytest.raises(RateLimited):
        limiter.count("slow", 1)
    now[0] += 0.2
    limiter.count("slow", 1)


def test_a_key_has_its_own_rate() -> None:
    limited, free = "limited-key-of-some-length", "free-key-of-some-length"
    settings = DoorSettings(
        keys=read_keys([hash_key("limited", limited, 1), hash_key("free", free)], None), requests_per_minute=3
    )
    requests = [
        {"method": "POST", "url": "/v1/echo", "headers": {"Authorization": f"Bearer {key}"}}
        for key in [limited] * 2 + [free] * 4
    ]
    answers = ask(settings, *requests)
    assert sorted(answer.status_code for answer in answers[:2]) == [200, 429]
    assert sorted(answer.status_code for answer in answers[2:]) == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        (("GET", "/nothing"), (404, "unknown_route")),
        (("GET", "/v1/nothing"), (404, "unknown_route")),
        (("GET", "/v1/echo"), (405, "method_not_allowed")),
        (("GET", "/v1/plain?status=400"), (400, "malformed_request")),
        (("GET", "/v1/plain?status=415"), (400, "malformed_request")),
        (("GET", "/v1/plain?status=500"), (500, "internal_error")),
        (("GET", "/readyz?status=503"), (503, "bundle_failed")),
        (("GET", "/v1/broken"), (500, "internal_error")),
    ],
)
def test_foreign_errors_take_our_shape(request_line: tuple[str, str], expected: tuple[int, str]) -> None:
    method, url = request_line
    (response,) = ask(DoorSettings(), {"method": method, "url": url})
    assert error_of(response) == expected
    assert "secret" not in response.text
    if expected[0] == 405:
        assert response.headers["Allow"] == "POST"

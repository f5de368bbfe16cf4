"""The door in front of small applications, in this process."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from service.access import hash_key, read_keys
from service.errors import RateLimited
from service.middleware import Door
from service.rate import RateLimiter
from service.settings import DoorSettings


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"received": len(await request.body())})


async def slow(request: Request) -> PlainTextResponse:
    await request.body()
    await asyncio.sleep(0.4)
    return PlainTextResponse("late")


async def broken(request: Request) -> PlainTextResponse:
    raise RuntimeError("secret detail")


async def plain_error(request: Request) -> JSONResponse:
    return JSONResponse([{"error": "as BentoML says it"}], status_code=int(request.query_params["status"]))


APP = Starlette(
    routes=[
        Route("/v1/echo", echo, methods=["POST"]),
        Route("/v1/slow", slow, methods=["POST"]),
        Route("/v1/broken", broken),
        Route("/v1/plain", plain_error),
        Route("/readyz", plain_error),
    ]
)


def ask(settings: DoorSettings, *requests: dict[str, Any]) -> list[httpx.Response]:
    """All requests at the same time through one door."""

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(Door(APP, settings), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
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
    slow_request = {"method": "POST", "url": "/v1/slow"}
    answers = ask(DoorSettings(in_flight=2), slow_request, slow_request, slow_request)
    assert sorted(response.status_code for response in answers) == [200, 200, 503]
    turned_away = next(response for response in answers if response.status_code == 503)
    assert error_of(turned_away) == (503, "queue_full")
    assert int(turned_away.headers["Retry-After"]) >= 1


def test_time_limit_and_the_place_that_abandoned_work_keeps() -> None:
    async def run() -> None:
        door = Door(APP, DoorSettings(timeout=0.1, in_flight=1))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://test") as client:
            assert error_of(await client.post("/v1/slow")) == (504, "too_slow")
            assert error_of(await client.post("/v1/echo")) == (503, "queue_full")
            await asyncio.sleep(0.5)
            assert (await client.post("/v1/echo")).status_code == 200

    asyncio.run(run())


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

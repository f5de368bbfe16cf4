"""A real server with everything on that an operator may set: keys, rates, CORS, JSON logs, traces, and its end."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from service.access import hash_key
from tests.helpers.pictures import encoded, scene
from tests.helpers.servers import running_process

PHOTO = encoded(scene(), "JPEG")
LARGE = encoded(scene(3000, 2000), "JPEG")
SECRETS = {name: f"{name}-key-of-some-length" for name in ("lab", "slow", "other")}
ORIGIN = "https://app.example.org"


class Collector:
    """Receives traces as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        outer.spans.extend(scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    @contextmanager
    def listening(self) -> Iterator["Collector"]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class Running:
    def __init__(self, process: Any, url: str, log: Path, collector: Collector) -> None:
        self.process, self.url, self.log, self.collector = process, url, log, collector

    def client(self, key: str | None = "lab", **headers: str) -> httpx.Client:
        if key:
            headers["Authorization"] = f"Bearer {SECRETS[key]}"
        return httpx.Client(base_url=self.url, timeout=120, headers=headers)

    def metrics(self) -> dict[str, float]:
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line[:1] not in ("#", "")}

    def logged(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture(scope="module")
def running(perceive_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("production")
    (folder / "keys").write_text(f"{hash_key('slow', SECRETS['slow'], 2)}\n{hash_key('other', SECRETS['other'])}\n")
    settings = {
        "KEYS": hash_key("lab", SECRETS["lab"]), "KEYS_FILE": folder / "keys", "CORS": ORIGIN, "LOG": "json",
        "THREADS": 1, "QUEUE": 3, "TIMEOUT": 60,
    }  # fmt: skip
    log = folder / "log"
    with (
        Collector().listening() as collector,
        running_process(log, perceive_bundle, OTLP=collector.url, **settings) as (process, url),
    ):
        yield Running(process, url, log, collector)


def wait_for(condition: Any, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)
    return found


def busy(running: Running, pool: ThreadPoolExecutor, seconds_like: int = 1) -> list[Any]:
    """Requests that keep the one thread busy, the first of which has arrived."""

    def ask() -> httpx.Response:
        with running.client() as client:
            return client.post("/v1/perceive", files={"image": LARGE}, data={"format": "png"})

    answers = [pool.submit(ask) for _ in range(seconds_like)]
    wait_for(lambda: in_progress(running) >= 1)
    return answers


def in_progress(running: Running) -> float:
    name = 'bentoml_service_request_in_progress{endpoint="/v1/perceive",service_name="polyview"}'
    return running.metrics().get(name, 0)


def attributes_of(span: Any) -> dict[str, str]:
    return {entry.key: entry.value.string_value for entry in span.attributes}


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_keys_and_their_rates(running: Running) -> None:
    with running.client(None) as client:
        assert code_of(client.get("/v1/models")) == (401, "unauthorized")
        assert client.get("/").status_code == client.get("/readyz").status_code == 200
        description = client.get("/docs.json").json()
        assert description["paths"]["/v1/perceive"]["post"]["security"] == [{"key": []}]
    with running.client("slow") as client:
        answers = [client.get("/v1/models") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert code_of(answers[2]) == (429, "rate_limited")
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 30
    with running.client("lab") as client:
        assert all(client.get("/v1/models").status_code == 200 for _ in range(4))


def test_jobs_belong_to_their_key(running: Running) -> None:
    with running.client("lab") as client:
        answer = client.post("/v1/jobs", files={"files": ("a.jpg", PHOTO)}, data={"kind": "perceive"})
        assert answer.status_code == 202, answer.text
        place = answer.headers["Location"]
        assert client.get(place).status_code == 200
    with running.client("other") as client:
        for method, path in (("GET", place), ("GET", f"{place}/result"), ("DELETE", place)):
            assert code_of(client.request(method, path)) == (404, "unknown_job")


def test_cors_on_answers_refusals_and_preflights(running: Running) -> None:
    with running.client(None, Origin=ORIGIN) as client:
        refused = client.get("/v1/models")
        assert refused.status_code == 401
        assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "X-Stitch-Offset" in refused.headers["Access-Control-Expose-Headers"]
        asked = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}
        assert client.options("/v1/jobs/x", headers=asked).status_code == 200
    with running.client(None, Origin="https://elsewhere.example.org") as client:
        assert "Access-Control-Allow-Origin" not in client.get("/v1/models").headers


def test_logs_traces_and_metrics_tell_of_a_request(running: Running) -> None:
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = {"X-Request-ID": "order-66", "traceparent": f"00-{trace}-{parent}-01"}
    with running.client(**headers) as client:
        answer = client.post("/v1/perceive", files={"image": PHOTO})
        assert answer.headers["X-Request-ID"] == "order-66"
        refused = client.post("/v1/perceive", files={"image": b"x"}, headers={"X-Request-ID": "two words!"})
        assert re.fullmatch("[0-9a-f]{32}", refused.headers["X-Request-ID"])

    def both() -> dict[str, Any] | None:
        """The lines of the log by request; one is written after its answer was sent."""
        found = {line["request_id"]: line for line in running.logged() if line["logger"] == "polyview.access"}
        return found if {"order-66", refused.headers["X-Request-ID"]} <= set(found) else None

    lines = wait_for(both)
    line = lines["order-66"]
    assert (line["method"], line["path"], line["status"], line["outcome"]) == ("POST", "/v1/perceive", 200, "ok")
    assert (line["caller"], line["bundle"], line["level"]) == ("lab", "tiny-perceive", "INFO")
    assert set(line["stages"]) == {"decode", "preprocess", "network", "postprocess", "encode"}
    assert line["bytes"] == len(answer.content)
    assert lines[refused.headers["X-Request-ID"]]["outcome"] == "not_an_image"
    assert not any(secret in running.log.read_text() for secret in SECRETS.values())

    def spans() -> dict[str, Any] | None:
        """By name, those of the first request only."""
        found = [span for span in running.collector.spans if span.trace_id.hex() == trace]
        for span in found:
            if span.parent_span_id.hex() == parent and attributes_of(span)["polyview.request_id"] == "order-66":
                inner = {other.name: other for other in found if other.parent_span_id == span.span_id}
                return inner | {"server": span} if "encode" in inner else None
        return None

    found = wait_for(spans)
    assert set(line["stages"]) <= set(found)
    attributes = attributes_of(found["server"])
    assert (attributes["polyview.bundle"], attributes["polyview.outcome"]) == ("tiny-perceive", "ok")

    metrics = running.metrics()
    place = 'endpoint="/v1/perceive"'
    assert metrics[f'polyview_requests_total{{bundle="tiny-perceive",{place},outcome="ok"}}'] >= 1
    assert metrics[f'polyview_requests_total{{bundle="tiny-perceive",{place},outcome="not_an_image"}}'] >= 1
    assert metrics[f'polyview_stage_seconds_count{{bundle="tiny-perceive",{place},stage="network"}}'] >= 1


def test_labels_do_not_grow_with_what_clients_ask_for(running: Running) -> None:
    with running.client() as client:
        for number in range(20):
            client.get(f"/nothing/{number}")
            client.get(f"/v1/jobs/{number}")
            client.get(f"/page/{number}.js")
    text = httpx.get(f"{running.url}/metrics").text
    endpoints = set(re.findall(r'endpoint="([^"]+)"', text))
    assert {"other", "/v1/jobs/{id}", "/page/*"} <= endpoints
    assert endpoints <= {
        "other", "/", "/v1/perceive", "/v1/models", "/v1/jobs", "/v1/jobs/{id}", "/v1/jobs/{id}/result", "/page/*",
        "/docs.json", "/readyz", "/livez", "/metrics",
    }  # fmt: skip


def test_work_for_a_client_that_has_gone_is_not_begun(running: Running) -> None:
    abandoned = 'polyview_requests_total{bundle="",endpoint="/v1/perceive",outcome="abandoned"}'
    decoded = 'polyview_stage_seconds_count{bundle="tiny-perceive",endpoint="/v1/perceive",stage="decode"}'
    before = running.metrics()
    place = urlsplit(running.url)
    body = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + PHOTO + b"\r\n--b--\r\n"
    head = (
        f"POST /v1/perceive HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRETS['lab']}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with ThreadPoolExecutor(1) as pool:
        (answer,) = busy(running, pool)
        with socket.create_connection((place.hostname, place.port)) as connection:
            connection.sendall(head.encode() + body)
            wait_for(lambda: answer.done() or in_progress(running) >= 2)
            assert not answer.done(), "the busy request was over too soon to show anything"
        assert answer.result().status_code == 200
    wait_for(lambda: in_progress(running) == 0)
    after = running.metrics()
    assert after[abandoned] == before.get(abandoned, 0) + 1
    assert after[decoded] == before.get(decoded, 0) + 1


def test_overload_is_answered_at_once_and_passes(running: Running) -> None:
    with ThreadPoolExecutor(12) as pool, running.client() as client:
        answers = [answer.result() for answer in busy(running, pool, 12)]
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= 4
        for answer in answers:
            if answer.status_code == 503:
                assert code_of(answer) == (503, "queue_full")
                assert int(answer.headers["Retry-After"]) >= 1
        assert client.post("/v1/perceive", files={"image": PHOTO}).status_code == 200


def test_the_end_waits_for_what_was_accepted(running: Running) -> None:
    """Last, for it ends the server of this file."""
    with ThreadPoolExecutor(2) as pool:
        answers = busy(running, pool, 2)
        wait_for(lambda: in_progress(running) == 2)
        running.process.terminate()
        assert [answer.result().status_code for answer in answers] == [200, 200]
    assert running.process.wait(60) == 0

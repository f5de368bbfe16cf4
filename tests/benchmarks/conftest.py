"""A small HTTP server that answers like the service, from functions that a test gives it."""

import email.parser
import email.policy
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Parts = dict[str, bytes]
Answer = tuple[int, bytes]


class FakeService:
    """Answers `/v1/models`, `/readyz` and whatever routes are set; keeps the parts of every request."""

    def __init__(self) -> None:
        self.models: list[dict[str, Any]] = []
        self.routes: dict[str, Callable[[Parts], Answer]] = {}
        self.requests: list[Parts] = []
        self.url = ""


@pytest.fixture
def fake_service() -> Iterator[FakeService]:
    fake = FakeService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def log_message(self, *_: object) -> None:
            pass

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Server-Timing", "decode;dur=1.5, network;dur=20")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def do_GET(self) -> None:
            self.reply(200, json.dumps({"models": fake.models}).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            head = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
            message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
            parts = {
                str(p.get_param("name", header="content-disposition")): p.get_payload(decode=True)
                for p in message.iter_parts()  # type: ignore[attr-defined]
            }
            fake.requests.append(parts)
            self.reply(*fake.routes[self.path](parts))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()

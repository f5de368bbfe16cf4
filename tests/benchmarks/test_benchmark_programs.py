"""Timing programs, the report's facts, and a service that is started and stopped."""

import io
import json
import sys
import time
import zipfile

import httpx
import numpy as np
import pytest

from benchmarks import request
from benchmarks.generator import seconds_each
from benchmarks.served import served
from benchmarks.table import Report, command_words, markdown_table

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == '/readyz' else 404)
        self.send_header('Content-Length', '0')
        self.end_headers()
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_started_service_is_ready_and_then_gone():
    with served(None, [sys.executable, "-c", SERVER, "{port}"], seconds=20) as url:
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/readyz", timeout=2, trust_env=False)


def test_a_service_that_cannot_start_says_why():
    command = [sys.executable, "-c", "import sys; sys.exit('bundle perceive-rooms is missing')"]
    begun = time.monotonic()
    with pytest.raises(ValueError, match="bundle perceive-rooms is missing"), served(None, command, seconds=20):
        pass
    assert time.monotonic() - begun < 10


def test_request_splits_what_the_service_states(fake_service, tmp_path):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("report.json", json.dumps({"seconds": {"flow": 0.2}}))
    zipped = body.getvalue()
    fake_service.models = [{"name": "p", "kind": "perceive"}, {"name": "s", "kind": "stitch"}]
    fake_service.routes = {"/v1/perceive": lambda parts: (200, b"x"), "/v1/stitch": lambda parts: (200, zipped)}
    out = tmp_path / "r.md"
    request.main(["--url", fake_service.url, "--count", "3", "--bundles", str(tmp_path), "--out", str(out)])
    found = json.loads(out.with_suffix(".json").read_text())["requests"]
    assert set(found) == {
        *(f"perceive {f}" for f in request.PERCEIVE_FORMATS), *(f"stitch {f}" for f in request.STITCH_FORMATS),
        "perceive npz, deflate", "perceive npz, model, of 12 megapixels", "perceive npz, 1024, of 12 megapixels",
        "perceive preview, of 12 megapixels", "stitch jpeg, profile fast",
    }  # fmt: skip
    for summary in found.values():
        assert len(summary["all ms"]) == 3
        assert summary["stages ms"]["network"] == 20
        assert summary["stages ms"]["decode"] == 1.5
    assert {parts.get("profile") for parts in fake_service.requests} == {None, b"fast"}
    assert "| request | decode ms | network ms | rest ms |" in out.read_text()


def test_stitch_is_split_by_its_report(tmp_path):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("report.json", json.dumps({"seconds": {"flow": 0.2, "warp": 0.1}}))
    stages = request.report_stages(body.getvalue(), {"decode": 1.0, "stitch": 310.0})
    assert stages == {"decode": 1.0, "flow": 200.0, "warp": 100.0}


def test_server_timing_header():
    assert request.server_timing("decode;dur=1.2, network;dur=50") == {"decode": 1.2, "network": 50.0}
    assert request.server_timing("") == {}


def test_rates_use_fresh_seeds():
    seen: list[int] = []
    times = seconds_each(lambda seeds: seen.extend(seeds), batch=3, seconds=0.0, wait=lambda: None)
    assert len(times) == 2
    assert len(set(seen)) == len(seen) == 9


def test_the_report_says_what_ran_where(tmp_path):
    report = Report(title="T", module="benchmarks.dense", argv=["--data", "../d", "--out", "/elsewhere/r.md"])
    report.section("S", markdown_table(["a"], [["1"]]))
    report.numbers["x"] = np.float32(1.5)
    report.write(tmp_path / "new" / "r.md")
    text, content = (tmp_path / "new" / "r.md").read_text(), json.loads((tmp_path / "new" / "r.json").read_text())
    assert content["x"] == 1.5
    assert content["command"] == "python -m benchmarks.dense --data ../d --out r.md"
    for fact in ("date", "script", "commit", "hardware", "versions"):
        assert f"- {fact}: " in text
    assert "/elsewhere" not in text
    with pytest.raises(ValueError, match="expected 1 cells"):
        markdown_table(["a"], [["1", "2"]])


def test_command_words_keep_relative_paths():
    assert command_words("benchmarks.stitch", ["--data", "../x/y"]) == "python -m benchmarks.stitch --data ../x/y"

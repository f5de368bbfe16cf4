"""Milliseconds of one request, by endpoint and format, and where they go; beside the network alone.

    python -m benchmarks.request [--url http://127.0.0.1:3000] [--count 30] [--bundles weights] [--out FILE.md]

One client sends one request after another. Requests of all kinds and calls of the same ONNX graphs in this process are
interleaved, so that other load on the machine meets all alike: read times as ratios.
"""

import argparse
import io
import json
import re
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.client import Client
from benchmarks.direct_network import direct_calls
from benchmarks.sample_photographs import SIZE, jpeg, overlapping_pair, photograph
from benchmarks.served import served
from benchmarks.table import ROOT, Report, dated, markdown_table

STAGES = ("decode", "preprocess", "network", "postprocess", "encode")
PERCEIVE_FORMATS = ("npz", "png", "json", "preview")
LARGE_SIZE = (4000, 3000)
LARGE_PROFILES: tuple[dict[str, str], ...] = (
    {"format": "npz", "resolution": "model"},
    {"format": "npz", "resolution": "1024"},
    {"format": "preview"},
)
STITCH_FORMATS = ("png", "jpeg", "webp", "zip")
Timed = tuple[float, dict[str, float]]


def server_timing(header: str) -> dict[str, float]:
    """Milliseconds by stage from a `Server-Timing` header such as `decode;dur=1.2, network;dur=50`."""
    return {name: float(value) for name, value in re.findall(r"([\w-]+);dur=([\d.]+)", header)}


def report_stages(content: bytes, stages: dict[str, float]) -> dict[str, float]:
    """The stages with `stitch` split as the zip's `report.json` states; unchanged when it does not."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        seconds = json.loads(archive.read("report.json")).get("seconds", {})
    if not seconds or "stitch" not in stages:
        return stages
    parts = {name: 1000 * float(value) for name, value in seconds.items()}
    return {name: value for name, value in stages.items() if name != "stitch"} | parts


def timed_post(
    client: Client, route: str, files: dict[str, tuple[str, bytes, str]], fields: dict[str, str]
) -> Callable[[], Timed]:
    """A call that sends one request and returns its milliseconds and the split that the service states."""

    def call() -> Timed:
        answer, seconds = client.post(route, files, fields)
        if answer.status_code != 200:
            raise ValueError(f"{route} {fields}: expected 200, found {answer.status_code}: {answer.text[:300]}")
        stages = server_timing(answer.headers.get("server-timing", ""))
        if fields.get("format") == "zip":
            stages = report_stages(answer.content, stages)
        return 1000 * seconds, stages

    return call


def request_calls(client: Client, kinds: set[str]) -> dict[str, Callable[[], Timed]]:
    """A call for every endpoint and format of the kinds that the service has bundles for."""
    calls: dict[str, Callable[[], Timed]] = {}
    if "perceive" in kinds:
        image = {"image": ("photograph.jpg", jpeg(photograph()), "image/jpeg")}
        for output in PERCEIVE_FORMATS:
            calls[f"perceive {output}"] = timed_post(client, "/v1/perceive", image, {"format": output})
        deflated = {"format": "npz", "compression": "deflate"}
        calls["perceive npz, deflate"] = timed_post(client, "/v1/perceive", image, deflated)
        large = {"image": ("large.jpg", jpeg(photograph(*LARGE_SIZE)), "image/jpeg")}
        megapixels = LARGE_SIZE[0] * LARGE_SIZE[1] / 1e6
        for fields in LARGE_PROFILES:
            name = f"perceive {', '.join(fields.values())}, of {megapixels:.0f} megapixels"
            calls[name] = timed_post(client, "/v1/perceive", large, fields)
    if "stitch" in kinds:
        pair = overlapping_pair()
        files = {
            "reference": ("reference.jpg", jpeg(pair.reference_HW3), "image/jpeg"),
            "target": ("target.jpg", jpeg(pair.target_HW3), "image/jpeg"),
        }
        for output in STITCH_FORMATS:
            calls[f"stitch {output}"] = timed_post(client, "/v1/stitch", files, {"format": output})
        fast = {"format": "jpeg", "profile": "fast"}
        calls["stitch jpeg, profile fast"] = timed_post(client, "/v1/stitch", files, fast)
    return calls


def interleaved(calls: dict[str, Callable[[], Timed]], count: int, warm_up: int = 2) -> dict[str, list[Timed]]:
    """`count` results of every call, round robin, after some that do not count."""
    results: dict[str, list[Timed]] = {name: [] for name in calls}
    for turn in range(warm_up + count):
        for name, call in calls.items():
            result = call()
            if turn >= warm_up:
                results[name].append(result)
    return results


def percentiles(results: list[Timed]) -> tuple[float, float]:
    """p50 and p95 in milliseconds."""
    values = [milliseconds for milliseconds, _ in results]
    return float(np.percentile(values, 50)), float(np.percentile(values, 95))


def split(results: list[Timed]) -> dict[str, float]:
    """Median milliseconds by stage as the service states them, and `rest`: upload, multipart, queueing and download."""
    names = list(dict.fromkeys(name for _, stages in results for name in stages))
    medians = {name: float(np.median([stages.get(name, 0.0) for _, stages in results])) for name in names}
    if medians:
        medians["rest"] = float(np.median([total - sum(stages.values()) for total, stages in results]))
    return medians


def request_table(results: dict[str, list[Timed]], direct: dict[str, list[Timed]]) -> str:
    """p50, p95 and the ratio to the direct loop of the endpoint's first graph."""
    rows = []
    for name, timed in results.items():
        p50, p95 = percentiles(timed)
        own = next((d for key, d in direct.items() if key.startswith(name.split()[0])), None)
        ratio = f"{p50 / percentiles(own)[0]:.2f}" if own else "-"
        rows.append([name, f"{p50:.1f}", f"{p95:.1f}", ratio])
    for name, timed in direct.items():
        p50, p95 = percentiles(timed)
        rows.append([f"direct: {name}", f"{p50:.1f}", f"{p95:.1f}", "1.00"])
    return markdown_table(["call", "p50 ms", "p95 ms", "× direct network"], rows)


def split_table(results: dict[str, list[Timed]]) -> str:
    """Median milliseconds of every stage."""
    splits = {name: split(timed) for name, timed in results.items()}
    found = list(dict.fromkeys(stage for stages in splits.values() for stage in stages if stage != "rest"))
    stages = [s for s in STAGES if s in found] + [s for s in found if s not in STAGES] + ["rest"]
    rows = [[name, *(f"{s[k]:.1f}" if k in s else "-" for k in stages)] for name, s in splits.items() if s]
    return markdown_table(["request", *(f"{s} ms" for s in stages)], rows)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.request", description=__doc__)
    parser.add_argument("--url", help="a running service; without it one is started")
    parser.add_argument("--count", type=int, default=30, help="requests of every kind")
    parser.add_argument(
        "--bundles", type=Path, default=ROOT / "weights", help="folder of the bundles, for the direct loop"
    )
    parser.add_argument("--threads", type=int, default=1, help="ONNX Runtime threads of the direct loop")
    parser.add_argument("--only", choices=("perceive", "stitch"), help="one kind of endpoint")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> Report:
    """Measures, prints and writes the report."""
    options = arguments(argv)
    with served(options.url) as url, Client(url) as client:
        models = client.models()
        kinds = {m["kind"] for m in models if options.only in (None, m["kind"])}
        calls = request_calls(client, kinds)
        direct = direct_calls(options.bundles, kinds, options.threads)
        found = interleaved({**calls, **direct}, options.count)
        live = idle_milliseconds(url)
    requests = {name: found[name] for name in calls}
    loops = {name: found[name] for name in direct}
    report = Report(title="One request", module="benchmarks.request", argv=argv)
    names = ", ".join(f"{m['name']} {m.get('version', '')} on {m.get('provider', '?')}" for m in models)
    report.notes.append(
        f"JPEG of {SIZE[0]}x{SIZE[1]} where nothing else is said, {options.count} requests of every kind, one after "
        "another, interleaved with the "
        f"graph alone on {options.threads} thread(s). Bundles: {names}. `/livez` answers in {live:.1f} ms."
    )
    report.section("Latency", request_table(requests, loops))
    report.section("Where it goes, medians", split_table(requests))
    report.numbers |= {
        "requests": {n: summary(t) | {"stages ms": split(t)} for n, t in requests.items()},
        "direct": {n: summary(t) for n, t in loops.items()},
    }
    report.write(options.out or dated("request"))
    return report


def summary(results: list[Timed]) -> dict[str, Any]:
    """p50, p95 and all times in milliseconds."""
    p50, p95 = percentiles(results)
    return {"p50 ms": p50, "p95 ms": p95, "all ms": [round(milliseconds, 3) for milliseconds, _ in results]}


def idle_milliseconds(url: str, count: int = 20) -> float:
    """Median milliseconds of `/livez`: what HTTP alone costs."""
    times = []
    with httpx.Client(base_url=url, timeout=10, trust_env=False) as http:
        for _ in range(count):
            begun = time.perf_counter()
            http.get("/livez")
            times.append(1000 * (time.perf_counter() - begun))
    return float(np.median(times))


if __name__ == "__main__":
    print(main().text())

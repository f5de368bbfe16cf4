"""What the service costs, bears and survives, beside the least that could serve the same bundle.

    python -m benchmarks.serving [--count 400] [--soak 10000] [--tiers] [--bundle FOLDER] [--out FILE.md]

Bursts for the service and for `benchmarks.minimal_server` are interleaved, so that other load on the machine meets both
alike. Processor time is the server's own, which other load changes least; read times as ratios. The client runs on the
same machine and takes a few hundredths of it.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load import Load, Poster, burst, family, joined, memory_bytes, multipart, paced
from benchmarks.minimal_server import Direct
from benchmarks.sample_photographs import SIZE, jpeg, photograph
from benchmarks.served import free_port, stop, wait_until_ready
from benchmarks.table import ROOT, Report, dated, markdown_table

FORMATS = ("preview", "npz")
CONCURRENCY = 16
ROUNDS = 4
CLEAN = {"200", "429", "503"}


@contextmanager
def running(command: Sequence[str], environment: dict[str, str] | None = None) -> Iterator[tuple[str, int]]:
    """(address, process id) of a server started with `command`, `{port}` being replaced; its output is thrown away."""
    port = free_port()
    words = [sys.executable, "-m", *(word.replace("{port}", str(port)) for word in command)]
    process = subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        if not wait_until_ready(url, process, 300):
            raise ValueError(f"{' '.join(command)}: expected ready within 300 s, found that it is not")
        yield url, process.pid
    finally:
        stop(process)


def cpu_of_loop(answer: Callable[[], object], count: int) -> float:
    """Processor milliseconds of one turn of a bare loop in this process."""
    answer()
    begun = time.process_time()
    for _ in range(count):
        answer()
    return 1000 * (time.process_time() - begun) / count


def compared(
    posts: dict[str, tuple[Poster, int]], body: bytes, count: int, concurrency: int = CONCURRENCY
) -> dict[str, Load]:
    """Bursts of all servers in turn, `count` requests each, after some that do not count."""
    for post, pid in posts.values():
        burst(post, body, min(count, 2 * concurrency), concurrency, pid)
    found: dict[str, list[Load]] = {name: [] for name in posts}
    for _ in range(ROUNDS):
        for name, (post, pid) in posts.items():
            found[name].append(burst(post, body, max(1, count // ROUNDS), concurrency, pid))
    return {name: joined(loads) for name, loads in found.items()}


def recovery_seconds(post: Poster, body: bytes) -> float:
    """Seconds until a request is answered again."""
    begun = time.perf_counter()
    while post(body)[0] != "200":
        time.sleep(0.05)
    return time.perf_counter() - begun


def killed_worker(post: Poster, body: bytes, pid: int) -> dict[str, float]:
    """Seconds until requests are answered again after `kill -9` of the process that answers them."""
    worker = max((p for p in family(pid) if p.pid != pid), key=lambda p: p.memory_info().rss, default=None)
    if worker is None:
        return {}
    worker.send_signal(signal.SIGKILL)
    psutil.wait_procs([worker], timeout=10)
    return {"seconds until answered again": recovery_seconds(post, body)}


def soaked(post: Poster, body: bytes, pid: int, count: int) -> dict[str, float]:
    """Memory before and after `count` requests; what is allocated once is allocated before."""
    burst(post, body, max(50, count // 20), CONCURRENCY, pid)
    before = memory_bytes(pid)
    load = burst(post, body, count, CONCURRENCY, pid)
    after = memory_bytes(pid)
    errors = sum(load.answers.values()) - load.answers["200"]
    return {
        "requests": count,
        "errors": errors,
        "MB before": before / 1e6,
        "MB after": after / 1e6,
        "growth %": 100 * (after / before - 1),
    }


def load_table(loads: dict[tuple[str, str], Load], loops: dict[str, float]) -> str:
    """Throughput, latencies and processor time per format and server, and their ratios to the minimal one."""
    rows = []
    for (output, name), load in loads.items():
        least = loads[output, "minimal"]
        rows.append(
            [
                output, name, f"{load.per_second:.1f}", f"{load.per_second / least.per_second:.2f}",
                f"{load.percentile(50):.0f}", f"{load.percentile(99):.0f}", f"{load.cpu_ms:.1f}",
                f"{load.cpu_ms - loops[output]:+.1f}", f"{load.answers['200']} of {sum(load.answers.values())}",
            ]
        )  # fmt: skip
    head = ["format", "server", "per second", "× minimal", "p50 ms", "p99 ms", "CPU ms", "CPU − loop", "answered"]
    return markdown_table(head, rows)


def facts_table(facts: dict[str, Any]) -> str:
    """Names and numbers."""
    return markdown_table(["", ""], [[name, f"{value:.4g}"] for name, value in facts.items()])


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="requests per format and server")
    parser.add_argument("--soak", type=int, default=10_000, help="requests of the soak; 0 leaves it out")
    parser.add_argument("--tiers", action="store_true", help="also the service as an API tier and a model tier")
    parser.add_argument("--bundle", type=Path, default=ROOT / "weights" / "perceive-rooms")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> Report:
    """Measures, prints and writes the report."""
    options = arguments(argv)
    image = jpeg(photograph())
    report = Report(title="Serving", module="benchmarks.serving", argv=argv)
    direct = Direct(options.bundle)
    with ExitStack() as stack:
        jobs = stack.enter_context(tempfile.TemporaryDirectory())
        environment = {"POLYVIEW_BUNDLES": str(options.bundle.resolve())}

        def serve(shape: str, folder: str) -> tuple[Poster, int]:
            own = {"POLYVIEW_SHAPE": shape, "POLYVIEW_JOBS": f"{jobs}/{folder}"}
            url, pid = stack.enter_context(running(["service", "serve", "--port", "{port}"], environment | own))
            return Poster(url), pid

        post, pid = serve("single", "single")
        least = stack.enter_context(running(["benchmarks.minimal_server", str(options.bundle), "--port", "{port}"]))
        posts = {"service": (post, pid), "minimal": (Poster(least[0]), least[1])}
        if options.tiers:
            posts["tiers"] = serve("tiers", "tiers")
        loads: dict[tuple[str, str], Load] = {}
        loops = {}
        for output in FORMATS:
            loops[output] = cpu_of_loop(lambda: direct.answer(image, output), max(5, options.count // 10))  # noqa: B023
            for name, load in compared(posts, multipart(image, format=output), options.count).items():
                loads[output, name] = load
        body = multipart(image, format="preview")
        steady = paced(post, body, options.count, 0.8 * loads["preview", "service"].per_second, pid)
        overload = burst(post, body, max(options.count, 10 * CONCURRENCY), 10 * CONCURRENCY, pid)
        after_overload = recovery_seconds(post, body)
        soak = soaked(post, body, pid, options.soak) if options.soak else {}
        killed = killed_worker(post, body, pid)
    report.notes.append(
        f"JPEG of {SIZE[0]}x{SIZE[1]}, concurrency {CONCURRENCY}, {options.count} requests per format and server in "
        f"{ROUNDS} interleaved bursts. The bare loop decodes, computes and encodes without HTTP: "
        + ", ".join(f"{output} {ms:.1f} CPU ms" for output, ms in loops.items())
        + "."
    )
    unclean = {status: count for status, count in overload.answers.items() if status not in CLEAN}
    others = {
        "p50 at 80 % load, ms": steady.percentile(50),
        "p99 at 80 % load, ms": steady.percentile(99),
        "p99 ÷ p50 at 80 % load": steady.percentile(99) / steady.percentile(50),
        "overload: answered with 200": overload.answers["200"],
        "overload: turned away with 429 or 503": overload.answers["429"] + overload.answers["503"],
        "overload: anything else": sum(unclean.values()),
        "seconds until answered after the overload": after_overload,
    }
    report.section("Throughput", load_table(loads, loops))
    report.section("80 % load, and ten times as many clients", facts_table(others))
    if soak:
        report.section("Soak", facts_table(soak))
    report.section("kill -9 of the worker", facts_table(killed))
    report.numbers |= {
        "loads": {" ".join(key): _numbers(load) for key, load in loads.items()},
        "loop CPU ms": loops,
        "others": others,
        "soak": soak,
        "killed": killed,
    }
    report.write(options.out or dated("serving"))
    return report


def _numbers(load: Load) -> dict[str, Any]:
    return {
        "per second": load.per_second,
        "p50 ms": load.percentile(50),
        "p99 ms": load.percentile(99),
        "CPU ms": load.cpu_ms,
        "answers": dict(load.answers),
    }


if __name__ == "__main__":
    print(main().text())

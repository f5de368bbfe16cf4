"""Load for a server, with as little of the machine's time as possible: prebuilt bodies over kept connections."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import psutil

BOUNDARY = "polyview-benchmark"


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a burst of requests showed. latencies: seconds of the answered ones (200); answers: count by status."""

    seconds: float
    latencies: list[float]
    answers: Counter[str] = field(default_factory=Counter)
    cpu_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Milliseconds; not a number where nothing was answered."""
        return 1000 * float(np.percentile(self.latencies, percent)) if self.latencies else float("nan")

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of the server's processors per answered request."""
        return 1000 * self.cpu_seconds / max(1, len(self.latencies))


def joined(loads: Sequence[Load]) -> Load:
    """Several bursts as one."""
    answers: Counter[str] = Counter()
    for load in loads:
        answers += load.answers
    return Load(
        seconds=sum(load.seconds for load in loads),
        latencies=[latency for load in loads for latency in load.latencies],
        answers=answers,
        cpu_seconds=sum(load.cpu_seconds for load in loads),
    )


def multipart(image: bytes, **fields: str) -> bytes:
    """A request body with one photograph."""
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    return "".join(parts).encode() + head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()


class _Connection(http.client.HTTPConnection):
    """Closed with its last reference, because the threads that own connections just end."""

    def __del__(self) -> None:
        self.close()


class Poster(threading.local):
    """Posts bodies to one route; every thread keeps a connection of its own."""

    def __init__(self, url: str, route: str = "/v1/perceive", timeout: float = 180.0) -> None:
        place = urlsplit(url)
        self._host, self._port = str(place.hostname), place.port
        self._route, self._timeout = route, timeout
        self._connection: _Connection | None = None

    def __call__(self, body: bytes) -> tuple[str, float]:
        """(status, or the name of what went wrong with the connection, seconds to the last byte)."""
        begun = time.perf_counter()
        try:
            if self._connection is None:
                self._connection = _Connection(self._host, self._port, timeout=self._timeout)
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            self._connection.request("POST", self._route, body, headers)
            answer = self._connection.getresponse()
            answer.read()
            if answer.will_close:
                self._close()
            return str(answer.status), time.perf_counter() - begun
        except (OSError, http.client.HTTPException) as error:
            self._close()
            return type(error).__name__, time.perf_counter() - begun

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def burst(post: Callable[[bytes], tuple[str, float]], body: bytes, count: int, concurrency: int, pid: int) -> Load:
    """`count` requests by `concurrency` clients that each send the next when they have their answer.

    pid: of the server, for its processor time; its children count too.
    """
    with ThreadPoolExecutor(concurrency) as pool:
        cpu, begun = cpu_seconds(pid), time.perf_counter()
        results = list(pool.map(lambda _: post(body), range(count)))
        return _load(results, time.perf_counter() - begun, cpu_seconds(pid) - cpu)


def paced(
    post: Callable[[bytes], tuple[str, float]], body: bytes, count: int, per_second: float, pid: int, seed: int = 0
) -> Load:
    """`count` requests that arrive at random moments, whether or not earlier ones were answered (Poisson)."""
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / per_second, count))
    with ThreadPoolExecutor(64) as pool:
        cpu, begun = cpu_seconds(pid), time.perf_counter()

        def arrive(moment: float) -> tuple[str, float]:
            status, _ = post(body)
            return status, time.perf_counter() - begun - moment  # a late start counts as waiting

        futures = []
        for moment in arrivals:
            time.sleep(max(0.0, begun + moment - time.perf_counter()))
            futures.append(pool.submit(arrive, float(moment)))
        results = [future.result() for future in futures]
        return _load(results, time.perf_counter() - begun, cpu_seconds(pid) - cpu)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its children so far."""
    times = [process.cpu_times() for process in family(pid)]
    return sum(t.user + t.system for t in times)


def memory_bytes(pid: int) -> int:
    """Resident memory of a process and its children."""
    return sum(process.memory_info().rss for process in family(pid))


def family(pid: int) -> list[psutil.Process]:
    """A process and its children."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _load(results: Sequence[tuple[str, float]], seconds: float, cpu: float) -> Load:
    latencies = [latency for status, latency in results if status == "200"]
    return Load(seconds=seconds, latencies=latencies, answers=Counter(status for status, _ in results), cpu_seconds=cpu)

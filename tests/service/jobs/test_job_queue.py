"""The queue on SQLite and on a real Redis server: nothing accepted is lost and nothing is done twice, come what may."""

import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from huey.registry import Message

from service.jobs import store as store_module
from service.jobs.archive import Item
from service.jobs.job import Claim, Job
from service.jobs.queue import JobQueue, JsonSerializer
from service.jobs.result import result_zip
from service.jobs.store import FREE_BYTES, JobStore
from tests.helpers.redis_server import running_redis
from tests.helpers.servers import ROOT

QUEUES = ("sqlite", "redis")


@contextmanager
def queue_url(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        yield ""
    else:
        with running_redis() as url:
            yield url


def new_job(store: JobStore, count: int) -> Job:
    items = [Item(id=str(i), files={"image": str(i)}) for i in range(count)]
    return store.create("perceive", {}, None, items, lambda file: None)


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


class Worker:
    """A process that works on the jobs of a folder; it can be killed in the middle."""

    def __init__(self, folder: Path, threads: int, url: str) -> None:
        command = [sys.executable, "-m", "tests.helpers.job_worker", str(folder), str(threads), *([url] if url else [])]
        self.process = subprocess.Popen(command, cwd=ROOT)
        self._ready = f"ready {self.process.pid}"
        self._log = folder / "log.txt"

    def wait_until_ready(self) -> None:
        wait_for(lambda: self._log.exists() and self._ready in self._log.read_text())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def kill_again_and_again(folder: Path, kills: int, workers: int, url: str) -> None:
    """Jobs of 40, 3 and 1 items, workers that are killed at any moment, and the truth at the end."""
    store, rng = JobStore(folder, hours=1), random.Random(kills)
    jobs = [new_job(store, count) for count in (40, 3, 1)]
    for _ in range(kills):
        running = [Worker(folder, 2, url) for _ in range(workers)]
        for worker in running:
            worker.wait_until_ready()
        time.sleep(rng.uniform(0, 0.3))
        finished_before = {job.id: names_of_finished(job) for job in jobs}
        for worker in running:
            worker.kill()
        for job in jobs:
            assert finished_before[job.id] <= names_of_finished(job)
    last = Worker(folder, 2, url)
    try:
        wait_for(lambda: not any(job.open() for job in jobs), 120)
    finally:
        last.kill()
    for job in jobs:
        assert job.status()["done"] == len(job.items)
        data = b"".join(result_zip(job, job.finished()))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = Counter(archive.namelist())
            assert names == Counter([f"{item.id}/content.txt" for item in job.items] + ["report.jsonl"])
            assert all(archive.read(f"{item.id}/content.txt").decode() == item.id for item in job.items)
            assert archive.read("report.jsonl").count(b"\n") == len(job.items)
    finished: set[str] = set()
    for line in (folder / "log.txt").read_text().splitlines():
        event, _, item = line.partition(" ")
        assert event == "ready" or item not in finished, f"{item} was taken up again after it was finished"
        if event == "finish":
            finished.add(item)


def names_of_finished(job: Job) -> set[str]:
    return {path.name for path in (job.folder / "items").glob("*.done")}


@pytest.mark.parametrize("kind", QUEUES)
def test_kills_lose_nothing_and_repeat_nothing(kind: str, tmp_path: Path) -> None:
    with queue_url(kind) as url:
        kill_again_and_again(tmp_path, kills=3, workers=1 if kind == "sqlite" else 2, url=url)


@pytest.mark.full
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kind", QUEUES)
def test_many_kills(kind: str, workers: int, tmp_path: Path) -> None:
    with queue_url(kind) as url:
        kill_again_and_again(tmp_path, kills=60, workers=workers, url=url)


@contextmanager
def working(queue: JobQueue) -> Iterator[JobQueue]:
    queue.start()
    try:
        yield queue
    finally:
        queue.stop()


class Work:
    """Publishes at once, and remembers the order, the highest number of items at the same time, and the priorities."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.order: list[str] = []
        self.most = 0
        self.niceness: set[int] = set()
        self._seconds = seconds
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, job: Job, claim: Claim) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.order.append(job.id)
            self.niceness.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        time.sleep(self._seconds)
        job.publish(claim, {"id": claim.item.id, "status": "failed"}, None)
        with self._lock:
            self._now -= 1


@pytest.mark.parametrize("kind", QUEUES)
def test_jobs_take_turns_in_a_bounded_number_of_threads(kind: str, tmp_path: Path) -> None:
    store, work = JobStore(tmp_path, hours=1), Work(0.01)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with ExitStack() as stack:
        queue = JobQueue(store, work, 2, stack.enter_context(queue_url(kind)))
        long, short = new_job(store, 30), new_job(store, 3)
        queue.enqueue(long)
        queue.enqueue(short)
        stack.enter_context(working(queue))
        wait_for(lambda: not long.open() and not short.open())
    assert Counter(work.order) == {long.id: 30, short.id: 3}
    assert work.most <= 2
    last_of_short = max(i for i, id in enumerate(work.order) if id == short.id)
    assert last_of_short < 25, "the short job waited for the long one"
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    assert min(work.niceness) > own or own > 14


def test_a_queue_that_forgets_everything_is_filled_again(tmp_path: Path) -> None:
    store, work = JobStore(tmp_path, hours=1), Work()
    with running_redis() as url:
        queue = JobQueue(store, work, 1, url)
        job = new_job(store, 3)
        queue.enqueue(job)
        redis.Redis.from_url(url).flushall()
        queue.tend()
        queue.tend()
        with working(queue):
            wait_for(lambda: not job.open())
    assert work.order == [job.id] * 3


def test_a_queue_that_cannot_be_reached_delays_jobs_and_refuses_none(tmp_path: Path) -> None:
    store, work = JobStore(tmp_path, hours=1), Work()
    with running_redis() as url:
        queue = JobQueue(store, work, 1, url)
    job = new_job(store, 1)
    queue.enqueue(job)
    queue.tend()
    assert job.status()["status"] == "queued"
    assert work.order == []


def test_work_that_cannot_be_stored_is_not_tried_in_a_loop(tmp_path: Path) -> None:
    store, work = JobStore(tmp_path, hours=1), Work()
    stuck, other = new_job(store, 5), new_job(store, 20)
    tries = []

    def full_disk(job: Job, claim: Claim) -> None:
        if job.id != stuck.id:
            work(job, claim)
            return
        tries.append(claim.index)
        raise OSError(28, "No space left on device")

    queue = JobQueue(store, full_disk, 1)
    queue.enqueue(stuck)
    with working(queue):
        wait_for(lambda: bool(tries))
        queue.enqueue(other)
        wait_for(lambda: not other.open())  # jobs take turns, so a loop would have had 20 by now
    assert len(tries) <= 3
    assert stuck.open()


def test_nothing_is_begun_while_the_disk_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, work = JobStore(tmp_path, hours=1), Work()
    free = [FREE_BYTES - 1]
    monkeypatch.setattr(store_module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[0]))
    queue = JobQueue(store, work, 1)
    job = new_job(store, 2)
    queue.enqueue(job)
    with working(queue):
        wait_for(lambda: not queue._queued())
        assert job.status()["status"] == "queued"
        assert work.order == []
        free[0] = FREE_BYTES
        queue.tend()
        wait_for(lambda: not job.open())
    assert work.order == [job.id] * 2


def test_messages_are_json() -> None:
    serializer = JsonSerializer()
    data = serializer.serialize(Message(id="1", name="advance", args=("job",), kwargs={}))
    assert data == b'{"id": "1", "name": "advance", "args": ["job"]}'
    assert serializer.deserialize(data)[:2] == ("1", "advance")
    with pytest.raises(ValueError, match=r"JSON|Expecting|utf-8|codec"):
        serializer.deserialize(b"\x80\x04\x95pickle")

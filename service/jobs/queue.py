"""Which job is worked on next: Huey's queue, in SQLite or Redis, and its consumer in threads of this process.

A message names a job and means: do one of its items, then queue it again if there are more. So jobs take turns, however
long they are. Huey takes a message out of the queue before the work is done, so a kill loses it; `tend` looks every
minute, and at the start, for open jobs that no message speaks of. Messages are JSON: nothing is unpickled.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from huey import Huey, RedisHuey, SqliteHuey
from huey.consumer import Consumer
from huey.registry import Message
from huey.serializer import Serializer

from service.errors import UnknownJob
from service.jobs.job import Claim, Job
from service.jobs.store import JobStore

logger = logging.getLogger("polyview.jobs")

NAME = "polyview"
IDLE_SECONDS = 0.5
SHUTDOWN_SECONDS = 20.0
# Services that share a Redis queue each take messages of a job; more messages than this bring no more parallelism.
SHARED_MESSAGES = 16
# Requests come first: threads of jobs get about a third of a request's share where both want the same core.
NICENESS = 5


class JsonSerializer(Serializer):
    """Messages of tasks with plain arguments and no follow-ups, which is all that is sent here."""

    def _serialize(self, data: Message) -> bytes:
        return json.dumps({"id": data.id, "name": data.name, "args": data.args}).encode()

    def _deserialize(self, data: bytes) -> Message:
        fields = json.loads(data)
        return Message(id=fields["id"], name=fields["name"], args=tuple(fields["args"]), kwargs={}, retries=0)


class EmbeddedConsumer(Consumer):
    """A consumer that leaves the signals of the process to the server in it."""

    def _set_signal_handlers(self) -> None:
        """The service calls `stop` itself."""


class JobQueue:
    """Works on the jobs of a store until it is stopped.

    work: does one claimed item and publishes its outcome; raises OSError if that cannot be stored.
    threads: items at the same time. redis_url: empty for a queue in the store's folder.
    """

    def __init__(self, store: JobStore, work: Callable[[Job, Claim], None], threads: int, redis_url: str = "") -> None:
        self._store = store
        self._work = work
        self._messages_per_job = max(threads, SHARED_MESSAGES) if redis_url else threads
        self._huey = _open_queue(redis_url, store.folder / "queue.sqlite3")
        self._advance = self._huey.task(name="advance")(self._advance_job)
        self._huey.periodic_task(_every_minute, name="tend")(self.tend)
        self._huey.on_startup("priority")(_yield_to_requests)
        self._consumer = EmbeddedConsumer(
            self._huey, workers=threads, max_delay=IDLE_SECONDS, shutdown_timeout=SHUTDOWN_SECONDS
        )
        self._enqueueing = threading.Lock()

    def start(self) -> None:
        """Take up what an earlier process left, and begin."""
        self.tend()
        self._consumer.start()

    def stop(self) -> None:
        """Begin nothing more, and give items that are being worked on a while to end."""
        self._consumer.stop(graceful=True)

    def enqueue(self, job: Job) -> None:
        """Have a job worked on. A queue that cannot be reached is no reason to refuse: `tend` tries again."""
        try:
            with self._enqueueing:
                queued = self._queued()[job.id]
                for _ in range(min(self._messages_per_job, len(job.items)) - queued):
                    self._advance(job.id)
        except Exception:  # of SQLite and of Redis
            logger.exception("job %s waits, for the queue cannot be written", job.id)

    def tend(self) -> None:
        """Delete what has expired, and queue open jobs that no message speaks of."""
        self._store.tidy()
        try:
            queued = self._queued()
        except Exception:  # of SQLite and of Redis
            logger.exception("the queue cannot be read")
            return
        for job in self._store.open_jobs():
            if not queued[job.id]:
                self.enqueue(job)

    def _queued(self) -> Counter[str]:
        """Messages by job."""
        return Counter(task.args[0] for task in self._huey.pending() if task.args)

    def _advance_job(self, id: str) -> None:
        try:
            job = self._store.get(id)
        except UnknownJob:
            return
        if not self._store.has_room():
            logger.warning("job %s waits, for the disk that keeps jobs is nearly full", id)
            return
        claim = job.claim()
        if claim is None:
            return
        with claim.lock:
            self._work(job, claim)
        if job.open():
            with self._enqueueing:
                if self._queued()[id] < self._messages_per_job:
                    self._advance(id)


def _open_queue(redis_url: str, path: Path) -> Huey:
    if redis_url:
        return RedisHuey(NAME, url=redis_url, serializer=JsonSerializer(), results=False)
    return SqliteHuey(NAME, filename=str(path), serializer=JsonSerializer(), results=False)


def _every_minute(now: datetime) -> bool:
    return True


def _yield_to_requests() -> None:
    """Lower the priority of the calling worker thread; on Linux every thread has its own."""
    thread = threading.get_native_id()
    try:
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)
    except (AttributeError, OSError) as error:
        logger.warning("jobs run at the priority of requests: %s", error)

"""/v1/jobs: accept a job, tell how far it is, hand out what is finished, cancel it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from typing import IO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from service.errors import BundleFailed, InvalidField, MalformedRequest, QueueFull, UnknownField, UnknownJob
from service.fields import Form, read_form
from service.jobs.archive import KINDS, pack, read_items
from service.jobs.items import check_options, work_on
from service.jobs.job import Job
from service.jobs.queue import JobQueue
from service.jobs.result import result_zip
from service.jobs.store import JobStore
from service.registry import Registry
from service.settings import Settings
from service.ticket import TICKET_KEY, Ticket
from service.uploads import PerceiveUpload, StitchUpload

TEXTS = ("kind", "options")
FIELDS = {"perceive": PerceiveUpload.text_fields(), "stitch": StitchUpload.text_fields()}
OPTIONS_HINT = 'For instance {"profile": "fast"}: the text fields of the single endpoint.'
FILES_OF_A_PAIR = 2


class JobsApi:
    """The endpoints, and the queue behind them. Nothing works before `start`."""

    def __init__(self) -> None:
        self._store: JobStore | None = None
        self._queue: JobQueue | None = None
        self._registry: Registry | None = None
        self._settings: Settings | None = None

    def start(self, store: JobStore, registry: Registry, settings: Settings, observe: Callable[..., None]) -> None:
        """Begin to accept jobs and to work on those that an earlier process left in the store."""
        self._registry, self._settings = registry, settings
        jobs = settings.jobs
        self._queue = JobQueue(
            store, lambda job, claim: work_on(job, claim, registry, settings, observe), jobs.threads, jobs.redis_url
        )
        self._store = store
        self._queue.start()

    def stop(self) -> None:
        """End the work that is being done, and begin none."""
        if self._queue is not None:
            self._queue.stop()

    def routes(self) -> list[Route]:
        return [
            Route("/v1/jobs", self.create, methods=["POST"]),
            Route("/v1/jobs/{id}", self.status_or_cancel, methods=["GET", "DELETE"]),
            Route("/v1/jobs/{id}/result", self.result, methods=["GET"]),
        ]

    def unfinished(self) -> dict[str, int]:
        """Jobs by status, for the metrics: queued and running."""
        counts = {"queued": 0, "running": 0}
        for job in self._store.open_jobs() if self._store else ():
            status = job.status()["status"]
            if status in counts:  # it may have ended in between
                counts[status] += 1
        return counts

    async def create(self, request: Request) -> Response:
        _, _, settings = self._parts()
        most = FILES_OF_A_PAIR * settings.jobs.most_items
        form = await read_form(request, texts=TEXTS, files={"archive": 1, "files": most})
        try:
            status = await run_in_threadpool(self._accept, form)
        finally:
            form.close()
        return JSONResponse(
            {name: status[name] for name in ("id", "status", "total")},
            status_code=202,
            headers={"Location": f"/v1/jobs/{status['id']}"},
        )

    async def status_or_cancel(self, request: Request) -> Response:
        """One route for both methods, so that a 405 names both."""
        if request.method == "DELETE":
            await run_in_threadpool(lambda: self._job(request).close("cancelled"))
            return Response(status_code=204)
        return JSONResponse(await run_in_threadpool(lambda: self._job(request).status()))

    async def result(self, request: Request) -> Response:
        job = await run_in_threadpool(self._job, request)
        finished = await run_in_threadpool(job.finished)
        headers = {"Content-Disposition": f'attachment; filename="{job.id}.zip"'}
        return StreamingResponse(result_zip(job, finished), media_type="application/zip", headers=headers)

    def _parts(self) -> tuple[JobStore, JobQueue, Settings]:
        if self._store is None or self._queue is None or self._settings is None:
            raise BundleFailed("The service is still starting.", "Try again shortly.")
        return self._store, self._queue, self._settings

    def _job(self, request: Request) -> Job:
        """The job of the path, if it is the caller's."""
        store, _, _ = self._parts()
        job = store.get(request.path_params["id"])
        ticket: Ticket = request.scope.get(TICKET_KEY) or Ticket()
        if job.owner is not None and job.owner != ticket.caller:
            raise UnknownJob(f"There is no job {job.id!r}.", "Jobs belong to the key that they were sent with.")
        return job

    def _accept(self, form: Form) -> dict[str, object]:
        """Check an upload and store it. Raises PolyviewError."""
        store, queue, settings = self._parts()
        assert self._registry is not None
        kind = form.texts.get("kind")
        if kind not in KINDS:
            found = "nothing" if kind is None else repr(kind[:80])
            raise InvalidField(f"kind: expected {' or '.join(KINDS)}, found {found}.", "Send one of both.")
        options = read_options(form.texts.get("options", "{}"), kind)
        check_options(kind, options, self._registry)
        form.ticket.check()
        unfinished = sum(self.unfinished().values())
        if unfinished >= settings.jobs.most_unfinished:
            raise QueueFull(f"{unfinished} jobs are waiting or running.", "Try again when some are finished.")
        if not store.has_room(settings.door.max_body_bytes):
            raise QueueFull("The disk that keeps jobs is nearly full.", "Delete jobs that are no longer needed.")
        with _upload(form) as archive:
            items = read_items(archive, kind, settings.jobs, settings.door.max_body_bytes)
            archive.seek(0)
            job = store.create(
                kind, options, form.ticket.caller, items, lambda file: shutil.copyfileobj(archive, file, 1 << 20)
            )
        queue.enqueue(job)
        return job.status()


def read_options(text: str, kind: str) -> dict[str, str]:
    """The JSON object `options` as text fields of the single endpoint.

    Raises InvalidField (no JSON object, a value that is no text, number or truth value), UnknownField.
    """
    try:
        options = json.loads(text)
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise InvalidField(f"options: {text[:80]!r} is not a JSON object.", OPTIONS_HINT)
    fields = {}
    for name, value in options.items():
        if name not in FIELDS[kind]:
            known = ", ".join(FIELDS[kind])
            raise UnknownField(f"options: {name[:80]!r} is not a field of /v1/{kind}.", f"The fields are: {known}.")
        if isinstance(value, bool):
            fields[name] = str(value).lower()
        elif isinstance(value, str | int | float):
            fields[name] = str(value)
        else:
            raise InvalidField(f"options: {name} must be a text, a number, true or false.", OPTIONS_HINT)
    return fields


def _upload(form: Form) -> IO[bytes]:
    """The job's zip: as it was sent, or made of the files that were."""
    archives, files = form.files.get("archive", []), form.files.get("files", [])
    if bool(archives) == bool(files):
        found = "both" if archives else "neither"
        raise MalformedRequest(f"Expected either archive or files, found {found}.", "Send one zip, or files.")
    if archives:
        return archives[0]
    target = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        pack(files, form.names["files"], target)
    except BaseException:
        target.close()
        raise
    return target

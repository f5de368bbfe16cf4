"""Jobs as folders: claims, progress, results, cancelling and expiry, without a queue."""

import errno
import io
import os
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from service.errors import NotReady, ResultGone, UnknownJob
from service.jobs import job as job_module
from service.jobs import store as store_module
from service.jobs.archive import Item
from service.jobs.items import MOST_ATTEMPTS
from service.jobs.job import Claim, Job
from service.jobs.result import result_zip
from service.jobs.store import JobStore


def new_job(store: JobStore, count: int = 3) -> Job:
    items = [Item(id=f"rooms/{i}.jpg", files={"image": f"{i}.jpg"}) for i in range(count)]
    return store.create("perceive", {"tasks": "depth"}, None, items, lambda file: file.write(b"zip") and None)


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path, hours=1)


def write_zip(text: str):
    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("meta.json", text)

    return write


def taken(job: Job) -> Claim:
    claim = job.claim()
    assert claim is not None
    return claim


def finish(job: Job, claim: Claim, ok: bool = True) -> None:
    with claim.lock:
        line = {"id": claim.item.id, "status": "ok" if ok else "failed"}
        job.publish(claim, line, write_zip(claim.item.id) if ok else None)


def result(job: Job) -> dict[str, bytes]:
    data = b"".join(result_zip(job, job.finished()))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert len(set(archive.namelist())) == len(archive.namelist())
        return {name: archive.read(name) for name in archive.namelist()}


def test_progress_and_partial_results(store: JobStore) -> None:
    job = new_job(store)
    assert {**job.status(), "created": 0, "expires": 0} == {
        "id": job.id, "kind": "perceive", "status": "queued", "total": 3, "done": 0, "failed": 0,
        "created": 0, "expires": 0,
    }  # fmt: skip
    with pytest.raises(NotReady):
        job.finished()
    claim = taken(job)
    assert job.status()["status"] == "running"
    finish(job, claim)
    assert set(result(job)) == {"rooms/0.jpg/meta.json", "report.jsonl"}
    finish(job, taken(job), ok=False)
    finish(job, taken(job))
    assert (job.status()["status"], job.status()["done"], job.status()["failed"]) == ("done", 2, 1)
    files = result(job)
    assert set(files) == {"rooms/0.jpg/meta.json", "rooms/2.jpg/meta.json", "report.jsonl"}
    assert files["rooms/2.jpg/meta.json"] == b"rooms/2.jpg"
    assert files["report.jsonl"].count(b"\n") == 3
    assert job.claim() is None
    assert store.get(job.id) == job


def test_a_job_of_which_everything_failed_has_failed(store: JobStore) -> None:
    job = new_job(store, 2)
    for _ in range(2):
        finish(job, taken(job), ok=False)
    assert job.status()["status"] == "failed"
    assert set(result(job)) == {"report.jsonl"}


def test_an_item_is_in_one_hand_at_a_time(store: JobStore) -> None:
    job = new_job(store, 2)
    first, second = taken(job), taken(job)
    assert {first.index, second.index} == {0, 1}
    assert job.claim() is None
    first.lock.close()  # as the kernel does when a process dies
    again = taken(job)
    assert (again.index, again.attempts) == (0, 2)
    finish(job, again)
    finish(job, second)
    assert job.status()["status"] == "done"


def test_an_item_that_never_ends_does_not_keep_the_others_waiting(store: JobStore) -> None:
    job = new_job(store, 2)
    order = []
    for _ in range(MOST_ATTEMPTS + 2):
        claim = taken(job)
        order.append((claim.index, claim.attempts))
        claim.lock.close()
    assert order[:4] == [(0, 1), (1, 1), (0, 2), (1, 2)]


def test_cancelling_is_final_and_may_be_repeated(store: JobStore) -> None:
    job = new_job(store)
    finish(job, taken(job))
    running = taken(job)
    job.close("cancelled")
    finish(job, running)  # whoever still works on it harms nothing
    job.close("expired")
    status = store.get(job.id).status()
    assert (status["status"], status["done"]) == ("cancelled", 1)
    assert sorted(os.listdir(job.folder)) == ["closed.json", "job.json"]
    assert job.claim() is None
    with pytest.raises(ResultGone, match="cancelled"):
        job.finished()


def test_an_attempt_that_cannot_be_stored_is_not_counted(store: JobStore) -> None:
    def full(file: IO[bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job = new_job(store, 1)
    for _ in range(MOST_ATTEMPTS + 1):
        claim = taken(job)
        with claim.lock, pytest.raises(OSError, match="No space"):
            job.publish(claim, {"id": claim.item.id, "status": "ok"}, full)
    claim = taken(job)
    assert claim.attempts == 1
    finish(job, claim)
    assert job.status()["status"] == "done"


@pytest.mark.parametrize("before", [True, False])
def test_a_job_may_be_cancelled_while_it_is_read(
    store: JobStore, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Just before, or just after, its items are listed."""

    def cancel_while_listing(job: Job) -> None:
        def listed(folder: Path) -> list[str]:
            monkeypatch.undo()
            if before:
                job.close("cancelled")
            names = os.listdir(folder)
            job.close("cancelled")
            return names

        monkeypatch.setattr(job_module.os, "listdir", listed)

    jobs = [new_job(store), new_job(store)]
    for job in jobs:
        finish(job, taken(job))
    seen = jobs[1].status()
    cancel_while_listing(jobs[0])
    status = jobs[0].status()
    assert (status["status"], status["done"]) == ("cancelled", 1)
    monkeypatch.setattr(Job, "status", lambda job: seen)
    cancel_while_listing(jobs[1])
    with pytest.raises(NotReady if before else ResultGone):
        jobs[1].finished()


def test_expired_jobs_lose_their_files_and_are_forgotten_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    for module in (job_module, store_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now[0]))
    store = JobStore(tmp_path, hours=1)
    job = new_job(store)
    finish(job, taken(job))
    now[0] += 3600
    assert job.status()["status"] == "expired"
    with pytest.raises(ResultGone, match="expired"):
        job.finished()
    assert job.claim() is None
    store.tidy()
    status = store.get(job.id).status()
    assert (status["status"], status["done"]) == ("expired", 1)
    assert not job.inputs.exists()
    now[0] += 3600
    store.tidy()
    with pytest.raises(UnknownJob):
        store.get(job.id)
    assert os.listdir(tmp_path) == []


def test_jobs_that_have_ended_are_not_looked_at_again(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, open_one = new_job(store, 1), new_job(store, 1)
    finish(ended, taken(ended))
    assert [job.id for job in store.open_jobs()] == [open_one.id]
    read = []
    monkeypatch.setattr(JobStore, "get", lambda self, id: read.append(id))
    store.tidy()
    assert read == [open_one.id]


def test_what_is_no_job_is_unknown(store: JobStore, tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite3").write_bytes(b"")
    (tmp_path / ("x" * 22)).mkdir()
    for id in ("", "..", "queue.sqlite3", "x" * 22, "é" * 22, "../" + "a" * 19):
        with pytest.raises(UnknownJob):
            store.get(id)
    assert list(store.open_jobs()) == []


def test_a_damaged_job_does_not_hide_the_others(store: JobStore) -> None:
    damaged, whole = new_job(store), new_job(store)
    (damaged.folder / "job.json").write_bytes(b"{")
    assert [job.id for job in store.open_jobs()] == [whole.id]


def test_a_draft_that_a_kill_left_is_swept_later(store: JobStore, tmp_path: Path) -> None:
    def dies(file: IO[bytes]) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.create("perceive", {}, None, [Item(id="a", files={"image": "a"})], dies)
    assert os.listdir(tmp_path) == []
    old, new = tmp_path / ".new-old", tmp_path / ".new-new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (0, 0))
    (tmp_path / ".new-gone").symlink_to("nowhere")  # as one that another service renames while this one looks
    store.tidy()
    assert new.exists()
    assert not old.exists()

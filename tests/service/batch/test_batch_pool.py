"""The process pool: any number of workers, workers that die, and kills of the whole run at random moments."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pytest
from threadpoolctl import threadpool_limits

from service.batch.failures import BatchError
from service.batch.inputs import read_entries
from service.batch.items import Item
from service.batch.local import run_here, run_pool
from tests.helpers.batch_task import DigestTask
from tests.helpers.servers import ROOT

COUNT = 24


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number:03d}.png").write_bytes(b"content %d" % number)
    return folder


def entries(source: Path) -> list[Item]:
    return [entry for entry in read_entries(str(source), ("image",)) if isinstance(entry, Item)]


def outputs(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted((out / "items").rglob("*")) if p.is_file()}


def lasting(report: Path) -> list[dict]:
    """The report without its times."""
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith("seconds")} for row in rows]


def program(source: Path, out: Path, workers: int, pause: float = 0.0) -> list[str]:
    return [sys.executable, "-m", "tests.helpers.batch_task", str(source), str(out), str(workers), str(pause)]


def test_items_that_end_their_worker_are_found_and_the_others_done(source: Path, tmp_path: Path) -> None:
    for number in (5, 17):
        (source / f"{number:03d}.png").write_bytes(b"die")
    items = entries(source)
    answers = dict(run_pool(iter(items), DigestTask(), str(tmp_path / "out"), threading.Event(), workers=2))
    assert set(answers) == set(items)
    died = {item.id for item, row in answers.items() if row.get("code") == "worker_died"}
    assert died == {"005.png", "017.png"}
    assert all("SIGKILL" in row["message"] for row in answers.values() if row["status"] == "failed")
    assert sum(row["status"] == "ok" for row in answers.values()) == COUNT - 2
    assert len(list((tmp_path / "out" / "rows" / "failed").iterdir())) == 2


def test_workers_that_cannot_start_are_said_at_once(source: Path, tmp_path: Path) -> None:
    task = DigestTask(broken=True)
    with pytest.raises(BatchError, match="the model is not there"):
        list(run_pool(iter(entries(source)), task, str(tmp_path / "out"), threading.Event(), workers=1))


def test_a_stop_finishes_what_is_in_hand(source: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    answers = []
    for item, _ in run_pool(iter(entries(source)), DigestTask(), str(tmp_path / "out"), stop, workers=1):
        answers.append(item.id)
        stop.set()
    assert 1 <= len(answers) <= 4
    assert len(list((tmp_path / "out" / "rows" / "done").iterdir())) == len(answers)


@pytest.mark.parametrize("engine", [run_here, partial(run_pool, workers=2)])
def test_a_worker_keeps_to_one_thread(source: Path, tmp_path: Path, engine: Callable[..., Any]) -> None:
    cv2.setNumThreads(2)
    with threadpool_limits(2):
        rows = dict(engine(iter(entries(source)), DigestTask(), str(tmp_path / "out"), threading.Event())).values()
    assert [row["threads"] for row in rows] == [1] * COUNT


def kill_and_resume(source: Path, tmp_path: Path, kills: int, pause: float) -> None:
    """Kill a run `kills` times, each time after a random number of further items, then let it end."""
    chance = random.Random(7)
    done = tmp_path / "out" / "rows" / "done"
    command = program(source, tmp_path / "out", 2, pause)
    for _ in range(kills):
        before = len(list(done.iterdir())) if done.exists() else 0
        enough = before + chance.randint(0, max(1, (COUNT - before) // (kills + 1)))
        process = subprocess.Popen(command, cwd=ROOT)
        while process.poll() is None and (len(list(done.iterdir())) if done.exists() else 0) < enough:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 2 * pause))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    subprocess.run(program(source, tmp_path / "undisturbed", 1), cwd=ROOT, check=True)
    assert outputs(tmp_path / "out") == outputs(tmp_path / "undisturbed")
    assert lasting(tmp_path / "out" / "report.jsonl") == lasting(tmp_path / "undisturbed" / "report.jsonl")
    assert len({row["id"] for row in lasting(tmp_path / "out" / "report.jsonl")}) == COUNT
    assert not list(tmp_path.glob("out/**/*.tmp"))


def test_killed_runs_resume(source: Path, tmp_path: Path) -> None:
    kill_and_resume(source, tmp_path, kills=1, pause=0.02)


@pytest.mark.full
def test_ten_kills(source: Path, tmp_path: Path) -> None:
    kill_and_resume(source, tmp_path, kills=10, pause=0.05)


@pytest.mark.full
def test_memory_stays_flat_over_ten_thousand_items(tmp_path: Path) -> None:
    """A worker holds the same after 2,000 items as after 10,000; the parent little more than the list of items."""
    import psutil

    source = tmp_path / "list.jsonl"
    (tmp_path / "one.png").write_bytes(b"x" * 20_000)
    source.write_text("".join(f'{{"id": "{number}", "image": "one.png"}}\n' for number in range(10_000)))
    done = tmp_path / "out" / "rows" / "done"
    process = subprocess.Popen(program(source, tmp_path / "out", 2), cwd=ROOT)
    measured: dict[int, list[int]] = {}
    watched = psutil.Process(process.pid)
    try:
        for mark in (2_000, 9_500):
            while process.poll() is None and (sum(1 for _ in done.iterdir()) if done.exists() else 0) < mark:
                time.sleep(0.2)
            family = [watched, *watched.children(recursive=True)]
            measured[mark] = sorted(member.memory_info().rss for member in family)
    finally:
        process.wait(600)
    assert process.returncode == 0
    growth = [late - early for early, late in zip(measured[2_000], measured[9_500], strict=True)]
    assert max(growth) < 30_000_000, measured

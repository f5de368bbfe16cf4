"""Resuming, failing, retrying and reporting, with a task that needs no network and a store that fails on demand."""

import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

from service.batch.failures import BatchError
from service.batch.items import Item
from service.batch.ledger import Row
from service.batch.local import run_here
from service.batch.run import BatchOptions, Outcome, run_batch
from service.batch.steps import Task
from tests.helpers.batch_task import DigestTask
from tests.helpers.flaky_store import FlakyStore, now_and_then


class Counting:
    """Runs here, and remembers what it was given."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.given: list[str] = []
        self._stop_after = stop_after

    def __call__(
        self, items: Iterator[Item], task: Task, store_url: str, stop: threading.Event
    ) -> Iterator[tuple[Item, Row]]:
        for item, row in run_here(items, task, store_url, stop):
            self.given.append(item.id)
            if len(self.given) == self._stop_after:
                stop.set()
            yield item, row


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twelve inputs."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02d}.png").write_bytes(b"content %d" % number)
    return folder


@pytest.fixture
def flaky() -> Iterator[type[FlakyStore]]:
    FlakyStore.store.clear()
    FlakyStore.pseudo_dirs[:] = [""]
    FlakyStore.reset()
    yield FlakyStore
    FlakyStore.reset()


def run(
    source: Path | str, out: Path | str, engine: Counting | None = None, task: Task | None = None, **more
) -> Outcome:
    options = BatchOptions(source=str(source), out=str(out), quiet=True, **more)
    return run_batch(task or DigestTask(), engine or Counting(), options)


def report(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]


def tree(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_outputs_rows_and_report(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = run(source, out)
    assert (outcome.status, outcome.total, outcome.tally.done) == (0, 12, 12)
    rows = report(out)
    assert [row["id"] for row in rows] == [f"{number:02d}.png" for number in range(12)]
    for number, row in enumerate(rows):
        content = b"content %d" % number
        assert (row["status"], row["code"], row["size"]) == ("ok", None, len(content))
        assert row["image"] == str(source / row["id"])
        assert (out / row["folder"] / "content.bin").read_bytes() == content * 3
        assert row["digest"] == hashlib.sha256(content).hexdigest() == (out / row["folder"] / "digest.txt").read_text()


def test_what_is_done_is_not_done_again(source: Path, tmp_path: Path) -> None:
    out, first, second, third = tmp_path / "out", Counting(stop_after=5), Counting(), Counting()
    stopped = run(source, out, first)
    assert (stopped.status, stopped.tally.done, stopped.tally.left) == (130, 5, 7)
    assert len(report(out)) == 5
    assert run(source, out, second).status == 0
    assert sorted(first.given + second.given) == [f"{number:02d}.png" for number in range(12)]
    (source / "12.png").write_bytes(b"one more")
    assert run(source, out, third).tally.done == 13
    assert third.given == ["12.png"]


def test_failures_are_recorded_and_retried_on_request(source: Path, tmp_path: Path) -> None:
    out, again, retried = tmp_path / "out", Counting(), Counting()
    (source / "03.png").write_bytes(b"raise")
    (source / "04.png").write_bytes(b"memory")
    (source / "05.png").unlink()
    (source / "05.png").symlink_to(tmp_path / "nowhere")
    manifest = source / "list.jsonl"
    manifest.write_text("".join(f'{{"image": "{number:02d}.png"}}\n' for number in range(12)))
    outcome = run(manifest, out)
    expected = {"internal_error": 1, "out_of_memory": 1, "missing_file": 1}
    assert (outcome.status, outcome.tally.failed) == (1, expected)
    assert (run(manifest, out, again).status, again.given) == (1, [])
    failed = {row["id"]: row for row in report(out) if row["status"] == "failed"}
    assert {name: row["code"] for name, row in failed.items()} == {
        "03.png": "internal_error", "04.png": "out_of_memory", "05.png": "missing_file",
    }  # fmt: skip
    assert "RuntimeError: as asked" in failed["03.png"]["message"]
    assert str(source / "05.png") in failed["05.png"]["message"]
    (source / "03.png").write_bytes(b"mended")
    outcome = run(manifest, out, retried, retry_failed=True)
    assert sorted(retried.given) == ["03.png", "04.png", "05.png"]
    assert (outcome.tally.done, outcome.tally.failed.total()) == (10, 2)
    assert len(list((out / "rows" / "failed").iterdir())) == 2
    assert len(report(out)) == 12


def test_other_inputs_under_the_same_id_are_done(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    manifest, out = tmp_path / "list.csv", tmp_path / "out"
    for name in ("a", "b"):
        manifest.write_text(f"id,image\nx,{name}.png\n")
        run(manifest, out)
        (row,) = report(out)
        assert row["digest"] == hashlib.sha256(name.encode()).hexdigest()
        assert (out / "items" / "x" / "digest.txt").read_text() == row["digest"]


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[[str], Path]:
    """A manifest whose one item, x, is the given picture of a, b and raise."""
    for name in ("a", "b", "raise"):
        (tmp_path / f"{name}.png").write_bytes(name.encode())

    def manifest(name: str) -> Path:
        (tmp_path / "list.csv").write_text(f"id,image\nx,{name}.png\n")
        return tmp_path / "list.csv"

    return manifest


def is_done(out: Path, name: str) -> bool:
    """Whether the report and the outputs of x are those of a picture."""
    (row,) = report(out)
    outputs = [out / "items" / "x" / file for file in ("content.bin", "digest.txt")]
    digest = hashlib.sha256(name.encode()).hexdigest()
    expected = [name.encode() * 3, digest.encode()]
    return row["digest"] == digest and [path.read_bytes() for path in outputs] == expected


@pytest.mark.parametrize("between", ["b", "raise", "a kill"])
def test_inputs_that_change_and_change_back_are_done_again(
    pictures: Callable[[str], Path], tmp_path: Path, between: str
) -> None:
    out = tmp_path / "out"

    def killed(*_: object) -> Iterator[tuple[Item, Row]]:
        (out / "items" / "x" / "content.bin").write_bytes(b"half")
        raise KeyboardInterrupt

    run(pictures("a"), out)
    if between == "a kill":
        with pytest.raises(KeyboardInterrupt):
            run_batch(DigestTask(), killed, BatchOptions(source=str(pictures("b")), out=str(out), quiet=True))
    else:
        run(pictures(between), out)
    run(pictures("a"), out)
    assert is_done(out, "a")
    assert len(list((out / "rows").glob("*/x.*"))) == 1
    again = Counting()
    run(pictures("a"), out, again)
    assert again.given == []


def test_an_id_with_rows_of_two_inputs_is_done_again(pictures: Callable[[str], Path], tmp_path: Path) -> None:
    """As where a store did not let a row be removed: nothing says whose outputs are there."""
    out = tmp_path / "out"
    run(pictures("a"), out)
    (kept,) = (out / "rows" / "done").iterdir()
    row = kept.read_bytes()
    run(pictures("b"), out)
    kept.write_bytes(row)
    run(pictures("a"), out)
    assert is_done(out, "a")


def test_rows_of_ids_that_look_alike_stay(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    manifest, out, engine = tmp_path / "list.csv", tmp_path / "out", Counting()
    manifest.write_text("id,image\nx,1.png\nx.12345678,1.png\nx.y,1.png\n")
    run(manifest, out)
    manifest.write_text("id,image\nx,2.png\nx.12345678,1.png\nx.y,1.png\n")
    run(manifest, out, engine)
    assert engine.given == ["x"]
    assert len(list((out / "rows" / "done").iterdir())) == 3


def test_a_name_that_is_not_utf8_fails_alone(source: Path, tmp_path: Path) -> None:
    (source / os.fsdecode(b"caf\xe9.png")).write_bytes(b"good content")
    outcome = run(source, tmp_path / "out")
    assert (outcome.tally.done, outcome.tally.failed) == (12, {"invalid_id": 1})
    (row,) = (row for row in report(tmp_path / "out") if row["status"] == "failed")
    assert row["id"] == r"'caf\udce9.png'"
    manifest = source / "list.jsonl"
    manifest.write_text('{"image": "00.png"}\n{"image": "\\ud800"}\n{"image": "", "id": "\\ud800"}\n')
    outcome = run(manifest, tmp_path / "again", report="parquet")
    assert (outcome.tally.done, outcome.tally.failed) == (1, {"invalid_id": 2})


@pytest.mark.parametrize("folder", ["maps", "."])
def test_the_folder_of_the_results_may_lie_in_the_source(source: Path, tmp_path: Path, folder: str) -> None:
    """The task's outputs are no pictures, so one is put among them."""
    out = source / folder
    run(source, out)
    (out / "items" / "00.png" / "preview.png").write_bytes(b"ours")
    (tmp_path / "link").symlink_to(source)
    for given in (source, f"{source}/**/*.png", tmp_path / "link", source / ".." / "in"):
        assert run(given, out).total == 12, given
    assert run(source, tmp_path / "elsewhere").total == 13


def test_signs_of_patterns_in_the_names_of_folders(source: Path, tmp_path: Path) -> None:
    folder = source.rename(tmp_path / "in [1]*")
    outcome = run(folder, folder / "maps [1]?")
    assert (outcome.status, outcome.total, outcome.tally.done) == (0, 12, 12)
    again = Counting()
    assert run(folder, folder / "maps [1]?", again).status == 0
    assert again.given == []


def test_rows_that_are_no_items_are_said(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = source / "list.jsonl"
    manifest.write_text('{"image": "00.png"}\nno row\n')
    assert run(manifest, tmp_path / "out").tally.failed == {"invalid_row": 1}
    assert "1 row of the input is no item; the report says why" in capsys.readouterr().err


def test_another_batch_may_not_use_the_folder(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, out)
    before = tree(out)
    with pytest.raises(BatchError, match=r"label was '', is 'other'.*choose another folder"):
        run(source, out, task=DigestTask(label="other"))
    assert tree(out) == before


def test_a_folder_without_a_result_is_free(source: Path, tmp_path: Path) -> None:
    """A run that could not begin, for its options were refused, does not keep the right ones out."""
    out = tmp_path / "out"

    def refusing(*_: object) -> Iterator[tuple[Item, Row]]:
        raise BatchError("no such task")

    with pytest.raises(BatchError, match="no such task"):
        run_batch(DigestTask(label="wrong"), refusing, BatchOptions(source=str(source), out=str(out), quiet=True))
    assert run(source, out, task=DigestTask(label="right")).tally.done == 12
    with pytest.raises(BatchError, match="label was 'right', is 'wrong'"):
        run(source, out, task=DigestTask(label="wrong"))


def test_two_runs_at_once_are_refused(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    class Nested(Counting):
        def __call__(self, *arguments) -> Iterator[tuple[Item, Row]]:
            with pytest.raises(BatchError, match="another run"):
                run(source, out)
            yield from super().__call__(*arguments)

    assert run(source, out, Nested()).status == 0


def test_what_a_kill_leaves_does_not_count_and_disappears(source: Path, tmp_path: Path) -> None:
    out, clean, engine = tmp_path / "out", tmp_path / "clean", Counting()
    run(source, clean)
    run(source, out, Counting(stop_after=4))
    half = out / "items" / "04.png"
    half.mkdir()
    (half / "content.bin").write_bytes(b"half")
    (half / ".digest.txt.0123.tmp").write_bytes(b"")
    (out / "rows" / "done" / ".04.png.tmp").write_bytes(b"{")
    assert run(source, out, engine).status == 0
    assert "04.png" in engine.given
    assert tree(out / "items") == tree(clean / "items")
    assert set(tree(out)) == set(tree(clean))


def test_an_item_that_cannot_be_written_fails_alone(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "items").mkdir(parents=True)
    (out / "items" / "02.png").write_text("a file where a folder belongs")
    outcome = run(source, out)
    assert (outcome.tally.done, outcome.tally.failed) == (11, {"unwritable": 1})


def test_an_output_that_cannot_be_written_at_all_is_said_at_once(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    engine = Counting()
    with pytest.raises(BatchError, match="cannot be written"):
        run(source, tmp_path / "file" / "out", engine)
    assert engine.given == []


def test_a_store_that_fails_now_and_then_changes_nothing(source: Path, flaky: type[FlakyStore], tmp_path: Path) -> None:
    run(source, tmp_path / "out")
    flaky.reset(now_and_then(0.15), tears=True)
    outcome = run(source, "flaky://bucket/out")
    flaky.reset()
    assert (outcome.status, outcome.tally.done) == (0, 12)
    stored = {name.removeprefix("/bucket/out/"): file.getvalue() for name, file in flaky.store.items()}
    expected = tree(tmp_path / "out")
    assert {name: data for name, data in stored.items() if name.startswith("items/")} == {
        name: data for name, data in expected.items() if name.startswith("items/")
    }
    assert set(stored) == set(expected) - {".lock"}
    assert engine_does_nothing_more(source)


def engine_does_nothing_more(source: Path) -> bool:
    engine = Counting()
    run(source, "flaky://bucket/out", engine)
    return engine.given == []


def test_a_store_that_stays_away_for_some_items(source: Path, flaky: type[FlakyStore]) -> None:
    flaky.reset(lambda operation, path: TimeoutError("gone") if "03.png" in path or "07.png" in path else None)
    outcome = run(source, "flaky://bucket/out")
    assert (outcome.status, outcome.tally.failed) == (1, {"write_failed": 2})
    assert outcome.tally.done == 10
    flaky.reset()
    engine = Counting()
    assert run(source, "flaky://bucket/out", engine).status == 0  # their rows could not be written either
    assert sorted(engine.given) == ["03.png", "07.png"]


def test_a_torn_row_is_done_again(source: Path, flaky: type[FlakyStore]) -> None:
    run(source, "flaky://bucket/out")
    (name,) = (name for name in flaky.store if "rows/done/06" in name)
    flaky().pipe_file(name, b'{"id": "06.p')
    engine = Counting()
    outcome = run(source, "flaky://bucket/out", engine)
    assert (outcome.status, engine.given) == (0, ["06.png"])


def test_a_full_store_fails_items_at_once_and_the_run_goes_on(source: Path, flaky: type[FlakyStore]) -> None:
    written = []

    def rule(operation: str, path: str) -> Exception | None:
        if operation == "write" and "items/" in path:
            written.append(path)
            if 4 <= len(written) <= 9:
                return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return None

    flaky.reset(rule)
    outcome = run(source, "flaky://bucket/out")
    assert outcome.status == 1
    assert set(outcome.tally.failed) == {"disk_full"}
    assert outcome.tally.done == 12 - outcome.tally.failed["disk_full"] > 0
    folders = {name.split("/")[-2] for name in flaky.store if "/items/" in name}
    assert len(folders) == outcome.tally.done, "a failed item left outputs"
    flaky.reset()
    assert run(source, "flaky://bucket/out", retry_failed=True).tally.done == 12


def test_inputs_from_a_flaky_store(flaky: type[FlakyStore], tmp_path: Path) -> None:
    for number in range(6):
        flaky().pipe_file(f"/in/{number}.png", b"%d" % number)
    flaky.reset(now_and_then(0.2, seed=3))
    assert run("flaky://in", tmp_path / "out").status == 0
    flaky.reset(lambda operation, path: PermissionError("forbidden") if path == "/in/4.png" else None)
    outcome = run("flaky://in", tmp_path / "again")
    assert (outcome.tally.done, outcome.tally.failed) == (5, {"read_failed": 1})


def test_parquet_says_what_jsonl_says(source: Path, tmp_path: Path) -> None:
    (source / "03.png").write_bytes(b"raise")
    run(source, tmp_path / "out")
    run(source, tmp_path / "out", report="parquet")
    assert pyarrow.parquet.read_table(tmp_path / "out" / "report.parquet").to_pylist() == report(tmp_path / "out")

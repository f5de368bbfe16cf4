"""Publication is all or nothing, also when the program is killed at an arbitrary moment."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import export.publish
from export.publish import recover, staging

ROOT = Path(__file__).parents[2]
NAMES = ("manifest.json", *(str(index) for index in range(11)))
ENDLESS = f"""
import itertools, sys
from pathlib import Path
import export.publish
if sys.argv[2] == "fallback":
    export.publish._exchange = lambda first, second: False
print("ready", flush=True)
for version in itertools.count():
    with export.publish.staging(Path(sys.argv[1])) as folder:
        for name in {NAMES}:
            (folder / name).write_text(str(version))
"""


def write(target: Path, version: str) -> None:
    with staging(target) as folder:
        for name in NAMES:
            (folder / name).write_text(version)


def versions(target: Path) -> set[str]:
    assert {path.name for path in target.iterdir()} == set(NAMES)
    return {path.read_text() for path in target.iterdir()}


@pytest.fixture(params=["exchange", "fallback"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "fallback":
        monkeypatch.setattr(export.publish, "_exchange", lambda first, second: False)
    return str(request.param)


def test_a_new_version_replaces_the_old_one_and_nothing_else_stays(tmp_path: Path, way: str) -> None:
    target = tmp_path / "deep" / "bundle"
    for version in ("1", "2", "3"):
        write(target, version)
        assert versions(target) == {version}
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_old_version(tmp_path: Path, way: str) -> None:
    target = tmp_path / "bundle"
    write(target, "1")
    with pytest.raises(FileNotFoundError), staging(target) as folder:
        (folder / "missing" / "0").write_text("2")
    assert versions(target) == {"1"}
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("mine")
    with pytest.raises(ValueError, match="found the file"), staging(tmp_path / "bundle"):
        pass
    assert (tmp_path / "bundle").read_text() == "mine"


def test_a_folder_of_other_things_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    target = tmp_path / "run"
    (target / "checkpoints").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"expected a bundle to replace, or an empty folder, found .*checkpoints"):
        write(target, "1")
    assert list(tmp_path.rglob("*")) == [target, target / "checkpoints"]
    (target / "checkpoints").rmdir()
    write(target, "1")
    assert versions(target) == {"1"}


def test_a_symbolic_link_stays_and_its_folder_is_replaced(tmp_path: Path, way: str) -> None:
    (tmp_path / "link").symlink_to("real")
    for version in ("1", "2"):
        write(tmp_path / "link", version)
        assert versions(tmp_path / "real") == {version}
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def kill_repeatedly(target: Path, way: str, kills: int) -> None:
    write(target, "0")
    rng = random.Random(way)
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, "-c", ENDLESS, target, way], stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            process.wait()
        if way == "exchange":
            assert len(versions(target)) == 1
        recover(target)
        assert len(versions(target)) == 1
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("way", ["exchange", "fallback"])
def test_a_kill_leaves_a_whole_version(tmp_path: Path, way: str) -> None:
    kill_repeatedly(tmp_path / "bundle", way, 8)


@pytest.mark.full
@pytest.mark.parametrize("way", ["exchange", "fallback"])
def test_many_kills_leave_a_whole_version(tmp_path: Path, way: str) -> None:
    kill_repeatedly(tmp_path / "bundle", way, 100)

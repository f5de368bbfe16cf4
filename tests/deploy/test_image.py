"""The Dockerfile: linted, and replayed step by step on an overlay of this machine."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.image import ROOT, instructions


def test_the_linter_finds_nothing() -> None:
    hadolint = shutil.which("hadolint") or str(Path(sys.executable).parent / "hadolint")
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", ROOT / "Dockerfile"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_the_dockerfile_needs_is_there() -> None:
    steps = instructions((ROOT / "Dockerfile").read_text())
    assert [name for name, _ in steps].count("FROM") == 2
    for group in ("serve", "serve-gpu", "batch"):
        assert (ROOT / "requirements" / f"{group}.txt").is_file()
    last = dict(steps)
    assert last["USER"] == "1034:1034"
    assert {"HEALTHCHECK", "CMD"} <= set(last)


@pytest.mark.full
def test_replayed_steps_serve_read_only_and_stay_small(tmp_path: Path) -> None:
    """Needs root and mount namespaces; skipped by name elsewhere."""
    probe = ["unshare", "--mount", "true"]
    able = os.geteuid() == 0 and shutil.which("unshare") and subprocess.run(probe, capture_output=True).returncode == 0
    if not able:
        pytest.skip("replaying the Dockerfile needs root and mount namespaces")
    command = ["unshare", "--mount", sys.executable, "-m", "tests.helpers.image", tmp_path, "docs/pictures/room.jpg"]
    environment = {**os.environ, "no_proxy": "*"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["status"] == 200
    assert result["writable"] == ["/data", "/tmp"]
    assert result["megabytes"] <= 1000

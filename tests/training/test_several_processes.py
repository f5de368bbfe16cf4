"""Two processes under torchrun, on one machine or two: the losses of one, and going on after one was killed.

torchrun is told not to restart by itself: after a restart inside one agent gloo was seen to wait for ever while it
connected, on a CPU under load. The same command again is what a scheduler does, and always goes on.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.servers import free_port
from training.augmentation import PhotometricConfig
from training.checkpoint import load_checkpoint
from training.config_json import to_json
from training.loop import RunOptions, train
from training.objectives.perceive import PerceiveOptions
from training.recipe import Recipe
from training.recipes import tiny_perceive
from training.virtual_camera import VirtualCameraConfig

STEPS = 8
PROGRAM = """
import json, sys
from pathlib import Path
from training.config_json import from_json
from training.loop import RunOptions, train
from training.recipe import Recipe

recipe = from_json(Recipe, json.loads(Path(sys.argv[1]).read_text()))
place = {"out": Path(sys.argv[2]), "data_root": Path(sys.argv[3]), "nodes": int(sys.argv[4])}
train(recipe, RunOptions(**place, devices=2 // place["nodes"], threads=1, progress=False))
"""


def recipe() -> Recipe:
    """Without augmentation, whose random numbers are each process's own."""
    still = PerceiveOptions(
        photometric=PhotometricConfig(probability=0.0), camera=VirtualCameraConfig(probability=0.0, mirror=0.0)
    )
    return replace(tiny_perceive(), options=still, steps=STEPS, evaluate_every=100, checkpoint_every=1)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in this process, beside the samples in `data`."""
    folder = tmp_path_factory.mktemp("alone")
    train(recipe(), RunOptions(out=folder / "run", data_root=folder / "data", threads=1, progress=False))
    return folder


def torchrun(out: Path, data_root: Path, folder: Path, *, nodes: int = 1, port: int = 0) -> subprocess.Popen[str]:
    """One machine's agent, with its share of two processes; it ends when one of them does."""
    (folder / "program.py").write_text(PROGRAM)
    (folder / "recipe.json").write_text(json.dumps(to_json(recipe())))
    together = ["--standalone"] if nodes == 1 else ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}"]
    command = [sys.executable, "-m", "torch.distributed.run", *together, "--nnodes", str(nodes),
               "--nproc-per-node", str(2 // nodes), "--max-restarts", "0", "--monitor-interval", "0.1",
               str(folder / "program.py"), str(folder / "recipe.json")]  # fmt: skip
    command += [str(out), str(data_root), str(nodes)]
    environment = {**os.environ, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def losses(run: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["total"] for line in lines if line["kind"] == "training"}


def children(pid: int) -> dict[int, str]:
    """Process numbers of the direct children, with their LOCAL_RANK."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                variables = (entry / "environ").read_bytes().split(b"\0") if parent == pid else []
            except OSError:  # gone meanwhile
                continue
            ranks = [text[11:].decode() for text in variables if text.startswith(b"LOCAL_RANK=")]
            found |= dict.fromkeys([int(entry.name)] if ranks else [], "".join(ranks))
    return found


def kill_the_second_process(agent: subprocess.Popen[str], out: Path) -> int:
    """Once there is a checkpoint; answers its step."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and agent.poll() is None:
        try:
            step = int(load_checkpoint(out).meta["step"])
            second = next(pid for pid, rank in children(agent.pid).items() if rank == "1")
            os.kill(second, signal.SIGKILL)
            return step
        except (ValueError, FileNotFoundError, StopIteration):  # nothing yet, or pruned between looking and reading
            time.sleep(0.02)
    raise AssertionError(f"no checkpoint to kill after; torchrun answered {agent.poll()}")


def finish(agent: subprocess.Popen[str]) -> None:
    _, errors = agent.communicate(timeout=240)
    assert agent.returncode == 0, errors


def test_two_processes_learn_what_one_does(tmp_path: Path, alone: Path) -> None:
    finish(torchrun(tmp_path / "run", alone / "data", tmp_path))
    one, two = losses(alone / "run"), losses(tmp_path / "run")
    assert sorted(two) == sorted(one) == list(range(1, STEPS + 1))
    # Batch norm sees half a batch in each process, and depth medians are each image's: equal but for the norms.
    for step in one:
        assert two[step] == pytest.approx(one[step], rel=0.1), step
    assert two[STEPS] < 0.9 * two[1]
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.meta["step"] == STEPS
    assert checkpoint.meta["images_seen"] == STEPS * recipe().batch_size


@pytest.mark.full
def test_a_killed_run_ends_like_an_undisturbed_one_of_two_machines(tmp_path: Path, alone: Path) -> None:
    for name in ("killed", "machines"):
        (tmp_path / name).mkdir()
    killed = torchrun(tmp_path / "killed" / "run", alone / "data", tmp_path / "killed")
    assert kill_the_second_process(killed, tmp_path / "killed" / "run") < STEPS
    killed.communicate(timeout=240)
    assert killed.returncode != 0
    finish(torchrun(tmp_path / "killed" / "run", alone / "data", tmp_path / "killed"))
    port = free_port()
    agents = [
        torchrun(tmp_path / "machines" / "run", alone / "data", tmp_path / "machines", nodes=2, port=port) for _ in "ab"
    ]
    for agent in agents:
        finish(agent)
    one, other = (load_checkpoint(tmp_path / name / "run").state_dict for name in ("killed", "machines"))
    assert all(torch.equal(one[key], other[key]) for key in one)

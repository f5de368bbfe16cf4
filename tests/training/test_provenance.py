"""Where weights come from: whether only generated data shaped them, and that a run's own files are enough."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from export.source import load_source
from models.backbones import BackboneConfig, build_backbone
from models.shared_encoder import SharedEncoderConfig
from models.tasks import tasks_of
from training import loop, provenance
from training.checkpoint import find_checkpoint, load_checkpoint
from training.data.rooms import RoomConfig
from training.datasets import DataRecipe
from training.evaluation import evaluate_checkpoint
from training.loop import RunOptions, train
from training.objectives.dense_tasks import DenseTasksOptions
from training.provenance import trained_on_generated_data_alone
from training.recipe import Recipe
from training.recipes import get_recipe

ROOMS: dict[str, Any] = {"recipe": {"name": "rooms", "data": {"source": "rooms"}, "model": {"kind": "x"}}}


def test_weights_are_our_own_only_when_every_step_was() -> None:
    assert trained_on_generated_data_alone(ROOMS)
    assert not trained_on_generated_data_alone({"recipe": {"data": {"source": "nyud"}}})
    assert not trained_on_generated_data_alone({})
    nested = {"kind": "task_batch_norm", "network": {"backbone": {"pretrained": "org/name"}}}
    assert not trained_on_generated_data_alone({"recipe": {**ROOMS["recipe"], "model": nested}})
    for before in (True, False):
        assert trained_on_generated_data_alone({**ROOMS, "started_from": {"generated_data_alone": before}}) is before
    assert not trained_on_generated_data_alone({**ROOMS, "started_from": {"recipe": "of an unknown origin"}})


def test_a_run_that_began_with_a_file_needs_it_no_more(tmp_path: Path) -> None:
    backbone = BackboneConfig(
        name="hrnet", embedding_size=8, hidden_sizes=(4, 8, 16, 32), depths=(1, 1, 1, 1), settings='{"blocks": 1}'
    )
    file = tmp_path / "secret place" / "hrnet.pth"
    file.parent.mkdir()
    torch.save(build_backbone(backbone).network.state_dict(), file)
    tasks = tasks_of(("depth",), 13)
    recipe = Recipe(
        name="tiny_hrnet",
        options=DenseTasksOptions(canonical_focal_ratio=0.9),
        model=SharedEncoderConfig(backbone=replace(backbone, pretrained=str(file)), tasks=tasks),
        data=DataRecipe(
            source="rooms",
            name="rooms",
            config=RoomConfig(height=64, width=64),
            count=4,
            validation_count=2,
            shard_size=4,
        ),
        steps=1,
        batch_size=2,
        learning_rate=1e-3,
        precision="32-true",
    )
    options = RunOptions(out=tmp_path / "run", data_root=tmp_path / "data", threads=1, progress=False)
    train(recipe, options)
    file.unlink()

    source = load_source(tmp_path / "run")
    assert not source.trained_on_generated_data_alone()
    assert "secret place" not in str(source.provenance())
    assert evaluate_checkpoint(tmp_path / "run", data_root=tmp_path / "data", threads=1)["metrics"]
    assert train(replace(recipe, steps=2), options)["step"] == 2
    with pytest.raises(ValueError, match="pretrained: expected a file, found none at"):
        train(recipe, replace(options, resume=False))


def test_a_fresh_run_leaves_nothing_of_the_last_one_to_be_taken_for_its_own(tmp_path: Path) -> None:
    recipe = replace(get_recipe("tiny_perceive"), steps=4, evaluate_every=2, checkpoint_every=2)
    options = RunOptions(out=tmp_path / "run", data_root=tmp_path / "data", threads=1, progress=False)
    train(recipe, options)
    anew = replace(recipe, steps=1, start_from=str(tmp_path / "run"))
    for number in (1, 2):
        train(anew, replace(options, resume=False))
        for which in ("latest", "best"):
            assert find_checkpoint(tmp_path / "run", which).name == "00000001"
        kept = tmp_path / "run" / f"earlier-{number}"
        assert {path.name for path in kept.iterdir()} == {"checkpoints", "log.jsonl", "tensorboard"}
    assert find_checkpoint(tmp_path / "run" / "earlier-1").name == "00000004"


def test_the_commit_of_the_working_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    assert re.fullmatch(r"[0-9a-f]{40}\+?|unknown", provenance.current_commit())
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    if shutil.which("git"):
        assert provenance.current_commit() == "unknown"
        (tmp_path / "file").write_text("one")
        for words in (["init"], ["add", "file"], ["commit", "--message", "one"]):
            git(*words)
        (tmp_path / "other").write_text("untracked")
        clean = provenance.current_commit()
        assert re.fullmatch("[0-9a-f]{40}", clean)
        (tmp_path / "file").write_text("two")
        assert provenance.current_commit() == f"{clean}+"
    monkeypatch.setenv("PATH", "")
    assert provenance.current_commit() == "unknown"


def test_a_run_keeps_the_commit_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = iter(["first", "second"])
    monkeypatch.setattr(loop, "current_commit", lambda: next(commits))
    recipe = replace(get_recipe("tiny_perceive"), steps=2, checkpoint_every=1)
    train(recipe, RunOptions(out=tmp_path / "run", data_root=tmp_path / "data", threads=1, progress=False))
    checkpoints = tmp_path / "run" / "checkpoints"
    assert {load_checkpoint(checkpoints / name).meta["commit"] for name in ("00000001", "00000002")} == {"first"}

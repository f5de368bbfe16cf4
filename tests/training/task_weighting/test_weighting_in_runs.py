"""Task weights in the training loop: exact resume at any step, the same in every process, tasks without labels."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.backbones import BackboneConfig
from models.shared_encoder import SharedEncoderConfig
from models.tasks import TaskName, tasks_of
from tests.helpers.tiny_datasets import write_mtan
from training.checkpoint import META_FILE, MODEL_FILE, STATE_FILE, find_checkpoint, load_training_state
from training.config_json import to_json
from training.datasets import DataRecipe
from training.folder_dataset import FolderConfig
from training.loop import RunOptions, train
from training.objectives.dense_tasks import DenseTasksOptions
from training.pipelines import PipelineA
from training.recipe import Recipe
from training.task_weighting.loss_prioritisation import LossPrioritisation, LossPrioritisationConfig
from training.task_weighting.task_weighting import LABELLED, labelled_losses
from training.task_weighting.uncertainty import UncertaintyConfig

TASKS: tuple[TaskName, ...] = ("segmentation", "depth", "normals")


def recipe(steps: int) -> Recipe:
    """Three steps an epoch over six pictures."""
    backbone = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))
    return Recipe(
        name="prioritised",
        options=DenseTasksOptions(weighting=LossPrioritisationConfig(), log_projection=True, intermediate="mean"),
        model=SharedEncoderConfig(backbone=backbone, tasks=tasks_of(TASKS, 13)),
        data=DataRecipe(
            source="mtan", name="mtan", config=FolderConfig(root="mtan", tasks=TASKS, pipeline=PipelineA(size=(64, 64)))
        ),
        steps=steps,
        batch_size=2,
        learning_rate=1e-2,
        warmup=0.0,
        schedule="polynomial",
        optimizer="sgd",
        clip_norm=None,
        precision="32-true",
        ema_decay=None,
        evaluate_every=100,
        checkpoint_every=1,
        log_every=1,
    )


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    write_mtan(root / "mtan", counts=(6, 1))
    return root


def log_lines(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "training"]


def by_hand(lines: list[dict[str, float]], steps_per_epoch: int = 3) -> dict[str, float]:
    """The weights after all whole epochs of the log."""
    weighting = LossPrioritisation(LossPrioritisationConfig(), TASKS)
    for step, line in enumerate(lines, start=1):
        weighting.observe({task: line[task] for task in TASKS})
        if step % steps_per_epoch == 0:
            weighting.end_epoch()
    return weighting.weights()


def test_an_interrupted_run_keeps_weights_and_statistics(tmp_path: Path, data_root: Path) -> None:
    def run(out: Path, **options: float) -> dict[str, object]:
        return train(recipe(8), RunOptions(out=out, data_root=data_root, threads=1, progress=False, **options))  # type: ignore[arg-type]

    run(tmp_path / "whole")
    lines = log_lines(tmp_path / "whole")
    assert [line["weight/depth"] == 1 for line in lines] == [True] * 3 + [False] * 5
    assert lines[6]["weight/depth"] != lines[5]["weight/depth"] == lines[3]["weight/depth"]
    rates = [line["learning_rate"] for line in lines]
    assert rates == pytest.approx([1e-2 * (1 - epoch / 3) ** 0.9 for epoch in (0, 0, 0, 1, 1, 1, 2, 2)])
    state = load_training_state(find_checkpoint(tmp_path / "whole"))["weighting"]
    assert state["weights"] == pytest.approx(by_hand(lines))
    assert state["counts"] == dict.fromkeys(TASKS, 2)
    for step in (1, 2, 3, 4):  # within an epoch, at its end, at its beginning
        assert run(tmp_path / "parts", max_seconds=0.0)["step"] == step
    run(tmp_path / "parts")
    for file in (MODEL_FILE, STATE_FILE):
        one, other = (find_checkpoint(tmp_path / part) / file for part in ("whole", "parts"))
        assert one.read_bytes() == other.read_bytes()
    metas = [json.loads((find_checkpoint(tmp_path / part) / META_FILE).read_text()) for part in ("whole", "parts")]
    assert metas[0]["training_state"] == metas[1]["training_state"]


PROGRAM = """
import json, sys
from pathlib import Path
from training.config_json import from_json
from training.loop import RunOptions, train
from training.recipe import Recipe
recipe = from_json(Recipe, json.loads(Path(sys.argv[1]).read_text()))
options = RunOptions(out=Path(sys.argv[2]), data_root=Path(sys.argv[3]), devices=2, threads=1, progress=False)
train(recipe, options)
"""


@pytest.mark.full
def test_two_processes_weigh_alike_by_the_losses_of_both(tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "recipe.json").write_text(json.dumps(to_json(recipe(7))))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(tmp_path / "program.py"), str(tmp_path / "recipe.json"), str(tmp_path / "run"), str(data_root)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    one, other = log_lines(tmp_path / "run"), log_lines(tmp_path / "run" / "rank-1")
    weights = [f"weight/{task}" for task in TASKS]
    assert [[line[name] for name in weights] for line in one] == [[line[name] for name in weights] for line in other]
    assert one[0]["depth"] != other[0]["depth"]
    means = [{task: (a[task] + b[task]) / 2 for task in TASKS} for a, b in zip(one, other, strict=True)]
    expected = by_hand(means[:6])
    assert {task: one[6][f"weight/{task}"] for task in TASKS} == pytest.approx(expected, rel=1e-6)


def test_a_run_is_not_taken_up_with_other_weighting(tmp_path: Path, data_root: Path) -> None:
    options = RunOptions(out=tmp_path, data_root=data_root, threads=1, progress=False)
    train(recipe(1), options)
    other = DenseTasksOptions(weighting=LossPrioritisationConfig(kappa=2.0), log_projection=True, intermediate="mean")
    with pytest.raises(ValueError, match="'options'"):
        train(replace(recipe(2), options=other), options)


def test_a_task_without_labels_keeps_its_weight(tmp_path: Path) -> None:
    write_mtan(tmp_path / "mtan", counts=(6, 1))
    for depth in (tmp_path / "mtan" / "train" / "depth").iterdir():
        np.save(depth, np.zeros_like(np.load(depth)))
    this = replace(recipe(3), options=DenseTasksOptions(weighting=UncertaintyConfig()), accumulate=2)
    train(this, RunOptions(out=tmp_path / "run", data_root=tmp_path, threads=1, progress=False))
    state = load_training_state(find_checkpoint(tmp_path / "run"))["weighting"]
    assert [state["log_variances"][task] == 0 for task in TASKS] == [False, True, False]
    assert not [name for line in log_lines(tmp_path / "run") for name in line if name.startswith(LABELLED)]


def test_losses_are_means_over_the_parts_that_had_labels() -> None:
    terms = {"total": 5.0, "depth": 1.0, "normals": 0.0, "depth/0": 7.0}
    assert labelled_losses(terms | {"labelled/depth": 0.25, "labelled/normals": 0.0}) == {"depth": 4.0}

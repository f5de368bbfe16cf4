"""Instance parameters in the training loop: exact resume, what the loss is made of, and one update in all processes."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.backbones import BackboneConfig
from models.shared_encoder import SharedEncoderConfig
from models.tasks import Intermediate, TaskName, TaskOutputs, tasks_of
from tests.helpers.tiny_datasets import write_mtan
from training.checkpoint import META_FILE, MODEL_FILE, STATE_FILE, find_checkpoint, load_training_state
from training.config_json import from_json, to_json
from training.data.rooms import RoomConfig
from training.datasets import DataRecipe
from training.folder_dataset import FolderConfig
from training.gradient_methods.weighted_sum import SumConfig
from training.instance_parameters import InstanceParameters, InstanceParametersConfig
from training.loop import RunOptions, train
from training.losses.per_image import per_image_loss
from training.losses.tasks import TaskLossConfig, task_loss
from training.objectives.build import build_objective
from training.objectives.dense_tasks import DenseTasksObjective, DenseTasksOptions, Prepared
from training.pipelines import PipelineA
from training.recipe import Recipe

TASKS: tuple[TaskName, ...] = ("segmentation", "depth", "normals")
INSTANCE = InstanceParametersConfig(momentum=0.5)


def recipe(steps: int, accumulate: int = 1) -> Recipe:
    """Batches of four of six pictures: a batch may hold a picture twice, from two epochs."""
    backbone = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))
    return Recipe(
        name="instances",
        options=DenseTasksOptions(weighting=INSTANCE, losses=TaskLossConfig(depth="mse")),
        model=SharedEncoderConfig(backbone=backbone, tasks=tasks_of(TASKS, 13)),
        data=DataRecipe(
            source="mtan", name="mtan", config=FolderConfig(root="mtan", tasks=TASKS, pipeline=PipelineA(size=(64, 64)))
        ),
        steps=steps,
        batch_size=4,
        learning_rate=1e-2,
        warmup=0.0,
        schedule="polynomial",
        optimizer="sgd",
        clip_norm=None,
        precision="32-true",
        ema_decay=None,
        accumulate=accumulate,
        evaluate_every=100,
        checkpoint_every=1,
        log_every=1,
    )


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    write_mtan(root / "mtan", counts=(6, 1))
    return root


def test_an_interrupted_run_keeps_every_row(tmp_path: Path, data_root: Path) -> None:
    def run(out: Path, **options: float) -> dict[str, object]:
        return train(recipe(4), RunOptions(out=out, data_root=data_root, threads=1, progress=False, **options))  # type: ignore[arg-type]

    run(tmp_path / "whole")
    state = load_training_state(find_checkpoint(tmp_path / "whole"))["weighting"]
    assert state["log_variance"]["keys"].tolist() == list(range(6))
    assert state["log_variance"]["values"].abs().min() > 0
    assert torch.isfinite(state["last_loss"]["values"]).all()
    for step in (1, 2):
        assert run(tmp_path / "parts", max_seconds=0.0)["step"] == step
    run(tmp_path / "parts")
    for file in (MODEL_FILE, STATE_FILE):
        one, other = (find_checkpoint(tmp_path / part) / file for part in ("whole", "parts"))
        assert one.read_bytes() == other.read_bytes()
    metas = [json.loads((find_checkpoint(tmp_path / part) / META_FILE).read_text()) for part in ("whole", "parts")]
    assert metas[0]["training_state"] == metas[1]["training_state"]
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert lines[0]["weight/depth"] == 0.5  # the factor of a squared error at s = 0
    assert from_json(Recipe, to_json(recipe(4))) == recipe(4)


def test_measuring_cosines_leaves_every_row(tmp_path: Path, data_root: Path) -> None:
    this = replace(recipe(3, accumulate=2), gradients=SumConfig(steps=2))
    for name, conflicts in (("with", True), ("without", False)):
        options = RunOptions(out=tmp_path / name, data_root=data_root, threads=1, progress=False, conflicts=conflicts)
        train(this, options)
    lines = [json.loads(line) for line in (tmp_path / "with" / "log.jsonl").read_text().splitlines()]
    assert "cosine/segmentation+depth" in lines[0]
    for file in (MODEL_FILE, STATE_FILE):
        one, other = (find_checkpoint(tmp_path / name) / file for name in ("with", "without"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("intermediate", ["weighted", "mean"])
def test_maps_inside_the_network_are_weighted_by_the_same_images(intermediate: str) -> None:
    options = DenseTasksOptions(weighting=InstanceParametersConfig(learning_rate=1.0), intermediate=intermediate)  # type: ignore[arg-type]
    objective = DenseTasksObjective(options, tasks_of(("depth",), 1))
    assert isinstance(objective.weighting, InstanceParameters)
    label, ones = torch.tensor([1.0, 4.0]).view(2, 1, 1).expand(2, 4, 4), torch.ones(2, 1, 4, 4)

    class Answer(torch.nn.Module):
        def forward(self, image_B3HW: torch.Tensor) -> TaskOutputs:
            inside = (Intermediate("depth", 0, 2 * ones), Intermediate("depth", 1, 5 * ones[..., ::2, ::2]))
            return TaskOutputs({"depth": ones}, inside)

    prepared = Prepared(torch.zeros(2, 3, 4, 4), {"depth": label}, torch.tensor([8, 3]))
    first = objective.task_losses(Answer(), prepared)
    objective.total(first)
    objective.weighting.observe({})  # losses 0 and 3: slopes 1 and -2
    s = torch.tensor([-1.0, 2.0])
    losses = objective.task_losses(Answer(), prepared)
    weights = torch.exp(-s)
    outer = (weights * torch.tensor([0.0, 3.0]) + s).mean()
    levels = [(weights * torch.tensor(level)).mean() for level in ([1.0, 2.0], [4.0, 1.0])]
    inner = sum(levels) if intermediate == "weighted" else sum(levels) / 2
    assert float(objective.total(losses)) == pytest.approx(float(outer + inner))
    assert float(losses.final["depth"]) == 1.5  # unweighted, for the log
    apart = objective.split_loss(Answer(), prepared).by_task
    assert float(apart["depth"]) == pytest.approx(float(outer + inner))


@pytest.mark.parametrize("task", ["segmentation", "depth", "normals", "saliency", "edges"])
def test_losses_of_single_images_are_those_of_batches_of_one(task: TaskName) -> None:
    generator = torch.Generator().manual_seed(3)
    (spec,) = tasks_of((task,), 5)
    maps = torch.randn(3, spec.channels, 6, 8, generator=generator)
    if task == "depth":
        label = torch.rand(3, 12, 16, generator=generator) + 0.5
        label[0, :6], label[2] = 0, 0
    elif task == "normals":
        label = torch.randn(3, 3, 12, 16, generator=generator)
        label[0, :, :6], label[2] = 0, 0
    else:
        label = torch.randint(0, 2, (3, 12, 16), generator=generator).to(torch.uint8)
        label[0, :6], label[2] = 255, 255
    config = TaskLossConfig(edge_beta=None)
    losses = per_image_loss(task, maps, label, config)
    alone = [task_loss(task, maps[b : b + 1], label[b : b + 1], config) for b in range(3)]
    torch.testing.assert_close(losses.loss_B, torch.stack(alone))
    assert losses.valid_B.tolist() == [True, True, False]
    assert losses.loss_B[2] == 0


def test_senseless_recipes_are_refused() -> None:
    with pytest.raises(ValueError, match="log_projection"):
        DenseTasksObjective(DenseTasksOptions(weighting=INSTANCE, log_projection=True), tasks_of(TASKS, 13))
    data = DataRecipe(source="rooms", name="x", config=RoomConfig(), count=2, validation_count=1, stream=True)
    with pytest.raises(ValueError, match="stream"):
        build_objective(replace(recipe(1), data=data))


PROGRAM = """
import json, sys
from pathlib import Path
from training.config_json import from_json
from training.loop import RunOptions, train
from training.recipe import Recipe
import training.instance_parameters as module
from training.checkpoint import write_atomically

out = Path(sys.argv[2])
kept = module.InstanceParameters.observe
seen = []

def observe(self, losses):
    before = {key: self.log_variances([key])[0].tolist() for key in range(6)}
    mine = [list(p.images) for p in self._pending]
    slopes = [p.slope_BT.tolist() for p in self._pending]
    kept(self, losses)
    after = {key: self.log_variances([key])[0].tolist() for key in range(6)}
    seen.append({"index": mine, "slope": slopes, "before": before, "after": after})

module.InstanceParameters.observe = observe
recipe = from_json(Recipe, json.loads(Path(sys.argv[1]).read_text()))
options = RunOptions(out=out, data_root=Path(sys.argv[3]), devices=2, threads=1, progress=False)
train(recipe, options)
import torch.distributed
write_atomically(out / f"seen-{torch.distributed.get_rank()}.json", json.dumps(seen))
"""


@pytest.mark.full
def test_two_processes_move_each_row_once_and_alike(tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    options = DenseTasksOptions(weighting=InstanceParametersConfig(), losses=TaskLossConfig(depth="mse"))
    given = replace(recipe(5), options=options, batch_size=5)  # three images here, two there
    (tmp_path / "recipe.json").write_text(json.dumps(to_json(given)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(tmp_path / "program.py"), str(tmp_path / "recipe.json"), str(tmp_path / "run"), str(data_root)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    one, other = (json.loads((tmp_path / "run" / f"seen-{rank}.json").read_text()) for rank in (0, 1))
    assert [step["after"] for step in one] == [step["after"] for step in other]
    twice = 0
    for here, there in zip(one, other, strict=True):
        slopes: dict[int, list[torch.Tensor]] = {}
        for process in (here, there):
            for index, slope in zip(process["index"][0], process["slope"][0], strict=True):
                slopes.setdefault(index, []).append(torch.tensor(slope, dtype=torch.float64))
        for index in range(6):
            before = torch.tensor(here["before"][str(index)], dtype=torch.float64)
            after = torch.tensor(here["after"][str(index)], dtype=torch.float64)
            if index not in slopes:
                assert torch.equal(before, after)
                continue
            twice += len(slopes[index]) - 1
            expected = before - 0.2 * torch.stack(slopes[index]).mean(dim=0)
            torch.testing.assert_close(after, expected, rtol=1e-6, atol=1e-7)
    assert twice > 0

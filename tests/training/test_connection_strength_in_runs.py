"""Connection strength in training: its steps by hand, isolation of tasks, exact resume, several processes."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from PIL import Image
from torch import Tensor, nn

from models.backbones import BackboneConfig
from models.build import build
from models.shared_encoder import SharedEncoderConfig
from models.task_batch_norm import TaskBatchNormConfig, TaskBatchNormNetwork
from models.tasks import TaskName, tasks_of
from training.checkpoint import META_FILE, MODEL_FILE, STATE_FILE, find_checkpoint
from training.config_json import from_json, to_json
from training.connection_strength import ConnectionStrength, ConnectionStrengthConfig
from training.data.rooms import RoomConfig
from training.datasets import DataRecipe
from training.gradient_methods.combination import SharedGradients
from training.gradient_methods.update import Update
from training.gradient_methods.weighted_sum import SumConfig, WeightedSum
from training.loop import RunOptions, train
from training.objectives.dense_tasks import DenseTasksObjective, DenseTasksOptions
from training.objectives.objective import SplitLoss
from training.recipe import Recipe
from training.strength_maps import draw_shares

TASKS: tuple[TaskName, ...] = ("segmentation", "depth", "normals")
SMALL = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))
MODEL = TaskBatchNormConfig(network=SharedEncoderConfig(backbone=SMALL, tasks=tasks_of(TASKS, 13)))
FIRST = ConnectionStrengthConfig(phases="first")


class Bowls(TaskBatchNormNetwork):
    """One number that two tasks pull at: losses a/2 (x - c)^2, with a scale for each image."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.tasks = ("depth", "normals")
        self._only: str | None = None
        self.x = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def forward(self, scale_B: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        pulls = {"depth": (2.0, 3.0), "normals": (5.0, -1.0)}
        wanted = {task: pulls[task] for task in self.tasks if self._only in (None, task)}
        return {task: (a / 2 * (self.x - c) ** 2 * scale_B).mean() for task, (a, c) in wanted.items()}


class SumOfBowls:
    """An objective of the network above; see `SplitsTasks`."""

    best_metric, best_is_lower = "none", True

    def prepare(self, batch: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        return batch["image"]

    def split_loss(self, model: nn.Module, prepared: Tensor) -> SplitLoss:
        by_task = model(prepared)
        return SplitLoss(by_task, {"total": torch.stack(list(by_task.values())).sum()} | by_task)

    def loss(self, model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        return self.split_loss(model, batch["image"]).terms


def update_of(network: nn.Module, objective: Any, batch: dict[str, Tensor], kind: type[Update] = Update) -> Any:
    """With plain gradient descent at a rate of 0.01."""
    fabric = Fabric(accelerator="cpu", devices=1)
    model, optimizer = fabric.setup(network, torch.optim.SGD(network.parameters(), lr=0.01))
    return lambda **options: kind(
        fabric, model, optimizer, objective, batch, torch.Generator().manual_seed(0), clip_norm=None, **options
    )


def test_a_first_phase_differs_from_a_joint_step_by_the_second_order_term() -> None:
    ends = []
    for method in (ConnectionStrength(FIRST), WeightedSum(SumConfig())):
        network = Bowls()
        method.update(update_of(network, SumOfBowls(), {"image": torch.ones(2, dtype=torch.float64)})())
        ends.append(network.x.item())
    assert ends[0] - ends[1] == pytest.approx(0.01**2 * 2.0 * 5.0 * (0.5 - 3.0), rel=1e-12)


def test_micro_batches_and_repeated_steps() -> None:
    batch = {"image": torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)}
    ends, terms = [], []
    for accumulate in (1, 2, 8):
        for joint in (False, True):
            network = Bowls()
            update = update_of(network, SumOfBowls(), batch)(accumulate=accumulate)
            if joint:
                gradients = update.task_gradients()
                update.set_gradients([gradients["depth"][0] + gradients["normals"][0]])
                update.step()
            else:
                ConnectionStrength(FIRST).update(update)
            ends.append(network.x.item())
            terms.append(float(update.terms["total"]))
    assert ends == pytest.approx(ends[:2] * 3, rel=1e-12)
    assert terms == pytest.approx(terms[:2] * 3, rel=1e-12)
    one, three = Bowls(), Bowls()
    for _ in range(3):
        WeightedSum(SumConfig()).update(update_of(one, SumOfBowls(), batch)())
    WeightedSum(SumConfig(steps=3)).update(update_of(three, SumOfBowls(), batch)())
    assert torch.equal(one.x, three.x)


class Difference:
    """A combiner; see `Combiner`."""

    def combine(self, shared: SharedGradients, losses: Mapping[str, float], seed: int) -> Tensor:
        assert list(losses) == list(shared.tasks) == ["depth", "normals"]
        return shared.gradients_KN[0] - shared.gradients_KN[1]

    def scalars(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def test_a_second_phase_may_combine_gradients_in_another_way() -> None:
    network = Bowls()
    update = update_of(network, SumOfBowls(), {"image": torch.ones(2, dtype=torch.float64)})()
    scalars = ConnectionStrength(ConnectionStrengthConfig(phases="second"), Difference()).update(update)
    assert scalars == {"phase_2": 1.0}
    assert network.x.item() == pytest.approx(0.5 - 0.01 * (2.0 * (0.5 - 3.0) - 5.0 * (0.5 + 1.0)), rel=1e-6)


def frames() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.rand(2, 3, 64, 64, generator=generator),
        "segmentation": torch.randint(13, (2, 64, 64), generator=generator).byte(),
        "depth": 1 + torch.rand(2, 64, 64, generator=generator),
        "normals": torch.nn.functional.normalize(torch.randn(2, 3, 64, 64, generator=generator), dim=1),
    }


def test_a_step_of_a_task_leaves_everything_of_the_others_as_it_was() -> None:
    """Parameters, moments and running statistics, bit by bit, through Adam with decay after moments have formed."""
    torch.manual_seed(0)
    network = build(MODEL).train()
    objective = DenseTasksObjective(DenseTasksOptions(), MODEL.tasks)
    fabric = Fabric(accelerator="cpu", devices=1)
    model, optimizer = fabric.setup(network, torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=0.1))

    def state() -> dict[str, Tensor]:
        found = {name: value.clone() for name, value in network.state_dict().items()}
        for name, parameter in network.named_parameters():
            found |= {f"{name}/{key}": value.clone() for key, value in optimizer.state[parameter].items()}
        return found

    class Watched(Update):
        def step(self) -> None:
            states.append(state())
            super().step()

    def step(**options: Any) -> None:
        generator = torch.Generator().manual_seed(0)
        update = Watched(fabric, model, optimizer, objective, frames(), generator, clip_norm=1.0, **options)
        ConnectionStrength(FIRST).update(update)

    states: list[dict[str, Tensor]] = []
    step()
    states.clear()
    step()
    states.append(state())
    for index, task in enumerate(TASKS):  # from before this task's step to before the next, whose pass comes first
        before, after = states[index], states[index + 1]
        follower = TASKS[index + 1] if index + 1 < len(TASKS) else task
        untouched = [other for other in TASKS if other not in (task, follower)]
        moved = [name for name in before if not torch.equal(before[name], after[name])]
        assert any(f".{task}." in name for name in moved)
        assert not [name for name in moved for other in untouched if f".{other}." in name]
        of_follower = [name for name in moved if f".{follower}." in name and follower != task]
        assert all("running" in name or "tracked" in name for name in of_follower)


def recipe(**changes: Any) -> Recipe:
    """Two steps an epoch over eight rooms."""
    given = Recipe(
        name="owned",
        options=DenseTasksOptions(),
        model=MODEL,
        data=DataRecipe(
            source="rooms",
            name="rooms",
            config=RoomConfig(height=64, width=64),
            count=8,
            validation_count=1,
            shard_size=8,
        ),
        steps=4,
        batch_size=4,
        accumulate=2,
        learning_rate=3e-3,
        warmup=0.0,
        schedule="constant",
        optimizer="adam",
        precision="bf16-mixed",
        gradients=ConnectionStrengthConfig(),
        evaluate_every=2,
        checkpoint_every=100,
        log_every=1,
        seed=3,
    )
    return replace(given, **changes)


def log_lines(out: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def test_a_run_of_both_phases_resumes_exactly_and_says_who_owns_what(tmp_path: Path, data_root: Path) -> None:
    def run(out: Path, **options: float) -> dict[str, Any]:
        return train(recipe(), RunOptions(out=out, data_root=data_root, threads=1, progress=False, **options))  # type: ignore[arg-type]

    whole = run(tmp_path / "whole")
    lines = log_lines(tmp_path / "whole", "training")
    assert [line["phase_2"] for line in lines] == [0, 0, 1, 0]
    assert whole["skipped_updates"] == 0
    for step in (1, 2, 3):  # within the first phase, at an epoch's end, after the second phase
        assert run(tmp_path / "parts", max_seconds=0.0)["step"] == step
    assert run(tmp_path / "parts")["metrics"] == whole["metrics"]
    for file in (MODEL_FILE, STATE_FILE):
        one, other = (find_checkpoint(tmp_path / part) / file for part in ("whole", "parts"))
        assert one.read_bytes() == other.read_bytes()
    metas = [json.loads((find_checkpoint(tmp_path / part) / META_FILE).read_text()) for part in ("whole", "parts")]
    assert metas[0]["training_state"] == metas[1]["training_state"]
    shares = log_lines(tmp_path / "whole", "shares")
    assert [line["step"] for line in shares] == [2, 4]
    for of in shares[-1]["shares"].values():
        assert list(of) == list(TASKS)
        assert sum(of.values()) == pytest.approx(1)
    draw_shares(tmp_path / "whole", tmp_path / "shares.png")
    with Image.open(tmp_path / "shares.png") as picture:
        assert picture.height > len(shares[-1]["shares"])


def test_recipes_name_the_method_and_need_the_network() -> None:
    assert from_json(Recipe, json.loads(json.dumps(to_json(recipe())))) == recipe()
    with pytest.raises(ValueError, match="task_batch_norm"):
        recipe(model=MODEL.network)


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
def test_two_processes_take_the_same_steps(tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "recipe.json").write_text(json.dumps(to_json(recipe())))
    train(recipe(steps=1), RunOptions(out=tmp_path / "first", data_root=data_root, threads=1, progress=False))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(tmp_path / "program.py"), str(tmp_path / "recipe.json"), str(tmp_path / "run"), str(data_root)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    one, other = (log_lines(tmp_path / "run" / rank, "training") for rank in (".", "rank-1"))
    assert {line["phase_2"] for line in one} == {0, 1}
    for name in ("gradient_norm", "phase_2"):
        assert [line[name] for line in one] == [line[name] for line in other]
    assert one[0]["depth"] != other[0]["depth"]
    owned = [[line["shares"] for line in log_lines(tmp_path / "run" / rank, "shares")] for rank in (".", "rank-1")]
    assert owned[0] == owned[1]

"""The comparison of dense networks on rooms: every recipe trains all of its network, and all share one set-up."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.build import DenseTasksConfig, build
from models.mt_cp import MtCpConfig
from models.pad_net import PADNetConfig
from training.data.rooms import RoomConfig
from training.loop import RunOptions, train
from training.metrics.task_meters import SHARES
from training.objectives.build import build_objective
from training.objectives.dense_tasks import DenseTasksObjective, DenseTasksOptions
from training.optimizer import build_optimizer
from training.prefetch import Batch
from training.room_recipes import BACKBONE, ROOM_RECIPES, rooms_mti_net
from training.task_weighting.loss_prioritisation import LossPrioritisation


def rooms(height: int = 64, width: int = 64) -> Batch:
    """Two frames of random blocks."""
    generator = torch.Generator().manual_seed(0)

    def blocks(*shape: int) -> torch.Tensor:
        coarse = torch.rand(2, *shape, height // 16, width // 16, generator=generator)
        return coarse.repeat_interleave(16, -1).repeat_interleave(16, -2)

    normal = torch.nn.functional.normalize(torch.cat((blocks(2) - 0.5, -1 - blocks(1)), dim=1), dim=1)
    return {
        "image": blocks(3),
        "depth": 1 + 3 * blocks(),
        "label": (13 * blocks()).to(torch.uint8),
        "normal": normal,
        "intrinsics": torch.tensor([[60.0, 0, 31.5], [0, 60.0, 31.5], [0, 0, 1]]).repeat(2, 1, 1),
    }


def slim(model: DenseTasksConfig) -> DenseTasksConfig:
    """The same network, much narrower."""
    backbone = replace(BACKBONE, embedding_size=8, hidden_sizes=(8, 16, 24, 32), depths=(1, 1, 1, 1))
    if isinstance(model, PADNetConfig | MtCpConfig):
        model = replace(model, channels=16)
    return replace(model, backbone=backbone)


@pytest.mark.parametrize("make", ROOM_RECIPES, ids=lambda make: make.__name__)
def test_a_step_reaches_every_parameter_and_an_evaluation_scores_every_task(make) -> None:  # type: ignore[no-untyped-def]
    recipe = make()
    torch.manual_seed(0)
    network, objective, batch = build(slim(recipe.model)), build_objective(recipe), rooms()
    assert isinstance(objective, DenseTasksObjective)
    optimizer = build_optimizer(network, recipe)
    terms = objective.loss(network, batch, torch.Generator().manual_seed(1))
    terms["total"].backward()
    assert all(torch.isfinite(term) for term in terms.values())
    assert all(parameter.grad is not None for parameter in network.parameters() if parameter.requires_grad)
    optimizer.step()
    metrics = objective.evaluate(network.eval(), [batch])
    assert set(metrics) > {SHARES[task.name] for task in objective.tasks}
    assert isinstance(objective.weighting, LossPrioritisation) == recipe.name.endswith("_lps")


def test_the_set_up_is_one() -> None:
    recipes = [make() for make in ROOM_RECIPES]
    assert [make.__name__ for make in ROOM_RECIPES] == [recipe.name for recipe in recipes]
    common = {
        (replace(recipe, name="", model=recipes[0].model, options=recipes[0].options), recipe.model.backbone)  # type: ignore[union-attr]
        for recipe in recipes
    }
    assert len(common) == 1
    for recipe in recipes:
        assert isinstance(recipe.options, DenseTasksOptions)
    plain = {recipe.options for recipe in recipes if "mt_cp" not in recipe.name}
    assert len(plain) == 1


def test_a_recipe_runs_on_generated_rooms(tmp_path: Path) -> None:
    recipe = rooms_mti_net()
    data = replace(
        recipe.data,
        config=RoomConfig(height=32, width=64, antialias=False),
        count=1,
        validation_count=1,
        shard_size=1,
    )
    recipe = replace(recipe, model=slim(recipe.model), data=data, steps=2, batch_size=2, evaluate_every=2)
    result = train(recipe, RunOptions(out=tmp_path / "run", data_root=tmp_path / "data", threads=1, progress=False))
    assert result["finished"]
    assert 0 < result["metrics"]["score"] < 1
    assert result["metrics"]["depth/rmse"] > 0

"""The comparison of dense networks: delta_m and orderings, runs that are begun once, and the report."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from benchmarks import dense_networks
from benchmarks.dense_orderings import ORDERINGS, SINGLE, SINGLE_RECIPES, gains, judge, single_task_values
from benchmarks.graph_latency import interleaved, ratios
from models.build import build
from training.data.rooms import RoomConfig
from training.recipe import Recipe
from training.recipes import get_recipe
from training.room_recipes import BACKBONE, ROOM_RECIPES

TINY = replace(BACKBONE, embedding_size=8, hidden_sizes=(8, 8, 16, 16), depths=(1, 1, 1, 1))


def tiny(name: str) -> Recipe:
    """A recipe of the comparison with a slim encoder, on frames of 32 x 64."""
    recipe = get_recipe(name)
    data = replace(recipe.data, config=RoomConfig(height=32, width=64, antialias=False), shard_size=2)
    return replace(recipe, model=replace(recipe.model, backbone=TINY), data=data, batch_size=2)  # type: ignore[arg-type]


def pretended(networks: Mapping[str, nn.Module], size: tuple[int, int], **_: Any) -> dict[str, list[float]]:
    """One millisecond for every head, and one for the encoder."""
    heads = {name: float(len(network.heads)) for name, network in networks.items()}  # type: ignore[arg-type]
    return {name: [1 + count] * 3 for name, count in heads.items()}


def test_gains_are_against_the_mean_single_task_network() -> None:
    values = {
        SINGLE: {0: {"segmentation": 0.4, "depth": 0.5, "normals": 20.0},
                 1: {"segmentation": 0.6, "depth": 0.5, "normals": 20.0}},
        "rooms_mti_net": {0: {"segmentation": 0.55, "depth": 0.45, "normals": 20.0}},
        "rooms_mti_net_without_fpm": {0: {"segmentation": 0.5, "depth": 0.45, "normals": 20.0}},
    }  # fmt: skip
    gained = gains(values)
    assert gained[SINGLE] == pytest.approx({0: -20 / 3, 1: 20 / 3})
    assert gained["rooms_mti_net"] == pytest.approx({0: 20 / 3})
    named = {ordering.name: judge(ordering, gained) for ordering in ORDERINGS}
    assert len(named) == len(ORDERINGS)
    verdict = named["rooms_mti_net > rooms_mti_net_without_fpm"]
    assert (verdict.text(), verdict.margin) == ("1 of 1", pytest.approx(10 / 3))
    assert named[f"{SINGLE} > rooms_shared"].text() == "–"
    assert gains({"rooms_mti_net": values["rooms_mti_net"]}) == {}


def test_orderings_name_rows_that_exist() -> None:
    rows = {SINGLE} | {make.__name__ for make in ROOM_RECIPES} - set(SINGLE_RECIPES.values())
    assert {row for ordering in ORDERINGS for row in (ordering.better, ordering.worse)} == rows


def test_the_single_task_row_has_the_seeds_that_all_three_have() -> None:
    metrics = {"segmentation/miou": 0.5, "depth/rmse": 0.4, "normals/mean": 20.0}
    runs = {recipe: {0: metrics, 1: metrics} for recipe in SINGLE_RECIPES.values()}
    del runs["rooms_single_depth"][1]
    assert single_task_values(runs) == {0: {"segmentation": 0.5, "depth": 0.4, "normals": 20.0}}


def test_a_comparison_is_resumed_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_networks, "get_recipe", tiny)
    monkeypatch.setattr(dense_networks, "interleaved", pretended)
    names = [*SINGLE_RECIPES.values(), "rooms_shared"]
    arguments = [
        "--only", *names, "--seeds", "0", "--count", "2", "--validation-count", "2", "--papers",
        "--runs", str(tmp_path / "runs"), "--data-root", str(tmp_path / "data"), "--size", "32", "64", "--quiet",
        "--out", str(tmp_path / "report.md"),
    ]  # fmt: skip
    later = dense_networks.parse([*arguments, "--steps", "1", "--max-minutes", "0"])
    assert dense_networks.train_all(later) == ({name: {} for name in names}, 4)
    assert not (tmp_path / "runs").exists()
    dense_networks.main([*arguments, "--steps", "1"])
    found = json.loads((tmp_path / "report.json").read_text())
    assert set(found["runs"]["rooms_shared"]["0"]) > {"segmentation/miou", "depth/rmse", "normals/mean"}
    assert found["delta_m"][SINGLE]["0"] == pytest.approx(0)
    assert found["orderings"][f"{SINGLE} > rooms_shared"]["seeds"] == 1
    assert found["costs"]["rooms_shared"]["parameters"] < found["costs"][SINGLE]["parameters"]
    text = (tmp_path / "report.md").read_text()
    assert "| single-task | 1 |" in text
    assert "| rooms_shared | 4.0 | 1.50 | 1.50–1.50 |" in text

    def never(*_: Any) -> None:
        raise AssertionError("a finished run was repeated")

    monkeypatch.setattr(dense_networks, "train", never)
    again, missing = dense_networks.train_all(later)
    assert missing == 0
    assert again["rooms_shared"][0] == found["runs"]["rooms_shared"]["0"]
    with pytest.raises(ValueError, match=r"'steps'.*use another --runs"):
        dense_networks.train_all(dense_networks.parse([*arguments, "--steps", "2"]))


@pytest.mark.full
def test_exported_graphs_are_timed_in_turns() -> None:
    networks = {name: build(tiny(name).model) for name in ("rooms_shared", "rooms_mti_net")}
    times = interleaved(networks, (64, 64), threads=1, rounds=3)
    assert {len(rounds) for rounds in times.values()} == {3}
    assert min(min(rounds) for rounds in times.values()) > 0
    middle, low, high = ratios([2.0, 3.0, 4.0], [1.0, 1.0, 1.0])
    assert low <= middle == 3.0 <= high

"""Comparisons of stitching networks and losses: what differs between runs, what is kept, and one tiny run of each."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import flow_designs, stitch_ablation
from benchmarks.short_stitch_runs import PairSet, planned_steps, short
from training.recipes import get_recipe


def test_a_number_of_steps_is_decided_once(tmp_path: Path) -> None:
    assert planned_steps(tmp_path / "run", lambda: 123.9) == 123
    assert planned_steps(tmp_path / "run", lambda: 77) == 123
    assert planned_steps(tmp_path / "other", lambda: 0.2) == 1


def test_the_designs_differ_in_their_network_alone() -> None:
    first, second = (get_recipe(name) for name in flow_designs.DESIGNS.values())
    assert first.model.kind != second.model.kind
    assert replace(second, name=first.name, model=first.model) == first


def test_every_ablation_changes_something_and_keeps_network_and_pairs() -> None:
    pairs = PairSet(count=8, validation_count=4, height=64, width=96)
    for group, recipes in stitch_ablation.ablations().items():
        everything, *others = recipes.values()
        assert len({str(recipe.options) for recipe in recipes.values()}) == len(recipes), group
        for recipe in others:
            assert replace(recipe, options=everything.options) == everything
        made = short(everything, "x", pairs, 40)
        assert (made.steps, made.evaluate_every, made.data.count) == (40, 40, 8)


def test_tables_hold_designs_and_the_homography_that_they_start_from() -> None:
    metrics = {"warp/epe512_ov": 2.0, "homography/epe512_ov": 3.5}
    results = {name: {"metrics": metrics, "millions": 1.27, "step": 50} for name in flow_designs.DESIGNS}
    text = flow_designs.table(results, dict.fromkeys(results, 0.25))
    assert text.count("| 1.27 | 50 | 2.00 |") == 2
    assert "| best homography of the overlap |  |  | 3.50 |" in text
    ablated = stitch_ablation.table("warp", {"no line term": {"metrics": metrics, "step": 40}})
    assert "| no line term | 40 | 2.00 |" in ablated


@pytest.mark.full
def test_both_programs_run_from_rendering_to_report(tmp_path: Path) -> None:
    common = [
        "--count", "4", "--validation-count", "2", "--height", "64", "--width", "96",
        "--data-root", str(tmp_path / "data"),
    ]  # fmt: skip
    designs = flow_designs.main(
        [*common, "--minutes", "0.02", "--rounds", "1", "--batch-size", "2", "--runs", str(tmp_path / "designs"),
         "--out", str(tmp_path / "designs.md")]
    )  # fmt: skip
    for name in flow_designs.DESIGNS:
        found = designs.numbers["designs"][name]
        assert found["finished"]
        assert found["cpu_seconds"] > 0
    ablation = stitch_ablation.main(
        [*common, "--steps", "1", "--only", "warp", "--max-minutes", "0.001", "--runs", str(tmp_path / "ablation"),
         "--out", str(tmp_path / "ablation.md")]
    )  # fmt: skip
    assert set(ablation.numbers) == {"warp"}
    assert (tmp_path / "ablation.md").is_file()

"""Comparisons: a tiny grid on rooms that is interrupted, resumed and never repeated; its table; methods by name."""

import json
import math
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from models.backbones import BackboneConfig
from models.mti_net import MTINetConfig
from models.shared_encoder import SharedEncoderConfig
from models.task_batch_norm import TaskBatchNormConfig
from models.tasks import tasks_of
from training import comparison
from training.__main__ import main
from training.comparison import ComparisonOptions, compare
from training.comparison_methods import GRADIENTS, WEIGHTINGS, contender
from training.comparison_table import conflict_rate, gain, row, seconds_per_step, spread
from training.data.rooms import RoomConfig
from training.datasets import DataRecipe
from training.gradient_methods.torchjd_methods import CaGradConfig
from training.gradient_methods.weighted_sum import SumConfig
from training.loop import RunOptions
from training.objectives.dense_tasks import DenseTasksOptions, Reference
from training.recipe import Recipe
from training.task_weighting.fixed import EqualConfig, FixedConfig
from training.task_weighting.uncertainty import UncertaintyConfig

METHODS = ("single", "equal", "pcgrad+equal")
STEPS = 4


def tiny(steps: int = STEPS) -> Recipe:
    """Two tasks on two rooms."""
    backbone = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))
    return Recipe(
        name="tiny",
        options=DenseTasksOptions(),
        model=SharedEncoderConfig(backbone=backbone, tasks=tasks_of(("depth", "normals"), 13)),
        data=DataRecipe(
            source="rooms",
            name="tiny_rooms",
            config=RoomConfig(height=32, width=64, antialias=False),
            count=2,
            validation_count=1,
            shard_size=2,
        ),
        steps=steps,
        batch_size=2,
        learning_rate=1e-2,
        precision="32-true",
        ema_decay=None,
        evaluate_every=100,
        checkpoint_every=100,
        log_every=2,
    )


def options(root: Path, methods: tuple[str, ...] = METHODS, **values: float) -> ComparisonOptions:
    run = RunOptions(out=root / "grid", data_root=root / "data", threads=1, progress=False, conflicts=True, **values)  # type: ignore[arg-type]
    return ComparisonOptions(methods=methods, seeds=(0, 1), run=run, separate=False)


def test_a_grid_that_is_interrupted_goes_on_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def train(recipe: Recipe, run: RunOptions) -> dict[str, object]:
        started.append((recipe.name, recipe.seed))
        return real(recipe, run)

    real = comparison.train
    monkeypatch.setattr(comparison, "train", train)
    first = compare(tiny(), options(tmp_path, max_seconds=0.0))
    assert started == [("tiny/single-depth", 0)]
    assert first["methods"] == {}
    assert len(first["missing"]) == 8
    stopped = tmp_path / "grid" / "runs" / "single" / "seed-0" / "depth"
    assert (stopped / "checkpoints" / "latest").is_file()
    assert not (stopped / "result.json").exists()

    answer = compare(tiny(), options(tmp_path))
    assert started[1] == started[0]
    assert len(started) == len(set(started)) + 1 == 9
    assert answer["missing"] == []
    assert compare(tiny(), options(tmp_path)) == answer
    assert len(started) == 9
    whole = replace(options(tmp_path, ("single",)), seeds=(0,))
    whole = replace(whole, run=replace(whole.run, out=tmp_path / "whole"))
    uninterrupted = compare(tiny(), whole)["methods"]["single"]["metrics"]["depth/rmse"]["values"]
    assert uninterrupted == answer["methods"]["single"]["metrics"]["depth/rmse"]["values"][:1]

    rows = answer["methods"]
    assert {name: of["seeds"] for name, of in rows.items()} == dict.fromkeys(METHODS, 2)
    assert answer["reference"] == "the mean of single"
    assert sum(rows["single"]["delta_m"]["values"]) == pytest.approx(0, abs=1e-9)
    for method in METHODS[1:]:
        by_hand = [
            statistics.fmean(
                100 * (1 - rows[method]["metrics"][name]["values"][seed] / rows["single"]["metrics"][name]["mean"])
                for name in ("depth/rmse", "normals/mean")
            )
            for seed in range(2)
        ]
        assert rows[method]["delta_m"]["values"] == pytest.approx(by_hand)
        assert rows[method]["delta_m"]["std"] == pytest.approx(statistics.stdev(by_hand))
        assert rows[method]["seconds_per_step"]["mean"] > 0
        assert list(rows[method]["conflict_rate"]) == ["depth+normals"]
    assert rows["equal"]["metrics"] != rows["pcgrad+equal"]["metrics"]

    written = json.loads((tmp_path / "grid" / "comparison.json").read_text())
    assert written == {key: value for key, value in answer.items() if key not in ("table", "plots")}
    table = (tmp_path / "grid" / "comparison.md").read_text()
    gain_of_equal = rows["equal"]["delta_m"]
    line = next(line for line in table.splitlines() if line.startswith("| equal |"))
    assert f"| {gain_of_equal['mean']:.2f} ± {gain_of_equal['std']:.2f} |" in line
    assert [Path(path).name for path in answer["plots"]] == ["losses.png", "weights.png", "conflicts.png"]
    for path in answer["plots"]:
        with Image.open(path) as picture:
            assert min(picture.size) > 200

    with pytest.raises(ValueError, match=r"found others of \['steps'\]"):
        compare(tiny(STEPS + 1), options(tmp_path))


def test_measuring_conflicts_changes_nothing_that_is_learnt(tmp_path: Path) -> None:
    with_them = compare(tiny(), options(tmp_path, ("pcgrad",)))
    others = options(tmp_path, ("pcgrad",))
    others = replace(others, run=replace(others.run, out=tmp_path / "without", conflicts=False))
    assert compare(tiny(), others)["methods"]["pcgrad"]["metrics"] == with_them["methods"]["pcgrad"]["metrics"]


@pytest.mark.full
def test_runs_in_processes_of_their_own_tell_their_memory(tmp_path: Path) -> None:
    answer = compare(tiny(), replace(options(tmp_path, ("equal",)), separate=True, seeds=(0,)))
    assert answer["methods"]["equal"]["memory_mib"]["mean"] > 50


def test_methods_by_name() -> None:
    recipe = tiny()
    one = contender("cagrad:c=0.6+uncertainty", recipe).recipes[""]
    assert one.gradients == CaGradConfig(c=0.6)
    assert one.options == replace(recipe.options, weighting=UncertaintyConfig())  # type: ignore[type-var]
    three = contender("sum:steps=3", recipe)
    assert (three.folder, three.recipes[""].gradients) == ("sum_steps_3", SumConfig(steps=3))
    assert three.recipes[""].options.weighting == FixedConfig()  # type: ignore[union-attr]
    aligned = contender("aligned_mtl:scale=rmse+fixed:depth=2", recipe).recipes[""]
    assert (aligned.gradients.scale, aligned.options.weighting.depth) == ("rmse", 2)  # type: ignore[union-attr]
    assert isinstance(contender("connection_strength", recipe).recipes[""].model, TaskBatchNormConfig)
    network = MTINetConfig(backbone=recipe.model.backbone, tasks=recipe.model.tasks)  # type: ignore[union-attr]
    single = contender("single", replace(recipe, model=network, gradients=CaGradConfig())).recipes
    assert [config.model.tasks[0].name for config in single.values()] == list(single) == ["depth", "normals"]  # type: ignore[union-attr]
    assert {(config.gradients, config.options.weighting) for config in single.values()} == {
        (SumConfig(), EqualConfig())
    }  # type: ignore[union-attr]
    for name in (*GRADIENTS, *WEIGHTINGS):
        contender(name, recipe)


@pytest.mark.parametrize(
    ("method", "found"),
    [
        ("best", "'best'"),
        ("equal+fixed", "two"),
        ("cagrad:d=1", "'d=1'"),
        ("sum:kind=lps", "'kind=lps'"),
        ("sum:steps=0", "0"),
        ("sum:steps=2.5", "steps: expected int, found 2.5"),
        ("connection_strength:phases=secnd", "phases: expected one of .*'second', found 'secnd'"),
        ("lps:statistic=mean", "statistic: expected one of 'log', 'raw', found 'mean'"),
        ("lps:kappa=abc", "kappa: expected float, found 'abc'"),
        ("uncertainty:form=laplace", "form: expected one of"),
        ("instance:granularity=image", "granularity: expected one of"),
    ],
)
def test_methods_that_are_not_understood_are_refused(method: str, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        contender(method, tiny())


def test_a_grid_is_checked_before_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="mgda"):
        compare(tiny(), options(tmp_path, ("equal", "mgda+uncertainty")))
    model = SharedEncoderConfig(backbone=tiny().model.backbone, tasks=tasks_of(("depth", "segmentation"), 13))
    with pytest.raises(ValueError, match=r"conflicts: .* found 'class'"):
        compare(replace(tiny(), model=model), options(tmp_path, ("equal", "instance:granularity=class")))
    with pytest.raises(ValueError, match=r"Recipe.optimizer"):
        compare(replace(tiny(), optimizer="SGD"), options(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="twice"):
        options(tmp_path, ("equal", "equal"))
    assert main(["compare", "perceive_rooms", "--methods", "equal", "--out", str(tmp_path / "grid")]) == 2
    assert "dense tasks" in capsys.readouterr().err
    monkeypatch.setattr(comparison, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install"):
        compare(tiny(), options(tmp_path))
    assert not (tmp_path / "grid").exists()


def test_rates_times_and_gains() -> None:
    lines = [{"step": 10, "images_per_second": 8.0, "conflict_seconds": 1.0, "cosine/a+b": -0.1}]
    lines += [{"step": 20, "images_per_second": 4.0, "cosine/a+b": 0.2}, {"step": 30, "images_per_second": 2.0}]
    assert conflict_rate(lines) == {"a+b": 0.5}
    assert seconds_per_step(lines, batch_size=4, log_every=10) == 1.0
    assert math.isnan(seconds_per_step([], batch_size=4, log_every=10))
    assert spread([1.0, 3.0]) == {"mean": 2.0, "std": pytest.approx(math.sqrt(2)), "values": [1.0, 3.0]}
    assert spread([1.0])["std"] is None
    metrics = {"depth/rmse": 0.9, "segmentation/miou": 0.6, "depth/near_rmse": 0.4}
    assert gain(metrics, {"depth/rmse": 1.0, "segmentation/miou": 0.5}) == pytest.approx(15)
    assert gain(metrics, {"depth/near_rmse": 0.5}) == pytest.approx(20)
    assert math.isnan(gain(metrics, {}))
    assert math.isnan(gain(metrics, {"depth/rmse": math.nan}))


def test_a_recipes_references_keep_their_metrics() -> None:
    near = Reference(task="depth", metric="depth/near_rmse", value=2.0)
    given = replace(tiny(), options=replace(tiny().options, single_task=(near,)))  # type: ignore[type-var]
    told = comparison._reference(given, {"equal": []})
    assert told == ("the recipe's single-task references", {"depth/near_rmse": 2.0})


def test_pairs_that_some_runs_did_not_measure_have_no_conflict_rate() -> None:
    result = {"metrics": {"depth/rmse": 0.5}, "seconds": 1.0, "seconds_per_step": 1.0, "memory_mib": 1.0}
    result |= {"skipped_updates": 0}
    rates: list[dict[str, float]] = [{"a+b": 0.5, "a+c": 0.2}, {"a+b": 0.1}, {}]
    for order in (rates[:2], rates[1::-1]):
        assert list(row([{**result, "conflict_rate": of} for of in order], {})["conflict_rate"]) == ["a+b"]
    assert row([{**result, "conflict_rate": of} for of in rates], {})["conflict_rate"] == {}

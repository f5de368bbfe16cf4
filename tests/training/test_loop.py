"""The training loop on tiny generated data: learning, exact resume, kills, commands."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric
from torch import nn

from models.build import ModelConfig, build, config_from_dict
from models.multitask_baseline import MultiTaskBaselineConfig
from training import loop
from training.__main__ import main
from training.augmentation import PhotometricConfig
from training.checkpoint import META_FILE, MODEL_FILE, STATE_FILE, find_checkpoint, load_checkpoint
from training.config_json import from_json, to_json
from training.ema import MovingAverage
from training.evaluation import evaluate_checkpoint
from training.loop import RunOptions, train
from training.moved_patches import MovedPatchesConfig
from training.objectives.perceive import PerceiveObjective, PerceiveOptions
from training.objectives.pixel_warp import PixelWarpOptions
from training.recipes import RECIPES, Recipe, get_recipe
from training.resumption import begin_from
from training.virtual_camera import VirtualCameraConfig

TINY = ("tiny_perceive", "tiny_pixel_warp", "tiny_sigmo")


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caches of the tiny sets, filled as the tests go."""
    return tmp_path_factory.mktemp("data")


def run(recipe: Recipe, out: Path, data_root: Path, **options: object) -> dict[str, object]:
    values = {"out": out, "data_root": data_root, "threads": 1, "progress": False, **options}
    return train(recipe, RunOptions(**values))  # type: ignore[arg-type]


def log_lines(out: Path, kind: str) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("tiny_perceive", {}),
        ("tiny_perceive", {"precision": "bf16-mixed", "ema_decay": None}),
        ("tiny_pixel_warp", {}),
        ("tiny_sigmo", {}),
    ],
)
def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    name: str, changes: dict[str, object], tmp_path: Path, data_root: Path
) -> None:
    recipe = replace(get_recipe(name), steps=5, evaluate_every=4, **changes)  # type: ignore[arg-type]
    whole = run(recipe, tmp_path / "whole", data_root)
    assert whole["finished"]
    for expected in (1, 2):
        assert run(recipe, tmp_path / "parts", data_root, max_seconds=0.0)["step"] == expected
    resumed = run(recipe, tmp_path / "parts", data_root)
    assert resumed["metrics"] == whole["metrics"]
    assert [line["step"] for line in log_lines(tmp_path / "parts", "training")] == [1, 2, 3, 4, 5]
    for file in (MODEL_FILE, STATE_FILE):
        one, other = (find_checkpoint(tmp_path / part) / file for part in ("whole", "parts"))
        assert one.read_bytes() == other.read_bytes()


STILL = PhotometricConfig(probability=0.0)


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        (
            "tiny_perceive",
            PerceiveOptions(photometric=STILL, camera=VirtualCameraConfig(probability=0.0, mirror=0.0)),
            40,
        ),
        (
            "tiny_pixel_warp",
            PixelWarpOptions(photometric=STILL, prealign=0.0, mirror=0.0, patches=MovedPatchesConfig(probability=0.0)),
            30,
        ),
    ],
)
def test_one_batch_is_learnt(
    name: str, options: PerceiveOptions | PixelWarpOptions, steps: int, tmp_path: Path, data_root: Path
) -> None:
    recipe = replace(get_recipe(name), steps=steps, options=options, evaluate_every=1000, schedule="constant")
    recipe = replace(recipe, data=replace(recipe.data, count=recipe.batch_size), checkpoint_every=1000)
    result = run(recipe, tmp_path, data_root)
    lines = log_lines(tmp_path, "training")
    assert lines[-1]["total"] < 0.55 * lines[0]["total"]
    assert result["skipped_updates"] == 0
    assert all(line["images_per_second"] > 0 for line in lines)
    assert len(log_lines(tmp_path, "validation")) == 1
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_trained_composition_beats_feathering(tmp_path: Path, data_root: Path) -> None:
    metrics = run(get_recipe("tiny_sigmo"), tmp_path, data_root)["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["compose/psnr_union"] > metrics["feather/psnr_union"]


def test_a_signal_saves_and_stops(tmp_path: Path, data_root: Path) -> None:
    recipe = replace(get_recipe("tiny_perceive"), steps=10_000, evaluate_every=100_000, checkpoint_every=100_000)
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        result = run(recipe, tmp_path, data_root)
    finally:
        timer.cancel()
    assert not result["finished"]
    assert load_checkpoint(tmp_path).meta["step"] == result["step"]


def kill_runs(times: int, tmp_path: Path, data_root: Path) -> None:
    command = [sys.executable, "-m", "training", "run", "tiny_perceive", "--out", str(tmp_path), "--quiet"]
    command += ["--data-root", str(data_root), "--steps", "100000", "--checkpoint-every", "1"]
    command += ["--evaluate-every", "1000000", "--threads", "1"]
    step = 0
    for attempt in range(times):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if load_checkpoint(tmp_path).meta["step"] >= step + 1:
                    break
            except (ValueError, FileNotFoundError):  # none yet, or pruned between looking and reading
                pass
            time.sleep(0.02)
        time.sleep(0.013 * attempt)
        process.kill()
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors
        checkpoint = load_checkpoint(tmp_path)
        assert checkpoint.meta["step"] >= step + 1
        step = checkpoint.meta["step"]
        network = build(config_from_dict(checkpoint.model_config))
        network.load_state_dict(checkpoint.state_dict)
    recipe = replace(get_recipe("tiny_perceive"), steps=step + 1)
    assert run(recipe, tmp_path, data_root)["finished"]


def test_kill_9_leaves_a_checkpoint_that_goes_on(tmp_path: Path, data_root: Path) -> None:
    kill_runs(2, tmp_path, data_root)


@pytest.mark.full
def test_kill_9_many_times(tmp_path: Path, data_root: Path) -> None:
    kill_runs(20, tmp_path, data_root)


def test_another_recipe_is_refused_by_name(tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = replace(get_recipe("tiny_perceive"), steps=1)
    run(recipe, tmp_path, data_root)
    with pytest.raises(ValueError, match="'learning_rate'"):
        run(replace(recipe, learning_rate=1e-5), tmp_path, data_root)
    arguments = ["run", "tiny_perceive", "--out", str(tmp_path), "--data-root", str(data_root), "--seed", "9"]
    assert main([*arguments, "--quiet"]) == 2
    assert "'seed'" in capsys.readouterr().err


def test_an_optimiser_of_other_tensors_is_refused(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a run from before some tensors of its network were frozen."""
    recipe = replace(get_recipe("tiny_perceive"), steps=1)
    run(recipe, tmp_path, data_root)

    def frozen(config: ModelConfig) -> nn.Module:
        network = build(config)
        next(network.parameters()).requires_grad_(False)
        return network

    monkeypatch.setattr(loop, "build", frozen)
    with pytest.raises(ValueError, match="use another --out or --fresh"):
        run(replace(recipe, steps=2), tmp_path, data_root)


def test_evaluate_gives_the_metrics_of_the_checkpoint(
    tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(replace(get_recipe("tiny_perceive"), steps=2), tmp_path, data_root)
    capsys.readouterr()
    sheets = tmp_path / "sheets"
    arguments = ["evaluate", str(tmp_path), "--data-root", str(data_root), "--sheets", str(sheets), "--threads", "1"]
    assert main(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["metrics"] == pytest.approx(load_checkpoint(tmp_path).meta["metrics"], rel=1e-5, abs=1e-6)
    assert [path.suffix for path in sheets.iterdir()] == [".png"]
    fewer = evaluate_checkpoint(tmp_path, count=2, data_root=data_root, threads=1)
    assert fewer["count"] == 2


def test_a_composition_uses_a_trained_warp(tmp_path: Path, data_root: Path) -> None:
    run(replace(get_recipe("tiny_pixel_warp"), steps=1), tmp_path / "warp", data_root)
    recipe = replace(get_recipe("tiny_sigmo"), steps=1)
    recipe = replace(recipe, options=replace(recipe.options, pixel_warp=str(tmp_path / "warp")))  # type: ignore[type-var]
    metrics = run(recipe, tmp_path / "sigmo", data_root)["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["compose/psnr_union"] < metrics["compose/psnr_union_true_warp"]
    wrong = replace(recipe, options=replace(recipe.options, pixel_warp=str(tmp_path / "sigmo")))  # type: ignore[type-var]
    with pytest.raises(ValueError, match="expected a checkpoint of a network of flow"):
        run(wrong, tmp_path / "wrong", data_root)


@pytest.mark.parametrize("name", TINY)
def test_describe_counts_parameters(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", name]) == 0
    described = json.loads(capsys.readouterr().out)
    network = build(get_recipe(name).model)
    assert described["name"] == name
    assert described["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert described["macs"] > described["parameters"]
    assert described["tasks"]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_survive_json(name: str) -> None:
    recipe = get_recipe(name)
    assert recipe.name == name
    assert from_json(Recipe, json.loads(json.dumps(to_json(recipe)))) == recipe
    content = to_json(recipe) | {"surprise": 1}
    with pytest.raises(ValueError, match="surprise"):
        from_json(Recipe, content)


def test_the_moving_average_follows_slowly_and_takes_counters() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = MovingAverage(network, 0.5)
    before = average.model[0].weight.clone()  # type: ignore[index]
    with torch.no_grad():
        network[0].weight.add_(1.0)
        network[1].num_batches_tracked.add_(3)
    average.update(100)
    assert torch.allclose(average.model[0].weight, before + 0.5)  # type: ignore[index]
    assert average.model[1].num_batches_tracked == 3  # type: ignore[index]


def test_a_run_begins_with_the_weights_of_another(tmp_path: Path, data_root: Path) -> None:
    recipe = replace(get_recipe("tiny_perceive"), steps=4)
    run(recipe, tmp_path / "first", data_root)
    first = load_checkpoint(tmp_path / "first")
    still = replace(recipe, steps=1, learning_rate=1e-12, start_from=str(tmp_path / "first"))
    result = run(still, tmp_path / "second", data_root)
    second = load_checkpoint(tmp_path / "second")
    assert result["step"] == 1
    weights = {name for name, _ in build(recipe.model).named_parameters()}
    for name in weights:
        torch.testing.assert_close(second.state_dict[name], first.state_dict[name], rtol=0, atol=1e-9)
    origin = second.meta["started_from"]
    assert (origin["recipe"], origin["step"], origin["left_as_drawn"]) == ("tiny_perceive", 4, [])

    longer = replace(still, steps=2)
    assert run(longer, tmp_path / "second", data_root)["step"] == 2  # resumed, not begun again
    assert load_checkpoint(tmp_path / "second").meta["started_from"] == origin

    wider = replace(still, model=replace(recipe.model, head_channels=12))  # type: ignore[arg-type]
    run(wider, tmp_path / "wider", data_root)
    third = load_checkpoint(tmp_path / "wider")
    left = third.meta["started_from"]["left_as_drawn"]
    assert 0 < len(left) < len(third.state_dict)
    for name in weights - set(left):
        torch.testing.assert_close(third.state_dict[name], first.state_dict[name], rtol=0, atol=1e-9)

    other = replace(get_recipe("tiny_pixel_warp"), start_from=str(tmp_path / "first"))
    with pytest.raises(ValueError, match="start_from: expected weights of a network like this one"):
        run(other, tmp_path / "other", data_root)
    with pytest.raises(ValueError, match="nowhere"):
        run(replace(still, start_from=str(tmp_path / "nowhere")), tmp_path / "third", data_root)


def test_a_deeper_network_begins_as_the_one_it_comes_from(tmp_path: Path, data_root: Path) -> None:
    recipe = get_recipe("tiny_perceive")
    assert isinstance(recipe.model, MultiTaskBaselineConfig)
    shallow = replace(recipe.model, context_blocks=1, context_channels=8)
    run(replace(recipe, model=shallow, steps=2), tmp_path / "shallow", data_root)
    before = build(shallow)
    before.load_state_dict(load_checkpoint(tmp_path / "shallow").state_dict)

    deep = replace(shallow, context_blocks=3, backbone=replace(shallow.backbone, depths=(2, 1, 3, 2)))
    after = build(deep)
    answer = begin_from(tmp_path / "shallow", after, None)
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        for mode in (True, False):  # its batches' statistics, too
            old, new = before.train(mode)(image), after.train(mode)(image)
            assert all(torch.equal(*pair) for pair in zip(old, new, strict=True))

    begun = replace(recipe, model=deep, steps=2, start_from=str(tmp_path / "shallow"))
    assert run(begun, tmp_path / "deep", data_root)["step"] == 2
    trained = load_checkpoint(tmp_path / "deep").state_dict
    scales = [name for name in answer["left_as_drawn"] if name.endswith("layer.1.normalization.weight")]
    assert len(scales) == 4
    assert all(trained[name].abs().max() > 0 for name in scales)  # they began at zero and learn


def test_a_checkpoint_says_where_it_comes_from(tmp_path: Path, data_root: Path) -> None:
    result = run(replace(get_recipe("tiny_perceive"), steps=2), tmp_path, data_root)
    meta = json.loads((Path(str(result["checkpoint"])) / META_FILE).read_text())
    assert meta["images_seen"] == 8
    assert meta["recipe"]["data"]["source"] == "rooms"
    assert meta["seconds"] > 0
    assert meta["device"] == "cpu"
    assert set(meta) >= {"commit", "metrics", "model", "objective", "best", "torch"}


def test_a_recipe_that_no_check_has_seen_is_checked_before_it_trains(tmp_path: Path, data_root: Path) -> None:
    recipe = get_recipe("tiny_perceive")
    with pytest.raises(ValueError, match=r"Recipe.optimizer: expected one of .*'sgd', found 'SGD'"):
        run(replace(recipe, optimizer="SGD"), tmp_path, data_root)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_batch_that_leaves_a_process_without_an_image_is_refused(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fabric, "world_size", 3)
    with pytest.raises(ValueError, match="batch_size: expected at least one image for each of 3 processes, found 2"):
        run(replace(get_recipe("tiny_perceive"), batch_size=2), tmp_path, data_root)


def test_a_metric_that_is_no_number_is_never_the_best(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([math.nan, 0.2, math.inf, 0.1])
    monkeypatch.setattr(PerceiveObjective, "evaluate", lambda *_: {"score": next(scores)})
    recipe = replace(get_recipe("tiny_perceive"), steps=4, evaluate_every=1)
    assert run(recipe, tmp_path, data_root, max_seconds=0.0)["best"] is None
    result = run(recipe, tmp_path, data_root)
    assert (result["best"], result["best_step"], result["metrics"]) == (0.2, 2, {"score": 0.1})
    assert find_checkpoint(tmp_path, "best").name == "00000002"

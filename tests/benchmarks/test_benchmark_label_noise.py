"""The label noise benchmark: what its tables say of given figures, and two tiny runs from training to the report."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import label_noise
from training.data.rooms import RoomConfig
from training.recipe import Recipe


def test_gains_are_against_uniform_weights_at_the_same_noise() -> None:
    def run(rmse: float, miou: float) -> dict[str, Any]:
        return {"metrics": {"depth/rmse": rmse, "segmentation/miou": miou, "normals/mean": 20.0}, "detection": {}}

    found = {("depth", "uniform"): {0: run(1.0, 0.4), 1: run(3.0, 0.4)}, ("depth", "instance"): {0: run(1.0, 0.5)}}
    uniform, instance = label_noise.accuracy_rows(found)
    assert uniform == ["depth", "uniform", "2", "2.000 ± 1.414", "0.400 ± 0.000", "20.000 ± 0.000"]
    assert instance == ["depth", "instance", "1", "1.000 (+50 %)", "0.500 (+25 %)", "20.000 (-0 %)"]


def test_runs_are_trained_and_audited_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = label_noise.run_recipe

    def tiny(*args: Any, **options: Any) -> Recipe:
        recipe = made(*args, **options)
        config = RoomConfig(height=32, width=64, antialias=False)
        return replace(recipe, data=replace(recipe.data, config=config, validation_count=2, shard_size=4))

    monkeypatch.setattr(label_noise, "run_recipe", tiny)
    command = ["--noise", "depth", "--seeds", "0", "--count", "8", "--epochs", "1", "--threads", "1", "--quiet",
               "--runs", str(tmp_path / "runs"), "--data-root", str(tmp_path / "data")]  # fmt: skip
    label_noise.main([*command, "--out", str(tmp_path / "first.md")])
    monkeypatch.setattr(label_noise, "train", None)  # whatever is finished is read
    label_noise.main([*command, "--out", str(tmp_path / "second.md")])
    first, second = (json.loads((tmp_path / f"{name}.json").read_text())["runs"] for name in ("first", "second"))
    assert first == second
    assert set(first) == {"depth/uniform", "depth/uncertainty", "depth/instance"}
    assert set(first["depth/instance"]["0"]["detection"]["depth"]) == {"log_variance", "last_loss"}
    assert "segmentation" not in first["depth/instance"]["0"]["detection"]
    assert "recall among first" in (tmp_path / "second.md").read_text()

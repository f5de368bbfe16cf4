"""Checkpoints are whole or absent, whatever fails while one is written."""

import json
import math
import os
from pathlib import Path

import pytest
import torch

from training import checkpoint as module
from training.checkpoint import find_checkpoint, load_checkpoint, load_training_state, save_checkpoint
from training.state_tree import pack, unpack

META = {"model": {"kind": "x"}, "ema": True}


def save(root: Path, step: int, value: float, **options: object) -> Path:
    weights = {"a.weight": torch.full((2, 3), value), "tied": torch.full((2, 3), value).t()}
    state = {"optimizer": {"state": {0: {"step": torch.tensor(float(step)), "pair": (1, [2.5, None, "x"])}}}}
    return save_checkpoint(root, step=step, weights=weights, training_state=state, meta=META, **options)  # type: ignore[arg-type]


def test_round_trip_keeps_values_kinds_and_step(tmp_path: Path) -> None:
    save(tmp_path, 7, 1.5)
    loaded = load_checkpoint(tmp_path)
    assert loaded.meta["step"] == 7
    assert torch.equal(loaded.state_dict["a.weight"], torch.full((2, 3), 1.5))
    assert loaded.ema_state_dict is loaded.state_dict
    state = load_training_state(loaded.folder)
    assert state["optimizer"]["state"][0]["pair"] == (1, [2.5, None, "x"])
    assert state["optimizer"]["state"][0]["step"] == 7


def test_old_checkpoints_go_but_the_best_stays(tmp_path: Path) -> None:
    for step in range(1, 7):
        save(tmp_path, step, float(step), best=step == 2, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["00000002", "00000005", "00000006"]
    assert find_checkpoint(tmp_path, "best").name == "00000002"


@pytest.mark.parametrize("call", ["rename", "replace", "fsync"])
@pytest.mark.parametrize("occurrence", [1, 2, 3])
def test_a_failure_at_any_write_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, occurrence: int
) -> None:
    save(tmp_path, 1, 1.0)
    original, count = getattr(os, call), 0

    def failing(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count == occurrence:
            raise OSError("the power failed")
        return original(*arguments)

    monkeypatch.setattr(module.os, call, failing)
    try:
        save(tmp_path, 2, 2.0)
        failed = False
    except OSError:
        failed = True
    monkeypatch.undo()
    loaded = load_checkpoint(tmp_path)
    step = loaded.meta["step"]
    assert step in ((1, 2) if failed else (2,))
    assert torch.equal(loaded.state_dict["a.weight"], torch.full((2, 3), float(step)))
    assert load_checkpoint(save(tmp_path, 3, 3.0)).meta["step"] == 3
    assert not list(tmp_path.glob(f"{module.TEMPORARY}0*"))


def test_errors_name_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="checkpoint: expected"):
        find_checkpoint(tmp_path)
    with pytest.raises(ValueError, match="meta: expected key 'ema'"):
        save_checkpoint(tmp_path, step=1, weights={}, training_state={}, meta={"model": {}})
    with pytest.raises(ValueError, match="found object"):
        pack({"a": object()})
    with pytest.raises(ValueError, match="expected tensor 'gone'"):
        unpack({"tensor": "gone"}, {})


def test_metrics_that_are_no_numbers_are_written_as_null(tmp_path: Path) -> None:
    meta = {**META, "metrics": {"rmse": math.nan, "psnr": math.inf, "miou": 0.5}, "best": None}
    folder = save_checkpoint(tmp_path, step=1, weights={}, training_state={}, meta=meta)
    written = json.loads((folder / "checkpoint.json").read_text(), parse_constant=pytest.fail)
    assert written["metrics"] == {"rmse": None, "psnr": None, "miou": 0.5}
    read = load_checkpoint(tmp_path).meta
    assert read["metrics"] == {"miou": 0.5}
    assert read["best"] is None


def test_state_is_json_and_safetensors(tmp_path: Path) -> None:
    folder = save(tmp_path, 1, 1.0)
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".safetensors", ".safetensors"]
    json.loads((folder / "checkpoint.json").read_text())

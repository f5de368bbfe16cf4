"""Checkpoints: safetensors plus JSON in one folder per step, written atomically, never pickled.

Layout under a run's `checkpoints/`:

    00001200/model.safetensors            weights to use (the moving average where one is kept)
    00001200/training_state.safetensors   raw weights, optimiser and random states, for an exact resume
    00001200/checkpoint.json              recipe, model configuration, step, provenance, metrics, state skeleton
    latest, best                          text files with a folder name

A folder is written under a temporary name, flushed to disk and renamed; only then does `latest` switch. So whatever
moment a process is killed at, `latest` names a whole checkpoint.
"""

import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.state_tree import pack, unpack

MODEL_FILE = "model.safetensors"
STATE_FILE = "training_state.safetensors"
META_FILE = "checkpoint.json"
TEMPORARY = ".writing-"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One checkpoint read back.

    model_config: dictionary for `models.build.config_from_dict`. state_dict: weights to use. ema_state_dict: the same
    weights when they are a moving average, else None. meta: everything in checkpoint.json but the state skeleton.
    """

    folder: Path
    model_config: dict[str, Any]
    state_dict: dict[str, Tensor]
    ema_state_dict: dict[str, Tensor] | None
    meta: dict[str, Any]


def save_checkpoint(
    root: Path,
    *,
    step: int,
    weights: Mapping[str, Tensor],
    training_state: Mapping[str, Any],
    meta: Mapping[str, Any],
    best: bool = False,
    keep: int = 2,
) -> Path:
    """Writes `root/<step>` and points `latest` (and `best`) at it; returns the folder.

    meta needs `model` (configuration dictionary) and `ema` (whether weights are an average); `metrics` that are not
    finite become null. Older checkpoints beyond the `keep` newest are deleted, except the best one. The weights are
    copied contiguous; tensors may share memory.
    """
    for key in ("model", "ema"):
        if key not in meta:
            raise ValueError(f"meta: expected key {key!r}, found {sorted(meta)}")
    root.mkdir(parents=True, exist_ok=True)
    for leftover in root.glob(f"{TEMPORARY}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = root / f"{step:08d}"
    writing = root / f"{TEMPORARY}{step:08d}"
    writing.mkdir()
    save_file({name: t.detach().to("cpu", copy=True).contiguous() for name, t in weights.items()}, writing / MODEL_FILE)
    tensors, skeleton = pack(training_state)
    save_file(tensors, writing / STATE_FILE)
    content = {**meta, "step": step, "training_state": skeleton}
    if content.get("metrics"):
        metrics = content["metrics"].items()
        content["metrics"] = {name: value if math.isfinite(value) else None for name, value in metrics}
    (writing / META_FILE).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    for file in writing.iterdir():
        _flush(file)
    _flush(writing)
    if folder.exists():
        shutil.rmtree(folder)
    os.rename(writing, folder)
    _flush(root)
    write_atomically(root / "latest", folder.name + "\n")
    if best:
        write_atomically(root / "best", folder.name + "\n")
    _prune(root, keep)
    return folder


def find_checkpoint(path: Path, which: str = "latest") -> Path:
    """The checkpoint folder meant by `path`: itself, or the `latest`/`best` of a run or its `checkpoints` folder.

    Raises ValueError naming the path when there is none.
    """
    if (path / META_FILE).is_file():
        return path
    for root in (path, path / "checkpoints"):
        pointer = root / which
        if pointer.is_file():
            folder = root / pointer.read_text().strip()
            if (folder / META_FILE).is_file():
                return folder
    raise ValueError(f"checkpoint: expected a checkpoint folder or a run with a {which!r} checkpoint, found {path}")


def load_checkpoint(path: Path, which: str = "latest") -> Checkpoint:
    """Reads weights and description, metrics that are null left out; see `find_checkpoint` for what `path` may be.

    Raises ValueError naming the folder when either is missing or damaged.
    """
    folder = find_checkpoint(path, which)
    try:
        meta = json.loads((folder / META_FILE).read_text())
        meta.pop("training_state", None)
        if meta.get("metrics"):
            meta["metrics"] = {name: value for name, value in meta["metrics"].items() if value is not None}
        state_dict = load_file(folder / MODEL_FILE)
        return Checkpoint(
            folder=folder,
            model_config=dict(meta["model"]),
            state_dict=state_dict,
            ema_state_dict=state_dict if meta["ema"] else None,
            meta=meta,
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ValueError(f"checkpoint: expected a whole one in {folder}, found: {error!r}") from error


def load_training_state(folder: Path) -> dict[str, Any]:
    """The tree given to `save_checkpoint` as training_state; all tensors on the CPU."""
    skeleton = json.loads((folder / META_FILE).read_text())["training_state"]
    state: dict[str, Any] = unpack(skeleton, load_file(folder / STATE_FILE))
    return state


def write_atomically(path: Path, text: str) -> None:
    """Replaces a small text file so that a reader or a kill sees either the old or the new content."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prune(root: Path, keep: int) -> None:
    kept = {(root / name).read_text().strip() for name in ("latest", "best") if (root / name).is_file()}
    folders = sorted(child for child in root.iterdir() if child.is_dir() and child.name.isdigit())
    for folder in folders[:-keep] if keep else folders:
        if folder.name not in kept:
            shutil.rmtree(folder)

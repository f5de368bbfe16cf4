"""Measures a checkpoint, or a network in training, on the validation data with the same code."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import nn

from models.build import build, config_from_dict, without_weights
from training.checkpoint import load_checkpoint
from training.config_json import from_json
from training.datasets import DEFAULT_ROOT, AnyDataset, in_order, open_dataset
from training.objectives.build import build_objective
from training.objectives.objective import Objective
from training.prefetch import Batch
from training.recipe import Recipe
from training.recipes import with_overrides

if TYPE_CHECKING:  # a checkpoint is measured without them, and their imports take seconds
    from lightning.fabric import Fabric

    from training.run_log import RunLog

BATCH = 8


def evaluate_checkpoint(
    path: Path,
    *,
    count: int | None = None,
    data_root: Path = DEFAULT_ROOT,
    device: str = "cpu",
    threads: int = 0,
    sheets: Path | None = None,
    which: str = "latest",
    pixel_warp: str | None = None,
) -> dict[str, Any]:
    """Metrics of the checkpoint (or a run's `which` one) on `count` validation samples, None for the recipe's number.

    sheets: folder that gets PNG sheets of predictions. pixel_warp: another frozen warp than the recipe's, for
    compositions. Raises ValueError for a folder without a checkpoint or with a recipe that is not understood.
    """
    if threads:
        torch.set_num_threads(threads)
    place = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))
    checkpoint = load_checkpoint(path, which)
    recipe = with_overrides(from_json(Recipe, checkpoint.meta["recipe"]), validation_count=count, pixel_warp=pixel_warp)
    network = build(without_weights(config_from_dict(checkpoint.model_config)))
    network.load_state_dict(checkpoint.state_dict)
    network.eval().to(place)
    objective = build_objective(recipe)
    objective.to(place)
    validation = open_dataset(recipe.data, data_root, "validation")

    def moved(batch: Batch) -> Batch:
        return {name: value.to(place) for name, value in batch.items()}

    start = time.monotonic()
    metrics = objective.evaluate(network, (moved(batch) for batch in in_order(validation, BATCH)))
    seconds = time.monotonic() - start
    pictures = []
    if sheets is not None:
        sheets.mkdir(parents=True, exist_ok=True)
        first = moved(next(in_order(validation, BATCH)))
        for name, picture in objective.images(network, first).items():
            Image.fromarray(picture).save(sheets / f"{recipe.name}_{name}.png")
            pictures.append(str(sheets / f"{recipe.name}_{name}.png"))
    return {
        "checkpoint": str(checkpoint.folder),
        "recipe": recipe.name,
        "step": checkpoint.meta["step"],
        "source": recipe.data.source,
        "count": len(validation),
        "seconds": round(seconds, 1),
        "metrics": metrics,
        "sheets": pictures,
    }


def evaluate_in_training(
    model: nn.Module, objective: Objective, validation: AnyDataset, fabric: Fabric, log: RunLog, step: int
) -> dict[str, float]:
    """Metrics and pictures of the validation set; leaves mode and random state as they were."""
    training = model.training
    model.eval()
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(0)
        moved = (fabric.to_device(batch) for batch in in_order(validation, BATCH))
        metrics = objective.evaluate(model, moved)
        first = fabric.to_device(next(in_order(validation, BATCH)))
        if fabric.is_global_zero:
            log.validation(step, metrics, objective.images(model, first))
    model.train(training)
    fabric.barrier()
    return metrics

"""What a recipe trains: tasks, parameters, operations and data, as JSON."""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.build import DenseTasksConfig, build, config_to_dict
from models.stitched_image import CANVAS_CHANNELS, StitchedImageConfig
from training.config_json import to_json
from training.objectives.dense_tasks import DenseTasksOptions
from training.objectives.perceive import PerceiveOptions
from training.objectives.stitched_image import StitchedImageOptions
from training.recipe import Recipe

TASKS = {
    "perceive": ["depth", "segmentation", "normals"],
    "pixel_warp": ["flow", "importance", "confidence"],
    "stitched_image": ["alpha", "delta"],
}


def describe(recipe: Recipe) -> dict[str, Any]:
    """A dictionary: name, objective, tasks, parameters, macs of one pass at input_size, model, data, training.

    macs: multiply-accumulates of convolutions and matrix products for one image or pair, half of what
    torch.utils.flop_counter counts.
    """
    height, width = input_size(recipe)
    counter = FlopCounterMode(display=False)
    # Nothing is computed on this device, so that large networks at large sizes are described at once.
    with torch.device("meta"), torch.no_grad():
        network = build(recipe.model).eval().to("meta")  # some libraries make a parameter on the CPU all the same
        with counter:
            network(*_inputs(recipe, height, width))
    return {
        "name": recipe.name,
        "objective": recipe.objective,
        "tasks": _tasks(recipe),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "macs": counter.get_total_flops() // 2,
        "input_size": [height, width],
        "model": config_to_dict(recipe.model),
        "data": to_json(recipe.data),
        "training": {
            name: getattr(recipe, name)
            for name in ("steps", "batch_size", "learning_rate", "weight_decay", "schedule", "precision", "ema_decay")
        },
        "options": to_json(recipe.options),
    }


def input_size(recipe: Recipe) -> tuple[int, int]:
    """Height and width that the network sees in evaluation: of a frame, or of the canvas of a pair."""
    height, width = recipe.data.config.height, recipe.data.config.width
    if isinstance(recipe.options, StitchedImageOptions):
        return height * 3 // 2, width * 2
    return height, width


def _tasks(recipe: Recipe) -> list[str]:
    if isinstance(recipe.model, DenseTasksConfig):
        return [task.name for task in recipe.model.tasks]
    generates = isinstance(recipe.model, StitchedImageConfig) and recipe.model.mode == "generate"
    return [*TASKS[recipe.objective], "image"] if generates else TASKS[recipe.objective]


def _inputs(recipe: Recipe, height: int, width: int) -> list[torch.Tensor]:
    if isinstance(recipe.options, PerceiveOptions | DenseTasksOptions):
        return [torch.zeros(1, 3, height, width)]
    if isinstance(recipe.options, StitchedImageOptions):
        return [torch.zeros(1, CANVAS_CHANNELS, height, width), torch.full((1, 1, height, width), 0.5)]
    return [torch.zeros(1, 3, height, width), torch.zeros(1, 3, height, width)]

"""From a recipe's options to its objective."""

from pathlib import Path

from models.build import DenseTasksConfig, FlowConfig, build, config_from_dict
from models.global_matching import GlobalMatching
from models.multitask_baseline import MultiTaskBaselineConfig
from models.pixel_warp import PixelWarp
from models.stitched_image import StitchedImageConfig
from training.checkpoint import load_checkpoint
from training.instance_parameters import InstanceParametersConfig
from training.objectives.dense_tasks import DenseTasksObjective, DenseTasksOptions
from training.objectives.objective import Objective
from training.objectives.perceive import PerceiveObjective, PerceiveOptions
from training.objectives.pixel_warp import PixelWarpObjective, PixelWarpOptions
from training.objectives.stitched_image import StitchedImageObjective, StitchedImageOptions
from training.recipe import Recipe


def build_objective(recipe: Recipe) -> Objective:
    """The objective that the recipe names; ValueError when the model is of another task."""
    options, model = recipe.options, recipe.model
    if isinstance(options, PerceiveOptions):
        if not isinstance(model, MultiTaskBaselineConfig):
            raise ValueError(f"model: expected one that perceives, found {type(model).__name__}")
        return PerceiveObjective(options, model.classes)
    if isinstance(options, DenseTasksOptions):
        if not isinstance(model, DenseTasksConfig):
            raise ValueError(f"model: expected a network of dense tasks, found {type(model).__name__}")
        weighting = options.weighting
        if (
            isinstance(weighting, InstanceParametersConfig)
            and weighting.granularity == "instance"
            and recipe.data.stream
        ):
            raise ValueError("weighting: 'instance' learns from images that repeat, found a stream")
        return DenseTasksObjective(options, model.tasks)
    if isinstance(options, PixelWarpOptions):
        if not isinstance(model, FlowConfig):
            raise ValueError(f"model: expected a network of flow, found {type(model).__name__}")
        return PixelWarpObjective(options)
    assert isinstance(options, StitchedImageOptions)
    if not isinstance(model, StitchedImageConfig):
        raise ValueError(f"model: expected a stitched_image, found {type(model).__name__}")
    warp = load_warp(options.pixel_warp) if options.pixel_warp is not None else None
    half_precision = recipe.precision == "bf16-mixed"
    return StitchedImageObjective(options, warp, half_precision=half_precision, generates=model.mode == "generate")


def load_warp(path: str) -> PixelWarp | GlobalMatching:
    """The frozen pixel-wise warp of a checkpoint or run (its best). Raises ValueError for another kind of model."""
    folder = Path(path)
    which = "best" if (folder / "checkpoints" / "best").is_file() else "latest"
    checkpoint = load_checkpoint(folder, which)
    network = build(config_from_dict(checkpoint.model_config))
    if not isinstance(network, PixelWarp | GlobalMatching):
        raise ValueError(f"pixel_warp: expected a checkpoint of a network of flow, found {type(network).__name__}")
    network.load_state_dict(checkpoint.state_dict)
    return network

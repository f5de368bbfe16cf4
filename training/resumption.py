"""What a run must keep besides its weights to go on exactly, and taking it up again."""

from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.growth import begin_as_identity
from training.checkpoint import META_FILE, Checkpoint, find_checkpoint, load_checkpoint, load_training_state
from training.config_json import from_json, to_json
from training.ema import MovingAverage
from training.gradient_methods.gradient_method import GradientMethod
from training.objectives.objective import Objective
from training.provenance import trained_on_generated_data_alone
from training.recipe import Recipe
from training.run_log import LOG_FILE
from training.state_tree import restore_layout
from training.task_weighting.task_weighting import WeighsTasks

MAY_CHANGE_ON_RESUME = {"steps", "evaluate_every", "checkpoint_every", "log_every"}


def has_checkpoint(run: Path) -> bool:
    """Whether a run in this folder can be resumed."""
    return (run / "checkpoints" / "latest").is_file()


def set_aside(run: Path) -> None:
    """Moves what an earlier run left in the folder into its first free subfolder earlier-1, earlier-2, ..."""
    left = [run / name for name in ("checkpoints", LOG_FILE, "tensorboard") if (run / name).exists()]
    if not left:
        return
    number = next(number for number in count(1) if not (run / f"earlier-{number}").exists())
    (run / f"earlier-{number}").mkdir()
    for path in left:
        path.rename(run / f"earlier-{number}" / path.name)


def training_state(
    network: nn.Module,
    optimizer: Any,
    average: MovingAverage | None,
    objective: Objective,
    gradients: GradientMethod,
) -> dict[str, Any]:
    """Raw weights where an average is kept, and every other state of a run: a tree for `save_checkpoint`."""
    random: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state_all()
    return {
        "network": dict(network.state_dict()) if average else {},
        "optimizer": optimizer.state_dict(),
        "weighting": objective.weighting.state_dict() if isinstance(objective, WeighsTasks) else {},
        "gradients": gradients.state_dict(),
        "random": random,
    }


def resume(
    run: Path,
    recipe: Recipe,
    network: nn.Module,
    optimizer: Any,
    average: MovingAverage | None,
    objective: Objective,
    gradients: GradientMethod,
) -> Checkpoint:
    """Puts everything in the state of the run's latest checkpoint and answers it.

    Raises ValueError when the run was begun with another recipe, or trained other tensors.
    """
    folder = find_checkpoint(run)
    checkpoint, state = load_checkpoint(folder), load_training_state(folder)
    _require_same_recipe(checkpoint.meta["recipe"], to_json(recipe), folder)
    if average:
        average.model.load_state_dict(checkpoint.state_dict)
    network.load_state_dict(state["network"] if average else checkpoint.state_dict)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    saved = state["optimizer"]
    held, trained = (
        sum(len(group["params"]) for group in groups) for groups in (saved["param_groups"], optimizer.param_groups)
    )
    if held != trained:
        raise ValueError(
            f"{folder}: expected the optimiser's state of {trained} tensors, found {held}: this network now trains "
            f"others than when the run was begun; use another --out or --fresh"
        )
    for index, entry in saved["state"].items():
        saved["state"][index] = {
            name: restore_layout(value, parameters[index]) if isinstance(value, Tensor) else value
            for name, value in entry.items()
        }
    optimizer.load_state_dict(saved)
    if isinstance(objective, WeighsTasks):
        objective.weighting.load_state_dict(state["weighting"])
    gradients.load_state_dict(state.get("gradients", {}))
    torch.set_rng_state(state["random"]["cpu"])
    if torch.cuda.is_available() and "cuda" in state["random"]:
        torch.cuda.set_rng_state_all(state["random"]["cuda"])
    return checkpoint


def begin_from(path: Path, network: nn.Module, average: MovingAverage | None) -> dict[str, Any]:
    """Copies into network and average the weights of a run's latest checkpoint; answers where they come from.

    Tensors that differ in name or shape, as the head of other classes does, stay as they were drawn; the answer counts
    and names them. Residual blocks that a deeper network has more than that run's change nothing until they are trained
    (`models.growth`). Raises ValueError where nothing fits.
    """
    checkpoint = load_checkpoint(path)
    own = network.state_dict()
    fitting = {
        name: value for name, value in checkpoint.state_dict.items() if name in own and own[name].shape == value.shape
    }
    if not fitting:
        raise ValueError(f"start_from: expected weights of a network like this one, found none in {checkpoint.folder}")
    network.load_state_dict(fitting, strict=False)
    begin_as_identity(network, set(own) - set(fitting))
    if average:
        average.model.load_state_dict(network.state_dict())
    meta = checkpoint.meta
    return {
        "recipe": meta["recipe"]["name"],
        **{key: meta.get(key) for key in ("commit", "step", "images_seen", "seconds", "started_from")},
        "generated_data_alone": trained_on_generated_data_alone(meta),
        "tensors": len(fitting),
        "left_as_drawn": sorted(set(own) - set(fitting)),
    }


def _require_same_recipe(saved: Mapping[str, Any], given: Mapping[str, Any], folder: Path) -> None:
    with suppress(ValueError):  # a recipe that cannot be read differs by name below
        saved = to_json(from_json(Recipe, saved))  # fields that were added since have their defaults
    for key in sorted(set(saved) | set(given)):
        if key not in MAY_CHANGE_ON_RESUME and saved.get(key) != given.get(key):
            raise ValueError(
                f"{folder / META_FILE}: expected the recipe that it was begun with, found another {key!r}: "
                f"{saved.get(key)!r} there, {given.get(key)!r} here; use another --out or --fresh"
            )

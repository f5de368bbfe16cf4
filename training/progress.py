"""How far a run is, and what its checkpoints say about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from models.build import config_to_dict, without_weights
from training.config_json import to_json
from training.recipe import Recipe


@dataclass(kw_only=True)
class Progress:
    """What changes while a run goes on, besides tensors."""

    step: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_step: int | None = None
    metrics: dict[str, float] | None = None
    skipped: int = 0
    started_from: dict[str, Any] | None = None

    def take_up(self, meta: Mapping[str, Any]) -> None:
        """Goes on from what a checkpoint says."""
        self.step, self.seconds = meta["step"], meta["seconds"]
        self.best, self.best_step = meta["best"], meta["best_step"]
        self.metrics, self.skipped = meta["metrics"], meta["skipped_updates"]
        self.started_from = meta.get("started_from")

    def origin(self) -> str:
        """A line on the weights that the run began with; empty where it began with none."""
        if self.started_from is None:
            return ""
        left = self.started_from["left_as_drawn"]
        which = f"; {len(left)} begin at random: {', '.join(left[:6])}{', …' if len(left) > 6 else ''}" if left else ""
        first = "began with {tensors} tensors of {recipe} at step {step}".format_map(self.started_from)
        return first + which


def checkpoint_meta(recipe: Recipe, progress: Progress, device: torch.device, commit: str) -> dict[str, Any]:
    """What `training.checkpoint.save_checkpoint` takes as the description of a run."""
    return {
        "recipe": to_json(recipe),
        "objective": recipe.objective,
        "model": config_to_dict(without_weights(recipe.model)),
        "ema": recipe.ema_decay is not None,
        "images_seen": progress.step * recipe.batch_size,
        "seconds": progress.seconds,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "commit": commit,
        "metrics": progress.metrics,
        "best": progress.best,
        "best_step": progress.best_step,
        "skipped_updates": progress.skipped,
        "started_from": progress.started_from,
    }

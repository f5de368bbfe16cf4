"""Where a bundle comes from: checkpoints as built networks, and what these say about their origin and quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from export.contracts import Contract, contract_of
from models.build import build, config_from_dict
from models.deployed import deploy
from training.checkpoint import load_checkpoint
from training.objectives.perceive import CANONICAL_FOCAL_RATIO

PROVENANCE_KEYS = ("commit", "step", "images_seen", "seconds", "device")
GENERATED_SOURCES = ("rooms", "pairs")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One network ready for export. `meta` is the checkpoint's description (checkpoint.json), possibly empty."""

    deployed: nn.Module
    contract: Contract
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def canonical_focal_ratio(self) -> float:
        """Canonical focal length over network width, as the recipe trained it."""
        return float(_find(self.meta.get("recipe"), "canonical_focal_ratio") or CANONICAL_FOCAL_RATIO)

    @property
    def training_width(self) -> int | None:
        """Width in pixels of the images in training, when the recipe tells."""
        width = _find(_find(self.meta.get("recipe"), "data"), "width")
        return width if isinstance(width, int) else None

    @property
    def depth_range(self) -> list[float] | None:
        """Smallest and largest depth in metres that the network can answer, when its configuration tells."""
        found = _find(self.meta.get("model"), "depth_range")
        return None if found is None else [float(value) for value in found]

    def provenance(self) -> dict[str, Any]:
        """Recipe, commit, seed, data, steps and training device, for the manifest; None where unknown."""
        recipe = self.meta.get("recipe") or {}
        known = {key: self.meta.get(key) for key in PROVENANCE_KEYS}
        return {
            "recipe": recipe.get("name"),
            "commit": known["commit"],
            "seed": recipe.get("seed"),
            "data": recipe.get("data"),
            "steps": known["step"],
            "images_seen": known["images_seen"],
            "training_device": known["device"],
            "seconds": known["seconds"],
            "parameters": sum(parameter.numel() for parameter in self.deployed.parameters()),
            "model": self.meta.get("model"),
        }

    def quality(self) -> dict[str, Any]:
        """The figures that training measured on its validation set."""
        return dict(self.meta.get("metrics") or {})

    def trained_on_generated_data_alone(self) -> bool:
        """Whether the recipe's data came from the project's own generators."""
        return _find(_find(self.meta.get("recipe"), "data"), "source") in GENERATED_SOURCES


def load_source(path: Path, which: str = "best") -> Source:
    """Build the network of a checkpoint folder (or a run: its best checkpoint, else its latest) with its weights.

    Raises ValueError when there is no checkpoint or its weights do not fit its configuration.
    """
    try:
        checkpoint = load_checkpoint(path, which)
    except ValueError:
        checkpoint = load_checkpoint(path)
    config = config_from_dict(checkpoint.model_config)
    network = build(config)
    try:
        network.load_state_dict(checkpoint.state_dict, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{checkpoint.folder}: expected weights that fit the configuration, found: {error}") from error
    return source_of(network, checkpoint.meta)


def source_of(network: nn.Module, meta: Mapping[str, Any]) -> Source:
    """The source made of a built network and its description."""
    deployed = deploy(network)
    contract = contract_of(deployed, classes=getattr(getattr(network, "config", None), "classes", 13))
    return Source(deployed=deployed, contract=contract, meta=meta)


def _find(tree: Any, key: str) -> Any:
    """The first value under `key` anywhere in nested objects, outer ones first; None without one."""
    if not isinstance(tree, Mapping):
        return None
    if key in tree:
        return tree[key]
    for value in tree.values():
        found = _find(value, key)
        if found is not None:
            return found
    return None

"""Where a bundle comes from: checkpoints as built networks, and what these say about their origin and quality."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from export.contracts import Contract, contract_of
from export.errors import CheckpointError
from models.build import build, config_from_dict, without_weights
from models.deployed import NEAREST_DEPTH, Deployed, DeployedPerceive, deploy
from models.multitask_baseline import MultiTaskBaseline
from training.checkpoint import META_FILE, Checkpoint, load_checkpoint
from training.objectives.perceive import CANONICAL_FOCAL_RATIO
from training.provenance import trained_on_generated_data_alone

PROVENANCE_KEYS = ("commit", "step", "images_seen", "seconds", "device")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One network ready for export. `meta` is the checkpoint's description (checkpoint.json), possibly empty."""

    deployed: Deployed
    contract: Contract
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the dense tasks that the network answers; none for a network of pairs."""
        return tuple(task.name for task in self.deployed.tasks) if isinstance(self.deployed, DeployedPerceive) else ()

    @property
    def canonical_focal_ratio(self) -> float | None:
        """Canonical focal length over the image's longer side, as trained; None where depth is not canonical."""
        return _canonical_focal_ratio(self.deployed, self.meta) if "depth" in self.tasks else None

    @property
    def training_size(self) -> tuple[int, int] | None:
        """Width and height in pixels of the images in training, when the recipe tells."""
        data = _find(self.meta.get("recipe"), "data")
        sides = _find(data, "width"), _find(data, "height")
        if not all(isinstance(side, int) for side in sides):
            sides = tuple(_find(data, "size") or ())[::-1]  # of a pipeline: height, width
        return (sides[0], sides[1]) if len(sides) == 2 and all(isinstance(side, int) for side in sides) else None

    @property
    def depth_range(self) -> list[float | None]:
        """Smallest and largest depth in metres that the graph can answer; None for no limit."""
        if isinstance(self.deployed.network, MultiTaskBaseline):
            return list(self.deployed.network.config.depth_range)
        return [NEAREST_DEPTH, None]

    def with_mirror(self, mirrored: bool) -> Source:
        """This source with its answers averaged over the image and its mirror image, or not.

        Raises ValueError when that is asked of a network of pairs.
        """
        if getattr(self.deployed, "mirrored", False) == mirrored:
            return self
        return replace(self, deployed=deploy(self.deployed.network, mirrored))

    def provenance(self) -> dict[str, Any]:
        """Recipe, commit, seed, data, steps and training device, for the manifest; None where unknown."""
        recipe = self.meta.get("recipe") or {}
        known = {key: self.meta.get(key) for key in PROVENANCE_KEYS}
        return {
            "recipe": recipe.get("name"),
            "commit": known["commit"],
            "seed": recipe.get("seed"),
            "data": _without_place(recipe.get("data")),
            "steps": known["step"],
            "images_seen": known["images_seen"],
            "training_device": known["device"],
            "seconds": known["seconds"],
            **self._started_from(),
            "parameters": sum(parameter.numel() for parameter in self.deployed.parameters()),
            "model": _without_folders(self.meta.get("model")),
        }

    def _started_from(self) -> dict[str, Any]:
        """The run whose weights this one began with, where there was one."""
        origin = self.meta.get("started_from")
        return {"started_from": origin} if origin else {}

    def quality(self) -> dict[str, Any]:
        """The figures that training measured on its validation set."""
        return dict(self.meta.get("metrics") or {})

    def trained_on_generated_data_alone(self) -> bool:
        """Whether nothing but the project's own generators has shaped the weights."""
        return trained_on_generated_data_alone(self.meta)


def load_source(path: Path, which: str = "best") -> Source:
    """Build the network of a checkpoint folder (or a run: its best checkpoint, else its latest) with its weights.

    Raises CheckpointError when there is no checkpoint, or a damaged one, or its weights do not fit its configuration.
    """
    try:
        checkpoint = _checkpoint(path, which)
        config = without_weights(config_from_dict(checkpoint.model_config))
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    network = build(config)
    try:
        network.load_state_dict(checkpoint.state_dict, strict=True)
    except RuntimeError as error:
        first, *others = str(error).splitlines()[1:] or [str(error)]  # the first line is a heading
        more = f" and {len(others)} more" if others else ""
        raise CheckpointError(
            f"{checkpoint.folder}: expected weights that fit the configuration, found: {first.strip():.200}{more}"
        ) from error
    return source_of(network, checkpoint.meta)


def _checkpoint(path: Path, which: str) -> Checkpoint:
    """The latest stands in for the best of a run that has chosen none yet, never for one that is broken."""
    chosen = (path / META_FILE).is_file() or any((root / which).is_file() for root in (path, path / "checkpoints"))
    if chosen or which == "latest":
        return load_checkpoint(path, which)
    checkpoint = load_checkpoint(path)
    print(f"{path}: no {which} checkpoint, the latest is taken: {checkpoint.folder.name}", file=sys.stderr)
    return checkpoint


def source_of(network: nn.Module, meta: Mapping[str, Any]) -> Source:
    """The source made of a built network and its description."""
    deployed = deploy(network)
    contract = contract_of(deployed, canonical_depth=_canonical_focal_ratio(deployed, meta) is not None)
    return Source(deployed=deployed, contract=contract, meta=meta)


def _canonical_focal_ratio(deployed: nn.Module, meta: Mapping[str, Any]) -> float | None:
    """As the recipe says; a recipe that is silent trained the baseline canonically and the others not."""
    baseline = isinstance(deployed, DeployedPerceive) and isinstance(deployed.network, MultiTaskBaseline)
    found = _find(meta.get("recipe"), "canonical_focal_ratio", CANONICAL_FOCAL_RATIO if baseline else None)
    return None if found is None else float(found)


def _without_place(data: Any) -> Any:
    """The recipe's data, with a folder on disk cut to its own name: where it lay is nobody's business."""
    root = _find(data, "root")
    if not isinstance(root, str):
        return data
    return {**data, "config": {**data["config"], "root": Path(root).name}}


def _without_folders(model: Any) -> Any:
    """A network's configuration with a file or folder on disk that its weights began with cut to its own name."""
    if not isinstance(model, Mapping):
        return model
    cut = {name: _without_folders(value) for name, value in model.items()}
    if isinstance(cut.get("pretrained"), str) and Path(cut["pretrained"]).is_absolute():
        cut["pretrained"] = Path(cut["pretrained"]).name
    return cut


_ABSENT = object()


def _find(tree: Any, key: str, default: Any = None) -> Any:
    """The first value under `key` anywhere in nested objects, outer ones first; `default` without one."""
    if not isinstance(tree, Mapping):
        return default
    if key in tree:
        return tree[key]
    for value in tree.values():
        found = _find(value, key, _ABSENT)
        if found is not _ABSENT:
            return found
    return default

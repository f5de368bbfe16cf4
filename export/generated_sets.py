"""Generated frames for calibrating and judging graphs: those that the bundle's recipe trains and validates on, where
it trains on a generator, else frames of the same generator with its default settings.

Frames lie in the cache of training's data (`artifacts/data`), so what `make train` rendered is used again; what is
missing is rendered, a whole shard at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from export.errors import CalibrationSetError
from training.config_json import from_json
from training.data.pairs import PairConfig
from training.data.photometrics import CLEAN
from training.data.rooms import RoomConfig
from training.datasets import DEFAULT_ROOT, GENERATED, DataRecipe, in_order, open_dataset
from training.readers.reader import Split

SOURCE_OF_GRAPH: Mapping[str, Literal["rooms", "pairs"]] = {"perceive": "rooms", "pwm": "pairs", "sigmo": "pairs"}
FEWEST_CALIBRATION_FRAMES = 16
BATCH = 4
"""Frames of one call of a graph; on a CPU more are no faster."""


def check_calibration(count: int) -> None:
    """Raise CalibrationSetError unless `count` frames are enough to calibrate with."""
    if count < FEWEST_CALIBRATION_FRAMES:
        raise CalibrationSetError(
            f"calibration: expected at least {FEWEST_CALIBRATION_FRAMES} frames, found {count}; fewer do not show the "
            "ranges that activations take"
        )


def batches(
    graph: str, provenance: Mapping[str, Any], split: Split, count: int, root: Path = DEFAULT_ROOT
) -> Iterator[dict[str, Tensor]]:  # fmt: skip
    """The first `count` frames for a graph in batches; `train` is for calibration, `validation` for judging.

    provenance: what the manifest says of the graph's origin. Raises ValueError when `root` holds another set of frames
    under the same name.
    """
    data = generated_data(graph, provenance)
    dataset = open_dataset(data, root, split)
    return in_order(dataset, BATCH, count)


def frame_count(graph: str, provenance: Mapping[str, Any], split: Split, count: int) -> int:
    """How many frames `batches` gives when asked for `count`: never more than the set has."""
    data = generated_data(graph, provenance)
    held = data.count if split == "train" else data.validation_count
    assert held is not None  # checked by the recipe
    return min(count, held)


def generated_data(graph: str, provenance: Mapping[str, Any]) -> DataRecipe:
    """The generated set that fits a graph: its recipe's, else one with default settings.

    Effects of the camera that a recipe of an older generator does not know are switched off, as they were then.
    """
    source = SOURCE_OF_GRAPH[graph]
    told = provenance.get("data")
    if isinstance(told, Mapping) and told.get("source") == source and source in GENERATED:
        try:
            return from_json(DataRecipe, _with_all_effects(told))
        except (ValueError, TypeError):  # of another version of the generator: its settings mean nothing to this one
            pass
    config = RoomConfig() if source == "rooms" else PairConfig()
    return DataRecipe(source=source, name=f"export_{source}", config=config, count=256, validation_count=256, seed=90)


def _with_all_effects(told: Mapping[str, Any]) -> dict[str, Any]:
    config = told.get("config")
    if not isinstance(config, Mapping) or not isinstance(config.get("photometrics"), Mapping):
        return dict(told)
    return {**told, "config": {**config, "photometrics": {**asdict(CLEAN), **config["photometrics"]}}}

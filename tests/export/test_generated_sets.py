"""Which generated frames a bundle is calibrated and judged with."""

import json
from pathlib import Path

import pytest

from export.generated_sets import batches, frame_count, generated_data
from tests.export.conftest import SMALL_ROOMS
from training.config_json import to_json
from training.data.pairs import PairConfig
from training.data.photometrics import STEADY

WEIGHTS = Path(__file__).parents[2] / "weights"


def test_an_effect_that_an_older_recipe_does_not_know_is_switched_off() -> None:
    provenance = json.loads((WEIGHTS / "stitch-pairs" / "manifest.json").read_text())["provenance"]
    assert len(provenance["pwm"]["data"]["config"]["photometrics"]) == 6
    for graph in ("pwm", "sigmo"):
        config = generated_data(graph, provenance[graph]).config
        assert isinstance(config, PairConfig)
        assert config.photometrics == STEADY


@pytest.mark.parametrize("split", ["train", "validation"])
def test_no_more_frames_are_counted_than_there_are(split: str, frames_root: Path) -> None:
    provenance = {"data": to_json(SMALL_ROOMS)}
    for asked, given in ((7, 7), (500, 16)):
        assert frame_count("perceive", provenance, split, asked) == given  # type: ignore[arg-type]
        found = batches("perceive", provenance, split, asked, frames_root)  # type: ignore[arg-type]
        assert sum(len(batch["image"]) for batch in found) == given

"""Generated pairs as benchmark items: exact where the truth says so, and chosen by level."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.stitch_generated import Chosen, generated_pairs, main, render
from benchmarks.stitch_items import NOV, OV
from benchmarks.stitch_scores import flow_errors, psnr
from training.data.pairs import PairConfig
from training.data.photometrics import STEADY

CALM = PairConfig(height=96, width=128, photometrics=STEADY, exposure_ev=0.0, baseline=0.1, least_baseline=0.05)


@pytest.fixture(scope="module")
def item(tmp_path_factory: pytest.TempPathFactory):
    root: Path = tmp_path_factory.mktemp("generated")
    render(Chosen(seed=5_000_007, level="mid", config=CALM), root / "mid-007")
    (root / "manifest.json").write_text('{"pairs": [{"pair": "mid-007", "seed": 5000007}]}')
    (lazy,) = generated_pairs(root)
    return lazy.load()


def test_the_exact_flow_shows_what_the_reference_camera_saw(item) -> None:
    result = peers.truth_gather(item)
    assert flow_errors(result.flow_HW2, item)["EPE OV"] == 0
    still = peers.identity(item)
    for mask in (item.overlap_HW, item.beyond_HW):
        assert mask.sum() > 300
        assert psnr(result.warped_target_HW3, item.scene_HW3, mask) > 22
    assert psnr(result.warped_target_HW3, item.scene_HW3, item.overlap_HW) > 6 + psnr(
        np.pad(item.target, 0), item.reference, np.ones(item.reference.shape[:2], bool)
    )
    assert still.offset == (8, 8)
    assert {int(v) for v in np.unique(item.truth.region_hw)} >= {OV, NOV}


def test_a_level_that_the_candidates_lack_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.stitch_generated.CANDIDATES", 0)
    with pytest.raises(ValueError, match="missing"):
        main(["--out", str(tmp_path), "--each", "1"])

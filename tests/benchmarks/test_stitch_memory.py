"""Large photographs are stitched within four gigabytes, measured as the program measures it."""

import numpy as np
import pytest

from benchmarks.stitch_memory import large_pair, measure


def test_the_pair_has_its_size_and_shares_its_content() -> None:
    reference, target = large_pair(0.05)
    assert reference.shape == target.shape
    assert reference.shape[0] * reference.shape[1] == pytest.approx(5e4, rel=0.02)
    shift = round(reference.shape[1] * 0.4)
    same = (reference[:, shift:] == target[:, : reference.shape[1] - shift]).all(-1).mean()
    assert 0.8 < same < 1
    assert np.std(reference) > 10


@pytest.mark.full
@pytest.mark.parametrize("profile", ["default", "fast"])
def test_two_photographs_of_24_megapixels_fit_into_four_gigabytes(profile: str) -> None:
    row = measure(24, profile)
    assert row["status"] == "ok"
    assert row["peak_mib"] < 4096
    assert row["canvas"][0] > 7000

"""Exposure: known gains are found and undone."""

import numpy as np
import pytest

from service.stitching.exposure import apply_gain, estimate_gain
from tests.service.stitching.scenes import texture


def test_gain_of_one_point_two_is_undone_to_one_grey_level() -> None:
    reference = texture(200, 120)
    target = np.clip(np.rint(reference * 1.2), 0, 255).astype(np.uint8)
    certain = np.ones((120, 200), bool)
    gain = estimate_gain(target, reference, certain)
    restored, clipped = apply_gain(target, gain)
    assert gain == pytest.approx(1 / 1.2, rel=2e-3)
    assert np.abs(restored.astype(int) - reference).max() <= 1
    assert clipped == 0


def test_wrong_matches_move_the_gain_little_and_the_limit_holds() -> None:
    reference = texture(200, 120)
    target = np.rint(reference / np.array([1.1, 1.0, 0.9])).clip(0, 255).astype(np.uint8)
    target[:, :50] = 15
    gain = estimate_gain(target, reference, np.ones((120, 200), bool))
    assert gain == pytest.approx([1.1, 1.0, 0.9], rel=0.15)
    dark = (reference // 4).astype(np.uint8)
    assert estimate_gain(dark, reference, np.ones((120, 200), bool)) == pytest.approx(2**0.6)


def test_clipped_share_is_what_would_pass_white() -> None:
    image = np.full((10, 10, 3), 100, np.uint8)
    image[:3] = 240
    brighter, clipped = apply_gain(image, np.float32([1.1, 1.1, 1.1]))
    assert clipped == pytest.approx(0.3)
    assert brighter[0, 0, 0] == 255
    assert brighter[9, 9, 0] == 110


def test_without_certain_pixels_nothing_changes() -> None:
    image = texture(40, 30)
    gain = estimate_gain(image, image, np.zeros((30, 40), bool))
    assert np.array_equal(apply_gain(image, gain)[0], image)

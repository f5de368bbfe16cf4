"""The size a graph sees and the resizing that leads there."""

import numpy as np
import pytest

from service.manifest import SizeSpec
from service.preprocess import model_size, to_model_image

SPEC = SizeSpec(longest_side=384, multiple=32, smallest_side=64)


@pytest.mark.parametrize(
    ("upload", "expected"),
    [
        ((640, 480), (384, 288)),
        ((480, 640), (288, 384)),
        ((4032, 3024), (384, 288)),
        ((100, 100), (384, 384)),
        ((1920, 1080), (384, 224)),
        ((5000, 32), (384, 64)),
        ((1, 1), (384, 384)),
    ],
)
def test_pinned_sizes(upload: tuple[int, int], expected: tuple[int, int]) -> None:
    assert model_size(*upload, SPEC) == expected


def test_sizes_are_legal_and_keep_the_aspect() -> None:
    rng = np.random.default_rng(0)
    for width, height in rng.integers(1, 6000, (500, 2)):
        net_width, net_height = model_size(int(width), int(height), SPEC)
        assert net_width % 32 == net_height % 32 == 0
        assert min(net_width, net_height) >= 64
        assert max(net_width, net_height) == 384
        if min(net_width, net_height) > 64:
            assert abs(min(net_width, net_height) - 384 * min(width, height) / max(width, height)) <= 16


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(ValueError, match="found 0 x 5"):
        model_size(0, 5, SPEC)


def test_shrinking_averages_areas_exactly() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    expected = rgb.reshape(32, 2, 48, 2, 3).mean(axis=(1, 3))
    found = to_model_image(rgb, (48, 32))
    assert found.shape == (32, 48, 3)
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 0.5 + 1e-6


def test_growing_follows_the_half_pixel_convention() -> None:
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8)[None, :, None] * 8, (32, 32, 3))
    found = to_model_image(ramp, (64, 64))[20, 8:-8, 0].astype(float)
    expected = ((np.arange(64) + 0.5) / 2 - 0.5)[8:-8] * 8
    assert np.abs(found - expected).max() <= 1.0


def test_one_side_may_shrink_while_the_other_grows() -> None:
    assert to_model_image(np.full((10, 4000, 3), 77, np.uint8), (384, 32)).min() == 77


def test_the_same_size_changes_nothing() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    assert np.array_equal(to_model_image(rgb, (64, 32)), rgb)


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_other_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        to_model_image(image, (32, 32))

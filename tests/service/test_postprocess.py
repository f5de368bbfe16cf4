import cv2
import numpy as np
import pytest

from service.perceive import answer_size
from service.postprocess import resize_depth, resize_normals, resize_segmentation

SIZES = [(64, 48), (640, 479), (31, 100), (40, 30)]


@pytest.mark.parametrize("size", SIZES)
def test_labels_are_the_largest_interpolated_logit(size: tuple[int, int]) -> None:
    logits = np.random.default_rng(0).normal(size=(7, 30, 40)).astype(np.float32)
    resized = np.stack([cv2.resize(channel, size, interpolation=cv2.INTER_LINEAR) for channel in logits])
    labels = resize_segmentation(logits, size)
    assert labels.dtype == np.uint8
    assert labels.shape == (size[1], size[0])
    chosen = np.take_along_axis(resized, labels[None].astype(int), 0)[0]
    assert (resized.max(0) - chosen).max() < 1e-4


@pytest.mark.parametrize("size", SIZES)
def test_normals_have_length_one_everywhere(size: tuple[int, int]) -> None:
    normals = np.random.default_rng(0).normal(size=(3, 30, 40)).astype(np.float32)
    normals[:, :10] = 0
    normals[:, 12, ::2], normals[:, 12, 1::2] = np.float32(1), np.float32(-1)
    normals[0, 20, 20] = np.nan
    resized = resize_normals(normals, size)
    assert resized.shape == (size[1], size[0], 3)
    assert np.abs(np.linalg.norm(resized.astype(np.float64), axis=2) - 1).max() < 1e-6
    assert (resized[0] == (0, 0, -1)).all()


def test_a_plane_stays_a_plane() -> None:
    """Inverse depth of a plane is linear in the pixel, so interpolation is exact away from the border."""
    y, x = np.mgrid[:30, :40]
    inverse = 0.2 + 0.003 * x + 0.001 * y
    depth = resize_depth((1 / inverse).astype(np.float32), 1.5, (160, 120))
    big_y, big_x = np.mgrid[:120, :160]
    expected = 1.5 / (0.2 + 0.003 * ((big_x + 0.5) / 4 - 0.5) + 0.001 * ((big_y + 0.5) / 4 - 0.5))
    assert depth.dtype == np.float32
    assert np.allclose(depth[2:-2, 2:-2], expected[2:-2, 2:-2], rtol=1e-4)


def test_depth_is_finite_and_positive_whatever_the_network_says() -> None:
    depth = np.array([[0.0, -3.0, np.nan], [np.inf, -np.inf, 5.0]], np.float32)
    for scale in (1e-6, 1.0, 1e6):
        resized = resize_depth(depth, scale, (30, 20))
        assert np.isfinite(resized).all()
        assert (resized > 0).all()


def test_answer_size() -> None:
    assert answer_size((640, 480), "native", (256, 192)) == (640, 480)
    assert answer_size((640, 480), "model", (256, 192)) == (256, 192)
    assert answer_size((640, 480), 320, (256, 192)) == (320, 240)
    assert answer_size((4000, 32), 100, (256, 192)) == (100, 1)

"""Exact properties of the splat (specification section 12, 1 to 7)."""

import cv2
import numpy as np
import pytest

from service.stitching.geometry import pixel_grid
from service.stitching.warp import close_cracks, splat


def points(width: int, height: int) -> np.ndarray:
    return pixel_grid(width, height).reshape(-1, 2).astype(np.float64)


@pytest.fixture
def scattered() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(3, 17, (500, 2)), rng.random((500, 3)), np.exp(rng.uniform(0, 5, 500))


def test_identity_returns_the_values_with_weight_one() -> None:
    values = np.random.default_rng(0).random((30 * 20, 3))
    mean, weight, coverage = splat(points(30, 20), values, np.ones(600), (30, 20))
    assert np.array_equal(mean.reshape(-1, 3), values)
    assert np.array_equal(weight, np.ones((20, 30)))
    assert np.array_equal(coverage, weight)


def test_integer_shift_moves_values_exactly_and_drops_the_rest() -> None:
    values = np.random.default_rng(0).random((30 * 20, 1))
    mean, _, coverage = splat(points(30, 20) + np.array([7, -3]), values, np.ones(600), (40, 20))
    assert np.array_equal(mean[:17, 7:37, 0], values.reshape(20, 30)[3:])
    assert coverage.sum() == 17 * 30


def test_mass_is_kept_inside_the_canvas(scattered: tuple[np.ndarray, ...]) -> None:
    at, values, weights = scattered
    _, weight, coverage = splat(at, values, weights, (20, 20))
    assert weight.sum() == pytest.approx(weights.sum(), rel=1e-12)
    assert coverage.sum() == pytest.approx(500, rel=1e-12)


def test_constant_stays_constant_and_common_importance_cancels(scattered: tuple[np.ndarray, ...]) -> None:
    at, values, weights = scattered
    mean, _, coverage = splat(at, np.full((500, 1), 0.7), weights, (20, 20))
    assert np.abs(mean[coverage > 1e-6] - 0.7).max() < 1e-14
    first, second = (splat(at, values, weights * np.exp(m), (20, 20))[0] for m in (0.0, 9.0))
    assert np.abs(first - second).max() < 1e-13


def test_splat_is_the_adjoint_of_bilinear_sampling(scattered: tuple[np.ndarray, ...]) -> None:
    at, values, _ = scattered
    at = at.astype(np.float32)
    other = np.random.default_rng(1).random((20, 20)).astype(np.float32)
    mean, weight, _ = splat(at, values[:, :1], np.ones(500), (20, 20))
    sampled = cv2.remap(other, at[None], None, cv2.INTER_LINEAR)[0]
    # cv2.remap may round positions to 1/32 pixel.
    assert float((mean[..., 0] * weight * other).sum()) == pytest.approx(float(values[:, 0] @ sampled), rel=5e-3)


def test_nearer_surface_hides_the_other() -> None:
    at = np.array([[5.0, 5.0], [5.0, 5.0]])
    mean, _, _ = splat(at, np.array([[0.0], [1.0]]), np.exp([20.0, 0.0]), (11, 11))
    assert mean[5, 5, 0] < 3e-9


@pytest.mark.parametrize("stretch", [1.0, 1.3, 1.7, 1.95])
def test_stretch_below_two_leaves_no_hole(stretch: float) -> None:
    at = np.stack([np.arange(400) * stretch, np.full(400, 2.0)], -1)
    _, _, coverage = splat(at, np.ones((400, 1)), np.ones(400), (int(399 * stretch), 5))
    assert coverage[2].min() == pytest.approx(2 - stretch, abs=0.03)
    assert coverage[2].min() > 0


def test_cracks_close_and_disocclusions_stay_open() -> None:
    coverage = np.ones((20, 20), np.float32)
    coverage[:, 5] = 0
    coverage[4:12, 10:16] = 0
    values = np.full((20, 20, 2), 3.0, np.float32) * coverage[..., None]
    closed, covered = close_cracks(values, coverage)
    assert np.array_equal(closed[1:-1, 5], np.full((18, 2), 3.0))
    assert covered[1:-1, 5].min() == 1
    assert covered[5:11, 11:15].max() == 0

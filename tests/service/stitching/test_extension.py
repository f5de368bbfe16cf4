"""What a residual is continued from where the reference shows nothing."""

import numpy as np
import pytest

from service.stitching.extension import ExtensionOptions, continuing, extend_residual, rebased
from service.stitching.geometry import Matrix, apply_homography, reduced_grid

SIZE, NET = (640, 480), (96, 72)
GRID = reduced_grid(SIZE, NET)
OPTIONS = ExtensionOptions()


def shift(x: float) -> Matrix:
    return np.array([[1.0, 0, x], [0, 1.0, 0], [0, 0, 1.0]])


def test_a_rebased_residual_lands_where_it_did() -> None:
    old = np.array([[1.1, 0.02, -80.0], [-0.03, 0.95, 12.0], [1e-4, -5e-5, 1.0]])
    residual = np.random.default_rng(0).normal(0, 6, (*GRID.shape[:2], 2)).astype(np.float32)
    moved = rebased(residual, old, shift(-70), SIZE)
    before, after = apply_homography(old, GRID + residual), apply_homography(shift(-70), GRID + moved)
    assert np.abs(before - after).max() < 1e-2
    assert np.abs(moved - residual).max() > 5


@pytest.mark.parametrize("beside", [-300.0, -260.0])
def test_the_unseen_part_continues_what_is_seen_beside_it(beside: float) -> None:
    """The left of the target lies outside the reference; next to that a wall moves by `beside`, farther on another."""
    wall, compromise = shift(beside), shift(-280)
    landed = apply_homography(np.eye(3), GRID + np.array([beside, 0], np.float32))
    landed[GRID[..., 0] > 480] += (-280 - beside, 0)
    trust = (landed[..., 0] > 0) & (landed[..., 0] < SIZE[0])
    base = continuing((compromise, wall), landed, trust, SIZE, SIZE, OPTIONS)
    assert base is wall
    known = np.where(trust[..., None], landed - GRID - (-280, 0), 0).astype(np.float32)
    residual = rebased(known, compromise, base, SIZE)
    extended = extend_residual(residual, trust.astype(np.float32), OPTIONS)
    unseen = ~trust & (GRID[..., 0] < 480)
    assert np.abs(apply_homography(base, GRID + extended) - GRID - (beside, 0))[unseen].mean() < 4

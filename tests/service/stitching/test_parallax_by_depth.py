"""Continuing a warp by monocular depth: exact on exact depth of any unit, silent where depth says nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from service.stitching.extension import ExtensionOptions, extend_residual
from service.stitching.geometry import apply_homography, inverted, pixel_grid, reduced_grid
from service.stitching.parallax import ParallaxOptions, extend_by_depth

FULL, NET = (640, 480), (128, 96)
NO_MATCHES = np.zeros((0, 4), np.float32)


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A homography of a wall at 4 m, the residual [h,w,2] of solids before it, their depth, and trust on the left."""
    rng = np.random.default_rng(3)
    coarse = rng.uniform(0, 1, (7, 9)).astype(np.float32)
    bumps = cv2.resize(coarse, NET, interpolation=cv2.INTER_CUBIC)
    depth = (4 - 1.8 * np.clip(bumps, 0, 1)).astype(np.float32)
    camera = np.array([[600, 0, 319.5], [0, 600, 239.5], [0, 0, 1.0]])
    yaw = np.radians(9)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    step = np.array([0.15, 0.02, 0.03])
    grid = reduced_grid(FULL, NET).astype(np.float64)
    rays = np.dstack([grid, np.ones(grid.shape[:2])]) @ np.linalg.inv(camera).T
    seen = (rays * depth[..., None]) @ turn.T + step
    landed = seen @ camera.T
    landed = landed[..., :2] / landed[..., 2:]
    homography = camera @ (turn + np.outer(step, [0, 0, 1 / 4.0])) @ np.linalg.inv(camera)
    homography /= homography[2, 2]
    residual = apply_homography(inverted(homography), landed) - reduced_grid(FULL, NET)
    trust = (pixel_grid(*NET)[..., 0] < 70).astype(np.float32)
    return homography, residual.astype(np.float32), depth, trust


def beyond(residual: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(residual - wanted, axis=-1)[:, 75:].mean())


@pytest.mark.parametrize("unit", [1.0, 37.0])
def test_depth_in_any_unit_places_what_only_the_target_sees(
    scene: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], unit: float
) -> None:
    homography, residual, depth, trust = scene
    known = residual * trust[..., None]
    found = extend_by_depth(
        homography,
        known,
        trust,
        depth * np.float32(unit),
        NO_MATCHES,
        FULL,
        FULL,
        ParallaxOptions(),
        ExtensionOptions(),
    )
    assert found is not None
    assert np.abs(found - residual)[:, :60].max() < 0.2
    continued = beyond(extend_residual(known, trust, ExtensionOptions()), residual)
    assert continued > 3
    assert beyond(found, residual) < 0.25 * continued


def test_depth_that_explains_nothing_is_not_used(
    scene: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    homography, residual, depth, trust = scene
    settings = (NO_MATCHES, FULL, FULL, ParallaxOptions(), ExtensionOptions())
    noise = np.random.default_rng(1).uniform(1, 5, depth.shape).astype(np.float32)
    assert extend_by_depth(homography, residual, trust, noise, *settings) is None
    assert extend_by_depth(homography, np.zeros_like(residual), trust, depth, *settings) is None
    assert extend_by_depth(homography, residual, np.zeros_like(trust), depth, *settings) is None
    assert extend_by_depth(homography, residual, trust, np.zeros_like(depth), *settings) is None


def test_feature_matches_tell_the_parallax_of_what_the_flow_has_lost(
    scene: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """The flow is trusted near the wall alone, and is noisy; matches on the solids before it say how far these move."""
    homography, residual, depth, trust = scene
    rng = np.random.default_rng(0)
    flow = residual + rng.normal(0, 4, residual.shape).astype(np.float32)
    wall = trust * (depth > 3.6)
    grid = reduced_grid(FULL, NET)
    near = np.argwhere((trust > 0) & (depth < 3.2))
    rows, columns = near[rng.choice(len(near), 40, replace=False)].T
    matches = np.hstack([grid[rows, columns], apply_homography(homography, grid + residual)[rows, columns]])
    settings = (FULL, FULL, ParallaxOptions(needed=1.0), ExtensionOptions())
    without = extend_by_depth(homography, flow, wall, depth, NO_MATCHES, *settings)
    found = extend_by_depth(homography, flow, wall, depth, matches, *settings)
    assert without is not None
    assert found is not None
    assert beyond(found, residual) < 0.4 * beyond(without, residual)

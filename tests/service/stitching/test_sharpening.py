"""Sharpening: a known error of the warp is found at full resolution, shown by the gather, and part of the flow."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from service.stitching.canvas import Canvas
from service.stitching.geometry import pixel_grid
from service.stitching.pair_warp import PairWarp, full_flow
from service.stitching.sharpening import SharpeningOptions, sharpen
from service.stitching.warp import Gather, gather_image, make_gather, positions, with_correction
from tests.service.stitching.scenes import psnr, texture

SIZE = (320, 224)
CANVAS = Canvas(offset=(40, 10), size=(400, 250))
NOTHING = np.zeros((64, 96, 2), np.float32)


def still() -> Gather:
    return make_gather(np.eye(3), NOTHING, np.ones(NOTHING.shape[:2], np.float32), SIZE, CANVAS)


@pytest.fixture(scope="module")
def bent() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A target, a reference that sees each of its pixels up to two pixels away, and by how much, [H,W,2]."""
    target = texture(*SIZE, seed=5)
    grid = pixel_grid(*SIZE)
    away = np.dstack([2 * np.sin(grid[..., 1] / 30), 1.5 * np.cos(grid[..., 0] / 40)]).astype(np.float32)
    reference = cv2.remap(target, grid + away, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return target, reference, away


@pytest.mark.parametrize(("exposure", "allowed"), [(1.0, 0.15), (0.7, 0.2)])
def test_the_error_of_a_warp_is_found(
    bent: tuple[np.ndarray, np.ndarray, np.ndarray], exposure: float, allowed: float
) -> None:
    target, reference, away = bent
    found = sharpen(still(), np.rint(target * exposure).astype(np.uint8), reference, SharpeningOptions())
    assert found.shape == away.shape
    error = np.linalg.norm(found - away, axis=-1)[16:-16, 16:-16]
    assert np.median(error) < allowed
    assert np.percentile(error, 95) < 0.8


def test_reduced_photographs_give_full_pixels(bent: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    target, reference, away = bent
    found = sharpen(still(), target, reference, SharpeningOptions(longest_side=160))
    assert found.shape == (112, 160, 2)
    error = np.linalg.norm(found - cv2.resize(away, (160, 112)), axis=-1)[8:-8, 8:-8]
    assert np.median(error) < 0.4


def test_a_perfect_warp_stays_as_it_is() -> None:
    picture = texture(*SIZE, seed=6)
    assert np.abs(sharpen(still(), picture, picture, SharpeningOptions())).max() < 0.05


def test_plain_surfaces_are_not_moved() -> None:
    noise = np.random.default_rng(0).normal(0, 1.5, (2, SIZE[1], SIZE[0], 1))
    first, second = (np.clip(128 + part, 0, 255).repeat(3, -1).astype(np.uint8) for part in noise)
    found = sharpen(still(), first, second, SharpeningOptions())
    assert np.percentile(np.linalg.norm(found, axis=-1), 90) < 1.5


def test_the_gather_shows_the_correction_and_the_flow_holds_it(
    bent: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    target, reference, away = bent
    gather = with_correction(still(), away, SIZE)
    plain, valid = gather_image(still(), target)
    shown, valid_after = gather_image(gather, target)
    inner = (slice(10 + 8, 10 + SIZE[1] - 8), slice(40 + 8, 40 + SIZE[0] - 8))
    whole = np.ones((SIZE[1] - 16, SIZE[0] - 16), bool)
    assert valid[inner].all()
    assert valid_after[inner].all()
    assert psnr(plain[inner], reference[8:-8, 8:-8], whole) < 30 < 40 < psnr(shown[inner], reference[8:-8, 8:-8], whole)
    warp = PairWarp(
        homography_33=np.eye(3), residual_hw2=NOTHING, visible_hw=np.ones(NOTHING.shape[:2], bool),
        weight_hw=np.ones(NOTHING.shape[:2], np.float32), size_t=SIZE, size_r=SIZE, method="pixel_warp", overlap=1.0,
        statistics={}, correction_hw2=away,
    )  # fmt: skip
    landed = pixel_grid(*SIZE) + full_flow(warp, gather)
    back, _ = positions(gather, landed)
    assert np.linalg.norm(back - pixel_grid(*SIZE), axis=-1)[8:-8, 8:-8].max() < 0.2


def test_a_correction_continues_beyond_the_reference_and_fades_out() -> None:
    everywhere = np.full((56, 80, 2), (3, -1), np.float32)
    small = (200, 140)
    gather = with_correction(
        make_gather(
            np.eye(3), NOTHING, np.ones(NOTHING.shape[:2], np.float32), SIZE, Canvas(offset=(8, 8), size=(336, 240))
        ),
        everywhere,
        small,
    )
    points = np.float32([[[100, 70], [199, 139], [204, 70], [300, 70]]])
    moved = positions(gather, points)[0] - points
    assert np.allclose(moved[0, :2], (3, -1), atol=1e-3)
    assert np.allclose(moved[0, 2], np.float32([3, -1]) * np.exp(-5 / 20), atol=0.1)
    assert np.abs(moved[0, 3]).max() < 0.1


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch, bent: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    target, _, away = bent
    gather = with_correction(still(), away[::2, ::2], SIZE)
    whole, valid = gather_image(gather, target)
    monkeypatch.setattr("service.stitching.warp.TILE", 96)
    tiled, tiled_valid = gather_image(gather, target)
    assert np.array_equal(valid, tiled_valid)
    assert np.abs(whole.astype(int) - tiled).max() <= 1

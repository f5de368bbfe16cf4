"""The gather at full resolution: exact where the geometry is exact, whatever the tiles."""

import numpy as np
import pytest

from service.stitching import warp
from service.stitching.canvas import Canvas
from service.stitching.geometry import Matrix, apply_homography, pixel_grid
from service.stitching.warp import Gather, gather_image, make_gather
from tests.service.stitching.scenes import psnr, texture, translation


def gather_of(homography: Matrix, size: tuple[int, int], canvas: Canvas, net: tuple[int, int] = (96, 64)) -> Gather:
    nothing = np.zeros((net[1], net[0], 2), np.float32)
    return make_gather(homography, nothing, np.ones(nothing.shape[:2], np.float32), size, canvas)


def test_integer_shift_gives_the_photograph_back_to_the_bit() -> None:
    image = texture(300, 200)
    canvas = Canvas(offset=(130, 20), size=(450, 240))
    warped, valid = gather_image(gather_of(translation(-120, 7), (300, 200), canvas), image)
    assert valid.sum() == 300 * 200
    assert np.array_equal(warped[27:227, 10:310], image)
    assert valid[27:227, 10:310].all()
    assert not warped[~valid].any()


def test_homography_is_inverted_without_loss_at_reduced_size() -> None:
    image = texture(300, 200)
    homography = np.array([[1.05, 0.08, -40], [-0.03, 1.1, 12], [2e-4, 1e-4, 1.0]])
    canvas = Canvas(offset=(60, 30), size=(380, 300))
    gather = gather_of(homography, (300, 200), canvas)
    assert np.abs(gather.back_hw2).max() == 0
    _, valid = gather_image(gather, image)
    source = apply_homography(np.linalg.inv(homography), pixel_grid(*canvas.size) - np.float32(canvas.offset))
    expected = (source >= -0.02).all(-1) & (source[..., 0] <= 299.02) & (source[..., 1] <= 199.02)
    assert np.array_equal(valid, expected)


def test_residual_moves_pixels_by_itself() -> None:
    image = texture(300, 200)
    canvas = Canvas(offset=(20, 20), size=(340, 240))
    residual = np.full((64, 96, 2), (5.0, -3.0), np.float32)
    gather = make_gather(np.eye(3), residual, np.ones((64, 96), np.float32), (300, 200), canvas)
    warped, valid = gather_image(gather, image)
    assert np.array_equal(warped[17:217, 25:325], image)
    assert valid.sum() == 300 * 200


def test_window_and_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    image = texture(300, 200)
    homography = np.array([[1.02, 0.05, 30], [0.02, 0.97, 5], [1e-4, 0, 1.0]])
    gather = gather_of(homography, (300, 200), Canvas(offset=(10, 10), size=(400, 260)))
    whole, valid = gather_image(gather, image)
    monkeypatch.setattr(warp, "TILE", 37)
    part, part_valid = gather_image(gather, image, (50, 20, 201, 133))
    assert np.array_equal(part, whole[20:153, 50:251])
    assert np.array_equal(part_valid, valid[20:153, 50:251])


def test_a_much_larger_photograph_does_not_alias() -> None:
    large = np.kron(np.indices((100, 150)).sum(0) % 2, np.ones((4, 4)))[..., None].repeat(3, -1)
    noisy = (large * 255).astype(np.uint8)
    gather = gather_of(np.diag([0.125, 0.125, 1.0]), (600, 400), Canvas(offset=(0, 0), size=(75, 50)))
    warped, valid = gather_image(gather, noisy)
    assert valid[2:-2, 2:-2].all()
    grey = np.full_like(warped, 127)
    assert psnr(warped, grey, np.ones_like(valid) & valid) > 30

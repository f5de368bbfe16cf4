"""Pinned values of the benchmark's scores (dense-models 3.3, stitching 11 and 12.10)."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from benchmarks.dense_scores import (
    abs_rel,
    affine_in_inverse_depth,
    angle_degrees,
    angle_histogram,
    class_iou,
    confusion,
    delta1,
    depth_sums,
    disparity_agreement,
    mean_iou,
    median_angle,
    median_scaled,
    pixel_accuracy,
    rmse,
    share_below,
)
from benchmarks.intervals import bootstrap
from benchmarks.stitch_scores import eroded, gain_fitted_psnr, on_frame, psnr, ssim, zero_filled_psnr


def some_image(seed: int = 0, shape: tuple[int, ...] = (60, 80, 3)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 200, shape)


def test_depth_scores_by_hand():
    sums = depth_sums(np.array([1.0, 2.4, 4.0, 10.0]), np.array([1.0, 2.0, 5.0, 5.0]))[None]
    assert abs_rel(sums) == pytest.approx((0 + 0.2 + 0.2 + 1) / 4)
    assert rmse(sums) == pytest.approx(np.sqrt((0.16 + 1 + 25) / 4))
    assert delta1(sums) == pytest.approx(2 / 4)  # ratios 1, 1.2, 1.25 (not below 1.25), 2


def test_scores_pool_pixels_not_images():
    a, b = depth_sums(np.full(100, 1.1), np.ones(100)), depth_sums(np.full(300, 1.5), np.ones(300))
    assert abs_rel(np.array([a, b])) == pytest.approx(0.25 * 0.1 + 0.75 * 0.5)


def test_alignments_remove_what_they_should():
    depth = np.random.default_rng(1).uniform(0.5, 8, 500)
    assert np.allclose(median_scaled(1.7 * depth, depth), depth)
    assert np.allclose(affine_in_inverse_depth(1 / (0.4 / depth + 0.1), depth), depth)
    assert np.allclose(affine_in_inverse_depth(np.ones(500), depth), 1 / np.mean(1 / depth))


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 11.25, 90.0, 179.9999, 180.0])
def test_angle_is_accurate_everywhere(degrees):
    a = np.array([[0.0, 0.0, -2.0]])
    b = 3 * np.array([[np.sin(np.radians(degrees)), 0.0, -np.cos(np.radians(degrees))]])
    assert angle_degrees(a, b)[0] == pytest.approx(degrees, abs=1e-6)


def test_pooled_angles():
    row = angle_histogram(np.array([1.0, 2.0, 3.0, 40.0, 180.0]))[None]
    assert median_angle(row) == pytest.approx(3.0, abs=0.05)
    assert share_below(row) == pytest.approx(3 / 5)


def test_iou_counts_present_classes_only():
    label = np.array([[0, 0, 4, 255]], np.uint8)
    counts = confusion(np.array([[0, 4, 4, 7]], np.uint8), label)
    iou = class_iou(counts)
    assert iou[0] == 0.5
    assert iou[4] == 0.5
    assert np.isnan(iou[7])
    assert mean_iou(counts) == 0.5
    assert pixel_accuracy(counts) == pytest.approx(2 / 3)
    assert pixel_accuracy(confusion(np.full((1, 4), 13, np.uint8), label)) == 0


def test_disparity_needs_only_the_right_order():
    disparity = np.random.default_rng(0).uniform(5, 60, (20, 30)).astype(np.float32)
    disparity[0, 0] = np.nan
    depth = np.nan_to_num(1 / (disparity + 12), nan=1.0)
    r2, rho = disparity_agreement(depth, disparity)
    assert (r2, rho) == (pytest.approx(1, abs=1e-6), pytest.approx(1, abs=1e-9))
    assert disparity_agreement(disparity * 0 + 2, disparity) == (0.0, 0.0)


def test_bootstrap_is_seeded_and_covers():
    values = np.random.default_rng(0).normal(5, 1, 100)
    interval = bootstrap(values)
    assert interval == bootstrap(values)
    assert interval.low < interval.value < interval.high
    assert 0.3 < interval.high - interval.low < 0.5  # 2 * 1.96 / sqrt(100)
    with pytest.raises(ValueError, match="at least one image"):
        bootstrap(np.zeros(0))


def test_psnr_of_a_constant_error_whatever_the_mask():
    image, mask = some_image(), np.random.default_rng(2).random((60, 80)) > 0.4
    for error in (3.0, 10.0):
        assert psnr(image + error, image, mask) == pytest.approx(-20 * np.log10(error / 255), abs=1e-10)


def test_zero_filled_psnr_flatters_by_the_overlap_share():
    image, mask = some_image(), np.random.default_rng(2).random((60, 80)) > 0.4
    other = image + np.random.default_rng(3).normal(0, 5, image.shape)
    expected = psnr(other, image, mask) + 10 * np.log10(1 / mask.mean())
    assert zero_filled_psnr(other, image, mask) == pytest.approx(expected, abs=1e-10)


def test_gain_fitted_psnr_ignores_exposure():
    image, mask = some_image(), np.ones((60, 80), bool)
    assert gain_fitted_psnr(image * 0.7, image, mask) == 60.0


def test_ssim_agrees_with_scikit_image_and_ignores_the_outside():
    image, mask = some_image(), np.zeros((60, 80), bool)
    other = image + np.random.default_rng(3).normal(0, 20, image.shape)
    mask[10:50, 10:70] = True
    filled = np.where(mask[..., None], other, image)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    _, full = structural_similarity(filled, image, channel_axis=2, full=True, **settings)
    assert ssim(other, image, mask) == pytest.approx(full[mask].mean(), abs=1e-3)
    outside = np.where(mask[..., None], other, 0)
    assert ssim(outside, image, mask) == ssim(other, image, mask)
    assert ssim(image, image, mask) == pytest.approx(1)


def test_on_frame_moves_by_whole_pixels():
    canvas = np.arange(12).reshape(3, 4)
    placed = on_frame(canvas, offset=(1, 0), frame=(4, 4), origin=(0, 2))
    assert (placed[2:, :3] == canvas[:2, 1:]).all()
    assert placed[:2].sum() == 0
    assert placed[:, 3].sum() == 0


def test_eroded_takes_the_rim_and_the_frame():
    mask = np.ones((9, 9), bool)
    assert eroded(mask, 1).sum() == 49
    assert eroded(mask, 5).sum() == 0

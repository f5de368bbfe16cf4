"""Levels of parallax: none for homographies, exact for a known residual, and as configured for generated pairs."""

from dataclasses import replace

import torch

from training.data.caster import cast_image
from training.data.pairs import (
    STRONG_PARALLAX,
    PairConfig,
    relative_pose,
    sample_cameras,
    warp_truth,
)
from training.parallax import LEVELS, parallax, parallax_level
from training.pixel_grid import pixel_grid
from training.prealignment import transform
from training.regions import OUTSIDE, OVERLAP

H, W = 48, 64


def homography_flow() -> torch.Tensor:
    homography = torch.tensor([[[1.05, 0.03, 8.0], [-0.02, 0.98, -3.0], [2e-4, -3e-4, 1.0]]], dtype=torch.float64)
    grid = pixel_grid(H, W, homography)[None]
    return transform(homography, grid)[0] - grid


def test_a_homography_has_no_parallax_whatever_the_rest_does() -> None:
    flow, region = homography_flow(), torch.full((1, H, W), OVERLAP, dtype=torch.uint8)
    region[:, :, 40:] = OUTSIDE
    flow[:, :, :, 40:] = 700.0
    assert parallax(flow, region)[0] < 1e-3


def test_a_checkered_residual_counts_in_pixels_of_a_512_pixel_image() -> None:
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    sign = 1.0 - 2.0 * ((x // 2 + y // 2) % 2)  # blocks of the fit's step, so that both signs are fitted
    flow = homography_flow()
    flow[:, 0] += 0.5 * sign
    found = parallax(flow, torch.full((1, H, W), OVERLAP, dtype=torch.uint8))
    torch.testing.assert_close(found, torch.tensor([0.5 * 512 / W]), atol=0.2, rtol=0)


def test_levels_meet_at_2_8_and_20_pixels() -> None:
    values = torch.tensor([0.0, 1.99, 2.0, 7.9, 8.0, 19.0, 20.0, 500.0, torch.nan])
    assert parallax_level(values).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, -1]
    assert LEVELS == ("low", "mid", "high", "extreme")


def test_pairs_without_common_view_have_no_level() -> None:
    assert parallax(homography_flow(), torch.full((1, H, W), OUTSIDE, dtype=torch.uint8)).isnan().all()


def drawn(config: PairConfig, seeds: range) -> tuple[torch.Tensor, torch.Tensor]:
    """Parallax and baselines (shares of the reference's median depth) without rendering any colour."""
    found, baselines = [], []
    for seed in seeds:
        scene, target, reference = sample_cameras(seed, replace(config, height=H, width=W))
        hits = cast_image(scene, target, target.rays())
        truth = warp_truth(scene, target, reference, hits)
        found.append(parallax(truth.flow_2HW[None], truth.region_HW[None]))
        depth = cast_image(scene, reference, reference.rays()).t.median()
        baselines.append(relative_pose(target, reference)[1].norm() / depth)
    return torch.cat(found), torch.stack(baselines)


def test_turning_on_the_spot_has_no_parallax_and_long_baselines_much() -> None:
    still, _ = drawn(PairConfig(baseline=0.0), range(2))
    assert still.max() < 1e-2
    near, near_baseline = drawn(PairConfig(), range(6))
    far, far_baseline = drawn(STRONG_PARALLAX, range(6))
    assert far.nanmedian() > 2 * near.nanmedian()
    # The baseline is a share of the median of a coarse cast of boxes, which misses the exact median a little.
    assert near_baseline.max() < 0.2
    assert far_baseline.min() > 0.05
    assert far_baseline.max() > 0.12
    assert (parallax_level(far) >= 2).float().mean() > 0.5

"""Generated pairs: exact geometry, visibility and the stitched view (stitching specification, sections 2, 6, 12.8)."""

import pytest
import torch
import torch.nn.functional as F

from training.data.camera import Camera, look
from training.data.caster import cast_image
from training.data.draw import Draw
from training.data.pairs import PairConfig, project, relative_pose, render_pairs, sample_cameras, warp_truth
from training.data.photometrics import CLEAN
from training.data.relative_pose import coarse_overlap
from training.data.viewpoint import ViewConfig
from training.regions import OCCLUDED, OVERLAP

CONFIG = PairConfig(height=48, width=64, photometrics=CLEAN, exposure_ev=0.0)
SEEDS = (0, 1, 5, 9)


@pytest.fixture(scope="module")
def pairs():
    return render_pairs(SEEDS, CONFIG)


def positions(pairs):
    """Target pixels and their reference positions, float64 [B, 2, H, W]."""
    height, width = pairs.flow_B2HW.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixel = torch.stack([x, y]).double()
    return pixel.expand(len(pairs.flow_B2HW), -1, -1, -1), pixel + pairs.flow_B2HW.double()


def test_shapes_and_region_shares(pairs):
    assert pairs.stitched_B3hw.shape == (4, 3, 72, 128)
    assert pairs.seen_Bhw.shape == (4, 72, 128)
    assert torch.isfinite(pairs.flow_B2HW).all()
    for region in pairs.region_BHW:
        share = float(((region == OVERLAP) | (region == OCCLUDED)).float().mean())
        assert 0.1 < share < 0.95
    assert (pairs.region_BHW == OVERLAP).float().mean() > 5 * (pairs.region_BHW == OCCLUDED).float().mean()


def test_flow_agrees_with_inverse_depth_and_pose(pairs):
    pixel, landed = positions(pairs)
    for b in range(len(SEEDS)):
        valid = pairs.inverse_depth_BHW[b] > 0
        z = 1.0 / pairs.inverse_depth_BHW[b].double()[valid]
        k_r, k_t = pairs.reference_intrinsics_B33[b].double(), pairs.target_intrinsics_B33[b].double()
        ones = torch.ones(1, int(valid.sum()), dtype=torch.float64)
        point = torch.linalg.inv(k_r) @ torch.cat([landed[b][:, valid], ones]) * z
        back = pairs.rotation_B33[b].double().T @ (point - pairs.translation_B3[b].double()[:, None])
        seen = k_t @ back
        torch.testing.assert_close(seen[:2] / seen[2], pixel[b][:, valid], atol=2e-3, rtol=0)


def test_the_warp_without_colour_is_that_of_rendered_pairs(pairs):
    scene, target, reference = sample_cameras(SEEDS[1], CONFIG)
    truth = warp_truth(scene, target, reference, cast_image(scene, target, target.rays()))
    assert (truth.region_HW == pairs.region_BHW[1]).float().mean() > 0.995  # rounding of rays on edges
    gap = (truth.flow_2HW.float() - pairs.flow_B2HW[1]).abs().amax(0)
    assert gap.quantile(0.99) < 1e-2


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="least_baseline: expected 0 to baseline"):
        PairConfig(least_baseline=0.2)
    with pytest.raises(ValueError, match=r"views\.distortion: expected 0"):
        PairConfig(views=ViewConfig(distortion=0.1))


def test_epipolar_residual_is_negligible(pairs):
    pixel, landed = positions(pairs)
    for b in range(len(SEEDS)):
        t = pairs.translation_B3[b].double()
        cross = torch.tensor([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]], dtype=torch.float64)
        k_r, k_t = pairs.reference_intrinsics_B33[b].double(), pairs.target_intrinsics_B33[b].double()
        fundamental = torch.linalg.inv(k_r).T @ cross @ pairs.rotation_B33[b].double() @ torch.linalg.inv(k_t)
        ones = torch.ones(1, 48 * 64, dtype=torch.float64)
        line = fundamental @ torch.cat([pixel[b].reshape(2, -1), ones])
        distance = (torch.cat([landed[b].reshape(2, -1), ones]) * line).sum(0).abs() / line[:2].norm(dim=0)
        assert float(distance[(pairs.region_BHW[b] > 0).reshape(-1)].max()) < 1e-3


def test_stitched_view_is_the_reference_inside_its_frame(pairs):
    for b in range(len(SEEDS)):
        x0, y0 = (int(v) for v in pairs.canvas_offset_B2[b])
        assert torch.equal(pairs.stitched_B3hw[b, :, y0 : y0 + 48, x0 : x0 + 64], pairs.reference_B3HW[b])
        inside = pairs.seen_Bhw[b, y0 : y0 + 48, x0 : x0 + 64]
        assert (inside & 1).all()
        assert int((pairs.seen_Bhw[b] & 1).sum()) == 48 * 64


def test_overlap_agrees_in_colour_through_the_flow(pairs):
    _, landed = positions(pairs)
    grid = torch.stack([(landed[:, 0] + 0.5) / 64 * 2 - 1, (landed[:, 1] + 0.5) / 48 * 2 - 1], dim=-1).float()
    warped = F.grid_sample(pairs.reference_B3HW, grid, align_corners=False)
    for b in range(len(SEEDS)):
        error = (warped[b] - pairs.target_B3HW[b]).abs().mean(0)
        visible = pairs.region_BHW[b] == OVERLAP
        # Highlights and reflections move with the camera, so that colours agree closely and not exactly.
        assert float(error[visible].median()) < 0.02
        assert float(error[visible].mean()) < 0.05


def test_target_agrees_with_the_stitched_view_where_it_is_seen(pairs):
    _, landed = positions(pairs)
    for b in range(len(SEEDS)):
        on_canvas = (landed[b] + pairs.canvas_offset_B2[b].double()[:, None, None]).round().long()
        x, y = on_canvas
        fits = (x >= 0) & (x < 128) & (y >= 0) & (y < 72) & (pairs.region_BHW[b] != OCCLUDED)
        seen = pairs.seen_Bhw[b][y[fits], x[fits]] & 2
        assert (seen > 0).float().mean() > 0.9
        error = (pairs.stitched_B3hw[b][:, y[fits], x[fits]] - pairs.target_B3HW[b][:, fits]).abs().mean(0)
        assert float(error.median()) < 0.02


def test_a_pair_depends_on_its_seed_alone(pairs):
    for together, single in zip(pairs, render_pairs([SEEDS[1]], CONFIG), strict=True):
        assert torch.equal(together[1], single[0])


def test_exposure_differs_only_when_asked(pairs):
    brighter = render_pairs([SEEDS[0]], PairConfig(height=48, width=64, photometrics=CLEAN, exposure_ev=0.5))
    assert torch.equal(brighter.reference_B3HW[0], pairs.reference_B3HW[0])
    assert not torch.equal(brighter.target_B3HW[0], pairs.target_B3HW[0])


def test_overlap_follows_the_configured_range():
    shares = []
    for seed in range(12):
        scene, target, reference = sample_cameras(seed, CONFIG)
        shares.append(coarse_overlap(scene, target, reference))
    assert min(shares) > 0.1
    assert max(shares) < 0.95
    assert max(shares) - min(shares) > 0.25


def test_pure_rotation_ignores_depth():
    draw = Draw(1)
    first = Camera.centred(look(0.1, 0.0, 0.0), (0.0, -1.4, 0.0), 50.0, 20, 30)
    second = Camera.centred(look(0.3, -0.1, 0.02), (0.0, -1.4, 0.0), 50.0, 20, 30)
    near, _ = project(first, second, torch.full((20, 30), draw.uniform(1, 2)))
    far, _ = project(first, second, torch.full((20, 30), draw.uniform(5, 9)))
    torch.testing.assert_close(near, far, atol=1e-9, rtol=0)
    assert relative_pose(first, second)[1].abs().max() == 0

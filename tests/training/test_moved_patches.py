"""Moved patches keep colours and labels together."""

import torch

from training.moved_patches import MovedPatchesConfig, displacement_field, move_patches
from training.regions import INVALID, OVERLAP


def test_every_pixel_still_lands_on_its_own_colour() -> None:
    """Target = a ramp of x and y, reference = the same ramp, so colour tells where a pixel lands."""
    height, width = 48, 64
    y, x = torch.meshgrid(torch.arange(height) * 1.0, torch.arange(width) * 1.0, indexing="ij")
    target = torch.stack((x, y, x + y)).expand(3, 3, height, width) / 128
    flow = torch.stack((torch.full_like(x, 2.5), torch.full_like(y, -1.25))).expand(3, 2, height, width)
    region = torch.full((3, height, width), OVERLAP, dtype=torch.uint8)
    field = displacement_field(3, height, width, MovedPatchesConfig(probability=1.0), torch.Generator().manual_seed(5))
    moved = move_patches(target, flow, region, torch.ones(3, height, width), field)
    assert moved.moved_B.all()
    assert field.abs().max() <= 0.09 * width
    landed = torch.stack((x, y)) + moved.flow_B2HW - torch.tensor([2.5, -1.25])[:, None, None]
    valid = (moved.region_BHW == OVERLAP)[:, None]
    error = (landed - moved.target_B3HW[:, :2] * 128) * valid
    assert error.abs().max() < 1e-3
    assert 0.5 < valid.float().mean() < 1


def test_labels_at_a_step_of_the_flow_are_those_of_one_side_or_none() -> None:
    """A near half in front of a far one: their flows must not be mixed."""
    height, width = 48, 64
    step = torch.where(torch.arange(width) < width // 2, 0.0, 11.0).expand(3, height, width)
    flow = torch.stack((step, -step / 2), dim=1)
    region = torch.full((3, height, width), OVERLAP, dtype=torch.uint8)
    region[:, :8] = INVALID
    field = displacement_field(3, height, width, MovedPatchesConfig(probability=1.0), torch.Generator().manual_seed(5))
    moved = move_patches(torch.rand(3, 3, height, width), flow, region, 0.1 + step, field)
    valid = moved.region_BHW != INVALID
    fetched = (moved.flow_B2HW - field)[:, 0]
    assert torch.minimum(fetched.abs(), (fetched - 11).abs())[valid].max() < 1e-3
    torch.testing.assert_close(moved.inverse_depth_BHW[valid], 0.1 + fetched[valid], atol=1e-3, rtol=0)
    assert not moved.flow_B2HW.movedim(1, -1)[~valid].any()
    assert not moved.inverse_depth_BHW[~valid].any()
    still = (field == 0).all(dim=1)
    assert torch.equal(moved.region_BHW[still], region[still])
    assert valid.float().mean() > 0.5


def test_without_patches_nothing_changes() -> None:
    field = displacement_field(2, 8, 12, MovedPatchesConfig(probability=0.0), torch.Generator().manual_seed(0))
    region = torch.randint(0, 4, (2, 8, 12), dtype=torch.uint8)
    target, flow = torch.rand(2, 3, 8, 12), torch.randn(2, 2, 8, 12) * (region != INVALID)[:, None]
    moved = move_patches(target, flow, region, torch.rand(2, 8, 12), field)
    assert not moved.moved_B.any()
    assert torch.equal(moved.region_BHW, region)
    torch.testing.assert_close(moved.target_B3HW, target)
    torch.testing.assert_close(moved.flow_B2HW, flow)

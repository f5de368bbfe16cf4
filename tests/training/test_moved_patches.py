"""Moved patches keep colours and labels together."""

import torch

from training.moved_patches import MovedPatchesConfig, displacement_field, move_patches
from training.regions import OVERLAP


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


def test_without_patches_nothing_changes() -> None:
    field = displacement_field(2, 8, 12, MovedPatchesConfig(probability=0.0), torch.Generator().manual_seed(0))
    target, flow = torch.rand(2, 3, 8, 12), torch.randn(2, 2, 8, 12)
    region = torch.randint(0, 4, (2, 8, 12), dtype=torch.uint8)
    moved = move_patches(target, flow, region, torch.rand(2, 8, 12), field)
    assert not moved.moved_B.any()
    assert torch.equal(moved.region_BHW, region)
    torch.testing.assert_close(moved.target_B3HW, target)
    torch.testing.assert_close(moved.flow_B2HW, flow)

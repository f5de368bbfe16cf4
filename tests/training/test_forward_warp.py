"""Exact properties of forward warping, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.dense_warp import dense_gather
from training.forward_warp import canvas_position, close_cracks, forward_warp, splat_sum

NO_OFFSET = torch.zeros(1, 2, dtype=torch.float64)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def shifted_flow(height: int, width: int, dx: float, dy: float = 0.0) -> Tensor:
    return torch.tensor([dx, dy], dtype=torch.float64)[None, :, None, None].expand(1, 2, height, width)


def test_identity_returns_the_image_with_weights_of_one() -> None:
    image = noise(1, 3, 12, 16)
    splat = forward_warp(image, shifted_flow(12, 16, 0), (12, 16), NO_OFFSET)
    assert torch.equal(splat.value_BChw, image)
    assert torch.equal(splat.coverage_B1hw, torch.ones(1, 1, 12, 16, dtype=torch.float64))
    assert torch.equal(splat.weight_B1hw, splat.coverage_B1hw)


def test_integer_shift_puts_two_crops_back_together() -> None:
    wide = noise(1, 3, 10, 30)
    target = wide[..., 12:]
    splat = forward_warp(target, shifted_flow(10, 18, 12, 0), (10, 30), NO_OFFSET)
    assert torch.equal(splat.value_BChw[..., 12:], target)
    assert int((splat.coverage_B1hw > 0.25).sum()) == target[0, 0].numel()
    assert (splat.value_BChw[..., :12] == 0).all()
    by_offset = forward_warp(target, shifted_flow(10, 18, 0), (10, 30), torch.tensor([[12.0, 0.0]]))
    assert torch.equal(by_offset.value_BChw, splat.value_BChw)


def test_mass_is_kept_if_the_canvas_holds_everything() -> None:
    flow, importance = 6 * noise(2, 2, 9, 11, seed=1) - 3, 5 * noise(2, 1, 9, 11, seed=2)
    splat = forward_warp(noise(2, 3, 9, 11), flow, (17, 19), torch.full((2, 2), 4.0), importance_B1HW=importance)
    torch.testing.assert_close(splat.weight_B1hw.sum(), importance.exp().sum(), rtol=1e-13, atol=0)
    torch.testing.assert_close(splat.coverage_B1hw.sum(), torch.tensor(2 * 99.0).double(), rtol=1e-13, atol=0)


def test_a_constant_stays_constant_and_importance_is_relative() -> None:
    flow, importance = 6 * noise(1, 2, 9, 11, seed=1) - 3, 5 * noise(1, 1, 9, 11, seed=2)
    offset = torch.full((1, 2), 4.0)
    flat = forward_warp(torch.full((1, 1, 9, 11), 0.7).double(), flow, (17, 19), offset, importance_B1HW=importance)
    covered = flat.coverage_B1hw > 1e-6
    torch.testing.assert_close(
        flat.value_BChw[covered], torch.full_like(flat.value_BChw[covered], 0.7), rtol=0, atol=1e-7
    )
    image = noise(1, 3, 9, 11)
    plain = forward_warp(image, flow, (17, 19), offset, importance_B1HW=importance)
    raised = forward_warp(image, flow, (17, 19), offset, importance_B1HW=importance + 9)
    torch.testing.assert_close(raised.value_BChw, plain.value_BChw, rtol=0, atol=1e-14)


def test_splatting_is_the_adjoint_of_bilinear_gathering() -> None:
    a, b = noise(1, 2, 7, 9, seed=3), noise(1, 2, 11, 8, seed=4)
    position = torch.stack((10 * noise(7, 9, seed=5) - 1, 13 * noise(7, 9, seed=6) - 1))[None]
    grid = torch.stack((2 * position[:, 0] / 7 - 1, 2 * position[:, 1] / 10 - 1), dim=-1)
    gathered = F.grid_sample(b, grid, align_corners=True)
    left = (splat_sum(a, position, (11, 8)) * b).sum()
    torch.testing.assert_close(left, (a * gathered).sum(), rtol=1e-12, atol=0)


def test_the_nearer_of_two_wins_by_its_importance() -> None:
    image = torch.tensor([[[[1.0, 0.0]]]], dtype=torch.float64)
    flow = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]], dtype=torch.float64)
    importance = torch.tensor([[[[5.0, 25.0]]]], dtype=torch.float64)
    splat = forward_warp(image, flow, (1, 2), NO_OFFSET, importance_B1HW=importance)
    assert splat.value_BChw[0, 0, 0, 1] < 3e-9


@pytest.mark.parametrize("stretch", [1.0, 1.3, 1.7, 1.95, 2.0, 2.4])
def test_coverage_under_stretch_is_at_least_two_minus_the_stretch(stretch: float) -> None:
    columns = torch.arange(400, dtype=torch.float64)
    flow = torch.stack((columns * (stretch - 1), torch.zeros(400).double()))[None, :, None]
    coverage = forward_warp(noise(1, 1, 1, 400), flow, (1, int(399 * stretch)), NO_OFFSET).coverage_B1hw[0, 0, 0, 2:-2]
    least = float(coverage.min())
    assert least >= max(2 - stretch, 0) - 1e-9
    assert least <= max(2 - stretch, 0) + 0.06
    assert (least > 0) == (stretch < 2)


def test_cracks_are_closed_and_disocclusions_are_not() -> None:
    value = torch.full((1, 1, 20, 20), 0.6, dtype=torch.float64)
    flow = torch.zeros(1, 2, 20, 20, dtype=torch.float64)
    flow[:, 0, :, 10:] = 1
    splat = forward_warp(value, flow, (20, 21), NO_OFFSET)
    assert (splat.coverage_B1hw[..., 10] == 0).all()
    closed = close_cracks(splat)
    assert torch.allclose(closed.value_BChw[..., 1:-1, 10], torch.tensor(0.6).double())
    flow[:, 0, :, 10:] = 4
    gap = close_cracks(forward_warp(value, flow, (20, 24), NO_OFFSET))
    assert (gap.coverage_B1hw[..., 2:-2, 10:14] == 0).all()


def test_invalid_pixels_and_wild_flow_contribute_nothing() -> None:
    flow = shifted_flow(6, 6, 0).clone()
    flow[0, :, 0, 0], flow[0, 0, 1, 1], flow[0, 1, 2, 2] = torch.nan, torch.inf, -1e9
    valid = torch.ones(1, 6, 6, dtype=torch.bool)
    valid[0, 3, 3] = False
    splat = forward_warp(noise(1, 3, 6, 6), flow, (6, 6), NO_OFFSET, valid_BHW=valid)
    expected = torch.ones(6, 6)
    expected[[0, 1, 2, 3], [0, 1, 2, 3]] = 0
    assert torch.equal(splat.coverage_B1hw[0, 0], expected.double())
    assert splat.value_BChw.isfinite().all()


def test_gather_is_exact_for_integer_shifts_and_close_for_smooth_flow() -> None:
    image = noise(1, 3, 16, 20)
    alike = torch.zeros(1, 1, 16, 20, dtype=torch.float64)
    warped = dense_gather(image, shifted_flow(16, 20, 5, 3), (19, 25), NO_OFFSET, importance_B1HW=alike, factor=1)
    torch.testing.assert_close(warped.value_BChw[..., 3:, 5:], image, rtol=0, atol=1e-12)
    y, x = torch.meshgrid(torch.arange(48.0).double(), torch.arange(64.0).double(), indexing="ij")

    def texture(x: Tensor, y: Tensor) -> Tensor:
        return (0.5 + 0.25 * torch.sin(x / 5) + 0.2 * torch.cos(y / 4 + x / 9))[None, None]

    flow = torch.stack((2 * torch.sin(y / 11) + 0.3, 1.5 * torch.sin(x / 13)))[None]
    target = texture(x + flow[0, 0], y + flow[0, 1])
    found = dense_gather(target, flow, (48, 64), NO_OFFSET, importance_B1HW=torch.zeros_like(target))
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    assert (found.value_BChw - texture(x, y))[inner].abs().max() < 0.01


def test_gradients_are_those_of_finite_differences() -> None:
    value = noise(1, 2, 4, 5, seed=7).requires_grad_()
    flow = (4 * noise(1, 2, 4, 5, seed=8) - 2).requires_grad_()
    importance = noise(1, 1, 4, 5, seed=9).requires_grad_()

    def warp(value: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
        return splat_sum(value * importance.exp(), canvas_position(flow, torch.ones(1, 2)), (6, 7))

    assert torch.autograd.gradcheck(warp, (value, flow, importance))


def test_half_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="float32"):
        forward_warp(torch.rand(1, 1, 2, 2).half(), torch.zeros(1, 2, 2, 2), (2, 2), torch.zeros(1, 2))

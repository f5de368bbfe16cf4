"""The lookup by matrix products equals bilinear sampling of the volume, and finds a known displacement."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.correlation import correlation_pyramid, hat_weights, lookup


def sampled(volume_BQyx: Tensor, position_B2hw: Tensor, level: int, radius: int) -> Tensor:
    batch, queries, rows, columns = volume_BQyx.shape
    height, width = position_B2hw.shape[-2:]
    offset = torch.arange(-radius, radius + 1, dtype=position_B2hw.dtype)
    centre = (position_B2hw.flatten(2) + 0.5) / 2**level - 0.5
    x = (centre[:, 0, :, None, None] + offset).expand(-1, -1, len(offset), -1)
    y = (centre[:, 1, :, None, None] + offset[:, None]).expand(-1, -1, -1, len(offset))
    grid = torch.stack(((2 * x + 1) / columns - 1, (2 * y + 1) / rows - 1), dim=-1).flatten(0, 1)
    window = F.grid_sample(volume_BQyx.reshape(-1, 1, rows, columns), grid, align_corners=False)
    return window.reshape(batch, queries, -1).transpose(1, 2).reshape(batch, -1, height, width)


@pytest.mark.parametrize("spread", [0.0, 3.0, 40.0])
def test_lookup_is_bilinear_sampling_with_zeros_outside(spread: float) -> None:
    generator = torch.Generator().manual_seed(1)
    query, key = (torch.randn(2, 6, 8, 12, generator=generator, dtype=torch.float64).float() for _ in range(2))
    pyramid = correlation_pyramid(query, key, levels=3)
    position = torch.rand(2, 2, 8, 12, generator=generator) * 12 + spread * torch.randn(
        2, 2, 8, 12, generator=generator
    )
    found = lookup(pyramid, position, radius=2)
    expected = torch.cat([sampled(volume, position, level, 2) for level, volume in enumerate(pyramid.levels)], dim=1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_pooled_keys_give_the_pooled_volume() -> None:
    query, key = torch.randn(1, 5, 4, 6), torch.randn(1, 5, 4, 6)
    pyramid = correlation_pyramid(query, key, levels=2)
    pooled = F.avg_pool2d(pyramid.levels[0][0][:, None], 2)[:, 0]
    torch.testing.assert_close(pyramid.levels[1][0], pooled)


def test_the_window_peaks_at_the_true_displacement() -> None:
    key = F.normalize(torch.randn(1, 64, 10, 14, generator=torch.Generator().manual_seed(2)), dim=1)
    query = torch.roll(key, shifts=(-1, -2), dims=(2, 3))
    y, x = torch.meshgrid(torch.arange(10.0), torch.arange(14.0), indexing="ij")
    window = lookup(correlation_pyramid(query, key, 1), torch.stack((x, y))[None], radius=3)
    best = window[0, :, 2:-3, 2:-3].argmax(dim=0)
    assert (best == (1 + 3) * 7 + (2 + 3)).all()


def test_weights_sum_to_one_inside() -> None:
    weights = hat_weights(torch.tensor([[0.0, 1.25, 3.0, 9.0]]), 4, torch.tensor([0.0]))
    torch.testing.assert_close(weights.sum(dim=-1).flatten(), torch.tensor([1.0, 1.0, 1.0, 0.0]))

"""What a pair without labels still says of its warp: the pictures look alike where both see, and flow is smooth.

Shapes: B batch, H and W of the image.
Convention: flow target -> reference in pixels; pixel centres are integers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.dense import masked_mean
from training.pixel_grid import pixel_grid

LEAST_VARIANCE = 1e-4
"""About a grey level and a half, squared: below it there is noise rather than texture."""


def fetch(image_BCHW: Tensor, flow_B2HW: Tensor) -> Tensor:
    """The image at p + f(p), bilinear, 0 outside."""
    height, width = flow_B2HW.shape[-2:]
    points_B2HW = pixel_grid(height, width, flow_B2HW) + flow_B2HW
    size = flow_B2HW.new_tensor([width, height]).view(1, 2, 1, 1)
    grid_BHW2 = ((2 * points_B2HW + 1) / size - 1).permute(0, 2, 3, 1)
    return F.grid_sample(image_BCHW, grid_BHW2, align_corners=False)


def unlikeness(first_B3HW: Tensor, second_B3HW: Tensor, window: int = 7) -> Tensor:
    """1 - correlation of the grey pictures in `window` x `window` neighbourhoods: [B, H, W] in [0, 2].

    0 for pictures that differ by gain and offset, hence blind to exposure; 1 where there is no texture.
    """
    first, second = (image.float().mean(dim=1, keepdim=True) for image in (first_B3HW, second_B3HW))

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, window, stride=1, padding=window // 2, count_include_pad=False)

    mean_1, mean_2 = mean(first), mean(second)
    variance_1 = (mean(first * first) - mean_1.square()).clamp(min=0)
    variance_2 = (mean(second * second) - mean_2.square()).clamp(min=0)
    covariance = mean(first * second) - mean_1 * mean_2
    scale = ((variance_1 + LEAST_VARIANCE) * (variance_2 + LEAST_VARIANCE)).sqrt()
    return 1.0 - (covariance / scale)[:, 0].clamp(-1.0, 1.0)


def photometric_loss(target_B3HW: Tensor, reference_B3HW: Tensor, flow_B2HW: Tensor, seen_BHW: Tensor) -> Tensor:
    """Mean unlikeness of the target and the reference fetched by the flow, over `seen_BHW` (bool)."""
    return masked_mean(unlikeness(target_B3HW, fetch(reference_B3HW, flow_B2HW)), seen_BHW)


def smoothness_loss(flow_B2HW: Tensor, image_B3HW: Tensor, edge: float = 10.0) -> Tensor:
    """Mean length of the flow's second differences, times exp(-edge * change of the image): 0 for affine flow."""
    total = flow_B2HW.new_zeros(())
    for axis in (-1, -2):
        length = flow_B2HW.shape[axis]
        before, here, after = (flow_B2HW.narrow(axis, start, length - 2) for start in (0, 1, 2))
        change = (image_B3HW.narrow(axis, 2, length - 2) - image_B3HW.narrow(axis, 0, length - 2)).abs()
        weight = torch.exp(-edge * change.mean(dim=1, keepdim=True))
        total = total + (weight * (after - 2 * here + before).abs()).mean()
    return total

"""Colour filtered over 3 x 3 half pixels, sampled nine times only where a pixel is not one smooth surface.

Shape suffixes: H, W image size in pixels; h, w = 2 H + 1, 2 W + 1 half pixels (`Camera.refined`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.shading import Samples

BRIGHTEST = 20.0  # a sample may not outshine its pixel's neighbours for ever
_CREASE = 4e-4


def even_pixels(t_hw: Tensor, which_hw: Tensor) -> Tensor:
    """Pixels [..., H, W] whose 3 x 3 half pixels lie on one smooth surface, so that one sample of colour will do.

    Along a plane 1 / depth is linear in the image: a crease inside a primitive shows in its second difference.
    """
    which = which_hw.float()
    same = F.max_pool2d(which[None], 3, 2)[0] == -F.max_pool2d(-which[None], 3, 2)[0]
    inverse = 1.0 / t_hw
    middle = inverse[..., 1::2, 1::2]
    bend_x = inverse[..., 1::2, 2::2] + inverse[..., 1::2, :-1:2] - 2 * middle
    bend_y = inverse[..., 2::2, 1::2] + inverse[..., :-1:2, 1::2] - 2 * middle
    return same & (torch.maximum(bend_x.abs(), bend_y.abs()) < _CREASE * middle)


def choose_samples(even_HW: Tensor) -> Samples:
    """All pixel centres, row by row, then the half pixels around the uneven ones."""
    height, width = even_HW.shape
    wide = 2 * width + 1
    y, x = torch.arange(height, device=even_HW.device), torch.arange(width, device=even_HW.device)
    centres = ((2 * y[:, None] + 1) * wide + 2 * x[None, :] + 1).reshape(-1)
    wanted = F.conv_transpose2d((~even_HW).float()[None, None], torch.ones(1, 1, 3, 3, device=y.device), stride=2)
    wanted = wanted[0, 0] > 0
    wanted[1::2, 1::2] = False
    extra = wanted.reshape(-1).nonzero()[:, 0]
    size = torch.where(even_HW.reshape(-1), 2.0, 1.0)
    return Samples(torch.cat([centres, extra]), torch.cat([size, torch.ones(len(extra), device=y.device)]))


def half_pixels_filtered(fine_hw: Tensor) -> Tensor:
    """Half pixels [..., h, w] under a 3 x 3 tent around each pixel, [..., H, W]."""
    taps = torch.tensor([0.25, 0.5, 0.25], device=fine_hw.device)
    kernel = taps[:, None] * taps[None, :]
    flat = fine_hw.reshape(-1, 1, *fine_hw.shape[-2:])
    out = F.conv2d(flat, kernel[None, None], stride=2)
    return out.view(*fine_hw.shape[:-2], *out.shape[-2:])

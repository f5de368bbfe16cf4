"""The coordinates of pixels as a tensor."""

import torch
from torch import Tensor


def pixel_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Pixel coordinates [2, height, width], (x, y), in the dtype and on the device of `like`."""
    y = torch.arange(height, device=like.device, dtype=like.dtype)
    x = torch.arange(width, device=like.device, dtype=like.dtype)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))

"""Patches that hide part of a picture, as a thumb, a strap or a passer-by does: what they hide has no label.

Shapes: B batch, 3 RGB or xyz, H and W of the image, h = H / stride and w = W / stride of the labels, K patches.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.virtual_camera import CameraFrames


@dataclass(frozen=True, kw_only=True)
class OccluderConfig:
    """probability: share of images with patches, 0 for none. count: largest number in one image. size: largest
    diameter as a share of the image's shorter side."""

    probability: float = 0.0
    count: int = 2
    size: float = 0.35


def occlude(frames: CameraFrames, config: OccluderConfig, generator: torch.Generator) -> CameraFrames:
    """Frames with turned ellipses and boxes of another image's colours, or of one colour; labels there are invalid.

    A label is invalid (depth 0, class 255, normal 0) where a patch touches any pixel of its stride x stride cell, so
    that no label describes what cannot be seen. Random numbers come from `generator`, on the CPU.
    """
    if config.probability <= 0 or config.count < 1:
        return frames
    image_B3HW = frames.image_B3HW
    batch, _, height, width = image_B3HW.shape
    device = image_B3HW.device
    count = config.count

    def draw(low: float = 0.0, high: float = 1.0) -> Tensor:
        return (low + (high - low) * torch.rand(batch, count, generator=generator)).to(device)[..., None, None]

    present_BK = torch.rand(batch, 1, generator=generator) < config.probability
    number_B1 = torch.randint(1, count + 1, (batch, 1), generator=generator)
    present_BK = (present_BK & (torch.arange(count) < number_B1)).to(device)
    x0, y0 = draw() * width, draw() * height
    longest = min(height, width) / 2 * config.size
    across, down = longest * draw(0.2, 1.0), longest * draw(0.2, 1.0)
    angle, boxed = draw(0, math.pi), draw() < 0.5
    y = torch.arange(height, dtype=torch.float32, device=device)[:, None] - y0
    x = torch.arange(width, dtype=torch.float32, device=device)[None, :] - x0
    u, v = (x * angle.cos() + y * angle.sin()) / across, (y * angle.cos() - x * angle.sin()) / down
    inside = torch.where(boxed, torch.maximum(u.abs(), v.abs()), (u * u + v * v)) <= 1
    hidden_BHW = (inside & present_BK[..., None, None]).any(dim=1)

    plain_B = (torch.rand(batch, generator=generator) < 0.5).to(device)[:, None, None, None]
    colour_B311 = torch.rand(batch, 3, 1, 1, generator=generator).to(device)
    cover_B3HW = torch.where(plain_B, colour_B311, image_B3HW.roll(1, dims=0).flip(-1))
    h, w = frames.depth_Bhw.shape[-2:]
    lost_Bhw = F.max_pool2d(hidden_BHW[:, None].float(), (height // h, width // w))[:, 0] > 0
    return frames._replace(
        image_B3HW=torch.where(hidden_BHW[:, None], cover_B3HW, image_B3HW),
        depth_Bhw=frames.depth_Bhw.masked_fill(lost_Bhw, 0.0),
        label_Bhw=frames.label_Bhw.masked_fill(lost_Bhw, 255),
        normal_B3hw=frames.normal_B3hw.masked_fill(lost_Bhw[:, None], 0.0),
    )

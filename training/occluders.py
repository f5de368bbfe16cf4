"""Patches that hide part of a picture, as a thumb, a strap or a passer-by does: what they hide has no label.

Shapes: B batch, 3 RGB or xyz, H and W of the image, h = H / stride and w = W / stride of the labels, K patches.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

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
    batch, _, height, width = frames.image_B3HW.shape
    device, count = frames.image_B3HW.device, config.count
    number_B1 = torch.randint(1, count + 1, (batch, 1), generator=generator)
    numbers = torch.rand(7, batch, count, generator=generator)
    chosen = (torch.rand(batch, generator=generator) < config.probability).nonzero()[:, 0]
    if not len(chosen):
        return frames
    present_BK = (torch.arange(count) < number_B1)[chosen].to(device)
    share_7BK11 = numbers[:, chosen, :, None, None].to(device)
    chosen = chosen.to(device)
    x0, y0, angle = share_7BK11[0] * width, share_7BK11[1] * height, share_7BK11[2] * math.pi
    across, down = (min(height, width) / 2 * config.size * (0.2 + 0.8 * share) for share in share_7BK11[3:5])
    y = torch.arange(height, dtype=torch.float32, device=device)[:, None] - y0
    x = torch.arange(width, dtype=torch.float32, device=device)[None, :] - x0
    u, v = (x * angle.cos() + y * angle.sin()) / across, (y * angle.cos() - x * angle.sin()) / down
    inside = torch.where(share_7BK11[5] < 0.5, torch.maximum(u.abs(), v.abs()), u * u + v * v) <= 1
    hidden_BHW = (inside & present_BK[..., None, None]).any(dim=1)

    colour_B311 = torch.rand(batch, 3, 1, 1, generator=generator).to(device)[chosen]
    plain_B111 = share_7BK11[6, :, :1] < 0.5
    image_B3HW = frames.image_B3HW.clone()
    cover_B3HW = torch.where(plain_B111, colour_B311, image_B3HW[chosen - 1].flip(-1))
    image_B3HW[chosen] = torch.where(hidden_BHW[:, None], cover_B3HW, image_B3HW[chosen])
    h, w = frames.depth_Bhw.shape[-2:]
    lost_Bhw = torch.zeros_like(frames.depth_Bhw, dtype=torch.bool)
    lost_Bhw[chosen] = F.max_pool2d(hidden_BHW[:, None].float(), (height // h, width // w))[:, 0] > 0
    return frames._replace(
        image_B3HW=image_B3HW,
        depth_Bhw=frames.depth_Bhw.masked_fill(lost_Bhw, 0.0),
        label_Bhw=frames.label_Bhw.masked_fill(lost_Bhw, 255),
        normal_B3hw=frames.normal_B3hw.masked_fill(lost_Bhw[:, None], 0.0),
    )

"""What lies on the canvas of a composition in training, as the service lays it there.

Shapes: B batch, H and W of the photographs, h and w of the canvas.
Convention: canvas pixel = reference pixel + offset; flow target -> reference in pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.pixel_grid import pixel_grid

LARGEST_GAIN = 0.6  # stops


def compensate(target_B3HW: Tensor, reference_B3HW: Tensor, flow_B2HW: Tensor, overlap_BHW: Tensor) -> Tensor:
    """The target times a gain per channel: the median ratio over the overlap, limited to 0.6 stops; in [0, 1].

    Pixels darker than 0.04 or brighter than 0.96 in either photograph do not count; every second pixel is used.
    """
    step = 2
    height, width = flow_B2HW.shape[-2:]
    points_B2HW = (pixel_grid(height, width, flow_B2HW) + flow_B2HW)[:, :, ::step, ::step]
    size = flow_B2HW.new_tensor([width, height]).view(1, 2, 1, 1)
    grid_BHW2 = ((2 * points_B2HW + 1) / size - 1).permute(0, 2, 3, 1)
    found_B3HW = F.grid_sample(reference_B3HW, grid_BHW2, align_corners=False)
    target_small = target_B3HW[:, :, ::step, ::step]
    counted = overlap_BHW[:, None, ::step, ::step]
    for image in (found_B3HW, target_small):
        counted = counted & (image > 0.04) & (image < 0.96)
    ratio = (found_B3HW.clamp(min=0.01) / target_small.clamp(min=0.01)).log()
    ratio = torch.where(counted, ratio, torch.full_like(ratio, float("nan"))).flatten(2)
    gain_B3 = ratio.nanmedian(dim=2).values.nan_to_num(0.0)
    limit = LARGEST_GAIN * 0.6931472
    return (target_B3HW * gain_B3.clamp(-limit, limit).exp()[:, :, None, None]).clamp(0, 1)


def place(reference_B3HW: Tensor, offset_B2: Tensor, height: int, width: int) -> Tensor:
    """The reference and its mask on a canvas, [B, 4, height, width]; what falls outside the canvas is cut."""
    batch, _, rows, columns = reference_B3HW.shape
    canvas_B4hw = reference_B3HW.new_zeros(batch, 4, height, width)
    for b, (x, y) in enumerate(offset_B2.long().tolist()):
        bottom, right = min(height, y + rows), min(width, x + columns)
        canvas_B4hw[b, :3, y:bottom, x:right] = reference_B3HW[b, :, : bottom - y, : right - x]
        canvas_B4hw[b, 3, y:bottom, x:right] = 1.0
    return canvas_B4hw


def smooth_noise(flow_B2HW: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """A smooth random flow of the same shape whose length is about `largest` pixels times a uniform draw per image."""
    batch, _, height, width = flow_B2HW.shape
    coarse = torch.randn(batch, 2, 5, 6, generator=generator) * 0.7
    strength = largest * torch.rand(batch, 1, 1, 1, generator=generator)
    noise = F.interpolate(coarse * strength, size=(height, width), mode="bicubic", align_corners=True)
    return noise.to(flow_B2HW)


def crop_around(maps_BChw: Tensor, wanted_Bhw: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """A part of `size` of every canvas, around a random wanted pixel (the centre if none), inside the canvas."""
    height, width = maps_BChw.shape[-2:]
    rows, columns = min(size[0], height), min(size[1], width)
    parts = []
    for maps, wanted, u in zip(maps_BChw, wanted_Bhw, torch.rand(len(maps_BChw), generator=generator), strict=True):
        places = wanted.flatten().nonzero()[:, 0]
        place = int(places[int(u * len(places))]) if len(places) else (height // 2) * width + width // 2
        top = min(max(place // width - rows // 2, 0), height - rows)
        left = min(max(place % width - columns // 2, 0), width - columns)
        parts.append(maps[:, top : top + rows, left : left + columns])
    return torch.stack(parts)

"""Moved patches: parallax beyond what rendered pairs hold, with exact labels and nothing to render.

Random shapes of the target show another part of it, as if they stood at another depth: T'(p) = T(p + e(p)), with e
constant inside a shape and zero outside all of them. What target pixel p shows then lands where p + e(p) landed, so
that r'(p) = e(p) + r(p + e(p)) holds exactly for any e. Where p + e(p) falls between pixels whose flows differ by more
than a pixel, it shows two surfaces at once and has no label.

Shapes: B batch, C channels, H height, W width.
Convention: pixel centres are integers; e and r in pixels (dx, dy).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.pixel_grid import pixel_grid
from training.regions import INVALID

LARGEST_STEP = 1.0
"""Pixels that the flows of neighbours may differ by on one surface, once their pair is pre-aligned."""


@dataclass(frozen=True, kw_only=True)
class MovedPatchesConfig:
    """probability: share of pairs with patches. patches: the most in one pair. largest: of the displacement, and
    `sides`: range of the half axes, both as shares of the longer side."""

    probability: float = 0.6
    patches: int = 5
    largest: float = 0.09
    sides: tuple[float, float] = (0.05, 0.3)


class MovedPair(NamedTuple):
    """A target with moved patches, its flow and inverse depths (zero where invalid), and its regions."""

    target_B3HW: Tensor
    flow_B2HW: Tensor
    region_BHW: Tensor
    inverse_depth_BHW: Tensor
    moved_B: Tensor


def displacement_field(
    batch: int, height: int, width: int, config: MovedPatchesConfig, generator: torch.Generator
) -> Tensor:
    """e [B,2,H,W]: later shapes cover earlier ones; random numbers come from `generator`, on the CPU."""
    longer = max(height, width)
    grid_2HW = pixel_grid(height, width, torch.zeros(1))
    field_B2HW = torch.zeros(batch, 2, height, width)
    chosen_B = torch.rand(batch, generator=generator) < config.probability
    for _ in range(config.patches):
        draw_B8 = torch.rand(batch, 8, generator=generator)
        centre_B2 = draw_B8[:, :2] * torch.tensor([width, height])
        low, high = config.sides
        axis_B2 = (low + (high - low) * draw_B8[:, 2:4].square()) * longer
        angle_B, exponent_B = draw_B8[:, 4] * torch.pi, torch.where(draw_B8[:, 5] < 0.5, 2.0, 12.0)
        direction_B = draw_B8[:, 6] * 2 * torch.pi
        length_B = draw_B8[:, 7] * config.largest * longer * chosen_B
        offset_B2 = torch.stack((direction_B.cos(), direction_B.sin()), dim=1) * length_B[:, None]
        x_BHW, y_BHW = (grid_2HW - centre_B2[:, :, None, None]).unbind(1)
        cos_B11, sin_B11 = angle_B.cos()[:, None, None], angle_B.sin()[:, None, None]
        across_BHW = (cos_B11 * x_BHW + sin_B11 * y_BHW).abs() / axis_B2[:, 0, None, None]
        along_BHW = (cos_B11 * y_BHW - sin_B11 * x_BHW).abs() / axis_B2[:, 1, None, None]
        power_B11 = exponent_B[:, None, None]
        inside_BHW = across_BHW.pow(power_B11) + along_BHW.pow(power_B11) < 1
        field_B2HW = torch.where(inside_BHW[:, None], offset_B2[:, :, None, None], field_B2HW)
    return field_B2HW


def move_patches(
    target_B3HW: Tensor, flow_B2HW: Tensor, region_BHW: Tensor, inverse_depth_BHW: Tensor, field_B2HW: Tensor
) -> MovedPair:
    """The pair after the displacement `field_B2HW`; pixels that would show something outside the frame, or two surfaces
    at once, are invalid."""
    height, width = flow_B2HW.shape[-2:]
    field_B2HW = field_B2HW.to(flow_B2HW)
    points_B2HW = pixel_grid(height, width, flow_B2HW) + field_B2HW
    size = flow_B2HW.new_tensor([width, height]).view(1, 2, 1, 1)

    def fetch(maps_BCHW: Tensor, mode: str, at_B2HW: Tensor = points_B2HW) -> Tensor:
        grid_BHW2 = ((2 * at_B2HW + 1) / size - 1).permute(0, 2, 3, 1)
        return F.grid_sample(maps_BCHW, grid_BHW2, mode=mode, padding_mode="border", align_corners=False)

    xs, ys = zip(points_B2HW.floor().unbind(1), points_B2HW.ceil().unbind(1), strict=True)
    corners_4B2HW = torch.stack([fetch(flow_B2HW, "nearest", torch.stack((x, y), 1)) for x in xs for y in ys])
    one_surface_BHW = ((corners_4B2HW.amax(0) - corners_4B2HW.amin(0)) <= LARGEST_STEP).all(dim=1)
    inside_BHW = ((points_B2HW >= 0) & (points_B2HW <= size - 1)).all(dim=1)
    fetched_BHW = fetch(region_BHW[:, None].float(), "nearest")[:, 0].round().to(region_BHW.dtype)
    region_BHW = torch.where(inside_BHW & one_surface_BHW, fetched_BHW, torch.zeros_like(fetched_BHW))
    invalid_BHW = region_BHW == INVALID
    return MovedPair(
        target_B3HW=fetch(target_B3HW, "bilinear"),
        flow_B2HW=(field_B2HW + fetch(flow_B2HW, "bilinear")).masked_fill(invalid_BHW[:, None], 0.0),
        region_BHW=region_BHW,
        inverse_depth_BHW=fetch(inverse_depth_BHW[:, None], "nearest")[:, 0].masked_fill(invalid_BHW, 0.0),
        moved_B=field_B2HW.abs().amax(dim=(1, 2, 3)) > 0,
    )

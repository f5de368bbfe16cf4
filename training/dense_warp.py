"""Gathering by splatted inverse displacement with dense source points, as the service warps a photograph.

The way back of every target pixel is splatted onto the canvas, cracks are closed, and the photograph is sampled once.
One point per target pixel leaves cracks where the warp stretches by two and more; a wide view seen from the side is
stretched so. The service takes source points dense enough for that; here every target pixel gives factor^2 points,
which covers stretches up to twice the factor.

Shapes: B batch, H and W of the target, h and w of the canvas.
Convention: pixel centres are integers; flow is target -> reference in pixels; canvas pixel = reference pixel + offset;
dense point i lies at target pixel (i + 0.5) / factor - 0.5.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.stitched_image import COVERED
from training.forward_warp import EMPTY, Splat, close_cracks, splat_sum
from training.pixel_grid import pixel_grid

DEPTH_STEP = 0.15


def dense_gather(
    image_B3HW: Tensor,
    flow_B2HW: Tensor,
    size: tuple[int, int],
    offset_B2: Tensor,
    *,
    importance_B1HW: Tensor,
    valid_BHW: Tensor | None = None,
    inverse_depth_BHW: Tensor | None = None,
    factor: int = 2,
) -> Splat:
    """Colours of the target on a canvas of size (h, w), 0 where coverage is at most 0.25; coverage clipped to 1.

    image_B3HW: [0, 1]. importance_B1HW, valid_BHW: as in `forward_warp`. inverse_depth_BHW: with it, flow is not
    interpolated across depth steps, so that no surface is drawn between an object and what lies behind it; without it,
    flow is interpolated everywhere, as that of a network is.
    """
    height, width = flow_B2HW.shape[-2:]
    fields_B3HW = torch.cat((flow_B2HW, importance_B1HW), dim=1)
    fine_B3 = F.interpolate(fields_B3HW, scale_factor=factor, mode="bilinear", align_corners=False)
    if inverse_depth_BHW is not None:
        step_B1HW = _depth_step(inverse_depth_BHW[:, None])
        nearest_B4 = F.interpolate(torch.cat((fields_B3HW, step_B1HW), dim=1), scale_factor=factor, mode="nearest")
        fine_B3 = torch.where(nearest_B4[:, 3:] > 0, nearest_B4[:, :3], fine_B3)
    fine_flow, fine_importance = fine_B3[:, :2], fine_B3[:, 2:]
    points = (pixel_grid(factor * height, factor * width, flow_B2HW) + 0.5) / factor - 0.5
    used = torch.ones_like(fine_importance)
    if valid_BHW is not None:
        used = F.interpolate(valid_BHW[:, None].to(used), scale_factor=factor, mode="nearest")
    weight = used * fine_importance.exp()
    position = points + fine_flow + offset_B2[:, :, None, None]
    summed = splat_sum(torch.cat((-fine_flow * weight, weight, used), dim=1), position, size)
    numerator, weight_B1hw, coverage_B1hw = summed.split((2, 1, 1), dim=1)
    filled = coverage_B1hw > EMPTY
    back = torch.where(filled, numerator / torch.where(filled, weight_B1hw, 1.0), 0.0)
    back_B2hw, coverage_B1hw, weight_B1hw = close_cracks(Splat(back, coverage_B1hw.clamp(max=1), weight_B1hw))
    place_B2hw = pixel_grid(size[0], size[1], flow_B2HW) - offset_B2[:, :, None, None] + back_B2hw
    extent = place_B2hw.new_tensor((width, height)).view(1, 2, 1, 1)
    grid_Bhw2 = ((2 * place_B2hw + 1) / extent - 1).permute(0, 2, 3, 1)
    sampled = F.grid_sample(image_B3HW, grid_Bhw2, mode="bicubic", padding_mode="border", align_corners=False)
    colour_B3hw = torch.where(coverage_B1hw > COVERED, sampled.clamp(0, 1), 0.0)
    return Splat(colour_B3hw, coverage_B1hw, weight_B1hw)


def _depth_step(inverse_B1HW: Tensor) -> Tensor:
    """1 where inverse depth differs by more than DEPTH_STEP of its larger value within 3x3 pixels."""
    nearest = F.max_pool2d(inverse_B1HW, 3, stride=1, padding=1)
    farthest = -F.max_pool2d(-inverse_B1HW, 3, stride=1, padding=1)
    return (nearest - farthest > DEPTH_STEP * nearest).to(inverse_B1HW.dtype)

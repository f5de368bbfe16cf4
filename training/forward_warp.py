"""Forward warping: target pixels are relocated onto the canvas, several may meet and some places stay empty.

Average splatting, and softmax splatting (Niklaus and Liu, CVPR 2020) whose weight is exp(importance); written from the
papers. Equations: with b(u) = max(0, 1 - |u_x|) max(0, 1 - |u_y|), w = exp(m) and q(p) = p + f(p) + offset,
    N(c) = sum_p b(c - q(p)) w(p) T(p),   D(c) = sum_p b(c - q(p)) w(p),   A(c) = sum_p b(c - q(p)).

Shapes: B batch, C channels, H and W of the target, h and w of the canvas, N = H * W.
Convention: pixel centres are integers; flow is target -> reference (dx, dy) in pixels; canvas pixel = reference pixel +
offset.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.stitched_image import COVERED
from training.pixel_grid import pixel_grid

EMPTY = 1e-6
ENOUGH_NEIGHBOURS = 5


class Splat(NamedTuple):
    """N / D where A > 1e-6 and 0 elsewhere; the coverage A; the weight D."""

    value_BChw: Tensor
    coverage_B1hw: Tensor
    weight_B1hw: Tensor


def canvas_position(flow_B2HW: Tensor, offset_B2: Tensor) -> Tensor:
    """q(p) on the canvas, [B, 2, H, W]."""
    grid_2HW = pixel_grid(flow_B2HW.shape[-2], flow_B2HW.shape[-1], flow_B2HW)
    return grid_2HW + flow_B2HW + offset_B2.to(flow_B2HW)[:, :, None, None]


def splat_sum(value_BCHW: Tensor, position_B2HW: Tensor, size: tuple[int, int]) -> Tensor:
    """sum_p b(c - q(p)) v(p) on a canvas of size (h, w): the adjoint of bilinear sampling with zeros outside.

    Pixels whose position is not finite contribute nothing. Differentiable in values and positions.
    """
    batch, channels = value_BCHW.shape[:2]
    height, width = size
    finite_BHW = torch.isfinite(position_B2HW).all(dim=1)
    position_B2HW = torch.where(finite_BHW[:, None], position_B2HW, torch.full_like(position_B2HW, -2.0))
    x_BN, y_BN = position_B2HW.clamp(-2.0, float(max(height, width) + 2)).flatten(2).unbind(dim=1)
    value_BCN = value_BCHW.flatten(2)
    left_BN, top_BN = x_BN.detach().floor(), y_BN.detach().floor()
    canvas_BCn = value_BCN.new_zeros(batch, channels, height * width)
    for column_BN in (left_BN, left_BN + 1.0):
        for row_BN in (top_BN, top_BN + 1.0):
            inside_BN = (column_BN >= 0) & (column_BN < width) & (row_BN >= 0) & (row_BN < height)
            weight_BN = (1.0 - (x_BN - column_BN).abs()) * (1.0 - (y_BN - row_BN).abs()) * inside_BN
            index_BN = torch.where(inside_BN, row_BN * width + column_BN, torch.zeros_like(row_BN)).long()
            canvas_BCn = canvas_BCn.scatter_add(
                2, index_BN.unsqueeze(1).expand(-1, channels, -1), value_BCN * weight_BN.unsqueeze(1)
            )
    return canvas_BCn.unflatten(2, (height, width))


def forward_warp(
    value_BCHW: Tensor,
    flow_B2HW: Tensor,
    size: tuple[int, int],
    offset_B2: Tensor,
    *,
    importance_B1HW: Tensor | None = None,
    valid_BHW: Tensor | None = None,
) -> Splat:
    """Values of the target relocated onto a canvas of size (h, w).

    value_BCHW: float32 or float64. importance_B1HW: m in [0, 30], None for average splatting; the maximum is never
    subtracted, because distant pixels would underflow and look like holes. valid_BHW: pixels to use, all if None.
    Raises ValueError for another floating type, in which exp(30) and 1 cannot be summed.
    """
    if value_BCHW.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"value: expected float32 or float64, found {value_BCHW.dtype}")
    used_B1HW = torch.ones_like(value_BCHW[:, :1])
    if valid_BHW is not None:
        used_B1HW = used_B1HW * valid_BHW[:, None]
    weight_B1HW = used_B1HW if importance_B1HW is None else used_B1HW * importance_B1HW.to(value_BCHW).exp()
    stacked = torch.cat((value_BCHW * weight_B1HW, weight_B1HW, used_B1HW), dim=1)
    summed = splat_sum(stacked, canvas_position(flow_B2HW, offset_B2), size)
    numerator_BChw, weight_B1hw, coverage_B1hw = summed.split((value_BCHW.shape[1], 1, 1), dim=1)
    filled_B1hw = coverage_B1hw > EMPTY
    safe_B1hw = torch.where(filled_B1hw, weight_B1hw, torch.ones_like(weight_B1hw))
    value_BChw = torch.where(filled_B1hw, numerator_BChw / safe_B1hw, torch.zeros_like(numerator_BChw))
    return Splat(value_BChw, coverage_B1hw, weight_B1hw)


def close_cracks(splat: Splat) -> Splat:
    """Fills uncovered pixels (A <= 0.25) that have at least five covered ones around them with these ones' mean.

    Cracks come from stretching by two and more; disocclusions are wider and stay open, but for their corners.
    """
    value_BChw, coverage_B1hw, weight_B1hw = splat
    covered_B1hw = (coverage_B1hw > COVERED).to(value_BChw.dtype)
    count_B1hw = _sum_3x3(covered_B1hw)
    crack_B1hw = (covered_B1hw == 0) & (count_B1hw >= ENOUGH_NEIGHBOURS)

    def fill(map_BChw: Tensor) -> Tensor:
        mean_BChw = _sum_3x3(map_BChw * covered_B1hw) / count_B1hw.clamp(min=1.0)
        return torch.where(crack_B1hw, mean_BChw, map_BChw)

    return Splat(fill(value_BChw), fill(coverage_B1hw), fill(weight_B1hw))


def _sum_3x3(map_BChw: Tensor) -> Tensor:
    return F.avg_pool2d(map_BChw, 3, stride=1, padding=1, divisor_override=1)

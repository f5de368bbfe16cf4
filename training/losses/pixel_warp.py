"""Losses of the pixel-wise warp: supervision of every iterate, the epipolar constraint, straight lines, and the maps.

Inspired by "Pixel-Wise Warping for Deep Image Stitching" (Kweon et al., AAAI 2023): the paper constrains the warp
outside the overlap by an epipolar and a line-preservation loss; the formulas and weights here are ours.

Shapes: B batch, N iterates, H and W of the image, S segments, J samples along a segment.
Convention: flow target -> reference (dx, dy) in pixels; pixel centres are integers; q^T F p = 0 for a target pixel p
and its place q in the reference. Regions: 0 invalid, 1 overlap (OV), 2 occluded in the reference (OCC), 3 outside the
reference (NOV).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.correlation import hat_weights
from models.pixel_warp import MAX_IMPORTANCE
from training.losses.dense import masked_mean
from training.pixel_grid import pixel_grid
from training.regions import INVALID, OCCLUDED, OUTSIDE, OVERLAP


@dataclass(frozen=True, kw_only=True)
class PixelWarpLossWeights:
    """Weights of the terms. `decay` discounts early iterates, `outside` the pixels that land outside the reference;
    `photometric` and `smoothness` are for pairs without labels."""

    decay: float = 0.8
    outside: float = 0.5
    epipolar: float = 0.1
    line: float = 0.1
    importance: float = 0.5
    confidence: float = 0.2
    matching: float = 5.0
    photometric: float = 0.05
    smoothness: float = 0.005


def sequence_loss(
    iterates: Sequence[Tensor],
    target_flow_B2HW: Tensor,
    region_BHW: Tensor,
    *,
    decay: float = 0.8,
    outside: float = 0.5,
) -> Tensor:
    """sum_i decay^(N - i) (mean over OV and OCC of |f_i - f*|_1 + outside * mean over NOV of |f_i - f*|_1), in pixels.

    Pixels whose true flow is not finite or longer than 1.5 times the longer side are dropped. The weighting of
    iterates is RAFT's (Teed and Deng, ECCV 2020, equation 7).
    """
    if not iterates:
        raise ValueError("iterates: expected at least one flow, found none (the network answers them in training mode)")
    longest = max(target_flow_B2HW.shape[-2:])
    usable_BHW = torch.isfinite(target_flow_B2HW).all(dim=1)
    target_flow_B2HW = torch.where(usable_BHW[:, None], target_flow_B2HW, torch.zeros_like(target_flow_B2HW))
    usable_BHW = usable_BHW & (torch.linalg.vector_norm(target_flow_B2HW, dim=1) <= 1.5 * longest)
    inside_BHW = usable_BHW & ((region_BHW == OVERLAP) | (region_BHW == OCCLUDED))
    outside_BHW = usable_BHW & (region_BHW == OUTSIDE)
    total = target_flow_B2HW.new_zeros(())
    for index, flow_B2HW in enumerate(iterates):
        error_BHW = (flow_B2HW - target_flow_B2HW).abs().sum(dim=1)
        term = masked_mean(error_BHW, inside_BHW) + outside * masked_mean(error_BHW, outside_BHW)
        total = total + decay ** (len(iterates) - 1 - index) * term
    return total


def matching_loss(correlation_BQhw: Tensor, target_flow_B2HW: Tensor, region_BHW: Tensor) -> Tensor:
    """Cross-entropy of each coarse pixel's correlations against its true place in the reference, over OV.

    The direct supervision of global matching (as in LoFTR, Sun et al., CVPR 2021, equation 4, with soft targets): it
    reaches the features without the detour through the refinements, which alone learn to match much later.
    correlation_BQhw: float, Q = h * w coarse target pixels in rows. The place is shared among its four neighbours.
    """
    height, width = correlation_BQhw.shape[-2:]
    stride = target_flow_B2HW.shape[-1] // width
    middle = stride // 2
    flow_B2hw = target_flow_B2HW[:, :, middle::stride, middle::stride]
    overlap_BQ = (region_BHW[:, middle::stride, middle::stride] == OVERLAP).flatten(1)
    centre_B2Q = (pixel_grid(height, width, flow_B2hw) + flow_B2hw / stride).flatten(2)
    here = centre_B2Q.new_zeros(1)
    rows_BQh = hat_weights(centre_B2Q[:, 1], height, here)[:, :, 0]
    columns_BQw = hat_weights(centre_B2Q[:, 0], width, here)[:, :, 0]
    place_BQN = (rows_BQh[..., :, None] * columns_BQw[..., None, :]).flatten(2)
    inside_BQ = place_BQN.sum(dim=-1) > 0.99
    likelihood_BQ = (place_BQN * correlation_BQhw.flatten(2).log_softmax(dim=-1)).sum(dim=-1)
    return masked_mean(-likelihood_BQ, overlap_BQ & inside_BQ)


def fundamental_matrix(
    target_intrinsics_B33: Tensor, reference_intrinsics_B33: Tensor, rotation_B33: Tensor, translation_B3: Tensor
) -> Tensor:
    """F = K_r^-T [t]_x R K_t^-1 of X_r = R X_t + t (Hartley and Zisserman, 2004, equation 9.2), with q^T F p = 0.

    For a reference image resampled by R'(p) = R(H p), the matrix of the pair (T, R') is H^T F.
    """
    zero_B = torch.zeros_like(translation_B3[:, 0])
    x_B, y_B, z_B = translation_B3.unbind(dim=1)
    cross_B33 = torch.stack((zero_B, -z_B, y_B, z_B, zero_B, -x_B, -y_B, x_B, zero_B), dim=1).unflatten(1, (3, 3))
    essential_B33 = cross_B33 @ rotation_B33
    inverse = torch.linalg.inv
    return inverse(reference_intrinsics_B33).transpose(1, 2) @ essential_B33 @ inverse(target_intrinsics_B33)


def has_parallax(translation_B3: Tensor, inverse_depth_BHW: Tensor) -> Tensor:
    """False where the cameras' distance is below 1e-6 of the median depth: F is zero there, or undefined."""
    nearness_B = torch.where(inverse_depth_BHW > 0, inverse_depth_BHW, torch.nan).flatten(1).nanmedian(dim=1).values
    return torch.linalg.vector_norm(translation_B3, dim=1) * torch.nan_to_num(nearness_B) >= 1e-6


def epipolar_distance(flow_B2HW: Tensor, fundamental_B33: Tensor) -> tuple[Tensor, Tensor]:
    """Distance in pixels of p + f(p) from the epipolar line of p, and where that line is well defined.

    It is not near the epipole, where the line's normal is shorter than 1e-3 of the image median, and nowhere if F = 0;
    the distance is 0 there.
    """
    height, width = flow_B2HW.shape[-2:]
    grid_2HW = pixel_grid(height, width, flow_B2HW)
    point_3HW = torch.cat((grid_2HW, torch.ones_like(grid_2HW[:1])))
    line_B3HW = torch.einsum("bij,jhw->bihw", fundamental_B33, point_3HW)
    length_BHW = torch.linalg.vector_norm(line_B3HW[:, :2], dim=1)
    median_B11 = length_BHW.flatten(1).median(dim=1).values[:, None, None]
    defined_BHW = (length_BHW > 1e-3 * median_B11) & (length_BHW > 0)
    landing_B2HW = grid_2HW + flow_B2HW
    signed_BHW = (landing_B2HW * line_B3HW[:, :2]).sum(dim=1) + line_B3HW[:, 2]
    safe_BHW = torch.where(defined_BHW, length_BHW, torch.ones_like(length_BHW))
    distance_BHW = torch.where(defined_BHW, signed_BHW.abs() / safe_BHW, torch.zeros_like(signed_BHW))
    return distance_BHW, defined_BHW


def epipolar_loss(flow_B2HW: Tensor, fundamental_B33: Tensor, region_BHW: Tensor, active_B: Tensor) -> Tensor:
    """Mean over NOV and OCC of min(d, 0.1 diagonal) / diagonal; images with `active_B` false are left out.

    Motion along the line costs nothing, so the term cannot fix depth.
    """
    diagonal = sum(side**2 for side in flow_B2HW.shape[-2:]) ** 0.5
    distance_BHW, defined_BHW = epipolar_distance(flow_B2HW, fundamental_B33)
    hidden_BHW = (region_BHW == OCCLUDED) | (region_BHW == OUTSIDE)
    mask_BHW = hidden_BHW & defined_BHW & active_B[:, None, None]
    return masked_mean(distance_BHW.clamp(max=0.1 * diagonal) / diagonal, mask_BHW)


def sample_at(flow_B2HW: Tensor, point_BSJ2: Tensor) -> Tensor:
    """Bilinear values [B, S, J, 2] of a flow at points (x, y) in pixels; outside the image the border repeats."""
    height, width = flow_B2HW.shape[-2:]
    scale = point_BSJ2.new_tensor((max(width - 1, 1), max(height - 1, 1)))
    normalised_BSJ2 = 2.0 * point_BSJ2 / scale - 1.0
    value_B2SJ = F.grid_sample(flow_B2HW, normalised_BSJ2, mode="bilinear", padding_mode="border", align_corners=True)
    return value_B2SJ.permute(0, 2, 3, 1)


def line_spread(point_BSJ2: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (smaller, larger) [B, S] of the covariance of points along a segment, in squared pixels.

    The smaller one is 0 exactly where the points are collinear; unlike its square root, its gradient is finite there.
    """
    centred_BSJ2 = point_BSJ2 - point_BSJ2.mean(dim=2, keepdim=True)
    c11 = centred_BSJ2[..., 0].square().mean(dim=2)
    c22 = centred_BSJ2[..., 1].square().mean(dim=2)
    c12 = (centred_BSJ2[..., 0] * centred_BSJ2[..., 1]).mean(dim=2)
    root = ((c11 - c22).square() + 4.0 * c12.square() + 1e-12).sqrt()
    return 0.5 * (c11 + c22 - root), 0.5 * (c11 + c22 + root)


def line_loss(flow_B2HW: Tensor, sample_BSJ2: Tensor, valid_BS: Tensor) -> Tensor:
    """Mean over segments of lambda_min / max(lambda_max, 1) of the warped samples: 0 under every homography.

    sample_BSJ2: even samples (x, y) along straight segments of the target (training.losses.line_segments).
    """
    if not bool(valid_BS.any()):
        return flow_B2HW.new_zeros(())
    smaller_BS, larger_BS = line_spread(sample_BSJ2 + sample_at(flow_B2HW, sample_BSJ2))
    return masked_mean(smaller_BS / larger_BS.clamp(min=1.0), valid_BS)


def importance_loss(importance_B1HW: Tensor, inverse_depth_BHW: Tensor) -> Tensor:
    """Mean |m - m*| / 30 with m* = 30 z, z the inverse depth in the reference camera over its maximum in the image."""
    valid_BHW = torch.isfinite(inverse_depth_BHW) & (inverse_depth_BHW > 0)
    inverse_BHW = torch.where(valid_BHW, inverse_depth_BHW, torch.zeros_like(inverse_depth_BHW))
    nearest_B11 = inverse_BHW.flatten(1).amax(dim=1).clamp(min=1e-9)[:, None, None]
    return masked_mean((importance_B1HW[:, 0] / MAX_IMPORTANCE - inverse_BHW / nearest_B11).abs(), valid_BHW)


def confidence_loss(
    confidence_B1HW: Tensor,
    flow_B2HW: Tensor,
    target_flow_B2HW: Tensor,
    region_BHW: Tensor,
    *,
    tolerance: float = 2.0,
) -> Tensor:
    """Binary cross-entropy against [pixel in OV, and its flow, taken as a constant, within `tolerance` pixels]."""
    error_BHW = torch.linalg.vector_norm(torch.nan_to_num(flow_B2HW.detach() - target_flow_B2HW), dim=1)
    right_BHW = (region_BHW == OVERLAP) & (error_BHW < tolerance)
    confidence_BHW = confidence_B1HW[:, 0].clamp(1e-6, 1.0 - 1e-6)
    likelihood_BHW = torch.where(right_BHW, confidence_BHW, 1.0 - confidence_BHW)
    return masked_mean(-likelihood_BHW.log(), region_BHW != INVALID)

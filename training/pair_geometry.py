"""A pair as a network of flow sees it: aligned by a homography, mirrored, with its epipolar geometry.

Shapes: B batch, H and W of the images.
Convention: flow target -> reference in pixels; see training.prealignment for the homography.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.pixel_warp import fundamental_matrix, has_parallax
from training.objectives.objective import Batch
from training.pixel_grid import pixel_grid
from training.prealignment import residual_target, warp_reference
from training.regions import OUTSIDE


class WarpInputs(NamedTuple):
    """A pair as the network sees it, with its labels in that frame; the homography is the identity for a raw pair.

    rigid_B: bool, the pair still shows one rigid scene, so that its epipolar geometry holds.
    """

    target_B3HW: Tensor
    reference_B3HW: Tensor
    flow_B2HW: Tensor
    region_BHW: Tensor
    inverse_depth_BHW: Tensor
    homography_B33: Tensor
    rigid_B: Tensor


def align(
    target_B3HW: Tensor,
    reference_B3HW: Tensor,
    flow_B2HW: Tensor,
    region_BHW: Tensor,
    inverse_depth_BHW: Tensor,
    homography_B33: Tensor,
) -> WarpInputs:
    """The pair with its reference warped into the target's frame, and the residual flow as its label.

    Pixels whose residual is undefined become invalid; overlap and occluded pixels that land outside the warped
    reference become NOV, since the network cannot see their place.
    """
    height, width = flow_B2HW.shape[-2:]
    flow_B2HW = torch.where(region_BHW[:, None] > 0, flow_B2HW, torch.zeros_like(flow_B2HW))
    residual_B2HW, defined_BHW = residual_target(flow_B2HW, homography_B33)
    landing_B2HW = pixel_grid(height, width, residual_B2HW) + residual_B2HW
    size = residual_B2HW.new_tensor([width - 0.5, height - 0.5]).view(1, 2, 1, 1)
    inside_BHW = ((landing_B2HW >= -0.5) & (landing_B2HW < size)).all(dim=1)
    region_BHW = torch.where(inside_BHW | (region_BHW == 0), region_BHW, torch.full_like(region_BHW, OUTSIDE))
    region_BHW = torch.where(defined_BHW, region_BHW, torch.zeros_like(region_BHW))
    aligned_B3HW = warp_reference(reference_B3HW, homography_B33)
    rigid_B = torch.ones(len(flow_B2HW), dtype=torch.bool, device=flow_B2HW.device)
    return WarpInputs(target_B3HW, aligned_B3HW, residual_B2HW, region_BHW, inverse_depth_BHW, homography_B33, rigid_B)


def mirrored(batch: Batch, mirror_B: Tensor) -> Batch:
    """The batch with some pairs mirrored left to right; X_r = R X_t + t becomes S R S, S t with S = diag(-1, 1, 1).

    Principal points must lie at the centre, as the generator puts them. A fundamental matrix F in place of cameras
    becomes M F M, M the mirror of the image's columns.
    """
    mirror_B = mirror_B.to(batch["flow"].device)
    result = dict(batch)
    for name in ("target", "reference", "flow", "region", "inverse_depth"):
        value = batch[name]
        chosen_B = mirror_B.view(-1, *(1,) * (value.ndim - 1))
        result[name] = torch.where(chosen_B, value.flip(-1), value)
    sign_B = torch.where(mirror_B, -1.0, 1.0)
    direction_B2 = torch.stack((sign_B, torch.ones_like(sign_B)), dim=1)
    axes_B3 = F.pad(direction_B2, (0, 1), value=1.0)
    result["flow"] = result["flow"] * direction_B2[:, :, None, None]
    if "fundamental" in batch:
        fundamental_B33 = batch["fundamental"]
        columns = torch.diag(fundamental_B33.new_tensor([-1.0, 1.0, 1.0]))
        columns[0, 2] = batch["flow"].shape[-1] - 1
        turned_B33 = columns.T @ fundamental_B33 @ columns
        result["fundamental"] = torch.where(mirror_B[:, None, None], turned_B33, fundamental_B33)
        return result
    result["rotation"] = batch["rotation"] * axes_B3[:, :, None] * axes_B3[:, None, :]
    result["translation"] = batch["translation"] * axes_B3
    return result


def pair_fundamental(batch: Batch) -> Tensor:
    """The pairs' fundamental matrices, float64: as they come, else of their cameras."""
    if "fundamental" in batch:
        return batch["fundamental"].double()
    cameras = ("target_intrinsics", "reference_intrinsics", "rotation", "translation")
    return fundamental_matrix(*(batch[name].double() for name in cameras))


def pair_has_parallax(batch: Batch) -> Tensor:
    """bool [B]: whether the pair's camera moved, so that it has epipolar lines."""
    if "fundamental" in batch:
        return batch["fundamental"].flatten(1).norm(dim=1) > 0
    return has_parallax(batch["translation"], batch["inverse_depth"])

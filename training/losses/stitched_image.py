"""Losses of the Stitched Image Generating Module (SIGMo) over its branches.

Inspired by "Pixel-Wise Warping for Deep Image Stitching" (Kweon et al., AAAI 2023), which trains it "with a
multi-branch framework" without saying how; branches, terms and weights are ours: B1 warps by the true flow (holes and
seams), B2 by the predicted flow (misalignment), B3 shows the truth itself (identity). No perceptual term: it would need
weights of a network trained elsewhere.

Shapes: B batch, h and w of the canvas.
Convention: images in [0, 1]; a mask or weight map is [B, 1, h, w].
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

GT_WARP, PREDICTED_WARP, CLEAN = "gt_warp", "predicted_warp", "clean"


@dataclass(frozen=True, kw_only=True)
class StitchedImageLossWeights:
    """Weights of the branches and of the terms within each."""

    gt_warp: float = 1.0
    predicted_warp: float = 1.0
    clean: float = 0.25
    gradient: float = 0.5
    agreement: float = 0.1
    holes: float = 0.1


_DEFAULT = StitchedImageLossWeights()


def weighted_mean(error_B3hw: Tensor, weight_B1hw: Tensor) -> Tensor:
    """sum(weight * mean over channels of the error) / sum(weight); 0 if all weights are."""
    return (error_B3hw.mean(dim=1, keepdim=True) * weight_B1hw).sum() / weight_B1hw.sum().clamp(min=1e-6)


def supervision_weight(seen_Bhw: Tensor, hole_B1hw: Tensor, holes: float = _DEFAULT.holes) -> Tensor:
    """V of the losses: 1 where a camera sees the pixel (depth-tested), `holes` in other interior holes, 0 elsewhere."""
    seen_B1hw = (seen_Bhw != 0).unsqueeze(1)
    return torch.where(seen_B1hw, 1.0, holes * hole_B1hw.float())


def gradient_difference(image_B3hw: Tensor, target_B3hw: Tensor, weight_B1hw: Tensor) -> Tensor:
    """Weighted mean of |difference of finite differences|, both ways; a pair weighs what its lesser pixel does."""
    error_B3hw = image_B3hw - target_B3hw
    across = (error_B3hw[..., :, 1:] - error_B3hw[..., :, :-1]).abs()
    down = (error_B3hw[..., 1:, :] - error_B3hw[..., :-1, :]).abs()
    across_weight = torch.minimum(weight_B1hw[..., :, 1:], weight_B1hw[..., :, :-1])
    down_weight = torch.minimum(weight_B1hw[..., 1:, :], weight_B1hw[..., :-1, :])
    return weighted_mean(across, across_weight) + weighted_mean(down, down_weight)


def branch_loss(image_B3hw: Tensor, target_B3hw: Tensor, weight_B1hw: Tensor, gradient: float = 0.5) -> Tensor:
    """L1 plus `gradient` times the L1 of image gradients, over V."""
    return weighted_mean((image_B3hw - target_B3hw).abs(), weight_B1hw) + gradient * gradient_difference(
        image_B3hw, target_B3hw, weight_B1hw
    )


def stitched_image_loss(
    images: Mapping[str, Tensor],
    target_B3hw: Tensor,
    branch_weight: Mapping[str, Tensor],
    overlap_B1hw: Tensor,
    weights: StitchedImageLossWeights = _DEFAULT,
) -> dict[str, Tensor]:
    """The total, and each term before its weight.

    images: branch name ("gt_warp", "predicted_warp", "clean"; any subset) to a composed image [B, 3, h, w].
    branch_weight: the same names to V [B, 1, h, w]. overlap_B1hw: where both photographs see, for the agreement of
    B2 with B1 (B1 taken as a constant). Raises ValueError for an unknown branch name or one without a weight.
    """
    factors = {GT_WARP: weights.gt_warp, PREDICTED_WARP: weights.predicted_warp, CLEAN: weights.clean}
    unknown = sorted(set(images) - set(factors))
    if unknown:
        raise ValueError(f"images: expected names among {sorted(factors)}, found {unknown}")
    if set(branch_weight) != set(images):
        raise ValueError(f"branch_weight: expected names {sorted(images)}, found {sorted(branch_weight)}")
    terms: dict[str, Tensor] = {}
    total = target_B3hw.new_zeros(())
    for name, image_B3hw in images.items():
        terms[name] = branch_loss(image_B3hw, target_B3hw, branch_weight[name], weights.gradient)
        total = total + factors[name] * terms[name]
    if GT_WARP in images and PREDICTED_WARP in images:
        difference_B3hw = (images[PREDICTED_WARP] - images[GT_WARP].detach()).abs()
        terms["agreement"] = weighted_mean(difference_B3hw, overlap_B1hw.to(difference_B3hw))
        total = total + weights.agreement * terms["agreement"]
    return {"total": total, **terms}

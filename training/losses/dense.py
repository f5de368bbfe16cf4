"""Losses of the dense tasks. Pure functions; a pixel without a valid label changes neither value nor gradient.

Shapes: B batch, C classes, H height, W width, of prediction and label alike (labels are resized beforehand).
Convention: depth is z in metres with 0 invalid; normals are unit vectors in the camera frame, a zero vector is
invalid; label 255 is ignored.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE_LABEL = 255


@dataclass(frozen=True, kw_only=True)
class DepthLossWeights:
    """Weights of the terms of `depth_loss`, and the number of scales of its gradient term."""

    metric: float = 1.0
    scale_invariant: float = 0.5
    gradient: float = 0.5
    scales: int = 4


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` is true; 0 with a zero gradient if it is true nowhere."""
    kept = torch.where(mask, values, torch.zeros_like(values))
    return kept.sum() / mask.sum().clamp(min=1)


def depth_valid(target_BHW: Tensor) -> Tensor:
    """Where a depth label is usable: finite and positive."""
    return torch.isfinite(target_BHW) & (target_BHW > 0)


def log_difference(pred_BHW: Tensor, target_BHW: Tensor) -> tuple[Tensor, Tensor]:
    """log(pred) - log(target), 0 where the target is invalid, and the mask of valid pixels."""
    valid_BHW = depth_valid(target_BHW)
    safe_BHW = torch.where(valid_BHW, target_BHW, torch.ones_like(target_BHW))
    pred_BHW = torch.where(valid_BHW, pred_BHW, torch.ones_like(pred_BHW))
    return pred_BHW.log() - safe_BHW.log(), valid_BHW


def scale_invariant_log(difference_BHW: Tensor, valid_BHW: Tensor) -> Tensor:
    """Standard deviation over each image of the log difference, averaged over images.

    Eigen, Puhrsch and Fergus, NIPS 2014, equation 4 with lambda = 1; we take the square root, as later works do, with
    1e-6 inside it so that the gradient stays finite at a perfect prediction.
    """
    count_B = valid_BHW.sum(dim=(1, 2)).clamp(min=1)
    mean_B = difference_BHW.sum(dim=(1, 2)) / count_B
    centred_BHW = torch.where(valid_BHW, difference_BHW - mean_B[:, None, None], torch.zeros_like(difference_BHW))
    deviation_B = (centred_BHW.square().sum(dim=(1, 2)) / count_B + 1e-6).sqrt()
    return masked_mean(deviation_B, valid_BHW.any(dim=2).any(dim=1))


def gradient_matching(difference_BHW: Tensor, valid_BHW: Tensor, scales: int) -> Tensor:
    """Mean |gradient of the log difference| over `scales` halvings by subsampling, summed over both directions.

    Li and Snavely (MegaDepth), CVPR 2018, equation 5. A finite difference counts where both its pixels are valid.
    """
    total = difference_BHW.new_zeros(())
    for scale in range(scales):
        diff, mask = difference_BHW[:, :: 2**scale, :: 2**scale], valid_BHW[:, :: 2**scale, :: 2**scale]
        total = total + masked_mean((diff[:, :, 1:] - diff[:, :, :-1]).abs(), mask[:, :, 1:] & mask[:, :, :-1])
        total = total + masked_mean((diff[:, 1:] - diff[:, :-1]).abs(), mask[:, 1:] & mask[:, :-1])
    return total / scales


def depth_loss(pred_BHW: Tensor, target_BHW: Tensor, weights: DepthLossWeights | None = None) -> Tensor:
    """Depth in log space: metric L1, scale-invariant deviation and multi-scale gradient matching.

    pred_BHW: float, metres > 0. target_BHW: float, metres, 0 or not finite where unknown. Answers a scalar >= 0.
    """
    _require_same("target", target_BHW, pred_BHW)
    weights = weights or DepthLossWeights()
    difference_BHW, valid_BHW = log_difference(pred_BHW, target_BHW)
    return (
        weights.metric * masked_mean(difference_BHW.abs(), valid_BHW)
        + weights.scale_invariant * scale_invariant_log(difference_BHW, valid_BHW)
        + weights.gradient * gradient_matching(difference_BHW, valid_BHW, weights.scales)
    )


def normal_loss(pred_B3HW: Tensor, target_B3HW: Tensor, angular: float = 0.5) -> Tensor:
    """Mean of (1 - cosine) and `angular` times the angle in radians.

    pred_B3HW: float unit vectors. target_B3HW: float vectors of any length; shorter than 0.5 is invalid.
    The angle is atan2(|p x t|, p . t), whose gradient is finite also where both agree. Answers a scalar >= 0.
    """
    _require_same("target", target_B3HW, pred_B3HW)
    valid_BHW = torch.linalg.vector_norm(target_B3HW, dim=1) > 0.5
    target_B3HW = F.normalize(target_B3HW, dim=1)
    cosine_BHW = (pred_B3HW * target_B3HW).sum(dim=1)
    cross_B3HW = torch.linalg.cross(pred_B3HW, target_B3HW, dim=1)
    sine_BHW = (cross_B3HW.square().sum(dim=1) + 1e-8).sqrt()
    return masked_mean(1.0 - cosine_BHW + angular * torch.atan2(sine_BHW, cosine_BHW), valid_BHW)


def normals_of_depth(depth_BHW: Tensor, focal_B: Tensor, reach: int = 2) -> Tensor:
    """Unit normals towards the camera [B,3,H,W] of a depth map, exact on planes; its scale does not matter.

    depth_BHW: > 0, with focal length focal_B in its own pixels and the principal point in its centre. Inverse depth of
    a plane is linear in the pixel, so differences over `reach` pixels to both sides give the plane; the outermost
    `reach` pixels repeat their neighbours' normals.
    """
    inverse_BHW = 1.0 / depth_BHW
    height, width = depth_BHW.shape[-2:]
    inner = inverse_BHW[:, reach:-reach, reach:-reach]
    slope_x = (inverse_BHW[:, reach:-reach, 2 * reach :] - inverse_BHW[:, reach:-reach, : -2 * reach]) / (2 * reach)
    slope_y = (inverse_BHW[:, 2 * reach :, reach:-reach] - inverse_BHW[:, : -2 * reach, reach:-reach]) / (2 * reach)
    column_W = torch.arange(reach, width - reach, device=depth_BHW.device) - (width - 1) / 2
    row_H1 = (torch.arange(reach, height - reach, device=depth_BHW.device) - (height - 1) / 2)[:, None]
    away_B3hw = torch.stack(
        (
            slope_x * focal_B[:, None, None],
            slope_y * focal_B[:, None, None],
            inner - slope_x * column_W - slope_y * row_H1,
        ),
        dim=1,
    )
    return -F.pad(F.normalize(away_B3hw, dim=1, eps=1e-12), (reach, reach, reach, reach), mode="replicate")


def coherence_loss(pred_BHW: Tensor, depth_BHW: Tensor, normal_B3HW: Tensor, focal_B: Tensor) -> Tensor:
    """Mean 1 - cosine between the normals of a predicted depth map and the labelled ones: depth and normals agree.

    Only where the labelled depth itself gives the labelled normal within 18 degrees, so that borders of objects and
    rounded edges do not count (compare GeoNet, Qi et al., CVPR 2018, depth to normals). pred_BHW: metres > 0;
    depth_BHW: label, 0 invalid; normal_B3HW: label, zero invalid; focal_B: pixels of these maps. A scalar >= 0.
    """
    _require_same("depth", depth_BHW, pred_BHW)
    with torch.no_grad():
        valid_BHW = depth_valid(depth_BHW)
        known_BHW = -F.max_pool2d(-valid_BHW[:, None].float(), 5, stride=1, padding=2)[:, 0] > 0
        labelled = normals_of_depth(torch.where(valid_BHW, depth_BHW, torch.ones_like(depth_BHW)), focal_B)
        flat_BHW = known_BHW & ((labelled * normal_B3HW).sum(dim=1) > 0.95)
        flat_BHW[:, :2] = flat_BHW[:, -2:] = flat_BHW[:, :, :2] = flat_BHW[:, :, -2:] = False
    cosine_BHW = (normals_of_depth(pred_BHW, focal_B) * normal_B3HW).sum(dim=1)
    return masked_mean(1.0 - cosine_BHW, flat_BHW)


def balanced_class_weights(label_BHW: Tensor, classes: int, exponent: float) -> Tensor:
    """Weights float32 [classes] of a batch: (its share of the labelled pixels) ** -exponent, mean 1 over the pixels.

    exponent: 0 weighs pixels equally, 1 weighs classes equally. Shares below 0.1 % count as 0.1 %, so that a few
    pixels of a rare class cannot rule a batch.
    """
    known = label_BHW[label_BHW != IGNORE_LABEL].long()
    share_C = torch.bincount(known, minlength=classes)[:classes].float() / max(1, known.numel())
    weight_C = share_C.clamp(min=1e-3) ** -exponent
    return weight_C / (share_C * weight_C).sum().clamp(min=1e-6)


def segmentation_loss(logits_BCHW: Tensor, label_BHW: Tensor, class_weights_C: Tensor | None = None) -> Tensor:
    """Cross-entropy, 255 ignored; a weighted mean over valid pixels if class weights are given.

    logits_BCHW: float. label_BHW: integer, 0..C-1 or 255. Answers a scalar >= 0, and 0 if every pixel is ignored.
    """
    if label_BHW.shape != logits_BCHW.shape[:1] + logits_BCHW.shape[2:]:
        raise ValueError(
            f"label: expected shape [B, H, W] of logits {list(logits_BCHW.shape)}, found {list(label_BHW.shape)}"
        )
    label_BHW = label_BHW.long()
    loss_BHW = F.cross_entropy(
        logits_BCHW, label_BHW, weight=class_weights_C, ignore_index=IGNORE_LABEL, reduction="none"
    )
    valid_BHW = label_BHW != IGNORE_LABEL
    if class_weights_C is None:
        return masked_mean(loss_BHW, valid_BHW)
    pixel_weights_BHW = class_weights_C[label_BHW.clamp(max=len(class_weights_C) - 1)] * valid_BHW
    return loss_BHW.sum() / pixel_weights_BHW.sum().clamp(min=1e-6)


def _require_same(name: str, found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape:
        raise ValueError(f"{name}: expected shape {list(expected.shape)}, found {list(found.shape)}")

"""Losses of the dense tasks as MTI-Net (ECCV 2020) and MT-CP (WACV 2025) use them. Pure functions.

Every one takes a raw map at the label's size, answers a scalar, and leaves pixels without a valid label out of value
and gradient. `task_loss` picks one by the task's name and resizes the map first.

Shapes: B batch, O output channels, h and w of a map, H and W of its label.
Convention: segmentation, parts, saliency and edges are integers with 255 ignored; depth is z in metres, 0 invalid;
normals are unit vectors in the camera frame, the zero vector is invalid.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.dense import IGNORE_LABEL, depth_valid, masked_mean, segmentation_loss

NormalsLoss = Literal["unit_l1", "l1", "mse"]
DepthLoss = Literal["l1", "mse"]
Mean = Callable[[Tensor, Tensor], Tensor]
"""Of values where a mask is true: `masked_mean` over the batch, `image_mean` over each image."""


@dataclass(frozen=True, kw_only=True)
class TaskLossConfig:
    """Which form of a loss where the papers differ; the defaults are MTI-Net's.

    depth_limit: metres; labels from there on are left out (MT-CP: 6.5535). normals: of the final maps, L1 of the
    unit-normalised map, or L1 or mean squared error of the map as it is. intermediate_normals: the same for maps inside
    the network. edge_beta: weight of edge pixels; None takes the share of other pixels in the batch, as for saliency.
    """

    depth_limit: float | None = None
    normals: NormalsLoss = "unit_l1"
    intermediate_normals: NormalsLoss = "unit_l1"
    edge_beta: float | None = 0.95
    depth: DepthLoss = "l1"


def task_loss(
    task: str,
    map_BOhw: Tensor,
    label: Tensor,
    config: TaskLossConfig,
    *,
    final: bool = True,
    mean: Mean = masked_mean,
) -> Tensor:
    """The loss of one raw map, after a bilinear resize to the label's size.

    label: [B, H, W], for normals [B, 3, H, W]. mean: what values and the balance of classes are averaged over. Raises
    ValueError for an unknown task or a map of the wrong channels.
    """
    map_BOHW = resized(map_BOhw, label.shape[-2:])
    channels = {"depth": 1, "normals": 3, "saliency": 1, "edges": 1}.get(task, map_BOHW.shape[1])
    if map_BOHW.shape[1] != channels:
        raise ValueError(f"{task}: expected a map of {channels} channels, found shape {list(map_BOhw.shape)}")
    if task in ("segmentation", "parts"):
        return segmentation_loss(map_BOHW, label) if mean is masked_mean else cross_entropy(map_BOHW, label, mean)
    if task == "depth":
        return depth_error(map_BOHW[:, 0], label, config.depth, config.depth_limit, mean)
    if task == "normals":
        return normals_loss(map_BOHW, label, config.normals if final else config.intermediate_normals, mean)
    if task in ("saliency", "edges"):
        return balanced_bce(map_BOHW[:, 0], label, config.edge_beta if task == "edges" else None, mean)
    raise ValueError(f"task: expected one of the dense tasks, found {task!r}")


def image_mean(values: Tensor, mask: Tensor) -> Tensor:
    """[B]: the mean of each image's `values` [B, ...] where `mask` is true; 0 with a zero gradient if it is nowhere."""
    kept = torch.where(mask, values, 0.0)
    return kept.flatten(1).sum(dim=1) / mask.flatten(1).sum(dim=1).clamp(min=1)


def cross_entropy(logits_BCHW: Tensor, label_BHW: Tensor, mean: Mean) -> Tensor:
    """`segmentation_loss` with another mean."""
    label_BHW = label_BHW.long()
    loss_BHW = F.cross_entropy(logits_BCHW, label_BHW, ignore_index=IGNORE_LABEL, reduction="none")
    return mean(loss_BHW, label_BHW != IGNORE_LABEL)


def resized(map_BOhw: Tensor, size: tuple[int, ...]) -> Tensor:
    """The map at another size as float32: bilinear, half-pixel centres."""
    if map_BOhw.shape[-2:] == torch.Size(size):
        return map_BOhw.float()
    return F.interpolate(map_BOhw.float(), size=tuple(size), mode="bilinear", align_corners=False)


def depth_error(
    depth_BHW: Tensor, label_BHW: Tensor, form: DepthLoss, limit: float | None = None, mean: Mean = masked_mean
) -> Tensor:
    """Mean absolute ("l1", metres) or squared ("mse", square metres) error over valid pixels, with `limit` over those
    whose label lies below it."""
    valid_BHW = depth_valid(label_BHW)
    if limit is not None:
        valid_BHW = valid_BHW & (label_BHW < limit)
    difference_BHW = depth_BHW - torch.where(valid_BHW, label_BHW, 0.0)
    return mean(difference_BHW.square() if form == "mse" else difference_BHW.abs(), valid_BHW)


def normals_loss(map_B3HW: Tensor, label_B3HW: Tensor, form: NormalsLoss, mean: Mean = masked_mean) -> Tensor:
    """Mean over the elements, three a pixel, of valid pixels.

    "unit_l1" divides the map by its length + 1e-12 first (MTI-Net), "l1" and "mse" take it as it is (MT-CP). ATRC and
    InvPT divide by pixels instead, which is three times larger.
    """
    valid_BHW = label_B3HW.abs().sum(dim=1) > 0
    if form == "unit_l1":
        # The square root's gradient is infinite at 0, where the map has no direction and the label cannot give one.
        square_B1HW = map_B3HW.square().sum(dim=1, keepdim=True)
        length_B1HW = torch.where(square_B1HW > 0, square_B1HW, 1.0).sqrt()
        map_B3HW = map_B3HW / (length_B1HW + 1e-12)
    difference_B3HW = map_B3HW - label_B3HW
    error_B3HW = difference_B3HW.square() if form == "mse" else difference_B3HW.abs()
    return mean(error_B3HW, valid_BHW[:, None].expand_as(error_B3HW))


def balanced_bce(logits_BHW: Tensor, label_BHW: Tensor, beta: float | None = None, mean: Mean = masked_mean) -> Tensor:
    """[beta * sum over positives + (1 - beta) * sum over negatives] / pixels, of the binary cross-entropy.

    beta: weight of the positives; None takes the share of negatives among the valid pixels that `mean` averages over,
    as a rule the batch (Xie and Tu, ICCV 2015, equation 2).
    """
    valid_BHW = label_BHW != IGNORE_LABEL
    positive_BHW = label_BHW == 1
    share = 1 - mean(positive_BHW.float(), valid_BHW) if beta is None else logits_BHW.new_tensor(beta)
    share = share.reshape(-1, 1, 1)
    loss_BHW = F.binary_cross_entropy_with_logits(logits_BHW, positive_BHW.float(), reduction="none")
    return mean(torch.where(positive_BHW, share, 1 - share) * loss_BHW, valid_BHW)


def log_projection(loss: Tensor) -> Tensor:
    """log(L + 1 + 1e-6): non-negative, with slope 1 / (1 + L), so that no task's scale rules the sum (MT-CP)."""
    return torch.log(loss + (1 + 1e-6))

"""The losses of `training.losses.tasks` image by image, for weightings that look at single images.

Shapes: B batch, O output channels, H and W of the label; maps are brought to that size first.
"""

from typing import NamedTuple

from torch import Tensor

from training.losses.dense import IGNORE_LABEL, depth_valid
from training.losses.tasks import TaskLossConfig, image_mean, resized, task_loss


class ImageLosses(NamedTuple):
    """One task's loss for every image of a batch."""

    loss_B: Tensor
    """Mean over the image's own valid pixels."""
    valid_B: Tensor
    """bool; False for an image without a valid pixel, whose loss means nothing."""
    map_BOHW: Tensor | None = None
    """What was compared, float32 at the label's size, for weightings that form losses of their own."""
    label: Tensor | None = None


def per_image_loss(
    task: str, map_BOhw: Tensor, label: Tensor, config: TaskLossConfig, *, final: bool = True
) -> ImageLosses:
    """`task_loss` of each image alone: means over its own valid pixels, classes balanced within the image."""
    map_BOHW = resized(map_BOhw, label.shape[-2:])
    loss_B = task_loss(task, map_BOHW, label, config, final=final, mean=image_mean)
    return ImageLosses(loss_B, valid_images(task, label, config), map_BOHW, label)


def valid_images(task: str, label: Tensor, config: TaskLossConfig) -> Tensor:
    """bool [B]: whether an image has a pixel that counts."""
    if task == "depth":
        valid = depth_valid(label)
        if config.depth_limit is not None:
            valid = valid & (label < config.depth_limit)
    elif task == "normals":
        valid = label.abs().sum(dim=1) > 0
    else:
        valid = label != IGNORE_LABEL
    return valid.flatten(1).any(dim=1)

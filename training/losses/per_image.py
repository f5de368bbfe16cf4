"""The losses of `training.losses.tasks` image by image, for weightings that look at single images.

Shapes: B batch, O output channels, H and W of the label; maps are brought to that size first.
"""

from torch import Tensor

from training.losses.dense import IGNORE_LABEL, depth_valid
from training.losses.tasks import TaskLossConfig, image_mean, resized, task_loss
from training.task_weighting.task_weighting import ImageLosses


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

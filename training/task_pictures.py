"""A raw map and its label side by side, for sheets of any task.

Shapes: O output channels, h and w of the map, H and W of the label.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.tasks import resized
from training.metrics.task_meters import nearest
from training.pictures import Picture, depth_picture, grey_picture, label_picture, normal_picture


def task_picture(task: str, map_Ohw: Tensor, label: Tensor) -> list[Picture]:
    """[prediction, label], both at the label's size; depth in the range of the label.

    map_Ohw: raw. label: [H, W], for normals [3, H, W]. Raises ValueError for an unknown task.
    """
    size = label.shape[-2:]
    if task in ("segmentation", "parts"):
        return [label_picture(nearest(map_Ohw.argmax(dim=0)[None], size)[0]), label_picture(label)]
    map_OHW = resized(map_Ohw[None], size)[0]
    if task == "depth":
        valid = label[label > 0]
        near, far = (float(valid.quantile(q)) for q in (0.02, 0.98)) if len(valid) else (0.5, 5.0)
        return [depth_picture(map_OHW[0], near, far), depth_picture(label, near, far)]
    if task == "normals":
        return [normal_picture(F.normalize(map_OHW, dim=0)), normal_picture(label)]
    if task in ("saliency", "edges"):
        return [grey_picture(torch.sigmoid(map_OHW[0])), grey_picture((label == 1).float())]
    raise ValueError(f"task: expected one of the dense tasks, found {task!r}")

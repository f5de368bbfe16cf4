"""The heads of MT-CP: from prediction features at any stride to raw task maps.

Layers after the released code of MT-CP (WACV 2025). Edges, which it does not have, take the layers of saliency.

Shapes: B batch, C channels of prediction features, O outputs, h and w of the features.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import PredictionLayer
from models.tasks import TaskSpec

CLASS_TASKS = ("segmentation", "parts")
SHORT_INTERMEDIATE = ("parts", "saliency", "edges")


class Enlarge(nn.Module):
    """Bilinear enlargement whose corner pixels keep their places (align_corners=True), unlike every other resize."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, feat_BChw: Tensor) -> Tensor:
        height, width = feat_BChw.shape[-2:]
        size = (height * self.factor, width * self.factor)
        return F.interpolate(feat_BChw, size=size, mode="bilinear", align_corners=True)


def final_head(task: TaskSpec, channels: int, enlargement: int) -> nn.Sequential:
    """The head behind the last refinement; its answer still has to be resized to the image.

    `enlargement`: of class logits, before that resize; 2 on NYUD-v2 and 4 on PASCAL-Context.
    """
    if task.name == "depth":
        return nn.Sequential(
            nn.Conv2d(channels, channels // 2, 1),
            Enlarge(2),
            nn.Conv2d(channels // 2, channels // 8, 1),
            nn.ReLU(),
            PredictionLayer(channels // 8, task.channels),
        )
    layers = [*_hidden(channels), PredictionLayer(channels, task.channels)]
    if task.name in CLASS_TASKS:
        layers.append(Enlarge(enlargement))
    return nn.Sequential(*layers)


def intermediate_head(task: TaskSpec, channels: int) -> nn.Sequential:
    """The head behind an earlier refinement, at that level's stride; parts, saliency and edges have a layer less."""
    first = [] if task.name in SHORT_INTERMEDIATE else [nn.Conv2d(channels, channels, 1)]
    return nn.Sequential(*first, *_hidden(channels), PredictionLayer(channels, task.channels))


def _hidden(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]

"""Small parts that several networks share.

The blocks are those of MTI-Net (Vandenhende et al., ECCV 2020): the residual block of He et al. (CVPR 2016), squeeze
and excitation (Hu et al., CVPR 2018) and the gated convolution that PAD-Net (Xu et al., CVPR 2018) calls attention.

Shapes: B batch, C channels, O outputs, H and W of the image, h and w of a feature map.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.shapes import full_precision

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


class ImageNormalisation(nn.Module):
    """An sRGB image in [0, 1] to zero mean and unit deviation over ImageNet; holds constants, no weights."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGE_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return (image_B3HW - self.mean) / self.std


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the shortcut is a 1x1 convolution where width or size changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, momentum: float = 0.1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs, momentum=momentum)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs, momentum=momentum)
        self.downsample = shortcut(inputs, outputs, stride, momentum)

    def forward(self, feat_BChw: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(feat_BChw)))
        return F.relu(self.bn2(self.conv2(inner)) + self.downsample(feat_BChw))


class Bottleneck(nn.Module):
    """1x1 to `width`, 3x3, 1x1 to `EXPANSION` times `width`, and a shortcut as in BasicBlock."""

    EXPANSION = 4

    def __init__(self, inputs: int, width: int, momentum: float = 0.1) -> None:
        super().__init__()
        outputs = self.EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width, momentum=momentum)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width, momentum=momentum)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs, momentum=momentum)
        self.downsample = shortcut(inputs, outputs, 1, momentum)

    def forward(self, feat_BChw: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(feat_BChw)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        return F.relu(self.bn3(self.conv3(inner)) + self.downsample(feat_BChw))


def shortcut(inputs: int, outputs: int, stride: int, momentum: float) -> nn.Module:
    """The identity, or a normalised 1x1 convolution where width or size changes."""
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs, momentum=momentum))


class SqueezeExcitation(nn.Module):
    """Channel gates from the map's mean, through a hidden width of C / `reduction`, at least 1.

    The two linear layers are written as 1x1 convolutions, which every runtime fuses with the pooling.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, feat_BChw: Tensor) -> Tensor:
        pooled = feat_BChw.mean(dim=(2, 3), keepdim=True)
        return feat_BChw * torch.sigmoid(self.excite(F.relu(self.squeeze(pooled))))


class SelfAttention(nn.Module):
    """A 3x3 convolution gated, element by element, by the sigmoid of another; no bias, no normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attend = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)

    def forward(self, feat_BChw: Tensor) -> Tensor:
        return torch.sigmoid(self.attend(feat_BChw)) * self.value(feat_BChw)


class PredictionLayer(nn.Conv2d):
    """A 1x1 convolution to raw task outputs, computed in float32 whatever the precision of the features."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, feat_BChw: Tensor) -> Tensor:
        with full_precision(feat_BChw):
            return super().forward(feat_BChw.float())


class PredictionHead(nn.Sequential):
    """The head that HRNet ends in (Sun et al., 2019): 1x1 convolution of equal width, norm, ReLU, and the outputs."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            PredictionLayer(channels, outputs),
        )


def resize(feat_BChw: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, half-pixel centres, to `size` = (height, width), stated in full so that exporters agree."""
    return F.interpolate(feat_BChw, size=tuple(size), mode="bilinear", align_corners=False)


def resize_like(feat_BChw: Tensor, like_BCHW: Tensor) -> Tensor:
    """`resize` to the height and width of another map."""
    return resize(feat_BChw, like_BCHW.shape[-2:])


def concat_at_finest(maps: Sequence[Tensor]) -> Tensor:
    """All maps at the size of the first, joined along the channels."""
    return torch.cat([maps[0], *(resize_like(level, maps[0]) for level in maps[1:])], dim=1)

"""The baseline of the dense tasks: one encoder, one feature pyramid, one small head per task.

Transformer blocks over the encoder's coarsest map give every place a view of the whole image. The decoder is a feature
pyramid network (Lin et al., CVPR 2017): lateral 1x1 convolutions and top-down addition, fused at stride 4. We add one
cheap stage at stride 2 that sees the image again, for sharp borders.

Shapes: B batch, C classes or channels, H and W of the image and, halved, of the answer; h and w inside the network.
Convention: normals are in the camera frame (x right, y down, z forward) and point towards the camera.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones import Backbone, BackboneConfig
from models.global_context import GlobalContext
from models.shapes import full_precision, require_image

OUTPUT_STRIDE = 2
INPUT_MULTIPLE = 32
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class MultiTaskBaselineConfig:
    """Widths of the decoder, number of classes, and the depth that an untrained network answers, in metres.

    context_blocks: transformer blocks over the encoder's coarsest map, with `context_channels` channels a head.
    """

    kind: Literal["multitask_baseline"] = "multitask_baseline"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    decoder_channels: int = 64
    detail_channels: int = 16
    head_channels: int = 24
    context_blocks: int = 0
    context_channels: int = 40
    classes: int = 13
    initial_depth: float = 2.5
    depth_range: tuple[float, float] = (0.05, 200.0)

    def __post_init__(self) -> None:
        for name in ("decoder_channels", "detail_channels", "head_channels", "classes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a positive integer, found {getattr(self, name)}")
        if self.context_blocks < 0:
            raise ValueError(f"context_blocks: expected at least 0, found {self.context_blocks}")
        low, high = self.depth_range
        if not 0 < low < self.initial_depth < high:
            raise ValueError(
                "initial_depth: expected a value inside depth_range, both positive, "
                f"found {self.initial_depth} and {self.depth_range}"
            )


class DensePrediction(NamedTuple):
    """What one pass answers, at half the size of the image."""

    depth_BHW: Tensor
    segmentation_BCHW: Tensor
    normals_B3HW: Tensor


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _resize_like(feat_BChw: Tensor, like_BCHW: Tensor) -> Tensor:
    return F.interpolate(feat_BChw, size=like_BCHW.shape[-2:], mode="bilinear", align_corners=False)


class TopDown(nn.Module):
    """A feature pyramid fused to its finest level, stride 4."""

    def __init__(self, inputs: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in inputs)
        self.smooth = nn.ModuleList(_conv(channels, channels) for _ in inputs)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Four maps, finest first, to one map [B, channels, H / 4, W / 4]."""
        fused = self.smooth[-1](self.laterals[-1](maps[-1]))
        for level in range(len(maps) - 2, -1, -1):
            lateral = self.laterals[level](maps[level])
            fused = self.smooth[level](lateral + _resize_like(fused, lateral))
        return fused


class TaskHead(nn.Module):
    """Task features at stride 4, joined with the image's detail at stride 2, and one value per output channel."""

    def __init__(self, channels: int, detail: int, hidden: int, outputs: int, bias: tuple[float, ...]) -> None:
        super().__init__()
        self.task = _conv(channels, hidden)
        self.join = _conv(hidden + detail, hidden)
        self.predict = nn.Conv2d(hidden, outputs, 1)
        nn.init.normal_(self.predict.weight, std=1e-2)
        with torch.no_grad():
            torch.as_tensor(self.predict.bias).copy_(torch.tensor(bias))

    def forward(self, feat_BChw: Tensor, detail_BChw: Tensor) -> Tensor:
        task = _resize_like(self.task(feat_BChw), detail_BChw)
        joined = self.join(torch.cat((task, detail_BChw), dim=1))
        with full_precision(joined):
            return self.predict(joined.float())


class MultiTaskBaseline(nn.Module):
    """Depth, segmentation and normals of one image from one pass."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: MultiTaskBaselineConfig, backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        width, detail, hidden = config.decoder_channels, config.detail_channels, config.head_channels
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGE_STD).view(1, 3, 1, 1))
        self.backbone = backbone
        self.detail = _conv(3, detail, stride=OUTPUT_STRIDE)
        coarsest = backbone.channels[-1]
        self.context = nn.Sequential(
            *(GlobalContext(coarsest, coarsest // config.context_channels) for _ in range(config.context_blocks))
        )
        self.decoder = TopDown(backbone.channels, width)
        self.depth = TaskHead(width, detail, hidden, 1, (math.log(config.initial_depth),))
        self.segmentation = TaskHead(width, detail, hidden, config.classes, (0.0,) * config.classes)
        self.normals = TaskHead(width, detail, hidden, 3, (0.0, 0.0, -1.0))

    def forward(self, image_B3HW: Tensor) -> DensePrediction:
        """All tasks at half the size of the image.

        image_B3HW: float32 in [0, 1], sRGB; H and W multiples of 32.
        depth_BHW: float32, z in metres for the canonical focal length, inside `config.depth_range`.
        segmentation_BCHW: float32 logits. normals_B3HW: float32 unit vectors towards the camera.
        Raises ValueError on another shape.
        """
        require_image("image", image_B3HW, 3, INPUT_MULTIPLE)
        image = (image_B3HW - self.mean) / self.std
        detail = self.detail(image)
        maps = self.backbone(image)
        feat = self.decoder([*maps[:-1], self.context(maps[-1])])
        low, high = self.config.depth_range
        log_depth = self.depth(feat, detail).clamp(math.log(low), math.log(high))
        return DensePrediction(
            depth_BHW=log_depth.exp().squeeze(1),
            segmentation_BCHW=self.segmentation(feat, detail),
            normals_B3HW=F.normalize(self.normals(feat, detail), dim=1, eps=1e-6),
        )

"""Pyramids of one width: over a hierarchical backbone, and over a plain transformer.

Shapes: B batch, C channels, h and w of a map; lists run from the finest map (stride 4) to the coarsest (stride 32).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class FeaturePyramid(nn.Module):
    """Lateral 1x1 convolutions, top-down nearest enlargement and addition, one 3x3 convolution per answered level.

    Feature pyramid network of Lin et al. (CVPR 2017), section 3: no norm, no activation. `refined`: how many of the
    finest levels it answers; all by default.
    """

    def __init__(self, inputs: Sequence[int], channels: int, refined: int | None = None) -> None:
        super().__init__()
        refined = len(inputs) if refined is None else refined
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in inputs)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(refined))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps of widths `inputs`, finest first, to the `refined` finest at width `channels` and unchanged sizes."""
        merged = [lateral(level) for lateral, level in zip(self.laterals, maps, strict=True)]
        for level in range(len(merged) - 2, -1, -1):
            finer = merged[level]
            merged[level] = finer + F.interpolate(merged[level + 1], size=finer.shape[-2:], mode="nearest")
        return [smooth(level) for smooth, level in zip(self.smooth, merged, strict=False)]


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a map."""

    def forward(self, feat_BChw: Tensor) -> Tensor:
        return super().forward(feat_BChw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SimpleFeaturePyramid(nn.Module):
    """Four strides from the one map, at stride 16, of a plain transformer.

    Simple feature pyramid of ViTDet (Li et al., ECCV 2022), section 3: transposed convolutions to strides 4 and 8, the
    map itself, and maximum pooling to stride 32; each followed by a 1x1 and a 3x3 convolution with layer norm.
    """

    def __init__(self, inputs: int, channels: Sequence[int]) -> None:
        super().__init__()
        half, quarter = max(1, inputs // 2), max(1, inputs // 4)
        scaled: list[tuple[int, nn.Module]] = [
            (
                quarter,
                nn.Sequential(
                    nn.ConvTranspose2d(inputs, half, 2, 2), ChannelNorm(half), nn.GELU(),
                    nn.ConvTranspose2d(half, quarter, 2, 2),
                ),
            ),
            (half, nn.ConvTranspose2d(inputs, half, 2, 2)),
            (inputs, nn.Identity()),
            (inputs, nn.MaxPool2d(2, 2)),
        ]  # fmt: skip
        self.levels = nn.ModuleList(
            nn.Sequential(
                scale,
                nn.Conv2d(width, output, 1, bias=False),
                ChannelNorm(output),
                nn.Conv2d(output, output, 3, 1, 1, bias=False),
                ChannelNorm(output),
            )
            for (width, scale), output in zip(scaled, channels, strict=True)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """A list of one map [B, inputs, H / 16, W / 16] to four at strides 4, 8, 16 and 32."""
        (feat_BChw,) = maps
        return [level(feat_BChw) for level in self.levels]

"""What JPEG compression leaves of a picture, without writing a file: quantised 8 x 8 cosine blocks.

Follows the baseline encoder of ITU-T T.81 with its example tables (annex K) scaled by quality as the reference
library does, colour at half resolution; the lossless entropy coding is left out.

Shape suffixes: B images, 3 RGB, C planes, H, W image size; blocks are 8 x 8.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = torch.tensor([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
], dtype=torch.float32)  # fmt: skip
_CHROMA = torch.full((8, 8), 99.0)
_CHROMA[:4, :4] = torch.tensor(
    [[17.0, 18.0, 24.0, 47.0], [18.0, 21.0, 26.0, 66.0], [24.0, 26.0, 56.0, 99.0], [47.0, 66.0, 99.0, 99.0]]
)

_TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_TO_RGB = torch.tensor([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]])


def _cosines() -> Tensor:
    """The orthonormal cosine transform of 8 samples, float32 [frequency, sample]."""
    n = torch.arange(8, dtype=torch.float64)
    rows = torch.cos(math.pi / 8 * (n[None] + 0.5) * n[:, None]) * 0.5
    rows[0] *= math.sqrt(0.5)
    return rows.float()


_COSINES = _cosines()


def tables(quality_B: Tensor) -> tuple[Tensor, Tensor]:
    """Quantisation steps of luma and chroma for qualities 1 to 100, float32 [B, 8, 8] each, in 1 / 255."""
    quality = quality_B.float().clamp(1, 100)
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    luma, chroma = (table.to(quality.device) for table in (_LUMA, _CHROMA))
    steps = [((table * percent + 50) / 100).floor().clamp(1, 255) for table in (luma, chroma)]
    return steps[0], steps[1]


def _quantised(plane_BCHW: Tensor, step_B88: Tensor) -> Tensor:
    """Planes (in 1 / 255, about 0, sides divisible by 8) after rounding their block spectra to multiples of a step."""
    batch, planes, height, width = plane_BCHW.shape
    cosines = _COSINES.to(plane_BCHW.device)
    step = step_B88[:, None, None, :, None]
    # Columns, then rows: both as products with the picture as it lies in memory, so that no block is ever moved.
    columns = cosines @ plane_BCHW.reshape(batch, planes, height // 8, 8, width)
    spectrum = columns.view(batch, planes, height // 8, 8, width // 8, 8) @ cosines.T
    rows = spectrum.div_(step).round_().mul_(step) @ cosines
    return (cosines.T @ rows.view(batch, planes, height // 8, 8, width)).view(batch, planes, height, width)


def jpeg_artefacts(image_B3HW: Tensor, quality_B: Tensor) -> Tensor:
    """Pictures as they come back from JPEG files of the given qualities (1 to 100; one per image).

    image_B3HW: float32 sRGB in [0, 1], any size; answers the same shape, in [0, 1]. Raises ValueError where the number
    of qualities is not that of the images.
    """
    batch, _, height, width = image_B3HW.shape
    if quality_B.shape != (batch,):
        raise ValueError(f"quality_B: expected {batch} values, found shape {tuple(quality_B.shape)}")
    luma_step, chroma_step = tables(quality_B.to(image_B3HW.device))
    image = F.pad(image_B3HW, (0, -width % 16, 0, -height % 16), mode="replicate") * 255
    padded = image.shape[-2:]
    ycc = (_TO_YCC.to(image.device) @ image.flatten(2)).unflatten(2, padded)
    luma = _quantised(ycc[:, :1] - 128, luma_step) + 128
    chroma = _quantised(F.avg_pool2d(ycc[:, 1:], 2), chroma_step)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    image = (_TO_RGB.to(image.device) @ torch.cat([luma, chroma], dim=1).flatten(2)).unflatten(2, padded)
    return image[:, :, :height, :width].div(255).clamp_(0, 1)

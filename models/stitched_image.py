"""Stitched Image Generating Module (SIGMo) in its composing form: a soft seam and a correction next to it.

Inspired by "Pixel-Wise Warping for Deep Image Stitching" (Kweon et al., AAAI 2023), whose layers are not public: ours
is a U-Net (Ronneberger et al., 2015) of gated convolutions (Yu et al., ICCV 2019), ELU, nearest upsampling, no
normalisation.

Shapes: B batch, H and W of the canvas, C channels.
Convention: canvas pixels; a mask is 1 where an image covers the pixel.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.shapes import full_precision, require_image

CANVAS_CHANNELS = 8
COVERED = 0.25
FEATHER_MARGIN = 1e-3


@dataclass(frozen=True, kw_only=True)
class StitchedImageConfig:
    """Widths of the scales, finest first; each scale halves the one before."""

    kind: Literal["stitched_image"] = "stitched_image"
    mode: Literal["compose"] = "compose"
    widths: tuple[int, ...] = (16, 32, 64, 96, 128)

    def __post_init__(self) -> None:
        if self.mode != "compose":
            raise ValueError(f"mode: expected 'compose', found {self.mode!r}")
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"widths: expected at least two positive integers, found {self.widths}")


class CompositionPrediction(NamedTuple):
    """Weight of the reference in [0, 1], and what is added to the colour, in [-1, 1]."""

    alpha_B1HW: Tensor
    delta_B3HW: Tensor


class GatedConvolution(nn.Module):
    """3x3 convolution, ELU, times a learned gate in (0, 1): lets a pixel ignore what no image covers."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 2 * outputs, 3, stride, 1)

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        value, gate = self.convolution(feat_BCHW).chunk(2, dim=1)
        return F.elu(value) * torch.sigmoid(gate)


class StitchedImage(nn.Module):
    """Composes a reference and a warped target on their canvas; untrained, it is the feathering it is given."""

    def __init__(self, config: StitchedImageConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.multiple = 2 ** (len(widths) - 1)
        self.stem = GatedConvolution(CANVAS_CHANNELS + 1, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(GatedConvolution(fine, coarse, stride=2), GatedConvolution(coarse, coarse))
            for fine, coarse in pairwise(widths)
        )
        self.up = nn.ModuleList(GatedConvolution(coarse, fine) for fine, coarse in pairwise(widths))
        self.join = nn.ModuleList(GatedConvolution(2 * fine, fine) for fine in widths[:-1])
        self.predict = nn.Conv2d(widths[0], 4, 3, padding=1)
        nn.init.zeros_(self.predict.weight)
        nn.init.zeros_(torch.as_tensor(self.predict.bias))

    def forward(self, canvas_B8HW: Tensor, feather_B1HW: Tensor) -> CompositionPrediction:
        """Seam and correction of a canvas.

        canvas_B8HW: float32 in [0, 1]: reference colour (3), its mask, warped target colour (3), its coverage clipped
        to 1. feather_B1HW: float32 in [0, 1], the reference's weight by distance (training.feather). H and W multiples
        of 2 ** (number of widths - 1).
        alpha_B1HW: sigmoid(logit(feather) + network). delta_B3HW: tanh(network). Raises ValueError on another shape.
        """
        require_image("canvas", canvas_B8HW, CANVAS_CHANNELS, self.multiple)
        require_image("feather", feather_B1HW, 1, self.multiple)
        feat = self.stem(torch.cat((canvas_B8HW, feather_B1HW), dim=1))
        skips = []
        for down in self.down:
            skips.append(feat)
            feat = down(feat)
        for level in range(len(skips) - 1, -1, -1):
            feat = self.up[level](F.interpolate(feat, scale_factor=2.0, mode="nearest"))
            feat = self.join[level](torch.cat((feat, skips[level]), dim=1))
        with full_precision(feat):
            raw = self.predict(feat.float())
            feather = feather_B1HW.float().clamp(FEATHER_MARGIN, 1.0 - FEATHER_MARGIN)
            alpha_logit = feather.log() - (1.0 - feather).log() + raw[:, :1]
            return CompositionPrediction(torch.sigmoid(alpha_logit), torch.tanh(raw[:, 1:]))


class Composition(NamedTuple):
    """The stitched image, the alpha used after forcing, and where the correction was allowed."""

    image_B3HW: Tensor
    alpha_B1HW: Tensor
    corrected_B1HW: Tensor


def dilate(mask_B1HW: Tensor, radius: int) -> Tensor:
    """Maximum over a square of 2 * radius + 1 pixels, along rows, then columns; pixels outside the canvas count for
    nothing."""
    rows_B1HW = F.max_pool2d(mask_B1HW, (1, 2 * radius + 1), stride=1, padding=(0, radius))
    return F.max_pool2d(rows_B1HW, (2 * radius + 1, 1), stride=1, padding=(radius, 0))


def close_gaps(mask_B1HW: Tensor, radius: int) -> Tensor:
    """Morphological closing: fills gaps narrower than 2 * radius + 1 pixels, but none that reach the canvas' rim."""
    height, width = mask_B1HW.shape[-2:]
    padded = dilate(F.pad(mask_B1HW, (2 * radius,) * 4), radius)
    return -dilate(-padded, radius)[..., 2 * radius : 2 * radius + height, 2 * radius : 2 * radius + width]


def compose(
    canvas_B8HW: Tensor,
    alpha_B1HW: Tensor,
    delta_B3HW: Tensor,
    *,
    band_radius: int = 4,
    closing_radius: int = 15,
) -> Composition:
    """S = alpha R + (1 - alpha) T_w + Hm delta, limited to [0, 1].

    canvas_B8HW, alpha_B1HW and delta_B3HW: as in `StitchedImage.forward`. With M_r the reference's mask and
    M_t = [coverage > 0.25], alpha is 1 where only M_r, 0 where only M_t. Hm holds the interior holes (neither mask,
    inside the closing of their union) and, inside the union, the pixels within `band_radius` of both sides of the
    contour alpha = 0.5. Everywhere else the answer is made of observed colours alone; outside the union's closing it
    is 0.
    """
    reference_mask = canvas_B8HW[:, 3:4] > 0.5
    target_mask = canvas_B8HW[:, 7:8] > COVERED
    union = reference_mask | target_mask
    alpha = torch.where(reference_mask & ~target_mask, torch.ones_like(alpha_B1HW), alpha_B1HW)
    alpha = torch.where(target_mask & ~reference_mask, torch.zeros_like(alpha), alpha)
    holes = (close_gaps(union.float(), closing_radius) > 0.5) & ~union
    ours, theirs = union & (alpha >= 0.5), union & (alpha < 0.5)
    band = (dilate(ours.float(), band_radius) > 0.5) & (dilate(theirs.float(), band_radius) > 0.5) & union
    corrected = (holes | band).to(alpha.dtype)
    image = (
        alpha * canvas_B8HW[:, 0:3] * reference_mask
        + (1.0 - alpha) * canvas_B8HW[:, 4:7] * target_mask
        + corrected * delta_B3HW
    )
    return Composition(image.clamp(0.0, 1.0), alpha, corrected)

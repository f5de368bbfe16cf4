"""Stitched Image Generating Module (SIGMo): a soft seam and a correction next to it, or the whole image.

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
    """Widths of the scales, finest first; each scale halves the one before. mode: "compose" answers a seam and a
    correction, "generate" the image beside them."""

    kind: Literal["stitched_image"] = "stitched_image"
    mode: Literal["compose", "generate"] = "compose"
    widths: tuple[int, ...] = (16, 32, 64, 96, 128)

    def __post_init__(self) -> None:
        if self.mode not in ("compose", "generate"):
            raise ValueError(f"mode: expected 'compose' or 'generate', found {self.mode!r}")
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"widths: expected at least two positive integers, found {self.widths}")


class CompositionPrediction(NamedTuple):
    """Weight of the reference in [0, 1], and what is added to the colour, in [-1, 1]."""

    alpha_B1HW: Tensor
    delta_B3HW: Tensor


class GenerationPrediction(NamedTuple):
    """What `CompositionPrediction` holds, and the image in (0, 1), which `generate` cuts to its frame."""

    alpha_B1HW: Tensor
    delta_B3HW: Tensor
    image_B3HW: Tensor


class GatedConvolution(nn.Module):
    """3x3 convolution, ELU, times a learned gate in (0, 1): lets a pixel ignore what no image covers."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 2 * outputs, 3, stride, 1)

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        value, gate = self.convolution(feat_BCHW).chunk(2, dim=1)
        return F.elu(value) * torch.sigmoid(gate)


class StitchedImage(nn.Module):
    """Composes a reference and a warped target on their canvas; untrained, it is the feathering it is given, and so is
    the image of mode "generate"."""

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
        self.predict = nn.Conv2d(widths[0], 4 if config.mode == "compose" else 7, 3, padding=1)
        nn.init.zeros_(self.predict.weight)
        nn.init.zeros_(torch.as_tensor(self.predict.bias))

    def forward(self, canvas_B8HW: Tensor, feather_B1HW: Tensor) -> CompositionPrediction | GenerationPrediction:
        """Seam and correction of a canvas, and in mode "generate" the image.

        canvas_B8HW: float32 in [0, 1]: reference colour (3), its mask, warped target colour (3), its coverage clipped
        to 1. feather_B1HW: float32 in [0, 1], the reference's weight by distance (training.feather). H and W multiples
        of 2 ** (number of widths - 1).
        alpha_B1HW: sigmoid(logit(feather) + network). delta_B3HW: tanh(network). image_B3HW: sigmoid(logit(c) +
        network) with c the feathered colours, 0.5 where neither photograph lies. Raises ValueError on another shape.
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
            alpha, delta = torch.sigmoid(alpha_logit), torch.tanh(raw[:, 1:4])
            if self.config.mode == "compose":
                return CompositionPrediction(alpha, delta)
            colour = feathered_colours(canvas_B8HW.float(), feather_B1HW.float())
            colour = torch.where(_union(canvas_B8HW), colour, torch.full_like(colour, 0.5))
            colour = colour.clamp(FEATHER_MARGIN, 1.0 - FEATHER_MARGIN)
            image = torch.sigmoid(colour.log() - (1.0 - colour).log() + raw[:, 4:])
            return GenerationPrediction(alpha, delta, image)


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
    alpha, union = _forced(canvas_B8HW, alpha_B1HW), _union(canvas_B8HW)
    holes = (close_gaps(union.float(), closing_radius) > 0.5) & ~union
    ours, theirs = union & (alpha >= 0.5), union & (alpha < 0.5)
    band = (dilate(ours.float(), band_radius) > 0.5) & (dilate(theirs.float(), band_radius) > 0.5) & union
    corrected = (holes | band).to(alpha.dtype)
    image = _mixed(canvas_B8HW, alpha) + corrected * delta_B3HW
    return Composition(image.clamp(0.0, 1.0), alpha, corrected)


def generate(canvas_B8HW: Tensor, image_B3HW: Tensor, *, closing_radius: int = 15) -> Tensor:
    """The generated image in the union's closing, 0 outside: there is nothing to go by. [B, 3, H, W] in [0, 1]."""
    return image_B3HW * close_gaps(_union(canvas_B8HW).float(), closing_radius).clamp(0.0, 1.0)


def feathered_colours(canvas_B8HW: Tensor, feather_B1HW: Tensor) -> Tensor:
    """The photographs mixed by the feather's weight, each alone where it lies alone, 0 where neither does."""
    return _mixed(canvas_B8HW, _forced(canvas_B8HW, feather_B1HW))


def _masks(canvas_B8HW: Tensor) -> tuple[Tensor, Tensor]:
    return canvas_B8HW[:, 3:4] > 0.5, canvas_B8HW[:, 7:8] > COVERED


def _union(canvas_B8HW: Tensor) -> Tensor:
    reference_mask, target_mask = _masks(canvas_B8HW)
    return reference_mask | target_mask


def _forced(canvas_B8HW: Tensor, alpha_B1HW: Tensor) -> Tensor:
    reference_mask, target_mask = _masks(canvas_B8HW)
    alpha = torch.where(reference_mask & ~target_mask, torch.ones_like(alpha_B1HW), alpha_B1HW)
    return torch.where(target_mask & ~reference_mask, torch.zeros_like(alpha), alpha)


def _mixed(canvas_B8HW: Tensor, alpha_B1HW: Tensor) -> Tensor:
    reference_mask, target_mask = _masks(canvas_B8HW)
    ours = alpha_B1HW * canvas_B8HW[:, 0:3] * reference_mask
    return ours + (1.0 - alpha_B1HW) * canvas_B8HW[:, 4:7] * target_mask

"""Pixel-wise Warping Module (PWM): where each target pixel lands in the reference.

Inspired by "Pixel-Wise Warping for Deep Image Stitching" (Kweon et al., AAAI 2023), which names no flow network. Ours
is of the class of RAFT-small (Teed and Deng, ECCV 2020): all-pairs correlation at 1/8, a convolutional GRU, convex
upsampling of the last estimate. Two more maps leave the same state: an importance for splatting and a confidence.

Shapes: B batch, C channels, H and W of the image, h = H / 8, w = W / 8.
Convention: flow is target -> reference, (dx, dy) in pixels of the input; pixel centres are integers.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.correlation import correlation_pyramid, lookup
from models.shapes import full_precision, require_image

STRIDE = 8
SMALLEST_SIDE = 64
MAX_IMPORTANCE = 30.0


@dataclass(frozen=True, kw_only=True)
class PixelWarpConfig:
    """Widths, correlation window and number of refinements; the defaults have about a million parameters."""

    kind: Literal["pixel_warp"] = "pixel_warp"
    iterations: int = 6
    encoder_channels: tuple[int, int, int] = (32, 48, 80)
    feature_channels: int = 128
    hidden_channels: int = 80
    context_channels: int = 48
    motion_channels: int = 64
    levels: int = 4
    radius: int = 3

    def __post_init__(self) -> None:
        for name in ("iterations", "feature_channels", "hidden_channels", "context_channels", "levels", "radius"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a positive integer, found {getattr(self, name)}")
        if self.motion_channels < 3:
            raise ValueError(f"motion_channels: expected at least 3, found {self.motion_channels}")


class WarpPrediction(NamedTuple):
    """A warp of the target; in training also the flow after every refinement, the last one included, and the
    correlation [B, h * w, h, w] of all pixels of the 1/8 maps, target first."""

    flow_B2HW: Tensor
    importance_B1HW: Tensor
    confidence_B1HW: Tensor
    iterates: list[Tensor]
    correlation_BQhw: Tensor | None


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; instance normalisation for matching features, none for the context."""

    def __init__(self, inputs: int, outputs: int, stride: int, normalise: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norms = nn.ModuleList(nn.InstanceNorm2d(outputs) if normalise else nn.Identity() for _ in range(2))
        same = stride == 1 and inputs == outputs
        self.shortcut: nn.Module = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, feat_BChw: Tensor) -> Tensor:
        out = F.relu(self.norms[0](self.first(feat_BChw)))
        return F.relu(self.shortcut(feat_BChw) + self.norms[1](self.second(out)))


def _encoder(widths: tuple[int, int, int], outputs: int, normalise: bool) -> nn.Sequential:
    half, quarter, eighth = widths
    return nn.Sequential(
        nn.Conv2d(3, half, 7, 2, 3),
        nn.InstanceNorm2d(half) if normalise else nn.Identity(),
        nn.ReLU(),
        ResidualBlock(half, quarter, 2, normalise),
        ResidualBlock(quarter, eighth, 2, normalise),
        ResidualBlock(eighth, eighth, 1, normalise),
        nn.Conv2d(eighth, outputs, 1),
    )


class Update(nn.Module):
    """One refinement: motion features from the correlation window and the flow, a GRU step, a flow increment."""

    def __init__(self, window: int, hidden: int, context: int, motion: int) -> None:
        """window: number of correlations of each pixel; hidden, context, motion: channels."""
        super().__init__()
        self.correlation = nn.Conv2d(window, 80, 1)
        self.flow = nn.Sequential(nn.Conv2d(2, 32, 7, padding=3), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1))
        self.motion = nn.Conv2d(80 + 32, motion - 2, 3, padding=1)
        inputs = hidden + context + motion
        self.gates = nn.Conv2d(inputs, 2 * hidden, 3, padding=1)
        self.candidate = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.increment = nn.Sequential(nn.Conv2d(hidden, 96, 3, padding=1), nn.ReLU(), nn.Conv2d(96, 2, 3, padding=1))

    def forward(
        self, state_BChw: Tensor, context_BChw: Tensor, window_BChw: Tensor, flow_B2hw: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The next hidden state, and the increment of the flow in pixels of the 1/8 map, float32."""
        flow = flow_B2hw.to(state_BChw.dtype)
        joined = torch.cat((F.relu(self.correlation(window_BChw)), F.relu(self.flow(flow))), dim=1)
        inputs = torch.cat((context_BChw, F.relu(self.motion(joined)), flow), dim=1)
        update, reset = torch.sigmoid(self.gates(torch.cat((state_BChw, inputs), dim=1))).chunk(2, dim=1)
        candidate = torch.tanh(self.candidate(torch.cat((reset * state_BChw, inputs), dim=1)))
        state = (1.0 - update) * state_BChw + update * candidate
        return state, self.increment(state).float()


def convex_upsample(value_BChw: Tensor, logits_BMhw: Tensor, factor: int) -> Tensor:
    """Every fine pixel is a convex combination of the 3x3 coarse pixels around it (RAFT, section 3.3).

    logits_BMhw: M = 9 * factor^2. Answers [B, C, factor * h, factor * w]. Unlike RAFT, borders repeat.
    """
    channels = value_BChw.shape[1]
    height, width = value_BChw.shape[-2:]
    weights = logits_BMhw.unflatten(1, (9, factor * factor)).softmax(dim=1).unbind(1)
    padded = F.pad(value_BChw, (1, 1, 1, 1), mode="replicate")
    fine_BCFhw = torch.zeros((), device=padded.device)
    for index in range(9):
        top, left = index // 3, index % 3
        shifted_BC1hw = padded[:, :, top : top + height, left : left + width].unsqueeze(2)
        fine_BCFhw = fine_BCFhw + shifted_BC1hw * weights[index].unsqueeze(1)
    return F.pixel_shuffle(fine_BCFhw.reshape(-1, channels * factor * factor, height, width), factor)


def pixel_positions(flow_B2hw: Tensor) -> Tensor:
    """(x, y) of every pixel of a map, [1, 2, h, w], in its dtype and on its device."""
    height, width = flow_B2hw.shape[-2:]
    y = torch.arange(height, device=flow_B2hw.device, dtype=flow_B2hw.dtype)
    x = torch.arange(width, device=flow_B2hw.device, dtype=flow_B2hw.dtype)
    return torch.stack(torch.meshgrid(x, y, indexing="xy")).unsqueeze(0)


class PixelWarp(nn.Module):
    """Flow of every target pixel into the reference, by repeated refinement of an all-pairs match."""

    def __init__(self, config: PixelWarpConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden_channels
        self.features = _encoder(config.encoder_channels, config.feature_channels, normalise=True)
        self.context = _encoder(config.encoder_channels, hidden + config.context_channels, normalise=False)
        window = config.levels * (2 * config.radius + 1) ** 2
        self.update = Update(window, hidden, config.context_channels, config.motion_channels)
        self.maps = nn.Sequential(nn.Conv2d(hidden, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 2, 1))
        self.upsampling = nn.Sequential(
            nn.Conv2d(hidden, 96, 3, padding=1), nn.ReLU(), nn.Conv2d(96, 9 * STRIDE * STRIDE, 1)
        )

    def forward(self, target_B3HW: Tensor, reference_B3HW: Tensor, iterations: int | None = None) -> WarpPrediction:
        """The warp of the target into the reference.

        target_B3HW, reference_B3HW: float32 in [0, 1], sRGB, one size, H and W multiples of 8 and at least 64.
        iterations: refinements, `config.iterations` if None.
        flow_B2HW: float32, (dx, dy) target -> reference in pixels of the input. importance_B1HW: float32 in [0, 30],
        the logarithm of the splatting weight. confidence_B1HW: float32 in [0, 1]. iterates: in training one flow
        [B, 2, H, W] per refinement, else empty. correlation_BQhw: float32, in training, else None.
        Raises ValueError on other shapes.
        """
        require_image("target", target_B3HW, 3, STRIDE)
        require_image("reference", reference_B3HW, 3, STRIDE)
        if not torch.compiler.is_compiling() and target_B3HW.shape != reference_B3HW.shape:
            raise ValueError(f"reference: expected {list(target_B3HW.shape)}, found {list(reference_B3HW.shape)}")
        if not torch.compiler.is_compiling() and min(target_B3HW.shape[-2:]) < SMALLEST_SIDE:
            raise ValueError(
                f"target: expected sides of at least {SMALLEST_SIDE}, found {list(target_B3HW.shape[-2:])}"
            )
        steps = self.config.iterations if iterations is None else iterations
        if steps < 1:
            raise ValueError(f"iterations: expected a positive integer, found {steps}")
        target, reference = 2.0 * target_B3HW - 1.0, 2.0 * reference_B3HW - 1.0
        pyramid = correlation_pyramid(self.features(target), self.features(reference), self.config.levels)
        state, context = self.context(target).split((self.config.hidden_channels, self.config.context_channels), 1)
        state, context = torch.tanh(state), F.relu(context)
        flow = torch.zeros_like(context[:, :2], dtype=torch.float32)
        grid = pixel_positions(flow)
        iterates = []
        for step in range(steps):
            flow = flow.detach()
            state, increment = self.update(state, context, lookup(pyramid, grid + flow, self.config.radius), flow)
            flow = flow + increment
            if self.training and step < steps - 1:
                iterates.append(
                    F.interpolate(STRIDE * flow, scale_factor=float(STRIDE), mode="bilinear", align_corners=False)
                )
        maps = torch.cat((STRIDE * flow, self.maps(state).float()), dim=1)
        weights = 0.25 * self.upsampling(state).float()
        with full_precision(maps):
            fine_B4HW = convex_upsample(maps, weights, STRIDE)
        final = fine_B4HW[:, :2]
        return WarpPrediction(
            flow_B2HW=final,
            importance_B1HW=MAX_IMPORTANCE * torch.sigmoid(fine_B4HW[:, 2:3]),
            confidence_B1HW=torch.sigmoid(fine_B4HW[:, 3:4]),
            iterates=[*iterates, final] if self.training else [],
            correlation_BQhw=pyramid.levels[0] if self.training else None,
        )

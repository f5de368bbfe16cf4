"""A second network for the Pixel-wise Warping Module (PWM): global matching at 1/16, refined at 1/16 and at 1/8.

After "GMFlow: Learning Optical Flow via Global Matching" (Xu et al., CVPR 2022): one encoder for both images, features
that attend to themselves and to each other, flow as the expected place under a softmax over all pixels (section 3.2),
and its propagation by the target's self-similarity (section 3.3). What follows is ours: gated recurrent refinement at
1/16 from the same correlations and at 1/8 from a local window, so that all-pairs work grows with (HW / 256)^2 and stays
small beside the encoder. It answers what models.pixel_warp answers.

Shapes: B batch, C channels, H and W of the image; h = H / 16, w = W / 16 of the coarse map, Q = h * w; y = H / 8 and
x = W / 8 of the fine one.
Convention: flow is target -> reference, (dx, dy) in pixels of the map at hand; pixel centres are integers.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.correlation import correlation_pyramid, lookup
from models.pixel_warp import (
    MAX_IMPORTANCE,
    SMALLEST_SIDE,
    ResidualBlock,
    Update,
    WarpPrediction,
    convex_upsample,
    pixel_positions,
)
from models.shapes import full_precision, require_image

COARSE, FINE = 16, 8


@dataclass(frozen=True, kw_only=True)
class GlobalMatchingConfig:
    """Widths, attention blocks, half width of the correlation windows, and refinements at 1/16 and at 1/8.

    feature_channels: of the coarse map, a multiple of 4; fine_channels: of the map at 1/8.
    """

    kind: Literal["global_matching"] = "global_matching"
    encoder_channels: tuple[int, int, int] = (32, 48, 80)
    feature_channels: int = 128
    fine_channels: int = 64
    attention_blocks: int = 2
    hidden_channels: int = 64
    context_channels: int = 48
    motion_channels: int = 64
    radius: int = 3
    coarse_steps: int = 3
    fine_steps: int = 2

    def __post_init__(self) -> None:
        for name in ("fine_channels", "hidden_channels", "context_channels", "radius", "coarse_steps", "fine_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a positive integer, found {getattr(self, name)}")
        if self.feature_channels < 4 or self.feature_channels % 4:
            raise ValueError(f"feature_channels: expected a multiple of 4, found {self.feature_channels}")
        if self.attention_blocks < 0:
            raise ValueError(f"attention_blocks: expected 0 or more, found {self.attention_blocks}")
        if self.motion_channels < 3:
            raise ValueError(f"motion_channels: expected at least 3, found {self.motion_channels}")


class Attention(nn.Module):
    """Tokens take up what they attend to: x + norm(mlp([x, softmax(q k^T / sqrt(C)) v]))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(channels, channels, bias=False) for _ in range(3))
        self.mix = nn.Sequential(nn.Linear(2 * channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))
        self.norm = nn.LayerNorm(channels)

    def forward(self, token_BQC: Tensor, source_BQC: Tensor) -> Tensor:
        scale = token_BQC.shape[-1] ** -0.5
        weight = torch.softmax(scale * self.query(token_BQC) @ self.key(source_BQC).transpose(1, 2), dim=-1)
        message = weight @ self.value(source_BQC)
        return token_BQC + self.norm(self.mix(torch.cat((token_BQC, message), dim=-1)))


class AttentionBlock(nn.Module):
    """Each image attends to itself, then to the other; both by the same weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.own, self.other = Attention(channels), Attention(channels)

    def forward(self, target_BQC: Tensor, reference_BQC: Tensor) -> tuple[Tensor, Tensor]:
        target_BQC, reference_BQC = self.own(target_BQC, target_BQC), self.own(reference_BQC, reference_BQC)
        return self.other(target_BQC, reference_BQC), self.other(reference_BQC, target_BQC)


def position_code(feat_BChw: Tensor) -> Tensor:
    """Sines and cosines of the pixels' places, [1, C, h, w]; wavelengths from 2 pi to 2 pi 10^4 pixels."""
    channels, (height, width) = feat_BChw.shape[1], feat_BChw.shape[-2:]
    steps = torch.arange(channels // 4, device=feat_BChw.device, dtype=torch.float32)
    frequency_K = torch.exp(steps * (-9.2103404 / (channels // 4)))
    x_Kw = frequency_K[:, None] * torch.arange(width, device=feat_BChw.device, dtype=torch.float32)
    y_Kh = frequency_K[:, None] * torch.arange(height, device=feat_BChw.device, dtype=torch.float32)
    across = torch.cat((x_Kw.sin(), x_Kw.cos())).unsqueeze(1).expand(-1, height, -1)
    down = torch.cat((y_Kh.sin(), y_Kh.cos())).unsqueeze(2).expand(-1, -1, width)
    return torch.cat((across, down)).unsqueeze(0)


def expected_flow(correlation_BQhw: Tensor) -> Tensor:
    """Flow [B, 2, h, w] to the mean place under a softmax over all pixels of the reference (GMFlow, equations 2, 3)."""
    height, width = correlation_BQhw.shape[-2:]
    grid_12hw = pixel_positions(correlation_BQhw[:, :2])
    weight_BQN = torch.softmax(correlation_BQhw.flatten(2), dim=-1)
    place_BQ2 = weight_BQN @ grid_12hw.flatten(2).transpose(1, 2)
    return place_BQ2.transpose(1, 2).unflatten(2, (height, width)) - grid_12hw


def propagate(flow_B2hw: Tensor, query_BChw: Tensor, key_BChw: Tensor) -> Tensor:
    """Every pixel's flow as the mean over pixels that it resembles: to where nothing matches (GMFlow, equation 5)."""
    query_BQC = query_BChw.float().flatten(2).transpose(1, 2) / query_BChw.shape[1] ** 0.5
    weight_BQQ = torch.softmax(query_BQC @ key_BChw.float().flatten(2), dim=-1)
    flow_BQ2 = weight_BQQ @ flow_B2hw.flatten(2).transpose(1, 2)
    return flow_BQ2.transpose(1, 2).unflatten(2, flow_B2hw.shape[-2:])


def local_correlation(query_BCyx: Tensor, key_BCyx: Tensor, flow_B2yx: Tensor, radius: int) -> Tensor:
    """Dot products over C of each query with the keys in a (2 radius + 1)^2 window around where its flow leads.

    float32 [B, K * K, y, x], row-major windows. Keys are fetched along the flow first and then compared with shifts, so
    that memory grows with the number of pixels; outside the map they are 0.
    """
    height, width = flow_B2yx.shape[-2:]
    place_B2yx = pixel_positions(flow_B2yx) + flow_B2yx
    across, down = (2.0 * place_B2yx[:, 0] + 1.0) / width - 1.0, (2.0 * place_B2yx[:, 1] + 1.0) / height - 1.0
    grid_Byx2 = torch.stack((across, down), dim=-1)
    fetched = F.grid_sample(key_BCyx.float(), grid_Byx2, mode="bilinear", padding_mode="zeros", align_corners=False)
    padded = F.pad(fetched, (radius,) * 4)
    query = query_BCyx.float() / query_BCyx.shape[1]
    products = [
        (query * padded[:, :, top : top + height, left : left + width]).sum(dim=1)
        for top in range(2 * radius + 1)
        for left in range(2 * radius + 1)
    ]
    return torch.stack(products, dim=1)


class GlobalMatching(nn.Module):
    """Flow of every target pixel into the reference, by one match of all pixels and a few refinements."""

    def __init__(self, config: GlobalMatchingConfig) -> None:
        super().__init__()
        self.config = config
        half, quarter, eighth = config.encoder_channels
        hidden, channels = config.hidden_channels, config.feature_channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, half, 7, 2, 3),
            nn.InstanceNorm2d(half),
            nn.ReLU(),
            ResidualBlock(half, quarter, 2, True),
            ResidualBlock(quarter, eighth, 2, True),
        )
        self.fine = nn.Conv2d(eighth, config.fine_channels, 1)
        self.coarse = nn.Sequential(ResidualBlock(eighth, channels, 2, True), nn.Conv2d(channels, channels, 1))
        self.attention = nn.ModuleList(AttentionBlock(channels) for _ in range(config.attention_blocks))
        self.similar = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(2))
        outputs = hidden + config.context_channels
        self.coarse_context = nn.Conv2d(channels, outputs, 3, padding=1)
        self.fine_context = nn.Conv2d(eighth, outputs, 3, padding=1)
        window = (2 * config.radius + 1) ** 2
        self.coarse_update = Update(window, hidden, config.context_channels, config.motion_channels)
        self.fine_update = Update(window, hidden, config.context_channels, config.motion_channels)
        self.maps = nn.Sequential(nn.Conv2d(hidden, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 2, 1))
        self.upsampling = nn.Sequential(
            nn.Conv2d(hidden, 96, 3, padding=1), nn.ReLU(), nn.Conv2d(96, 9 * FINE * FINE, 1)
        )

    def forward(self, target_B3HW: Tensor, reference_B3HW: Tensor, iterations: int | None = None) -> WarpPrediction:
        """The warp of the target into the reference.

        target_B3HW, reference_B3HW: float32 in [0, 1], sRGB, one size, H and W multiples of 16 and at least 64.
        iterations: refinements at 1/8, `config.fine_steps` if None. The answer is that of `models.pixel_warp`, but
        correlation_BQhw is of the maps at 1/16. Raises ValueError on other shapes.
        """
        require_image("target", target_B3HW, 3, COARSE)
        require_image("reference", reference_B3HW, 3, COARSE)
        if not torch.compiler.is_compiling() and target_B3HW.shape != reference_B3HW.shape:
            raise ValueError(f"reference: expected {list(target_B3HW.shape)}, found {list(reference_B3HW.shape)}")
        if not torch.compiler.is_compiling() and min(target_B3HW.shape[-2:]) < SMALLEST_SIDE:
            raise ValueError(
                f"target: expected sides of at least {SMALLEST_SIDE}, found {list(target_B3HW.shape[-2:])}"
            )
        steps = self.config.fine_steps if iterations is None else iterations
        if steps < 1:
            raise ValueError(f"iterations: expected a positive integer, found {steps}")
        shared_t, shared_r = self.stem(2.0 * target_B3HW - 1.0), self.stem(2.0 * reference_B3HW - 1.0)
        target, reference = self._attended(self.coarse(shared_t), self.coarse(shared_r))
        pyramid = correlation_pyramid(target, reference, 1)
        query, key = (layer(target) for layer in self.similar)
        with full_precision(target):
            matched = expected_flow(pyramid.levels[0])
            flow = propagate(matched.detach(), query, key)
        iterates = [_enlarged(matched, COARSE), _enlarged(flow, COARSE)] if self.training else []

        state, context = self._context(self.coarse_context(target))
        grid = pixel_positions(flow)
        for _ in range(self.config.coarse_steps):
            flow = flow.detach()
            window = lookup(pyramid, grid + flow, self.config.radius)
            state, increment = self.coarse_update(state, context, window, flow)
            flow = flow + increment
            if self.training:
                iterates.append(_enlarged(flow, COARSE))

        flow = _enlarged(flow, 2)
        fine_target, fine_reference = self.fine(shared_t), self.fine(shared_r)
        fresh, context = self._context(self.fine_context(shared_t))
        state = torch.tanh(fresh + F.interpolate(state, scale_factor=2.0, mode="bilinear", align_corners=False))
        for step in range(steps):
            flow = flow.detach()
            with full_precision(fine_target):
                window = local_correlation(fine_target, fine_reference, flow, self.config.radius)
            state, increment = self.fine_update(state, context, window, flow)
            flow = flow + increment
            if self.training and step < steps - 1:
                iterates.append(_enlarged(flow, FINE))
        maps = torch.cat((FINE * flow, self.maps(state).float()), dim=1)
        weights = 0.25 * self.upsampling(state).float()
        with full_precision(maps):
            full_B4HW = convex_upsample(maps, weights, FINE)
        final = full_B4HW[:, :2]
        return WarpPrediction(
            flow_B2HW=final,
            importance_B1HW=MAX_IMPORTANCE * torch.sigmoid(full_B4HW[:, 2:3]),
            confidence_B1HW=torch.sigmoid(full_B4HW[:, 3:4]),
            iterates=[*iterates, final] if self.training else [],
            correlation_BQhw=pyramid.levels[0] if self.training else None,
        )

    def _attended(self, target_BChw: Tensor, reference_BChw: Tensor) -> tuple[Tensor, Tensor]:
        """The coarse features after attention."""
        code = position_code(target_BChw).to(target_BChw.dtype)
        target, reference = ((feat + code).flatten(2).transpose(1, 2) for feat in (target_BChw, reference_BChw))
        for block in self.attention:
            target, reference = block(target, reference)
        height, width = target_BChw.shape[-2:]
        return (
            target.transpose(1, 2).unflatten(2, (height, width)),
            reference.transpose(1, 2).unflatten(2, (height, width)),
        )

    def _context(self, both_BOhw: Tensor) -> tuple[Tensor, Tensor]:
        state, context = both_BOhw.split((self.config.hidden_channels, self.config.context_channels), 1)
        return torch.tanh(state), F.relu(context)


def _enlarged(flow_B2hw: Tensor, factor: int) -> Tensor:
    """The flow on a map `factor` times as large, in its pixels."""
    return F.interpolate(factor * flow_B2hw, scale_factor=float(factor), mode="bilinear", align_corners=False)

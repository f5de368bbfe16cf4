"""Coherence fusion of MT-CP: a task's features, gathered from where the other tasks' features agree.

After the WACV 2025 paper of MT-CP; details that the paper's figure leaves open follow its released code. The attention
gates are CBAM (Woo et al., ECCV 2018).

Shapes: B batch, C channels of one task, D = (T - 1) * C for T tasks, h and w of a map, n = h * w positions.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.shapes import full_precision

REDUCTION = 16
SPATIAL_KERNEL = 7


class Cbam(nn.Module):
    """A channel gate, then a spatial gate; neither changes the shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // REDUCTION)
        # 1x1 convolutions on pooled vectors are the linear layers of the shared perceptron.
        self.channel = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))
        self.spatial = nn.Sequential(
            nn.Conv2d(2, 1, SPATIAL_KERNEL, padding=SPATIAL_KERNEL // 2, bias=False), nn.BatchNorm2d(1)
        )

    def forward(self, feat_BChw: Tensor) -> Tensor:
        mean = feat_BChw.mean(dim=(2, 3), keepdim=True)
        peak = feat_BChw.amax(dim=(2, 3), keepdim=True)
        feat = feat_BChw * torch.sigmoid(self.channel(mean) + self.channel(peak))
        summary = torch.cat((feat.amax(dim=1, keepdim=True), feat.mean(dim=1, keepdim=True)), dim=1)
        return feat * torch.sigmoid(self.spatial(summary))


def pixel_attention(query_BDhw: Tensor, key_BDhw: Tensor, value_BChw: Tensor, pooled_keys: int = 1) -> Tensor:
    """softmax(q^T k) applied to the values at every position, one head, without the usual 1 / sqrt(D).

    Keys and values are averaged over squares of `pooled_keys` pixels first, which divides the n x n scores by its
    square; 1 is the paper's form. Computed in float32: unscaled scores of hundreds of channels are too large for
    the rounding of half precision. Answers [B, C, h, w], float32.
    """
    if pooled_keys > 1:
        key_BDhw = F.avg_pool2d(key_BDhw, pooled_keys)
        value_BChw = F.avg_pool2d(value_BChw, pooled_keys)
    with full_precision(query_BDhw):
        query, key, value = (
            feat.float().flatten(2).transpose(1, 2).contiguous().unsqueeze(1)
            for feat in (query_BDhw, key_BDhw, value_BChw)
        )
        if not torch.compiler.is_compiling():
            # PyTorch's fused kernel on a CPU, which never holds the n x n scores, wants values as wide as keys, and all
            # three contiguous.
            value = F.pad(value, (0, query.shape[-1] - value.shape[-1]))
        gathered_B1nC = F.scaled_dot_product_attention(query, key, value, scale=1.0)
    batch, channels = value_BChw.shape[:2]
    height, width = query_BDhw.shape[-2:]
    return gathered_B1nC[:, 0, :, :channels].transpose(1, 2).reshape(batch, channels, height, width)


class CoherenceFusion(nn.Module):
    """The coherence fusion module of one task, over the features of `auxiliaries` other tasks.

    The paper has two auxiliary tasks; T - 1 gates and a width of C (T - 1) generalise it.
    """

    def __init__(self, channels: int, auxiliaries: int, pooled_keys: int = 1) -> None:
        super().__init__()
        joined = channels * auxiliaries
        self.pooled_keys = pooled_keys
        self.value = nn.Sequential(Cbam(channels), nn.BatchNorm2d(channels))
        self.gates = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(auxiliaries))
        self.mix = nn.Conv2d(joined, joined, 1)
        self.query = nn.Sequential(Cbam(joined), nn.BatchNorm2d(joined), nn.ReLU())
        self.key = nn.Sequential(Cbam(joined), nn.BatchNorm2d(joined), nn.ReLU())
        self.output = nn.Sequential(Cbam(channels), nn.BatchNorm2d(channels))

    def forward(self, main_BChw: Tensor, auxiliary_BChw: Sequence[Tensor]) -> Tensor:
        """The task's own features and the others' in a fixed order, all of one size, to fused ones [B, C, h, w].

        There is no residual: what the task keeps of itself travels through the values. h and w must be multiples of
        `pooled_keys`.
        """
        gated = [feat * torch.sigmoid(gate(feat)) for gate, feat in zip(self.gates, auxiliary_BChw, strict=True)]
        mixed_BDhw = F.relu(self.mix(torch.cat(gated, dim=1)))
        gathered = pixel_attention(
            self.query(mixed_BDhw), self.key(mixed_BDhw), self.value(main_BChw), self.pooled_keys
        )
        return self.output(gathered)

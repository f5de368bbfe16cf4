"""All-pairs correlation and its local lookup, written as dense products.

Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020, section 3.2. Bilinear sampling
of a window around each query is Y V X^T with hat-function weights max(0, 1 - |u|): two small matrix products per query
instead of a gather. It reads zero outside the map, exports without GridSample or Scatter, and is fast on CPUs.

Shapes: B batch, C channels, Q queries (h * w), h and w of the feature map, y and x of a coarser level,
K = 2 * radius + 1.
Convention: pixel centres are integers; pixel u of level l is centred at (u + 0.5) * 2 ** l - 0.5 of level 0.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.shapes import full_precision


class CorrelationPyramid(NamedTuple):
    """Correlations of every query with every pixel of each level: tensors [B, Q, y, x]."""

    levels: list[Tensor]


def correlation_pyramid(query_BChw: Tensor, key_BChw: Tensor, levels: int) -> CorrelationPyramid:
    """Dot products divided by sqrt(C), in float32; level l correlates with keys averaged over 2^l x 2^l pixels.

    Averaging the keys equals averaging the correlations (RAFT, equation 2), at less memory traffic.
    """
    with full_precision(query_BChw):
        query_BQC = query_BChw.float().flatten(2).transpose(1, 2) / query_BChw.shape[1] ** 0.5
        key = key_BChw.float()
        volumes = []
        for level in range(levels):
            if level:
                key = F.avg_pool2d(key, 2, stride=2, ceil_mode=False)
            volume_BQk = query_BQC @ key.flatten(2)
            volumes.append(volume_BQk.reshape(key.shape[0], -1, key.shape[-2], key.shape[-1]))
        return CorrelationPyramid(volumes)


def hat_weights(centre_BQ: Tensor, size: int, offset_K: Tensor) -> Tensor:
    """Linear interpolation weights [B, Q, K, size] that read positions centre + offset of a line of `size` pixels."""
    pixel = torch.arange(size, device=centre_BQ.device, dtype=centre_BQ.dtype)
    position_BQK = centre_BQ.unsqueeze(-1) + offset_K
    return F.relu(1.0 - (position_BQK.unsqueeze(-1) - pixel).abs())


def lookup(pyramid: CorrelationPyramid, position_B2hw: Tensor, radius: int) -> Tensor:
    """Correlations in a (2 radius + 1)^2 window around each query's position, at every level.

    position_B2hw: float32, (x, y) in pixels of level 0, any value. Answers [B, levels * K * K, h, w], float32,
    row-major windows, levels finest first.
    """
    height, width = position_B2hw.shape[-2:]
    offset_K = torch.arange(-radius, radius + 1, device=position_B2hw.device, dtype=position_B2hw.dtype)
    windows = []
    with full_precision(position_B2hw):
        position_B2Q = position_B2hw.flatten(2)
        for level, volume_BQyx in enumerate(pyramid.levels):
            centre_B2Q = (position_B2Q + 0.5) * 0.5**level - 0.5
            rows = hat_weights(centre_B2Q[:, 1], volume_BQyx.shape[-2], offset_K)
            columns = hat_weights(centre_B2Q[:, 0], volume_BQyx.shape[-1], offset_K)
            window_BQKK = rows @ volume_BQyx @ columns.transpose(-1, -2)
            windows.append(window_BQKK.flatten(2).transpose(1, 2))
        return torch.cat(windows, dim=1).unflatten(2, (height, width))

"""Small pictures of labels and predictions for TensorBoard and reports: HxWx3 uint8 arrays.

Shapes: H height, W width.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

Picture = np.ndarray[Any, np.dtype[np.uint8]]

# NYU-13 order: bed, books, ceiling, chair, floor, furniture, objects, picture, sofa, table, tv, wall, window.
PALETTE = np.array(
    [
        (196, 82, 96), (236, 180, 64), (214, 214, 224), (80, 148, 92), (150, 118, 92), (120, 88, 160), (240, 128, 72),
        (236, 112, 180), (72, 168, 172), (176, 150, 60), (44, 52, 92), (128, 152, 184), (120, 204, 240),
    ],
    dtype=np.uint8,
)  # fmt: skip


def image_picture(image_3HW: Tensor) -> Picture:
    """An image in [0, 1]."""
    return _bytes(image_3HW.permute(1, 2, 0))


def depth_picture(depth_HW: Tensor, near: float | None = None, far: float | None = None) -> Picture:
    """Inverse depth in a blue-to-yellow ramp; invalid pixels are black. The range defaults to the map's own."""
    valid = depth_HW > 0
    inverse = torch.where(valid, 1 / depth_HW.clamp(min=1e-3), torch.zeros_like(depth_HW))
    if near is None or far is None:
        values = inverse[valid] if valid.any() else torch.ones(1)
        low, high = float(values.quantile(0.02)), float(values.quantile(0.98))
    else:
        low, high = 1 / far, 1 / near
    t = ((inverse - low) / max(high - low, 1e-6)).clamp(0, 1)
    colour = torch.stack((t, 0.15 + 0.75 * t, 0.45 + 0.35 * t - 0.65 * t**3), dim=-1)
    return _bytes(colour * valid[..., None])


def label_picture(label_HW: Tensor) -> Picture:
    """Classes in their palette, ignored pixels black."""
    label = label_HW.cpu().numpy().astype(np.int64)
    picture = PALETTE[label % len(PALETTE)].copy()
    picture[label == 255] = 0
    return picture


def normal_picture(normal_3HW: Tensor) -> Picture:
    """(n + 1) / 2."""
    return _bytes((normal_3HW.permute(1, 2, 0) + 1) / 2)


def flow_picture(flow_2HW: Tensor, largest: float) -> Picture:
    """Direction as hue, length as saturation up to `largest` pixels."""
    x, y = flow_2HW.double()
    angle, length = torch.atan2(y, x), (torch.hypot(x, y) / max(largest, 1e-6)).clamp(0, 1)
    offsets = torch.tensor([0.0, 2.0943951, 4.1887902], dtype=torch.float64)
    hue = 0.5 + 0.5 * torch.cos(angle[..., None].cpu() - offsets)
    return _bytes(1 - length[..., None].cpu() * (1 - hue))


def grey_picture(value_HW: Tensor) -> Picture:
    """A map in [0, 1]."""
    return _bytes(value_HW[..., None].expand(-1, -1, 3))


def sheet(rows: list[list[Picture]], gap: int = 4) -> Picture:
    """Rows of pictures with white gaps; a row is as high as its highest picture."""
    lines = []
    for row in rows:
        height = max(picture.shape[0] for picture in row)
        cells: list[Picture] = []
        for picture in row:
            filled = np.pad(picture, ((0, height - picture.shape[0]), (0, 0), (0, 0)), constant_values=255)
            cells += [filled, np.full((height, gap, 3), 255, np.uint8)]
        lines += [np.concatenate(cells[:-1], axis=1)]
    width = max(line.shape[1] for line in lines)
    padded = [np.pad(line, ((0, gap), (0, width - line.shape[1]), (0, 0)), constant_values=255) for line in lines]
    return np.concatenate(padded, axis=0)


def _bytes(image_HW3: Tensor) -> Picture:
    array: Picture = (image_HW3.detach().float().clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy()
    return array

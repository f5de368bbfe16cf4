"""What texture plates are made of: tileable noise with a chosen spectrum, and fallen leaves."""

from __future__ import annotations

import torch
from torch import Tensor

SIZE = 512
"""Pixels of a plate's side."""


def generator_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(7919 * (seed + 1))


def noise(seed: int, power: float, low: float = 0.0, high: float = 1e9, squeeze: float = 1.0, count: int = 1) -> Tensor:
    """Tileable noise [count, SIZE, SIZE] with spectrum 1/f^power in the band (cycles per plate), unit deviation."""
    white = torch.randn(count, SIZE, SIZE, generator=generator_of(seed))
    fy = torch.fft.fftfreq(SIZE)[:, None] * SIZE * squeeze
    fx = torch.fft.rfftfreq(SIZE)[None, :] * SIZE
    f = (fx * fx + fy * fy).sqrt()
    gain = torch.where((f >= low) & (f <= high) & (f > 0), f.clamp(min=1.0) ** -power, torch.zeros(()))
    field = torch.fft.irfft2(torch.fft.rfft2(white) * gain, s=(SIZE, SIZE))
    return field / field.std(dim=(1, 2), keepdim=True).clamp(min=1e-9)


def grey(field: Tensor, spread: float = 0.18) -> Tensor:
    return (0.5 + spread * field).clamp(0, 1).expand(3, SIZE, SIZE)


def axes() -> tuple[Tensor, Tensor]:
    line = torch.arange(SIZE) / SIZE
    return line[None, :].expand(SIZE, SIZE), line[:, None].expand(SIZE, SIZE)


def displaced(image: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """The tileable image [C, SIZE, SIZE] displaced by (dx, dy) plates, nearest."""
    x, y = axes()
    ix = ((x + dx) * SIZE).long() % SIZE
    iy = ((y + dy) * SIZE).long() % SIZE
    return image[:, iy, ix]


def fallen_leaves(seed: int, count: int, largest: float, smallest: float, square: bool, saturation: float) -> Tensor:
    """Dead leaves: overlapping discs or rectangles with power-law sizes, the statistics of natural pictures."""
    generator = generator_of(seed)
    values = torch.rand(count, 8, generator=generator)
    image = torch.full((3, SIZE, SIZE), 0.5)
    for x, y, r, aspect, *rgb, bright in values.tolist():
        rx = max(2.0, SIZE * (largest ** (1 - r) * smallest**r) / 2)
        ry = rx * (0.5 + 1.2 * aspect) if square else rx
        xs = torch.arange(int(x * SIZE - rx), int(x * SIZE + rx) + 1)
        ys = torch.arange(int(y * SIZE - ry), int(y * SIZE + ry) + 1)
        xs, ys = xs[: SIZE - 1], ys[: SIZE - 1]
        base = 0.15 + 0.75 * bright
        colour = torch.tensor([base + saturation * (c - 0.5) for c in rgb[:3]]).clamp(0, 1)
        grid = (ys % SIZE)[:, None], (xs % SIZE)[None, :]
        patch = image[:, grid[0], grid[1]]
        if square:
            inside = torch.ones(len(ys), len(xs), dtype=torch.bool)
        else:
            inside = ((xs - x * SIZE)[None, :] ** 2 + (ys - y * SIZE)[:, None] ** 2) <= rx * rx
        image[:, grid[0], grid[1]] = torch.where(inside, colour[:, None, None], patch)
    return image

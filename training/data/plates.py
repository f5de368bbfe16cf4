"""Texture plates: tileable pictures from filtered noise and fallen leaves, with their mip pyramid.

A plate is 512 x 512 RGB in [0, 1]. Materials mix their colours through a plate, or show its own colours (pictures,
views out of a window, patterned cloth). All plates come from fixed seeds, so they are the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 512
LEVELS = 9

(
    CLOUDS, SOFT, GRAIN, WOOD, RINGS, WEAVE, CORD, CARPET, MARBLE, TERRAZZO, LEATHER, STREAKS, TEXT,
    LEAVES, BLOCKS, FLORAL, BANDS, PHOTO, PHOTO2, SKY, STREET, GARDEN, FOLIAGE, PERSIAN, SPECKS,
) = range(25)  # fmt: skip

OUTSIDE = (SKY, STREET, GARDEN, FOLIAGE)
PICTURES = (LEAVES, BLOCKS, PHOTO, PHOTO2, STREET, GARDEN, FOLIAGE, PERSIAN, BANDS, FLORAL)
PATTERNS = (LEAVES, FLORAL, BANDS, PERSIAN, BLOCKS)


class Plates(NamedTuple):
    """Every plate's pyramid in one flat table: row = plate * stride + offset[level] + y * (SIZE >> level) + x."""

    table_T3: Tensor
    offsets: tuple[int, ...]
    stride: int


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(7919 * (seed + 1))


def _noise(
    seed: int, power: float, low: float = 0.0, high: float = 1e9, squeeze: float = 1.0, count: int = 1
) -> Tensor:
    """Tileable noise [count, SIZE, SIZE] with spectrum 1/f^power in the band (cycles per plate), unit deviation."""
    white = torch.randn(count, SIZE, SIZE, generator=_generator(seed))
    fy = torch.fft.fftfreq(SIZE)[:, None] * SIZE * squeeze
    fx = torch.fft.rfftfreq(SIZE)[None, :] * SIZE
    f = (fx * fx + fy * fy).sqrt()
    gain = torch.where((f >= low) & (f <= high) & (f > 0), f.clamp(min=1.0) ** -power, torch.zeros(()))
    field = torch.fft.irfft2(torch.fft.rfft2(white) * gain, s=(SIZE, SIZE))
    return field / field.std(dim=(1, 2), keepdim=True).clamp(min=1e-9)


def _grey(field: Tensor, spread: float = 0.18) -> Tensor:
    return (0.5 + spread * field).clamp(0, 1).expand(3, SIZE, SIZE)


def _axes() -> tuple[Tensor, Tensor]:
    line = torch.arange(SIZE) / SIZE
    return line[None, :].expand(SIZE, SIZE), line[:, None].expand(SIZE, SIZE)


def _lookup(image: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """The tileable image [C, SIZE, SIZE] displaced by (dx, dy) plates, nearest."""
    x, y = _axes()
    ix = ((x + dx) * SIZE).long() % SIZE
    iy = ((y + dy) * SIZE).long() % SIZE
    return image[:, iy, ix]


def _leaves(seed: int, count: int, largest: float, smallest: float, square: bool, saturation: float) -> Tensor:
    """Dead leaves: overlapping discs or rectangles with power-law sizes, the statistics of natural pictures."""
    generator = _generator(seed)
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


def _wood() -> Tensor:
    streaks = _noise(3, 0.9, 2, 200, squeeze=14.0)[0]
    pores = _noise(4, 0.1, 30, 250, squeeze=10.0)[0]
    return _grey((0.8 * streaks + 0.45 * pores)[None])


def _rings() -> Tensor:
    x, _ = _axes()
    bend = _noise(5, 1.6, 1, 24, squeeze=6.0)[0]
    rings = torch.sin(2 * math.pi * (9 * x + 1.1 * bend))
    pores = _noise(6, 0.2, 20, 250, squeeze=12.0)[0]
    return _grey((0.9 * rings.sign() * rings.abs().sqrt() + 0.4 * pores)[None])


def _weave() -> Tensor:
    x, y = _axes()
    a, b = torch.sin(2 * math.pi * 64 * x), torch.sin(2 * math.pi * 64 * y)
    thread = torch.where(torch.sin(math.pi * 64 * x) * torch.sin(math.pi * 64 * y) > 0, a, b)
    return _grey((0.7 * thread + 0.7 * _noise(7, 0.7, 2, 180)[0])[None])


def _cord() -> Tensor:
    x, _ = _axes()
    return _grey((1.1 * torch.sin(2 * math.pi * 48 * x) + 0.5 * _noise(8, 0.6, 2, 200)[0])[None])


def _marble() -> Tensor:
    veins = _noise(10, 1.3, 1, 120)[0].abs()
    fine = _noise(11, 1.0, 4, 200)[0].abs()
    return _grey(
        (1.4 - 2.2 * torch.exp(-6 * veins) - 1.2 * torch.exp(-9 * fine) + 0.3 * _noise(12, 1.2)[0])[None], 0.25
    )


def _leather() -> Tensor:
    cells = _noise(13, 0.0, 35, 60)[0]
    return _grey((0.8 * cells.abs().sqrt() * 1.5 - 1.2 + 0.4 * _noise(14, 1.2, 1, 60)[0])[None])


def _text() -> Tensor:
    generator = _generator(15)
    page = torch.full((SIZE, SIZE), 0.95)
    for row in range(16, SIZE - 16, 12):
        if torch.rand((), generator=generator) < 0.12:
            continue
        column = 20.0
        while column < SIZE - 60:
            width = 6 + 34 * float(torch.rand((), generator=generator))
            page[row : row + 6, int(column) : int(column + width)] = 0.15
            column += width + 6
    ink = torch.rand(SIZE, SIZE, generator=generator) < 0.3
    return torch.where(ink, torch.full_like(page, 0.95), page).expand(3, SIZE, SIZE)


def _photo(seed: int) -> Tensor:
    """A made-up photograph: large coloured regions with soft shading, sharp borders and fine texture."""
    regions = _noise(seed, 1.7, 1, 40, count=3)
    shade = _noise(seed + 1, 1.2, 1, 200, count=3)
    steps = torch.tanh(3 * regions) * 0.22 + 0.1 * regions
    mixed = steps + 0.8 * steps.mean(0, keepdim=True) + 0.07 * shade + 0.08 * shade.mean(0, keepdim=True)
    return (0.45 + mixed).clamp(0, 1)


def _sky() -> Tensor:
    _, y = _axes()
    cloud = torch.sigmoid(2.5 * _noise(30, 1.5, 1, 100)[0])
    blue = torch.stack([0.45 + 0.4 * y, 0.62 + 0.28 * y, 0.92 + 0.06 * y])
    return (blue + (1 - blue) * cloud * 0.9).clamp(0, 1)


def _street() -> Tensor:
    """House fronts with rows of windows under a bright sky."""
    generator = _generator(31)
    image = _sky().clone()
    x = 0
    while x < SIZE:
        values = torch.rand(8, generator=generator).tolist()
        width = int(60 + 110 * values[0])
        top = int(SIZE * (0.12 + 0.4 * values[1]))
        tone = torch.tensor([0.35 + 0.5 * values[2], 0.3 + 0.45 * values[3], 0.28 + 0.4 * values[4]])
        image[:, top:, x : x + width] = tone[:, None, None]
        step_x, step_y = int(16 + 14 * values[5]), int(26 + 18 * values[6])
        for wy in range(top + 10, SIZE - 20, step_y):
            for wx in range(x + 6, min(x + width, SIZE) - step_x + 6, step_x):
                image[:, wy : wy + step_y // 2, wx : wx + step_x // 2] = 0.12 + 0.5 * values[7]
        x += width
    return (image + 0.03 * _noise(32, 0.8, 2, 200)).clamp(0, 1)


def _garden() -> Tensor:
    _, y = _axes()
    green = _leaves(33, 900, 0.10, 0.01, False, 0.35) * torch.tensor([0.55, 0.85, 0.35])[:, None, None]
    edge = 0.38 + 0.09 * _noise(34, 1.3, 1, 30)[0]
    return torch.where(y > edge, green, _sky()).clamp(0, 1)


def _foliage() -> Tensor:
    leaf = _leaves(35, 2600, 0.09, 0.008, False, 0.3)
    return (leaf * torch.tensor([0.6, 0.9, 0.35])[:, None, None] * 1.1).clamp(0, 1)


def _floral() -> Tensor:
    x, y = _axes()
    u, v = (x * 6) % 1 - 0.5, (y * 6 + 0.5 * ((x * 6).floor() % 2)) % 1 - 0.5
    radius, angle = (u * u + v * v).sqrt(), torch.atan2(v, u)
    petals = radius < 0.27 * (0.55 + 0.45 * torch.cos(5 * angle).abs())
    heart = radius < 0.08
    stem = ((u - 0.12 * torch.sin(6.28 * v)).abs() < 0.025) & (radius > 0.2)
    image = torch.full((3, SIZE, SIZE), 0.85)
    for mask, colour in ((stem, (0.35, 0.5, 0.3)), (petals, (0.75, 0.35, 0.4)), (heart, (0.9, 0.75, 0.3))):
        image = torch.where(mask, torch.tensor(colour)[:, None, None], image)
    return (image + 0.03 * _noise(36, 0.7, 2, 200)).clamp(0, 1)


def _bands() -> Tensor:
    generator = _generator(37)
    widths = torch.randint(4, 44, (60,), generator=generator)
    colours = torch.rand(60, 3, generator=generator) * 0.8 + 0.1
    rows = torch.repeat_interleave(colours, widths, dim=0)[:SIZE]
    return (rows.T[:, None, :].expand(3, SIZE, SIZE) + 0.05 * _noise(38, 0.6, 2, 250)).clamp(0, 1)


def _persian() -> Tensor:
    x, y = _axes()
    u, v = (x * 2 - 1).abs(), (y * 2 - 1).abs()
    bend = _noise(39, 1.2, 2, 24, count=1)[0]
    bend = (bend + bend.flip(0) + bend.flip(1) + bend.flip(0, 1)) * 0.25
    rings = (
        torch.sin(24 * torch.maximum(u, v)) + torch.sin(9 * (u + v) + 2 * bend) + 0.8 * torch.sin(40 * u * v + 3 * bend)
    )
    levels = torch.stack([torch.tanh(2 * rings), torch.tanh(2 * rings.roll(40, 0)), torch.tanh(2 * rings.roll(70, 1))])
    base = torch.tensor([0.5, 0.3, 0.28])[:, None, None]
    return (base + 0.2 * levels + 0.05 * _noise(40, 0.5, 4, 250)).clamp(0, 1)


def _makers() -> dict[int, Callable[[], Tensor]]:
    return {
        CLOUDS: lambda: _grey(_noise(0, 1.0)),
        SOFT: lambda: _grey(_noise(1, 1.7)),
        GRAIN: lambda: _grey(_noise(2, 0.2, 20, 256)),
        WOOD: _wood,
        RINGS: _rings,
        WEAVE: _weave,
        CORD: _cord,
        CARPET: lambda: _grey(_noise(9, 0.4, 30, 220) + 0.4 * _noise(16, 1.2, 1, 30)),
        MARBLE: _marble,
        TERRAZZO: lambda: _leaves(17, 2600, 0.035, 0.006, False, 0.25),
        LEATHER: _leather,
        STREAKS: lambda: _grey(_noise(18, 0.7, 2, 250, squeeze=30.0)),
        TEXT: _text,
        LEAVES: lambda: _leaves(19, 1100, 0.4, 0.015, False, 0.9),
        BLOCKS: lambda: _leaves(20, 420, 0.4, 0.03, True, 0.9),
        FLORAL: _floral,
        BANDS: _bands,
        PHOTO: lambda: _photo(21),
        PHOTO2: lambda: _lookup(_photo(23), 0.12 * _noise(25, 1.6, 1, 12)[0], 0.12 * _noise(26, 1.6, 1, 12)[0]),
        SKY: _sky,
        STREET: _street,
        GARDEN: _garden,
        FOLIAGE: _foliage,
        PERSIAN: _persian,
        SPECKS: lambda: _grey(
            _noise(27, 0.0, 60, 256).sign() * (_noise(27, 0.0, 60, 256).abs() - 1.6).clamp(min=0) * 3
        ),
    }


def _pyramid(image_3HW: Tensor) -> Tensor:
    """All mip levels of one plate as uint8 rows [stride, 3]."""
    rows = []
    level = image_3HW[None].contiguous()
    for _ in range(LEVELS):
        rows.append((level[0].permute(1, 2, 0).reshape(-1, 3) * 255 + 0.5).to(torch.uint8))
        level = F.avg_pool2d(level, 2)
    return torch.cat(rows)


@cache
def load_plates(device: str) -> Plates:
    """Make all plates once per process and device (about a second)."""
    if device != "cpu":
        plates = load_plates("cpu")
        return plates._replace(table_T3=plates.table_T3.to(device))
    makers = _makers()
    pyramids = [_pyramid(makers[number]()) for number in range(len(makers))]
    offsets, total = [], 0
    for level in range(LEVELS):
        offsets.append(total)
        total += (SIZE >> level) ** 2
    return Plates(torch.cat(pyramids), tuple(offsets), total)

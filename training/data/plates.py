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
    GRAINED, GRANITE, STAINS, PAGE, SPINES, SCREEN, POSTER, FOLDS,
) = range(33)  # fmt: skip

OUTSIDE = (SKY, STREET, GARDEN, FOLIAGE)
PICTURES = (LEAVES, BLOCKS, PHOTO, PHOTO2, STREET, GARDEN, FOLIAGE, PERSIAN, POSTER, PHOTO, PHOTO2, POSTER)
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
    return _grey((0.8 * rings + 0.5 * pores)[None])


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
    steps = torch.tanh(3 * regions) * 0.2 + 0.08 * regions
    grey = steps.mean(0, keepdim=True)
    steps = 0.3 * (steps - grey) + 1.6 * grey
    warm = torch.tensor([0.05, 0.0, -0.06])[:, None, None]
    mixed = steps + 0.03 * shade + 0.1 * shade.mean(0, keepdim=True) + warm
    return (0.42 + mixed).clamp(0.03, 0.97)


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
        base = 0.25 + 0.5 * values[2]
        tone = torch.tensor([base + 0.08 * values[3], base, base - 0.12 * values[4]])
        image[:, top:, x : x + width] = tone[:, None, None]
        step_x, step_y = int(16 + 14 * values[5]), int(26 + 18 * values[6])
        for wy in range(top + 10, SIZE - 20, step_y):
            for wx in range(x + 6, min(x + width, SIZE) - step_x + 6, step_x):
                image[:, wy : wy + step_y // 2, wx : wx + step_x // 2] = 0.12 + 0.5 * values[7]
        x += width
    return (image + 0.03 * _noise(32, 0.8, 2, 200)).clamp(0, 1)


def _garden() -> Tensor:
    """Trees over a lawn under the sky."""
    _, y = _axes()
    edge = 0.38 + 0.09 * _noise(34, 1.3, 1, 60)[0]
    lawn = torch.tensor([0.36, 0.44, 0.22])[:, None, None] * (1 + 0.15 * _noise(33, 0.8, 4, 200, squeeze=0.3))
    ground = 0.8 + 0.03 * _noise(46, 1.3, 1, 30)[0]
    return torch.where(y > ground, lawn, torch.where(y > edge, _foliage(), _sky())).clamp(0, 1)


def _foliage() -> Tensor:
    """Leaves against light: fine clumps from dark to bright, sky in the gaps."""
    clump, leaf = _noise(35, 1.1, 2, 256)[0], _noise(44, 0.5, 20, 256)[0]
    light = torch.sigmoid(1.4 * clump + 0.9 * leaf)
    green = torch.stack([0.08 + 0.5 * light, 0.12 + 0.55 * light, 0.05 + 0.3 * light])
    gap = torch.sigmoid(8 * (_noise(45, 1.2, 2, 120)[0] + 0.3 * leaf - 1.5))
    return (green + (0.93 - green) * gap).clamp(0, 1)


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
    colours = torch.rand(60, 1, generator=generator) * 0.7 + 0.15 + 0.3 * (torch.rand(60, 3, generator=generator) - 0.5)
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
    levels = 0.4 * levels + 0.6 * levels.mean(0, keepdim=True) * torch.tensor([1.3, 0.9, 0.8])[:, None, None]
    return (base + 0.22 * levels + 0.05 * _noise(40, 0.5, 4, 250)).clamp(0, 1)


def _grained() -> Tensor:
    """Flat-sawn wood: long nested arches over fine streaks and pores."""
    x, y = _axes()
    bend = _noise(50, 1.9, 1, 12, squeeze=5.0)[0]
    height = 5 * x + 1.6 * bend + 0.5 * torch.cos(2 * math.pi * y)
    ring = 1 - (height - height.floor())  # early wood fades, then a sharp late edge
    streaks = _noise(51, 0.8, 4, 250, squeeze=18.0)[0]
    tone = _noise(52, 1.5, 1, 8, squeeze=4.0)[0]
    return _grey((1.6 * (ring - 0.5) + 0.55 * streaks + 0.5 * tone)[None], 0.17)


def _granite() -> Tensor:
    speckle = torch.stack([_noise(53 + k, 0.3, 12, 180)[0] for k in range(3)])
    grains = torch.tanh(2.5 * speckle[0]) + 0.7 * torch.tanh(3 * speckle[1]) + 0.8 * (speckle[2] > 1.3).float()
    return _grey((grains + 0.4 * _noise(56, 1.4, 1, 30)[0])[None], 0.2)


def _stains() -> Tensor:
    """Slow gradients, blotches, and streaks that ran down."""
    slow, blotch = _noise(57, 2.0, 1, 12)[0], _noise(58, 1.2, 3, 120)[0]
    runs = _noise(59, 1.0, 1, 160, squeeze=10.0)[0]
    return _grey((0.9 * slow + 0.45 * blotch + 0.3 * runs)[None], 0.2)


def _folds() -> Tensor:
    """Heights of soft cloth: a few bent creases across slow waves."""
    slow = _noise(60, 2.3, 1, 10)[0]
    crease = _noise(61, 1.7, 2, 30, squeeze=1.7)[0]
    return _grey((0.8 * slow + 0.7 * (0.4 - crease.abs()))[None], 0.18)


def _write(page_3HW: Tensor, generator: torch.Generator, box: tuple[int, int, int, int], size: int, ink: float) -> None:
    """Lines of words made of letter-like marks in a box (x0, x1, y0, y1) of pixels; `size` is the line height."""
    x0, x1, y0, y1 = box
    letter = max(1, size // 3)
    for row in range(y0, y1 - size + 1, size + max(2, size // 2)):
        end = x1 if torch.rand((), generator=generator) < 0.8 else x0 + (x1 - x0) // 2
        columns = (end - x0) // (letter + 1) * (letter + 1)
        if columns <= 0:
            continue
        marks = torch.rand(size, columns // (letter + 1), generator=generator) < 0.62
        marks &= torch.rand(1, columns // (letter + 1), generator=generator) > 0.18
        pixels = marks.repeat_interleave(letter + 1, 1)
        pixels[:, letter :: letter + 1] = False
        area = page_3HW[:, row : row + size, x0 : x0 + columns]
        area.copy_(torch.where(pixels, torch.full((), ink), area))


def _page() -> Tensor:
    """Four printed pages: headline, columns of text, pictures."""
    generator, photo = _generator(62), _photo(63)
    sheet = torch.full((3, SIZE, SIZE), 0.93) + torch.tensor([0.0, -0.01, -0.035])[:, None, None]
    half = SIZE // 2
    for px in (0, half):
        for py in (0, half):
            _write(sheet, generator, (px + 18, px + half - 18, py + 16, py + 34), 14, 0.12)
            for column in range(2):
                left = px + 18 + column * 114
                split = py + 46 + int(140 * float(torch.rand((), generator=generator)))
                if column == 1:
                    sheet[:, py + 46 : split, left : left + 104] = photo[:, py + 46 : split, left : left + 104]
                    _write(sheet, generator, (left, left + 104, split + 8, py + half - 14), 4, 0.2)
                else:
                    _write(sheet, generator, (left, left + 104, py + 46, py + half - 14), 4, 0.2)
    return sheet.clamp(0, 1)


def _spines() -> Tensor:
    """Book spines side by side with titles and bands."""
    generator = _generator(64)
    image, x = torch.zeros(3, SIZE, SIZE), 0
    while x < SIZE:
        values = torch.rand(8, generator=generator)
        width = min(int(12 + 30 * values[0]), SIZE - x)
        base = 0.12 + 0.7 * values[1]
        tone = (base + 0.45 * values[2] ** 2 * (values[3:6] - 0.5)).clamp(0.04, 0.92)
        image[:, :, x : x + width] = tone[:, None, None]
        image[:, :, x : x + 1] = 0.06
        ink = 0.92 if base < 0.5 else 0.1
        middle = torch.zeros(3, width, 220) + tone[:, None, None]  # titles run along the spine
        if width > 12:
            _write(middle, generator, (8, 210, width // 3, width - 3), max(4, width // 3), ink)
        top = int(60 + 120 * values[6])
        image[:, top : top + 220, x : x + width] = middle.transpose(1, 2)
        if values[7] < 0.5:
            image[:, 430:446, x : x + width] = ink
        x += width
    return image


def _screen() -> Tensor:
    """A desktop: wallpaper, windows with title bars, text, pictures, a task bar."""
    generator, image = _generator(65), _photo(66) * 0.8
    for _ in range(5):
        values = torch.rand(5, generator=generator).tolist()
        x0, y0 = int(values[0] * 250), int(20 + values[1] * 200)
        x1, y1 = min(SIZE - 8, x0 + 140 + int(values[2] * 200)), min(SIZE - 40, y0 + 110 + int(values[3] * 200))
        dark = values[4] < 0.25
        image[:, y0:y1, x0:x1] = 0.13 if dark else 0.96
        image[:, y0 : y0 + 14, x0:x1] = torch.tensor([0.35, 0.45, 0.6])[:, None, None]
        _write(image, generator, (x0 + 10, x1 - 10, y0 + 24, y1 - 8), 4, 0.75 if dark else 0.2)
    image[:, SIZE - 28 :] = 0.18
    return image.clamp(0, 1)


def _poster() -> Tensor:
    """Prints with a picture, a broad headline and small type."""
    generator, photo = _generator(67), _photo(68)
    sheet = torch.full((3, SIZE, SIZE), 0.9)
    half = SIZE // 2
    for px in (0, half):
        for py in (0, half):
            tone = 0.25 + 0.65 * torch.rand(1, generator=generator) + 0.3 * (torch.rand(3, generator=generator) - 0.5)
            sheet[:, py : py + half, px : px + half] = tone[:, None, None]
            sheet[:, py + 20 : py + 150, px + 20 : px + half - 20] = photo[
                :, py + 20 : py + 150, px + 20 : px + half - 20
            ]
            ink = 0.1 if float(tone.mean()) > 0.5 else 0.92
            _write(sheet, generator, (px + 20, px + half - 20, py + 162, py + 190), 24, ink)
            _write(sheet, generator, (px + 30, px + half - 30, py + 205, py + half - 10), 5, ink)
    return sheet.clamp(0, 1)


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
        GRAINED: _grained,
        GRANITE: _granite,
        STAINS: _stains,
        PAGE: _page,
        SPINES: _spines,
        SCREEN: _screen,
        POSTER: _poster,
        FOLDS: _folds,
        LEAVES: lambda: _leaves(19, 1100, 0.4, 0.015, False, 0.4),
        BLOCKS: lambda: _leaves(20, 420, 0.4, 0.03, True, 0.35),
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

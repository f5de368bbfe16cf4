"""Texture plates with a motif: views, made-up photographs, print and screens, [3, SIZE, SIZE] in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from training.data.plate_noise import SIZE, axes, generator_of, noise


def photo(seed: int) -> Tensor:
    """A made-up photograph: large coloured regions with soft shading, sharp borders and fine texture."""
    regions = noise(seed, 1.7, 1, 40, count=3)
    shade = noise(seed + 1, 1.2, 1, 200, count=3)
    steps = torch.tanh(3 * regions) * 0.2 + 0.08 * regions
    grey = steps.mean(0, keepdim=True)
    steps = 0.3 * (steps - grey) + 1.6 * grey
    warm = torch.tensor([0.05, 0.0, -0.06])[:, None, None]
    mixed = steps + 0.03 * shade + 0.1 * shade.mean(0, keepdim=True) + warm
    return (0.42 + mixed).clamp(0.03, 0.97)


def sky() -> Tensor:
    _, y = axes()
    cloud = torch.sigmoid(2.5 * noise(30, 1.5, 1, 100)[0])
    blue = torch.stack([0.45 + 0.4 * y, 0.62 + 0.28 * y, 0.92 + 0.06 * y])
    return (blue + (1 - blue) * cloud * 0.9).clamp(0, 1)


def street() -> Tensor:
    """House fronts with rows of windows under a bright sky."""
    generator = generator_of(31)
    image = sky().clone()
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
    return (image + 0.03 * noise(32, 0.8, 2, 200)).clamp(0, 1)


def garden() -> Tensor:
    """Trees over a lawn under the sky."""
    _, y = axes()
    edge = 0.38 + 0.09 * noise(34, 1.3, 1, 60)[0]
    lawn = torch.tensor([0.36, 0.44, 0.22])[:, None, None] * (1 + 0.15 * noise(33, 0.8, 4, 200, squeeze=0.3))
    ground = 0.8 + 0.03 * noise(46, 1.3, 1, 30)[0]
    return torch.where(y > ground, lawn, torch.where(y > edge, foliage(), sky())).clamp(0, 1)


def foliage() -> Tensor:
    """Leaves against light: fine clumps from dark to bright, sky in the gaps."""
    clump, leaf = noise(35, 1.1, 2, 256)[0], noise(44, 0.5, 20, 256)[0]
    light = torch.sigmoid(1.4 * clump + 0.9 * leaf)
    green = torch.stack([0.08 + 0.5 * light, 0.12 + 0.55 * light, 0.05 + 0.3 * light])
    gap = torch.sigmoid(8 * (noise(45, 1.2, 2, 120)[0] + 0.3 * leaf - 1.5))
    return (green + (0.93 - green) * gap).clamp(0, 1)


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


def text() -> Tensor:
    generator = generator_of(15)
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


def page() -> Tensor:
    """Four printed pages: headline, columns of text, pictures."""
    generator, picture = generator_of(62), photo(63)
    sheet = torch.full((3, SIZE, SIZE), 0.93) + torch.tensor([0.0, -0.01, -0.035])[:, None, None]
    half = SIZE // 2
    for px in (0, half):
        for py in (0, half):
            _write(sheet, generator, (px + 18, px + half - 18, py + 16, py + 34), 14, 0.12)
            for column in range(2):
                left = px + 18 + column * 114
                split = py + 46 + int(140 * float(torch.rand((), generator=generator)))
                if column == 1:
                    sheet[:, py + 46 : split, left : left + 104] = picture[:, py + 46 : split, left : left + 104]
                    _write(sheet, generator, (left, left + 104, split + 8, py + half - 14), 4, 0.2)
                else:
                    _write(sheet, generator, (left, left + 104, py + 46, py + half - 14), 4, 0.2)
    return sheet.clamp(0, 1)


def spines() -> Tensor:
    """Book spines side by side with titles and bands."""
    generator = generator_of(64)
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


def screen() -> Tensor:
    """A desktop: wallpaper, windows with title bars, text, pictures, a task bar."""
    generator, image = generator_of(65), photo(66) * 0.8
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


def poster() -> Tensor:
    """Prints with a picture, a broad headline and small type."""
    generator, picture = generator_of(67), photo(68)
    sheet = torch.full((3, SIZE, SIZE), 0.9)
    half = SIZE // 2
    for px in (0, half):
        for py in (0, half):
            tone = 0.25 + 0.65 * torch.rand(1, generator=generator) + 0.3 * (torch.rand(3, generator=generator) - 0.5)
            sheet[:, py : py + half, px : px + half] = tone[:, None, None]
            sheet[:, py + 20 : py + 150, px + 20 : px + half - 20] = picture[
                :, py + 20 : py + 150, px + 20 : px + half - 20
            ]
            ink = 0.1 if float(tone.mean()) > 0.5 else 0.92
            _write(sheet, generator, (px + 20, px + half - 20, py + 162, py + 190), 24, ink)
            _write(sheet, generator, (px + 30, px + half - 30, py + 205, py + half - 10), 5, ink)
    return sheet.clamp(0, 1)

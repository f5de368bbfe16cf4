"""Texture plates of surfaces: wood, cloth, stone and patterned cloth, [3, SIZE, SIZE] in [0, 1]."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.data.plate_noise import SIZE, axes, generator_of, grey, noise


def wood() -> Tensor:
    streaks = noise(3, 0.9, 2, 200, squeeze=14.0)[0]
    pores = noise(4, 0.1, 30, 250, squeeze=10.0)[0]
    return grey((0.8 * streaks + 0.45 * pores)[None])


def rings() -> Tensor:
    x, _ = axes()
    bend = noise(5, 1.6, 1, 24, squeeze=6.0)[0]
    rings = torch.sin(2 * math.pi * (9 * x + 1.1 * bend))
    pores = noise(6, 0.2, 20, 250, squeeze=12.0)[0]
    return grey((0.8 * rings + 0.5 * pores)[None])


def grained() -> Tensor:
    """Flat-sawn wood: long nested arches over fine streaks and pores."""
    x, y = axes()
    bend = noise(50, 1.9, 1, 12, squeeze=5.0)[0]
    height = 5 * x + 1.6 * bend + 0.5 * torch.cos(2 * math.pi * y)
    ring = 1 - (height - height.floor())  # early wood fades, then a sharp late edge
    streaks = noise(51, 0.8, 4, 250, squeeze=18.0)[0]
    tone = noise(52, 1.5, 1, 8, squeeze=4.0)[0]
    return grey((1.6 * (ring - 0.5) + 0.55 * streaks + 0.5 * tone)[None], 0.17)


def weave() -> Tensor:
    x, y = axes()
    a, b = torch.sin(2 * math.pi * 64 * x), torch.sin(2 * math.pi * 64 * y)
    thread = torch.where(torch.sin(math.pi * 64 * x) * torch.sin(math.pi * 64 * y) > 0, a, b)
    return grey((0.7 * thread + 0.7 * noise(7, 0.7, 2, 180)[0])[None])


def cord() -> Tensor:
    x, _ = axes()
    return grey((1.1 * torch.sin(2 * math.pi * 48 * x) + 0.5 * noise(8, 0.6, 2, 200)[0])[None])


def leather() -> Tensor:
    cells = noise(13, 0.0, 35, 60)[0]
    return grey((0.8 * cells.abs().sqrt() * 1.5 - 1.2 + 0.4 * noise(14, 1.2, 1, 60)[0])[None])


def folds() -> Tensor:
    """Heights of soft cloth: a few bent creases across slow waves."""
    slow = noise(60, 2.3, 1, 10)[0]
    crease = noise(61, 1.7, 2, 30, squeeze=1.7)[0]
    return grey((0.8 * slow + 0.7 * (0.4 - crease.abs()))[None], 0.18)


def marble() -> Tensor:
    veins = noise(10, 1.3, 1, 120)[0].abs()
    fine = noise(11, 1.0, 4, 200)[0].abs()
    return grey((1.4 - 2.2 * torch.exp(-6 * veins) - 1.2 * torch.exp(-9 * fine) + 0.3 * noise(12, 1.2)[0])[None], 0.25)


def granite() -> Tensor:
    speckle = torch.stack([noise(53 + k, 0.3, 12, 180)[0] for k in range(3)])
    grains = torch.tanh(2.5 * speckle[0]) + 0.7 * torch.tanh(3 * speckle[1]) + 0.8 * (speckle[2] > 1.3).float()
    return grey((grains + 0.4 * noise(56, 1.4, 1, 30)[0])[None], 0.2)


def stains() -> Tensor:
    """Slow gradients, blotches, and streaks that ran down."""
    slow, blotch = noise(57, 2.0, 1, 12)[0], noise(58, 1.2, 3, 120)[0]
    runs = noise(59, 1.0, 1, 160, squeeze=10.0)[0]
    return grey((0.9 * slow + 0.45 * blotch + 0.3 * runs)[None], 0.2)


def floral() -> Tensor:
    x, y = axes()
    u, v = (x * 6) % 1 - 0.5, (y * 6 + 0.5 * ((x * 6).floor() % 2)) % 1 - 0.5
    radius, angle = (u * u + v * v).sqrt(), torch.atan2(v, u)
    petals = radius < 0.27 * (0.55 + 0.45 * torch.cos(5 * angle).abs())
    heart = radius < 0.08
    stem = ((u - 0.12 * torch.sin(6.28 * v)).abs() < 0.025) & (radius > 0.2)
    image = torch.full((3, SIZE, SIZE), 0.85)
    for mask, colour in ((stem, (0.35, 0.5, 0.3)), (petals, (0.75, 0.35, 0.4)), (heart, (0.9, 0.75, 0.3))):
        image = torch.where(mask, torch.tensor(colour)[:, None, None], image)
    return (image + 0.03 * noise(36, 0.7, 2, 200)).clamp(0, 1)


def bands() -> Tensor:
    generator = generator_of(37)
    widths = torch.randint(4, 44, (60,), generator=generator)
    colours = torch.rand(60, 1, generator=generator) * 0.7 + 0.15 + 0.3 * (torch.rand(60, 3, generator=generator) - 0.5)
    rows = torch.repeat_interleave(colours, widths, dim=0)[:SIZE]
    return (rows.T[:, None, :].expand(3, SIZE, SIZE) + 0.05 * noise(38, 0.6, 2, 250)).clamp(0, 1)


def persian() -> Tensor:
    x, y = axes()
    u, v = (x * 2 - 1).abs(), (y * 2 - 1).abs()
    bend = noise(39, 1.2, 2, 24, count=1)[0]
    bend = (bend + bend.flip(0) + bend.flip(1) + bend.flip(0, 1)) * 0.25
    rings = (
        torch.sin(24 * torch.maximum(u, v)) + torch.sin(9 * (u + v) + 2 * bend) + 0.8 * torch.sin(40 * u * v + 3 * bend)
    )
    levels = torch.stack([torch.tanh(2 * rings), torch.tanh(2 * rings.roll(40, 0)), torch.tanh(2 * rings.roll(70, 1))])
    base = torch.tensor([0.5, 0.3, 0.28])[:, None, None]
    levels = 0.4 * levels + 0.6 * levels.mean(0, keepdim=True) * torch.tensor([1.3, 0.9, 0.8])[:, None, None]
    return (base + 0.22 * levels + 0.05 * noise(40, 0.5, 4, 250)).clamp(0, 1)

"""Texture plates: tileable pictures from filtered noise and fallen leaves, with their mip pyramid.

A plate is 512 x 512 RGB in [0, 1]. Materials mix their colours through a plate, or show its own colours (pictures,
views out of a window, patterned cloth). All plates come from fixed seeds, so they are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data import plate_pictures as pictures
from training.data import plate_surfaces as surfaces
from training.data.plate_noise import SIZE, displaced, fallen_leaves, grey, noise

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


def _makers() -> dict[int, Callable[[], Tensor]]:
    return {
        CLOUDS: lambda: grey(noise(0, 1.0)),
        SOFT: lambda: grey(noise(1, 1.7)),
        GRAIN: lambda: grey(noise(2, 0.2, 20, 256)),
        WOOD: surfaces.wood,
        RINGS: surfaces.rings,
        WEAVE: surfaces.weave,
        CORD: surfaces.cord,
        CARPET: lambda: grey(noise(9, 0.4, 30, 220) + 0.4 * noise(16, 1.2, 1, 30)),
        MARBLE: surfaces.marble,
        TERRAZZO: lambda: fallen_leaves(17, 2600, 0.035, 0.006, False, 0.25),
        LEATHER: surfaces.leather,
        STREAKS: lambda: grey(noise(18, 0.7, 2, 250, squeeze=30.0)),
        TEXT: pictures.text,
        GRAINED: surfaces.grained,
        GRANITE: surfaces.granite,
        STAINS: surfaces.stains,
        PAGE: pictures.page,
        SPINES: pictures.spines,
        SCREEN: pictures.screen,
        POSTER: pictures.poster,
        FOLDS: surfaces.folds,
        LEAVES: lambda: fallen_leaves(19, 1100, 0.4, 0.015, False, 0.4),
        BLOCKS: lambda: fallen_leaves(20, 420, 0.4, 0.03, True, 0.35),
        FLORAL: surfaces.floral,
        BANDS: surfaces.bands,
        PHOTO: lambda: pictures.photo(21),
        PHOTO2: lambda: displaced(pictures.photo(23), 0.12 * noise(25, 1.6, 1, 12)[0], 0.12 * noise(26, 1.6, 1, 12)[0]),
        SKY: pictures.sky,
        STREET: pictures.street,
        GARDEN: pictures.garden,
        FOLIAGE: pictures.foliage,
        PERSIAN: surfaces.persian,
        SPECKS: lambda: grey(noise(27, 0.0, 60, 256).sign() * (noise(27, 0.0, 60, 256).abs() - 1.6).clamp(min=0) * 3),
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

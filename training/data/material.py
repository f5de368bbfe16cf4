"""One surface material, and many of them packed into a tensor.

Colours are sRGB in [0, 1]. Texture coordinates are metres on the surface.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields

import torch
from torch import Tensor

from training.data import plates

Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Material:
    """Fields of one material; `COLUMN` says where they are when packed.

    own: 0 mixes colour and second through the plate's brightness, 1 shows the plate's own colours.
    tiles: plate repeats per metre in u and v. shift: plate offset. fine_*: a second, finer plate on top.
    cell: grid period in metres (0 = none). stagger: row offset in periods. joint: half joint width in metres.
    gloss: highlights and blurred reflections, 0 to 1. mirror: share of light in a sharp image, 0 to 1.
    bump: height in metres from black to white of `bump_plate`; it turns the normal for shading alone.
    """

    colour: Colour
    second: Colour = (0.5, 0.5, 0.5)
    joint_colour: Colour = (0.4, 0.4, 0.4)
    plate: float = float(plates.SOFT)
    tiles: tuple[float, float] = (0.5, 0.5)
    shift: tuple[float, float] = (0.0, 0.0)
    contrast: float = 0.0
    own: float = 0.0
    fine_plate: float = float(plates.GRAIN)
    fine_tiles: float = 2.0
    fine_contrast: float = 0.05
    cell: tuple[float, float] = (0.0, 0.0)
    stagger: float = 0.0
    joint: float = 0.0
    cell_variation: float = 0.0
    checker: float = 0.0
    swap: float = 0.0
    gloss: float = 0.0
    shininess: float = 20.0
    emission: float = 0.0
    mirror: float = 0.0
    bump: float = 0.0
    bump_plate: float = float(plates.FOLDS)
    bump_tiles: float = 1.0


def _columns() -> Iterator[str]:
    """The fields as they are packed: colour.r, colour.g, colour.b, ..., tiles.u, tiles.v, ..."""
    example = Material(colour=(0.0, 0.0, 0.0))
    for entry in fields(Material):
        value = getattr(example, entry.name)
        parts = ("",) if not isinstance(value, tuple) else (".u", ".v") if len(value) == 2 else (".r", ".g", ".b")
        yield from (entry.name + part for part in parts)


COLUMN = {name: number for number, name in enumerate(_columns())}


def pack_materials(materials: Sequence[Material]) -> Tensor:
    """Float32 [M, len(COLUMN)], a field in its column."""
    rows = []
    for material in materials:
        row: list[float] = []
        for value in astuple(material):
            row.extend(value if isinstance(value, tuple) else (value,))
        rows.append(row)
    return torch.tensor(rows)

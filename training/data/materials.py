"""Surface materials: two colours mixed through a texture plate, a cell grid (tiles, planks, bricks, stripes), gloss.

Colours are sRGB in [0, 1]. Texture coordinates are metres on the surface.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import torch
from torch import Tensor

from training.data import plates
from training.data.draw import Draw

Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Material:
    """Fields of one material; `FIELDS` gives the packed order.

    own: 0 mixes colour and second through the plate's brightness, 1 shows the plate's own colours.
    tiles: plate repeats per metre in u and v. shift: plate offset. fine_*: a second, finer plate on top.
    cell: grid period in metres (0 = none). stagger: row offset in periods. joint: half joint width in metres.
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


FIELDS = (
    "colour.r", "colour.g", "colour.b", "second.r", "second.g", "second.b", "joint.r", "joint.g", "joint.b",
    "plate", "tiles.u", "tiles.v", "shift.u", "shift.v", "contrast", "own", "fine_plate", "fine_tiles", "fine_contrast",
    "cell.u", "cell.v", "stagger", "joint", "cell_variation", "checker", "swap", "gloss", "shininess", "emission",
)  # fmt: skip


def pack_materials(materials: Sequence[Material]) -> Tensor:
    """Float32 [M, len(FIELDS)], fields in the order of `FIELDS`."""
    rows = []
    for material in materials:
        row: list[float] = []
        for value in astuple(material):
            row.extend(value if isinstance(value, tuple) else (value,))
        rows.append(row)
    return torch.tensor(rows)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """sRGB from hue (any real, wraps), saturation and value in [0, 1]."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def scale(colour: Colour, factor: float) -> Colour:
    """The colour made brighter or darker, kept in [0, 1]."""
    r, g, b = (min(max(c * factor, 0.0), 1.0) for c in colour)
    return r, g, b


def any_colour(draw: Draw, saturation: float = 0.6) -> Colour:
    """A colour of any hue; greys, blacks and whites included."""
    if draw.chance(0.3):
        return hsv(draw.uniform(), draw.uniform(0, 0.1), draw.choice((0.06, 0.15, 0.35, 0.6, 0.85, 0.93)))
    return hsv(draw.uniform(), draw.uniform(0.1, saturation), draw.uniform(0.2, 0.95))


def plain(draw: Draw, colour: Colour, gloss: float = 0.0, shininess: float = 30.0, emission: float = 0.0) -> Material:
    """Paint, plastic or metal of one colour with a little unevenness."""
    return Material(
        colour=colour,
        second=scale(colour, draw.uniform(0.85, 1.1)),
        contrast=draw.uniform(0.0, 0.4),
        tiles=(draw.uniform(0.3, 1.0), draw.uniform(0.3, 1.0)),
        shift=_shift(draw),
        fine_contrast=draw.uniform(0.0, 0.06),
        gloss=gloss,
        shininess=shininess,
        emission=emission,
    )


def _shift(draw: Draw) -> tuple[float, float]:
    return draw.uniform(), draw.uniform()


def wood(draw: Draw) -> Material:
    """Natural or painted wood with grain along v."""
    tone = hsv(draw.uniform(0.04, 0.11), draw.uniform(0.25, 0.65), draw.uniform(0.2, 0.85))
    plate = draw.choice((plates.WOOD, plates.WOOD, plates.RINGS, plates.STREAKS))
    fineness = draw.uniform(0.8, 2.2)
    return Material(
        colour=scale(tone, 1.2), second=scale(tone, draw.uniform(0.5, 0.85)), contrast=draw.uniform(0.5, 1.2),
        plate=float(plate), tiles=(fineness * draw.uniform(1, 2.5), fineness * 0.5), shift=_shift(draw),
        fine_contrast=draw.uniform(0.0, 0.12), fine_tiles=draw.uniform(2, 5), gloss=draw.uniform(0, 0.5),
        shininess=draw.uniform(10, 80), swap=float(draw.chance(0.3)),
    )  # fmt: skip


def lacquer(draw: Draw) -> Material:
    """Painted board: white, grey, black or, rarely, a colour."""
    colour = draw.weighted((
        (hsv(draw.uniform(), draw.uniform(0, 0.06), draw.uniform(0.75, 0.95)), 5.0),
        (hsv(draw.uniform(), draw.uniform(0, 0.1), draw.uniform(0.05, 0.6)), 3.0),
        (any_colour(draw), 2.0),
    ))  # fmt: skip
    return plain(draw, colour, gloss=draw.uniform(0, 0.6), shininess=draw.uniform(20, 120))


def board(draw: Draw) -> Material:
    """What cabinets and tables are made of."""
    return wood(draw) if draw.chance(0.6) else lacquer(draw)


def metal(draw: Draw) -> Material:
    """Steel, brass or black tube."""
    colour = draw.choice(((0.7, 0.71, 0.73), (0.5, 0.5, 0.52), (0.08, 0.08, 0.09), (0.75, 0.6, 0.35), (0.9, 0.9, 0.9)))
    return plain(draw, colour, gloss=draw.uniform(0.5, 1.0), shininess=draw.uniform(30, 150))


def fabric(draw: Draw, colour: Colour | None = None) -> Material:
    """Cloth: plain weave, cord, leather, stripes, checks or a printed pattern."""
    base = colour or any_colour(draw)
    kind = draw.weighted((("weave", 5.0), ("print", 2.0), ("stripes", 1.5), ("checks", 1.0), ("leather", 1.5)))
    cloth = Material(
        colour=scale(base, 1.12), second=scale(base, draw.uniform(0.6, 0.9)), contrast=draw.uniform(0.3, 1.0),
        plate=float(draw.choice((plates.WEAVE, plates.CORD, plates.CLOUDS, plates.CARPET))),
        tiles=(draw.uniform(1.0, 3.5),) * 2, shift=_shift(draw), fine_plate=float(plates.WEAVE),
        fine_tiles=draw.uniform(2, 5), fine_contrast=draw.uniform(0, 0.2), swap=float(draw.chance(0.5)),
    )  # fmt: skip
    if kind == "leather":
        return replace(cloth, plate=float(plates.LEATHER), gloss=draw.uniform(0.2, 0.7), shininess=draw.uniform(10, 40))
    if kind == "print":
        tiles = draw.uniform(0.5, 2.0)
        return replace(
            cloth, plate=float(draw.choice(plates.PATTERNS)), tiles=(tiles, tiles), own=draw.uniform(0.4, 1.0)
        )
    if kind == "stripes":
        return replace(cloth, cell=(draw.uniform(0.02, 0.15), 50.0), checker=1.0, second=any_colour(draw), contrast=0.2)
    if kind == "checks":
        size = draw.uniform(0.02, 0.12)
        return replace(cloth, cell=(size, size), checker=draw.uniform(0.4, 1.0), second=any_colour(draw), contrast=0.2)
    return cloth


def tiles(draw: Draw, size: float | None = None) -> Material:
    """Ceramic or stone tiles."""
    base = hsv(draw.uniform(), draw.uniform(0, 0.25), draw.uniform(0.25, 0.95))
    u = size or draw.uniform(0.1, 0.6)
    v = u * draw.choice((1.0, 1.0, 0.5, 2.0))
    return Material(
        colour=scale(base, 1.05),
        second=scale(base, draw.uniform(0.6, 1.0)),
        contrast=draw.uniform(0.1, 1.0),
        joint_colour=hsv(0.1, 0.05, draw.uniform(0.2, 0.9)),
        plate=float(draw.choice((plates.MARBLE, plates.CLOUDS, plates.TERRAZZO, plates.SPECKS))),
        tiles=(draw.uniform(0.6, 1.8),) * 2,
        shift=_shift(draw),
        cell=(u, v),
        stagger=draw.choice((0.0, 0.0, 0.5)),
        joint=draw.uniform(0.001, 0.005),
        cell_variation=draw.uniform(0, 0.12),
        checker=draw.choice((0.0, 0.0, 0.0, 0.8)),
        gloss=draw.uniform(0, 0.8),
        shininess=draw.uniform(20, 150),
    )


def planks(draw: Draw) -> Material:
    """A plank or parquet floor."""
    base = wood(draw)
    width = draw.uniform(0.05, 0.22)
    return replace(
        base, swap=float(draw.chance(0.5)), cell=(width, width * draw.uniform(4, 14)), stagger=draw.uniform(0.2, 0.7),
        joint=draw.uniform(0.0005, 0.003), joint_colour=scale(base.second, draw.uniform(0.3, 0.8)),
        cell_variation=draw.uniform(0.03, 0.25),
    )  # fmt: skip


def carpet(draw: Draw) -> Material:
    """Wall-to-wall carpet."""
    base = hsv(draw.uniform(), draw.uniform(0, 0.4), draw.uniform(0.15, 0.8))
    return Material(
        colour=scale(base, 1.15), second=scale(base, 0.7), contrast=draw.uniform(0.5, 1.2), plate=float(plates.CARPET),
        tiles=(draw.uniform(0.8, 2.5),) * 2, shift=_shift(draw), fine_contrast=draw.uniform(0.05, 0.25),
        fine_tiles=draw.uniform(2, 6), fine_plate=float(draw.choice((plates.GRAIN, plates.CARPET, plates.WEAVE))),
    )  # fmt: skip


def floor(draw: Draw) -> Material:
    """Wood, tiles, carpet or concrete."""
    kind = draw.weighted((("planks", 5.0), ("tiles", 2.5), ("carpet", 2.5), ("concrete", 1.0)))
    if kind == "planks":
        return planks(draw)
    if kind == "tiles":
        return tiles(draw, draw.uniform(0.2, 0.8))
    if kind == "carpet":
        return carpet(draw)
    return replace(
        plain(draw, hsv(0.1, 0.05, draw.uniform(0.3, 0.7)), gloss=draw.uniform(0, 0.4)),
        plate=float(plates.CLOUDS),
        contrast=1.0,
    )


def wall(draw: Draw) -> Material:
    """Paint, plaster, wallpaper, bricks, panels or tiles."""
    tone = draw.weighted((
        (hsv(draw.uniform(0.05, 0.17), draw.uniform(0, 0.2), draw.uniform(0.75, 0.96)), 5.0),
        (hsv(draw.uniform(), draw.uniform(0.05, 0.35), draw.uniform(0.45, 0.9)), 3.0),
        (hsv(draw.uniform(), draw.uniform(0.1, 0.6), draw.uniform(0.15, 0.6)), 1.0),
    ))  # fmt: skip
    kind = draw.weighted(
        (("paint", 6.0), ("plaster", 1.5), ("paper", 1.5), ("brick", 0.6), ("panel", 0.6), ("tile", 0.5))
    )
    if kind == "paper":
        pattern = draw.choice(("plate", "stripes", "print"))
        paper = plain(draw, tone)
        second = scale(tone, draw.uniform(0.75, 1.1))
        if pattern == "stripes":
            return replace(paper, cell=(draw.uniform(0.03, 0.2), 50.0), checker=1.0, second=second)
        if pattern == "print":
            print_tiles = (draw.uniform(0.4, 1.5),) * 2
            return replace(
                paper,
                plate=float(draw.choice((plates.FLORAL, plates.PERSIAN, plates.LEAVES))),
                tiles=print_tiles,
                own=draw.uniform(0.1, 0.5),
            )
        return replace(
            paper, plate=float(draw.choice((plates.WEAVE, plates.CORD, plates.STREAKS))), contrast=0.6, second=second
        )
    if kind == "brick":
        brick = tiles(draw)
        colour = hsv(draw.uniform(0.0, 0.08), draw.uniform(0.1, 0.6), draw.uniform(0.4, 0.9))
        return replace(
            brick, colour=colour, second=scale(colour, 0.6), cell=(0.22, 0.075), stagger=0.5, joint=0.006, gloss=0.0,
            cell_variation=draw.uniform(0.05, 0.3), plate=float(plates.CLOUDS), checker=0.0, fine_contrast=0.2,
        )  # fmt: skip
    if kind == "panel":
        return replace(planks(draw), swap=0.0, cell=(draw.uniform(0.08, 0.25), 50.0))
    if kind == "tile":
        return tiles(draw, draw.uniform(0.08, 0.3))
    paint = plain(draw, tone)
    if kind == "plaster":
        return replace(
            paint, plate=float(plates.CLOUDS), contrast=draw.uniform(0.4, 1.0), fine_contrast=draw.uniform(0.08, 0.25)
        )
    return paint


def picture(
    draw: Draw, width: float, height: float, emission: float = 0.0, pool: Sequence[int] = plates.PICTURES
) -> Material:
    """A print that shows part of one plate on a surface of the given size (metres)."""
    part = draw.uniform(0.4, 1.0)
    return Material(
        colour=(0.5, 0.5, 0.5), second=any_colour(draw), plate=float(draw.choice(pool)), own=draw.uniform(0.75, 1.0),
        tiles=(part / width, part / max(width, height)), shift=_shift(draw), fine_contrast=0.0,
        gloss=draw.uniform(0, 0.5), shininess=100.0, emission=emission, contrast=0.5,
    )  # fmt: skip


def outside(draw: Draw, width: float, height: float) -> Material:
    """The view through a window pane, fixed to the pane; bright."""
    tone = draw.choice(plates.OUTSIDE)
    return Material(
        colour=(0.9, 0.95, 1.0), second=(0.7, 0.8, 0.9), plate=float(tone), own=draw.uniform(0.3, 0.95), contrast=0.3,
        tiles=(draw.uniform(0.3, 0.9) / width, 0.95 / height), shift=(draw.uniform(), 0.5), fine_contrast=0.0,
        gloss=0.2, shininess=200.0, emission=draw.uniform(1.0, 7.0),
    )  # fmt: skip

"""Surface materials as rooms and streets have them: two colours mixed through a texture plate, a cell grid (tiles,
planks, bricks, stripes), gloss.

Colours are sRGB in [0, 1]. Texture coordinates are metres on the surface.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import replace

from training.data import plates
from training.data.draw import Draw
from training.data.material import Colour, Material


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """sRGB from hue (any real, wraps), saturation and value in [0, 1]."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def scale(colour: Colour, factor: float) -> Colour:
    """The colour made brighter or darker, kept in [0, 1]."""
    r, g, b = (min(max(c * factor, 0.0), 1.0) for c in colour)
    return r, g, b


def any_colour(draw: Draw, saturation: float = 0.6) -> Colour:
    """A colour as rooms have them: mostly neutrals and browns, some muted colours, seldom one of full saturation."""
    kind = draw.weighted((("neutral", 5.0), ("earth", 2.5), ("muted", 2.5), ("accent", 1.0)))
    if kind == "neutral":
        value = draw.choice((0.12, 0.2, 0.3, 0.45, 0.6, 0.75, 0.88, 0.93))
        return hsv(draw.uniform(0.02, 0.16), draw.uniform(0, 0.14), value * draw.uniform(0.9, 1.05))
    if kind == "earth":
        return hsv(draw.uniform(0.03, 0.13), draw.uniform(0.15, 0.5), draw.uniform(0.22, 0.85))
    if kind == "muted":
        return hsv(draw.uniform(), draw.uniform(0.05, 0.35) * min(1.0, saturation / 0.6), draw.uniform(0.2, 0.8))
    hue = draw.weighted(((draw.normal(0.0, 0.03), 3.0), (draw.normal(0.6, 0.05), 3.0), (draw.uniform(), 3.0)))
    return hsv(hue, draw.uniform(0.4, 1.3) * saturation, draw.uniform(0.25, 0.8))


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
    value = draw.uniform(0.22, 0.8)
    tone = hsv(draw.uniform(0.05, 0.105), draw.uniform(0.2, 0.5) + 0.25 * max(0.0, 0.5 - value), value)
    plate = draw.choice((plates.WOOD, plates.GRAINED, plates.GRAINED, plates.RINGS, plates.STREAKS))
    fineness = draw.uniform(0.5, 1.8)
    return Material(
        colour=scale(tone, 1.12), second=scale(tone, draw.uniform(0.55, 0.88)), contrast=draw.uniform(0.4, 1.1),
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
    return plain(draw, colour, gloss=draw.uniform(0, 0.8), shininess=draw.uniform(20, 120))


def stone(draw: Draw) -> Material:
    """A polished slab: granite, marble or composite."""
    plate = draw.choice((plates.GRANITE, plates.GRANITE, plates.MARBLE, plates.TERRAZZO, plates.SPECKS))
    base = hsv(draw.uniform(0.02, 0.15), draw.uniform(0, 0.2), draw.choice((0.2, 0.35, 0.55, 0.75, 0.9)))
    return Material(
        colour=scale(base, 1.15), second=scale(base, draw.uniform(0.4, 0.8)), contrast=draw.uniform(0.6, 1.3),
        plate=float(plate), tiles=(draw.uniform(0.6, 1.6),) * 2, shift=_shift(draw), gloss=draw.uniform(0.3, 0.9),
        shininess=draw.uniform(40, 150), fine_contrast=draw.uniform(0, 0.05),
    )  # fmt: skip


def concrete(draw: Draw) -> Material:
    """Cast or screeded concrete with stains."""
    base = hsv(draw.uniform(0.05, 0.15), draw.uniform(0, 0.1), draw.uniform(0.35, 0.75))
    return Material(
        colour=scale(base, 1.1), second=scale(base, draw.uniform(0.7, 0.88)), contrast=draw.uniform(0.5, 1.0),
        plate=float(plates.STAINS), tiles=(draw.uniform(0.2, 0.5),) * 2, shift=_shift(draw),
        fine_contrast=draw.uniform(0.05, 0.2), gloss=draw.uniform(0, 0.4), shininess=15.0,
    )  # fmt: skip


def board(draw: Draw) -> Material:
    """What cabinets and tables are made of."""
    return wood(draw) if draw.chance(0.6) else lacquer(draw)


def metal(draw: Draw) -> Material:
    """Steel, brass or black tube."""
    colour = draw.choice(((0.7, 0.71, 0.73), (0.5, 0.5, 0.52), (0.08, 0.08, 0.09), (0.75, 0.6, 0.35), (0.9, 0.9, 0.9)))
    return plain(draw, colour, gloss=draw.uniform(0.5, 1.0), shininess=draw.uniform(30, 150))


def _partner(draw: Draw, base: Colour) -> Colour:
    """A second colour that goes with a cloth's first: lighter, darker or, seldom, another."""
    return scale(base, draw.choice((0.6, 0.75, 1.25, 1.5))) if draw.chance(0.7) else any_colour(draw)


def fabric(draw: Draw, colour: Colour | None = None) -> Material:
    """Cloth: plain weave, cord, leather, stripes, checks or a printed pattern."""
    base = colour or any_colour(draw)
    kind = draw.weighted((("weave", 7.0), ("print", 1.2), ("stripes", 0.8), ("checks", 0.5), ("leather", 1.5)))
    cloth = Material(
        colour=scale(base, 1.08), second=scale(base, draw.uniform(0.7, 0.92)), contrast=draw.uniform(0.3, 1.0),
        plate=float(draw.choice((plates.WEAVE, plates.CORD, plates.CLOUDS, plates.CLOUDS, plates.CARPET))),
        tiles=(draw.uniform(1.0, 3.5),) * 2, shift=_shift(draw), fine_plate=float(plates.WEAVE),
        fine_tiles=draw.uniform(2, 5), fine_contrast=draw.uniform(0, 0.14), swap=float(draw.chance(0.5)),
        bump=draw.uniform(0.0, 0.12), bump_tiles=draw.uniform(0.5, 1.6),
    )  # fmt: skip
    if kind == "leather":
        return replace(cloth, plate=float(plates.LEATHER), gloss=draw.uniform(0.2, 0.7), shininess=draw.uniform(10, 40))
    if kind == "print":
        tiles = draw.uniform(0.5, 2.0)
        return replace(
            cloth, plate=float(draw.choice(plates.PATTERNS)), tiles=(tiles, tiles), own=draw.uniform(0.2, 0.7)
        )
    if kind == "stripes":
        return replace(
            cloth, cell=(draw.uniform(0.02, 0.15), 50.0), checker=draw.uniform(0.3, 0.9), second=_partner(draw, base)
        )
    if kind == "checks":
        size = draw.uniform(0.02, 0.12)
        return replace(cloth, cell=(size, size), checker=draw.uniform(0.3, 0.8), second=_partner(draw, base))
    return cloth


def tiles(draw: Draw, size: float | None = None) -> Material:
    """Ceramic or stone tiles."""
    base = draw.weighted((
        (hsv(draw.uniform(0.05, 0.16), draw.uniform(0, 0.12), draw.uniform(0.75, 0.95)), 4.0),
        (hsv(draw.uniform(0.03, 0.12), draw.uniform(0.1, 0.4), draw.uniform(0.3, 0.8)), 2.5),
        (hsv(draw.uniform(), draw.uniform(0, 0.2), draw.uniform(0.25, 0.8)), 1.5),
    ))  # fmt: skip
    u = size or draw.uniform(0.1, 0.6)
    v = u * draw.choice((1.0, 1.0, 0.5, 2.0))
    return Material(
        colour=scale(base, 1.05),
        second=scale(base, draw.uniform(0.6, 1.0)),
        contrast=draw.uniform(0.1, 1.0),
        joint_colour=hsv(0.1, 0.05, draw.uniform(0.2, 0.9)),
        plate=float(draw.choice((plates.MARBLE, plates.CLOUDS, plates.STAINS, plates.GRANITE, plates.SPECKS))),
        tiles=(draw.uniform(0.6, 1.8),) * 2,
        shift=_shift(draw),
        cell=(u, v),
        stagger=draw.choice((0.0, 0.0, 0.5)),
        joint=draw.uniform(0.001, 0.005),
        cell_variation=draw.uniform(0, 0.12),
        checker=draw.choice((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5)),
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
    """Wall-to-wall carpet: plain, flecked, or tiles whose pile turns from tile to tile."""
    base = draw.weighted((
        (hsv(draw.uniform(0.05, 0.13), draw.uniform(0.05, 0.35), draw.uniform(0.3, 0.8)), 3.0),
        (hsv(draw.uniform(0.5, 0.7), draw.uniform(0.0, 0.3), draw.uniform(0.2, 0.6)), 2.0),
        (hsv(draw.uniform(), draw.uniform(0, 0.4), draw.uniform(0.2, 0.7)), 1.0),
    ))  # fmt: skip
    pile = Material(
        colour=scale(base, 1.15), second=scale(base, 0.75), contrast=draw.uniform(0.5, 1.2),
        plate=float(draw.choice((plates.CARPET, plates.CARPET, plates.STAINS))),
        tiles=(draw.uniform(0.5, 2.0),) * 2, shift=_shift(draw), fine_contrast=draw.uniform(0.05, 0.25),
        fine_tiles=draw.uniform(2, 6), fine_plate=float(draw.choice((plates.GRAIN, plates.CARPET, plates.WEAVE))),
        bump=draw.uniform(0.0, 0.012), bump_plate=float(plates.CARPET), bump_tiles=draw.uniform(0.7, 1.5),
    )  # fmt: skip
    if draw.chance(0.3):
        return replace(
            pile, plate=float(plates.STREAKS), cell=(0.5, 0.5), cell_variation=draw.uniform(0.03, 0.12),
            joint=draw.uniform(0.0, 0.002), joint_colour=scale(base, 0.7), contrast=draw.uniform(0.4, 1.0),
        )  # fmt: skip
    return pile


def floor(draw: Draw) -> Material:
    """Wood, tiles, carpet or concrete."""
    kind = draw.weighted((("planks", 5.0), ("tiles", 2.5), ("carpet", 3.0), ("concrete", 0.8)))
    if kind == "planks":
        return planks(draw)
    if kind == "tiles":
        return tiles(draw, draw.uniform(0.2, 0.8))
    return carpet(draw) if kind == "carpet" else concrete(draw)


def _wall_tone(draw: Draw) -> Colour:
    return draw.weighted((
        (hsv(draw.uniform(0.05, 0.17), draw.uniform(0, 0.08), draw.uniform(0.78, 0.95)), 5.0),
        (hsv(draw.uniform(0.07, 0.14), draw.uniform(0.06, 0.3), draw.uniform(0.62, 0.92)), 3.5),
        (hsv(draw.uniform(), draw.uniform(0.03, 0.22), draw.uniform(0.5, 0.88)), 1.6),
        (hsv(draw.uniform(), draw.uniform(0.2, 0.55), draw.uniform(0.25, 0.65)), 0.5),
    ))  # fmt: skip


def wall(draw: Draw) -> Material:
    """Paint with slow stains, plaster, wallpaper, bricks, concrete, panels or tiles."""
    tone = _wall_tone(draw)
    kind = draw.weighted((
        ("paint", 7.0), ("plaster", 1.5), ("paper", 1.0), ("brick", 0.5), ("concrete", 0.3), ("panel", 0.4),
        ("tile", 0.5),
    ))  # fmt: skip
    paint = replace(
        plain(draw, tone), plate=float(draw.choice((plates.STAINS, plates.SOFT, plates.CLOUDS))),
        second=scale(tone, draw.uniform(0.87, 0.98)), contrast=draw.uniform(0.3, 1.0),
        tiles=(draw.uniform(0.12, 0.4), draw.uniform(0.12, 0.4)), fine_contrast=draw.uniform(0.0, 0.06),
    )  # fmt: skip
    if kind == "paper":
        return _wallpaper(draw, paint)
    if kind == "brick":
        colour = hsv(draw.uniform(0.02, 0.08), draw.uniform(0.1, 0.5), draw.uniform(0.4, 0.9))
        return replace(
            tiles(draw), colour=colour, second=scale(colour, 0.6), cell=(0.075, 0.22), swap=1.0, stagger=0.5,
            joint=0.006, gloss=0.0, cell_variation=draw.uniform(0.05, 0.25), plate=float(plates.STAINS), checker=0.0,
            fine_contrast=0.2,
        )  # fmt: skip
    if kind == "concrete":
        return concrete(draw)
    if kind == "panel":
        return replace(planks(draw), swap=0.0, cell=(draw.uniform(0.08, 0.25), 50.0))
    if kind == "tile":
        return tiles(draw, draw.uniform(0.08, 0.3))
    if kind == "plaster":
        return replace(
            paint, contrast=draw.uniform(0.6, 1.1), fine_contrast=draw.uniform(0.03, 0.12),
            bump=draw.uniform(0.002, 0.01), bump_tiles=draw.uniform(0.5, 1.5),
            bump_plate=float(draw.choice((plates.CLOUDS, plates.STAINS, plates.LEATHER))),
        )  # fmt: skip
    return paint


def _wallpaper(draw: Draw, paper: Material) -> Material:
    second = scale(paper.colour, draw.uniform(0.82, 1.08))
    pattern = draw.choice(("plate", "stripes", "print"))
    if pattern == "stripes":
        return replace(paper, cell=(draw.uniform(0.03, 0.2), 50.0), checker=draw.uniform(0.4, 1.0), second=second)
    if pattern == "print":
        return replace(
            paper, plate=float(draw.choice((plates.FLORAL, plates.PERSIAN, plates.LEAVES))),
            tiles=(draw.uniform(0.4, 1.5),) * 2, own=draw.uniform(0.05, 0.3),
        )  # fmt: skip
    weave = float(draw.choice((plates.WEAVE, plates.CORD, plates.STREAKS)))
    return replace(paper, plate=weave, contrast=0.5, second=second, tiles=(draw.uniform(0.4, 1.0),) * 2)


def mirror(draw: Draw) -> Material:
    """A looking glass, slightly tinted."""
    tone = draw.uniform(0.1, 0.3)
    return Material(
        colour=(tone, tone, tone), fine_contrast=0.0, gloss=0.6, shininess=150.0, mirror=draw.uniform(0.8, 0.93)
    )


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
        gloss=0.2, shininess=200.0,
        emission=draw.weighted(((draw.uniform(1.0, 5.0), 3.0), (draw.uniform(5.0, 20.0), 2.0))),
    )  # fmt: skip

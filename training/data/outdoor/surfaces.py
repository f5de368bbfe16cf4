"""Materials of streets, houses and gardens, at the scale they have outdoors (metres on the surface)."""

from __future__ import annotations

from dataclasses import replace

from training.data import plates
from training.data.draw import Draw
from training.data.material import Material
from training.data.materials import any_colour, hsv, plain, scale, tiles


def _shift(draw: Draw) -> tuple[float, float]:
    return draw.uniform(), draw.uniform()


def asphalt(draw: Draw) -> Material:
    """Dark, grainy, with large worn patches."""
    tone = hsv(draw.uniform(0.55, 0.7), draw.uniform(0, 0.06), draw.uniform(0.25, 0.52))
    return Material(
        colour=scale(tone, 1.1), second=scale(tone, 0.8), contrast=draw.uniform(0.5, 1.0), plate=float(plates.CLOUDS),
        tiles=(draw.uniform(0.05, 0.12),) * 2, shift=_shift(draw), fine_plate=float(plates.GRAIN),
        fine_tiles=draw.uniform(0.8, 1.6), fine_contrast=draw.uniform(0.12, 0.3), gloss=draw.uniform(0, 0.15),
        shininess=10.0,
    )  # fmt: skip


def paving(draw: Draw, size: float | None = None) -> Material:
    """Slabs, clinker or cobbles."""
    kind = draw.weighted((("slabs", 4.0), ("clinker", 2.0), ("cobbles", 2.0)))
    if kind == "slabs":
        u = size or draw.choice((0.3, 0.4, 0.5, 0.6))
        tone, cell = hsv(draw.uniform(0.06, 0.14), draw.uniform(0, 0.15), draw.uniform(0.45, 0.75)), (u, u)
    elif kind == "clinker":
        tone, cell = hsv(draw.uniform(0.01, 0.07), draw.uniform(0.25, 0.5), draw.uniform(0.35, 0.6)), (0.2, 0.1)
    else:
        u = draw.uniform(0.09, 0.16)
        tone, cell = hsv(draw.uniform(0.05, 0.6), draw.uniform(0, 0.08), draw.uniform(0.3, 0.6)), (u, u)
    return replace(
        tiles(draw, cell[0]), colour=scale(tone, 1.1), second=scale(tone, 0.75), cell=cell, checker=0.0, gloss=0.0,
        stagger=0.5, joint=draw.uniform(0.003, 0.008), joint_colour=scale(tone, draw.uniform(0.4, 0.7)),
        cell_variation=draw.uniform(0.04, 0.16), contrast=draw.uniform(0.4, 1.0), plate=float(plates.CLOUDS),
        tiles=(draw.uniform(0.2, 0.5),) * 2, fine_contrast=draw.uniform(0.08, 0.2), fine_tiles=1.2,
    )  # fmt: skip


def grass(draw: Draw) -> Material:
    """Lawn or meadow, fresh to dry."""
    tone = hsv(draw.uniform(0.16, 0.28), draw.uniform(0.35, 0.65), draw.uniform(0.3, 0.55))
    dry = hsv(draw.uniform(0.1, 0.17), draw.uniform(0.3, 0.55), draw.uniform(0.4, 0.6))
    return Material(
        colour=tone, second=dry if draw.chance(0.5) else scale(tone, 0.65), contrast=draw.uniform(0.5, 1.1),
        plate=float(plates.CLOUDS), tiles=(draw.uniform(0.03, 0.08), draw.uniform(0.03, 0.08)), shift=_shift(draw),
        fine_plate=float(plates.GRAIN), fine_tiles=draw.uniform(0.4, 1.0),
        fine_contrast=draw.uniform(0.25, 0.5), bump=draw.uniform(0.005, 0.02), bump_plate=float(plates.GRAIN),
        bump_tiles=0.9,
    )  # fmt: skip


def gravel(draw: Draw) -> Material:
    """Gravel, sand or trodden earth."""
    tone = hsv(draw.uniform(0.06, 0.12), draw.uniform(0.05, 0.35), draw.uniform(0.4, 0.75))
    return Material(
        colour=scale(tone, 1.15), second=scale(tone, 0.7), contrast=draw.uniform(0.7, 1.3),
        plate=float(draw.choice((plates.TERRAZZO, plates.CARPET))), tiles=(draw.uniform(0.6, 1.2),) * 2,
        shift=_shift(draw), fine_plate=float(plates.CLOUDS), fine_tiles=draw.uniform(0.1, 0.4),
        fine_contrast=draw.uniform(0.1, 0.3), bump=0.02, bump_plate=float(plates.TERRAZZO), bump_tiles=1.0,
    )  # fmt: skip


def brick(draw: Draw) -> Material:
    """Facing bricks, red to yellow and grey."""
    tone = hsv(draw.uniform(0.0, 0.1), draw.uniform(0.15, 0.6), draw.uniform(0.35, 0.75))
    return Material(
        colour=scale(tone, 1.1), second=scale(tone, 0.7), contrast=draw.uniform(0.5, 1.0), plate=float(plates.CLOUDS),
        tiles=(draw.uniform(0.3, 0.9),) * 2, shift=_shift(draw), cell=(0.075, 0.22), stagger=0.5,
        joint=draw.uniform(0.004, 0.007), joint_colour=hsv(0.09, 0.08, draw.uniform(0.35, 0.8)),
        cell_variation=draw.uniform(0.06, 0.25), fine_contrast=0.12, swap=1.0,
    )  # fmt: skip


def render(draw: Draw) -> Material:
    """Rendered or painted wall, weathered."""
    tone = draw.weighted((
        (hsv(draw.uniform(0.06, 0.16), draw.uniform(0.02, 0.3), draw.uniform(0.7, 0.95)), 5.0),
        (hsv(draw.uniform(-0.05, 0.2), draw.uniform(0.1, 0.45), draw.uniform(0.5, 0.85)), 2.0),
        (hsv(draw.uniform(), draw.uniform(0.05, 0.3), draw.uniform(0.5, 0.85)), 1.0),
        (hsv(draw.uniform(0.5, 0.7), draw.uniform(0, 0.1), draw.uniform(0.35, 0.7)), 2.0),
    ))  # fmt: skip
    return Material(
        colour=tone, second=scale(tone, draw.uniform(0.7, 0.92)), contrast=draw.uniform(0.3, 1.0),
        plate=float(draw.choice((plates.CLOUDS, plates.STREAKS, plates.SOFT))),
        tiles=(draw.uniform(0.06, 0.25), draw.uniform(0.03, 0.15)), shift=_shift(draw),
        fine_plate=float(draw.choice((plates.GRAIN, plates.CLOUDS))), fine_tiles=draw.uniform(0.7, 2.0),
        fine_contrast=draw.uniform(0.04, 0.16),
    )  # fmt: skip


def stone(draw: Draw) -> Material:
    """Ashlar or concrete panels."""
    tone = hsv(draw.uniform(0.07, 0.13), draw.uniform(0.02, 0.3), draw.uniform(0.45, 0.85))
    cell = draw.choice(((0.3, 0.6), (0.4, 0.8), (0.6, 1.2), (3.0, 3.0)))
    return Material(
        colour=scale(tone, 1.05), second=scale(tone, 0.75), contrast=draw.uniform(0.4, 1.0), plate=float(plates.CLOUDS),
        tiles=(draw.uniform(0.15, 0.5),) * 2, shift=_shift(draw), cell=cell, stagger=0.5, swap=1.0,
        joint=draw.uniform(0.004, 0.012), joint_colour=scale(tone, 0.55), cell_variation=draw.uniform(0.03, 0.12),
        fine_contrast=draw.uniform(0.05, 0.2),
    )  # fmt: skip


def boards(draw: Draw, upright: bool = False) -> Material:
    """Wooden boarding, painted or weathered."""
    tone = draw.weighted((
        (hsv(draw.uniform(0.05, 0.1), draw.uniform(0.2, 0.6), draw.uniform(0.25, 0.65)), 3.0),
        (hsv(draw.uniform(), draw.uniform(0.0, 0.35), draw.uniform(0.5, 0.95)), 2.0),
    ))  # fmt: skip
    wide = draw.uniform(0.1, 0.2)
    return Material(
        colour=scale(tone, 1.1), second=scale(tone, 0.7), contrast=draw.uniform(0.4, 1.0), plate=float(plates.WOOD),
        tiles=(1.5, 0.4), shift=_shift(draw), cell=(wide, 60.0), joint=draw.uniform(0.004, 0.01), stagger=0.37,
        joint_colour=scale(tone, 0.4), cell_variation=draw.uniform(0.05, 0.2), swap=0.0 if upright else 1.0,
    )  # fmt: skip


def facade(draw: Draw) -> Material:
    """What a street front is made of."""
    kind = draw.weighted(((render, 5.0), (brick, 3.0), (stone, 2.0)))
    return kind(draw)


def roof_tiles(draw: Draw) -> Material:
    """Clay, slate or concrete tiles."""
    tone = draw.weighted((
        (hsv(draw.uniform(0.0, 0.05), draw.uniform(0.4, 0.65), draw.uniform(0.35, 0.6)), 3.0),
        (hsv(draw.uniform(0.5, 0.7), draw.uniform(0, 0.15), draw.uniform(0.2, 0.4)), 2.0),
    ))  # fmt: skip
    return Material(
        colour=scale(tone, 1.1), second=scale(tone, 0.65), contrast=draw.uniform(0.5, 1.0), plate=float(plates.CLOUDS),
        tiles=(draw.uniform(0.1, 0.3),) * 2, shift=_shift(draw), cell=(draw.uniform(0.2, 0.3), 0.3),
        stagger=0.5, swap=1.0, joint=0.012, joint_colour=scale(tone, 0.5), cell_variation=0.15, fine_contrast=0.1,
    )  # fmt: skip


def glazing(draw: Draw, wide: float, high: float, frame: Material, columns: int, rows: int) -> Material:
    """A window in one material: dark or mirroring glass with frame and bars (the joints of its cells).

    Both counts of panes are even, so that the cells' edges meet the window's.
    """
    dark = hsv(draw.uniform(0.5, 0.65), draw.uniform(0, 0.3), draw.uniform(0.05, 0.3))
    curtain = hsv(draw.uniform(0.08, 0.14), draw.uniform(0, 0.15), draw.uniform(0.6, 0.9))
    covered = draw.chance(0.25)
    return Material(
        colour=curtain if covered else dark, second=scale(curtain, 0.6) if covered else scale(dark, 2.0),
        contrast=draw.uniform(0.3, 1.0), plate=float(draw.choice((plates.SKY, plates.STREET, plates.GARDEN))),
        own=0.15 if covered else draw.uniform(0.15, 0.65), tiles=(draw.uniform(0.2, 0.6) / wide,
        draw.uniform(0.4, 0.9) / high), shift=_shift(draw), fine_contrast=0.0, cell=(wide / columns, high / rows),
        joint=draw.uniform(0.025, 0.05), joint_colour=frame.colour, gloss=draw.uniform(0.3, 0.9), shininess=150.0,
    )  # fmt: skip


def foliage(draw: Draw, season: float) -> Material:
    """Leaves; `season` 0 is summer green, 1 is autumn."""
    hue = draw.uniform(0.2, 0.33) * (1 - season) + draw.uniform(0.05, 0.14) * season
    tone = hsv(hue, draw.uniform(0.35, 0.75), draw.uniform(0.25, 0.55))
    return Material(
        colour=scale(tone, 1.35), second=scale(tone, 0.35), contrast=draw.uniform(1.0, 1.8),
        plate=float(draw.choice((plates.FOLIAGE, plates.TERRAZZO))), own=draw.uniform(0.0, 0.35),
        tiles=(draw.uniform(0.3, 0.7),) * 2, shift=_shift(draw), fine_plate=float(plates.CARPET),
        fine_tiles=draw.uniform(0.8, 1.5), fine_contrast=draw.uniform(0.2, 0.45), bump=draw.uniform(0.01, 0.04),
        bump_plate=float(plates.TERRAZZO),
        bump_tiles=draw.uniform(0.5, 1.2),
    )  # fmt: skip


def bark(draw: Draw) -> Material:
    """Trunks and branches."""
    tone = hsv(draw.uniform(0.05, 0.11), draw.uniform(0.1, 0.45), draw.uniform(0.2, 0.5))
    return Material(
        colour=scale(tone, 1.2), second=scale(tone, 0.5), contrast=1.2, plate=float(plates.STREAKS),
        tiles=(1.5, 0.4), shift=_shift(draw), fine_contrast=0.2,
    )  # fmt: skip


def flowers(draw: Draw) -> Material:
    """A bed of flowers."""
    return Material(
        colour=any_colour(draw, 0.9), second=hsv(draw.uniform(0.22, 0.33), 0.6, 0.35), contrast=2.0,
        plate=float(plates.TERRAZZO), tiles=(draw.uniform(0.5, 1.0),) * 2, shift=_shift(draw), fine_contrast=0.3,
        fine_plate=float(plates.CARPET), fine_tiles=1.0,
    )  # fmt: skip


def enamel(draw: Draw) -> Material:
    """Car paint."""
    colour = draw.weighted((
        (hsv(0.6, draw.uniform(0, 0.08), draw.choice((0.05, 0.12, 0.3, 0.55, 0.7, 0.92))), 6.0),
        (hsv(draw.uniform(), draw.uniform(0.5, 0.9), draw.uniform(0.2, 0.75)), 4.0),
    ))  # fmt: skip
    return replace(
        plain(draw, colour, gloss=draw.uniform(0.5, 1.0), shininess=draw.uniform(40, 150)), fine_contrast=0.0
    )

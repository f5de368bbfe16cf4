"""Openings: windows with curtains or blinds, doors; radiators below windows.

Frames and units as in `building_blocks`; `up` 0 is the floor, z = 0 the wall.
"""

from __future__ import annotations

from training.data import labels
from training.data.building_blocks import Style, ball, block
from training.data.draw import Draw
from training.data.material import Material
from training.data.materials import any_colour, fabric, hsv, outside, plain
from training.data.primitives import CYLINDER, Part, Piece


def window(style: Style, draw: Draw, wide: float, low: float, high: float, frame: Material) -> Piece:
    """A window pane with its frame, bars and perhaps a sill, curtains or a blind.

    The view outside is painted on the pane and moves with it: the pane's depth is the pixel's depth.
    """
    label, x = labels.WINDOW, (-wide / 2, wide / 2)
    pane = outside(draw, wide, high - low)
    t = draw.uniform(0.02, 0.05)
    parts = [block(x, (low, high), (0.0, 0.01), label, pane, casts=False)]
    for a, b in ((x[0], x[0] + t), (x[1] - t, x[1])):
        parts.append(block((a, b), (low, high), (0.0, 0.05), label, frame, casts=False))
    for a, b in ((low, low + t), (high - t, high)):
        parts.append(block(x, (a, b), (0.0, 0.05), label, frame, casts=False))
    columns = max(1, round(wide / draw.uniform(0.5, 1.3)))
    for k in range(1, columns):
        px = x[0] + wide * k / columns
        parts.append(block((px - t * 0.6, px + t * 0.6), (low, high), (0.0, 0.04), label, frame, casts=False))
    if draw.chance(0.35):
        up = low + (high - low) * draw.choice((0.5, 0.66))
        parts.append(block(x, (up - t * 0.5, up + t * 0.5), (0.0, 0.035), label, frame, casts=False))
    if draw.chance(0.5):
        trim = draw.uniform(0.05, 0.1)
        for a, b in ((x[0] - trim, x[0]), (x[1], x[1] + trim)):
            parts.append(block((a, b), (low - trim, high + trim), (0.0, 0.025), label, frame, casts=False))
        parts.append(block(x, (high, high + trim), (0.0, 0.025), label, frame, casts=False))
    if low > 0.3:
        parts.append(
            block(
                (x[0] - 0.08, x[1] + 0.08), (low - 0.04, low), (0.0, draw.uniform(0.08, 0.2)), label, frame, casts=False
            )
        )
    covering = draw.weighted((("none", 4.0), ("curtains", 4.0), ("blind", 1.5), ("slats", 1.0)))
    if covering == "curtains":
        parts += _curtains(draw, wide, low, high)
    elif covering == "blind":
        cloth = plain(draw, any_colour(draw, 0.3), emission=draw.uniform(0, 1.0))
        parts.append(
            block(
                (x[0] + t, x[1] - t),
                (high - (high - low) * draw.uniform(0.15, 0.9), high),
                (0.05, 0.06),
                label,
                cloth,
                casts=False,
            )
        )
    elif covering == "slats":
        cloth = plain(draw, hsv(0.1, 0.1, draw.uniform(0.5, 0.95)), emission=draw.uniform(0, 0.5))
        reach, step = (high - low) * draw.uniform(0.3, 1.0), draw.uniform(0.05, 0.09)
        for k in range(int(reach / step)):
            up = high - k * step
            parts.append(
                Part(
                    centre=(0, up, 0.07),
                    half=(wide / 2, 0.002, 0.022),
                    label=label,
                    material=cloth,
                    tilt=0.5,
                    casts=False,
                )
            )
    return Piece(width=wide, depth=0.06, height=high, parts=tuple(parts))


def _curtains(draw: Draw, wide: float, low: float, high: float) -> list[Part]:
    cloth, label = fabric(draw), labels.WINDOW
    top = high + draw.uniform(0.08, 0.25)
    bottom = 0.03 if draw.chance(0.7) else low - 0.1
    share = draw.uniform(0.12, 0.4) * wide
    parts = [
        block(
            (-wide / 2 - 0.25, wide / 2 + 0.25),
            (top, top + 0.03),
            (0.06, 0.1),
            labels.OBJECTS,
            plain(draw, any_colour(draw, 0.3), 0.5),
            casts=False,
        )
    ]
    for side in (-1, 1):
        folds = max(2, int(share / 0.09))
        for k in range(folds):
            px = side * (wide / 2 + 0.12 - (k + 0.5) * share / folds)
            half = share / folds / 2 * 1.1
            depth = 0.03 + 0.012 * ((k * 7919) % 3)
            parts.append(
                Part(
                    kind=CYLINDER,
                    centre=(px, (top + bottom) / 2, 0.09),
                    half=(half, (top - bottom) / 2, depth),
                    label=label,
                    material=cloth,
                    casts=False,
                )
            )
    return parts


def door(style: Style, draw: Draw, wide: float, high: float, frame: Material) -> Piece:
    """A closed door with its frame, panels and handle (label wall)."""
    label, x = labels.WALL, (-wide / 2, wide / 2)
    leaf = style.trim if draw.chance(0.5) else style.wood
    trim = draw.uniform(0.05, 0.1)
    parts = [block(x, (0.0, high), (0.0, 0.015), label, leaf, casts=False)]
    for a, b in ((x[0] - trim, x[0]), (x[1], x[1] + trim)):
        parts.append(block((a, b), (0.0, high + trim), (0.0, 0.03), label, frame, casts=False))
    parts.append(block(x, (high, high + trim), (0.0, 0.03), label, frame, casts=False))
    rows = draw.choice((0, 2, 3))
    columns = draw.choice((1, 2))
    for r in range(rows):
        for c in range(columns):
            a, b = (x[0] + 0.1 + (wide - 0.2) * k / columns for k in (c, c + 1))
            low, top = (0.15 + (high - 0.25) * k / rows for k in (r, r + 1))
            parts.append(block((a + 0.03, b - 0.03), (low + 0.03, top - 0.03), (0.0, 0.022), label, leaf, casts=False))
    hx = draw.choice((-1, 1)) * (wide / 2 - 0.08)
    parts.append(block((hx - 0.06, hx + 0.02), (1.0, 1.02), (0.045, 0.06), label, style.metal, casts=False))
    parts.append(ball((hx, 1.01, 0.03), (0.015, 0.015, 0.04), label, style.metal))
    return Piece(width=wide + 2 * trim, depth=0.06, height=high + trim, parts=tuple(parts))


def radiator(style: Style, draw: Draw, wide: float) -> Piece:
    """A white ribbed radiator below a window (label objects)."""
    white = plain(draw, (0.9, 0.9, 0.88), 0.3)
    high = draw.uniform(0.5, 0.65)
    count = max(4, int(wide / 0.09))
    parts = [block((-wide / 2, wide / 2), (0.1, high), (0.03, 0.08), labels.OBJECTS, white)]
    for k in range(count):
        px = -wide / 2 + (k + 0.5) * wide / count
        parts.append(block((px - 0.018, px + 0.018), (0.1, high), (0.08, 0.095), labels.OBJECTS, white, casts=False))
    return Piece(width=wide, depth=0.1, height=high, parts=tuple(parts))

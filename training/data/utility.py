"""Bathroom, laundry and cellar things: machines, boilers, pipes, joists, tubs, basins.

Frames as in `building_blocks`: x right, `up` upwards, back at z = 0, front towards +z, metres.
"""

from __future__ import annotations

import math

from training.data import labels, materials
from training.data.arrangement import Room
from training.data.building_blocks import Style, ball, block, gather, household, post, rod
from training.data.draw import Draw
from training.data.materials import hsv, metal, plain, wood
from training.data.primitives import CYLINDER, Part, Piece, Surface
from training.data.soft import towel
from training.data.storage import fronts

_O = labels.OBJECTS


def _white(draw: Draw) -> tuple[float, float, float]:
    return draw.choice(((0.93, 0.93, 0.92), (0.88, 0.87, 0.82), (0.6, 0.61, 0.63)))


def washer(draw: Draw) -> Piece:
    """A washing machine or dryer; two may stand on each other."""
    skin = plain(draw, _white(draw), 0.4, 60.0)
    glass = plain(draw, (0.06, 0.07, 0.09), 0.9, 100.0)
    parts, up = [], 0.0
    for _ in range(2 if draw.chance(0.2) else 1):
        parts.append(block((-0.3, 0.3), (up, up + 0.85), (0.0, 0.58), _O, skin, 0.01))
        parts.append(Part(
            kind=CYLINDER, centre=(0, up + 0.42, 0.58), half=(0.18, 0.03, 0.18), label=_O, material=glass,
            tilt=math.pi / 2, casts=False,
        ))  # fmt: skip
        parts.append(block((-0.28, 0.28), (up + 0.73, up + 0.82), (0.57, 0.588), _O, glass, casts=False))
        up += 0.86
    area = Surface(x0=-0.28, x1=0.28, z0=0.03, z1=0.55, up=up, use="counter")
    return Piece(width=0.6, depth=0.62, height=up, parts=tuple(parts), surfaces=(area,) if up < 1 else ())


def boiler(draw: Draw, ceiling: float) -> Piece:
    """A boiler or water tank with pipes to the ceiling."""
    r, high = draw.uniform(0.2, 0.32), draw.uniform(1.1, 1.7)
    high = min(high, ceiling - 0.35)
    steel = metal(draw)
    parts = [post(0, 0, (0.08, high), r, _O, plain(draw, _white(draw), 0.3)), post(0, 0, (0, 0.1), r * 0.8, _O, steel)]
    parts.append(ball((0, high, 0), (r, 0.1, r), _O, steel))
    for x in (-0.1, 0.1):
        parts.append(rod((x, high, 0), (x, ceiling - 0.02, 0), draw.uniform(0.012, 0.05), _O, steel))
    return gather(parts)


def basin(style: Style, draw: Draw) -> Piece:
    """A wash basin on a cabinet, with tap; a mirror goes above."""
    wide, high, white = draw.uniform(0.5, 1.2), draw.uniform(0.8, 0.9), plain(draw, (0.94, 0.94, 0.93), 0.6, 80.0)
    x, steel = (-wide / 2, wide / 2), plain(draw, (0.75, 0.76, 0.78), 0.9, 90.0)
    parts = fronts(
        draw, x, (0.1, high - 0.08), 0.44, labels.FURNITURE, style.board, steel, max(1, round(wide / 0.4)), 1
    )
    parts += [
        block(x, (high - 0.08, high), (0.0, 0.48), _O, white, 0.02),
        ball((0, high, 0.27), (0.2, 0.012, 0.15), _O, plain(draw, (0.75, 0.76, 0.77), 0.7)),
        rod((0, high, 0.07), (0, high + 0.16, 0.07), 0.014, _O, steel),
        rod((0, high + 0.15, 0.07), (0, high + 0.13, 0.2), 0.012, _O, steel),
    ]
    area = Surface(x0=x[0] + 0.03, x1=x[1] - 0.03, z0=0.03, z1=0.42, up=high, clearance=0.3, use="counter")
    return Piece(width=wide, depth=0.5, height=high, parts=tuple(parts), surfaces=(area,))


def toilet(draw: Draw) -> Piece:
    """A toilet with its cistern."""
    white = plain(draw, draw.choice(((0.94, 0.94, 0.93), (0.85, 0.8, 0.7))), 0.7, 90.0)
    return Piece(width=0.42, depth=0.7, height=0.8, parts=(
        block((-0.2, 0.2), (0.38, 0.78), (0.0, 0.18), _O, white, 0.03),
        ball((0, 0.22, 0.43), (0.17, 0.24, 0.25), _O, white),
        block((-0.18, 0.18), (0.38, 0.42), (0.18, 0.68), _O, white, 0.02),
        block((-0.11, 0.11), (0.0, 0.3), (0.1, 0.5), _O, white, 0.04),
    ))  # fmt: skip


def bathtub(draw: Draw, ceiling: float) -> Piece:
    """A tub: an apron with a rim around a deep inner face; perhaps a shower curtain."""
    wide, deep, high = draw.uniform(1.5, 1.8), draw.uniform(0.68, 0.8), draw.uniform(0.5, 0.6)
    white, x = plain(draw, (0.94, 0.94, 0.93), 0.7, 90.0), (-wide / 2, wide / 2)
    parts = [
        block(x, (0.0, high), (0.0, 0.08), _O, white, 0.02),
        block(x, (0.0, high), (deep - 0.08, deep), _O, white, 0.02),
        block((x[0], x[0] + 0.1), (0.0, high), (0.0, deep), _O, white, 0.02),
        block((x[1] - 0.1, x[1]), (0.0, high), (0.0, deep), _O, white, 0.02),
        block(x, (0.0, 0.15), (0.0, deep), _O, white),
    ]
    if draw.chance(0.6):
        top = min(2.0, ceiling - 0.1)
        parts.append(rod((x[0], top, deep), (x[1], top, deep), 0.012, _O, metal(draw)))
        for part in towel(draw, wide * draw.uniform(0.2, 0.9), top - 0.25):
            cx, cu, cz = part.centre
            parts.append(
                Part(
                    kind=CYLINDER,
                    centre=(cx + x[0] * 0.3, cu + 0.2, cz + deep - 0.02),
                    half=(part.half[0] * 1.1, part.half[1], 0.03),
                    label=_O,
                    material=part.material,
                    casts=False,
                )
            )
    return Piece(width=wide, depth=deep + 0.03, height=high, parts=tuple(parts))


def mirror(draw: Draw, wide: float, high: float) -> Piece:
    """A plain bathroom mirror."""
    glass = materials.mirror(draw)
    rim = block((-wide / 2, wide / 2), (0, high), (0, 0.02), _O, glass, casts=False)
    return Piece(width=wide, depth=0.03, height=high, parts=(rim,))


def pipes(room: Room) -> None:
    """Pipes or ducts along the ceiling and down a wall."""
    draw, ceiling = room.draw, 2 * room.half[1]
    for _ in range(draw.integer(1, 3)):
        wall, skin = draw.integer(0, 3), draw.choice((metal(draw), household(draw, 0.3)))
        r, half = draw.weighted(((draw.uniform(0.012, 0.04), 3.0), (draw.uniform(0.08, 0.18), 1.0))), 0.0
        half = room.wall_length(wall) / 2
        up, z = ceiling - r - draw.uniform(0.02, 0.15), draw.uniform(0.08, 0.5) + r
        parts = [rod((-half, up, z), (half, up, z), r, _O, skin)]
        if draw.chance(0.6) and r < 0.06:
            x = draw.uniform(-half, half) * 0.9
            parts.append(rod((x, 0.0, r + 0.03), (x, up, r + 0.03), r, _O, skin))
            parts.append(rod((x, up, r + 0.03), (x, up, z), r, _O, skin))
        px, pz = room.point(wall, 0.0, 0.0)
        room.add(Piece(width=2 * half, depth=z, height=ceiling, parts=tuple(parts)), px, pz, wall * math.pi / 2)


def joists(room: Room, gap: float, deep: float, wide: float, label: int) -> None:
    """Parallel beams below the ceiling, across the room's shorter side."""
    draw, ceiling = room.draw, 2 * room.half[1]
    skin = wood(draw) if draw.chance(0.7) else plain(draw, hsv(0.1, 0.05, draw.uniform(0.5, 0.95)))
    along = 0 if room.half[0] > room.half[2] else 1
    length, reach = (room.half[0], room.half[2]) if along == 0 else (room.half[2], room.half[0])
    count = min(14, max(1, int(2 * length / gap)))
    for k in range(count):
        at = -length + (k + 0.5) * 2 * length / count
        beam = block((-wide / 2, wide / 2), (ceiling - deep, ceiling), (-reach, reach), label, skin, casts=False)
        x, z = (at, 0.0) if along == 0 else (0.0, at)
        room.add(Piece(width=wide, depth=0.0, height=ceiling, parts=(beam,)), x, z, along * math.pi / 2)

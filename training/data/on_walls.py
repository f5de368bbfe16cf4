"""What people put on walls: pictures, notices, boards, clocks, screens, shelves, coats, switches, cables.

Frames as in `building_blocks`; a piece's lower edge is `up` = 0 and its back, z = 0, is the wall.
"""

from __future__ import annotations

import math

from training.data import labels
from training.data.arrangement import Room
from training.data.building_blocks import Style, ball, block, gather, household, rod
from training.data.clutter import print_of
from training.data.draw import Draw
from training.data.materials import any_colour, mirror, picture, plain
from training.data.primitives import Part, Piece, Surface
from training.data.small_things import television
from training.data.soft import hung, towel

_O = labels.OBJECTS


def framed(style: Style, draw: Draw, wide: float, high: float) -> Piece:
    """A print, with or without frame and mat (label picture)."""
    x, rim = (-wide / 2, wide / 2), draw.choice((0.0, 0.012, 0.025, 0.05))
    label = labels.PICTURE
    frame = draw.choice((style.wood, style.metal, style.trim, plain(draw, any_colour(draw, 0.4), 0.3)))
    parts = []
    mat = draw.uniform(0.03, 0.09) if rim and draw.chance(0.5) and min(wide, high) > 0.3 else 0.0
    if rim:
        parts.append(block(x, (0.0, high), (0.0, 0.022), label, frame, casts=False))
    if mat:
        paper = plain(draw, (0.93, 0.92, 0.9))
        parts.append(block((x[0] + rim, x[1] - rim), (rim, high - rim), (0.0, 0.024), label, paper, casts=False))
    inset = rim + mat
    scene = picture(draw, wide, high)
    parts.append(block((x[0] + inset, x[1] - inset), (inset, high - inset), (0.0, 0.026), label, scene, casts=False))
    return Piece(width=wide, depth=0.03, height=high, parts=tuple(parts))


def notices(draw: Draw) -> Piece:
    """Sheets, leaflets and a calendar pinned near each other, a little askew."""
    parts = []
    columns, rows = draw.integer(1, 4), draw.integer(1, 2)
    for c in range(columns):
        for r in range(rows):
            if draw.chance(0.2):
                continue
            w, h = draw.choice(((0.21, 0.3), (0.3, 0.21), (0.15, 0.21), (0.3, 0.42)))
            w, h = w * 0.9, h * 0.9
            parts.append(
                Part(
                    centre=(c * 0.32 + draw.normal(0, 0.02), 0.25 + r * 0.42 + draw.normal(0, 0.03), 0.003),
                    half=(w / 2, h / 2, 0.002),
                    label=_O,
                    material=print_of(draw, w, h),
                    lean=draw.normal(0, 0.05),
                    casts=False,
                )
            )
    return gather(parts) if parts else switch(draw)


def board(style: Style, draw: Draw) -> Piece:
    """A white board, cork board or blackboard, perhaps with notes on it (label objects)."""
    wide, high = draw.uniform(0.6, 2.2), draw.uniform(0.5, 1.2)
    x = (-wide / 2, wide / 2)
    tone = draw.choice(((0.94, 0.95, 0.95), (0.94, 0.95, 0.95), (0.15, 0.3, 0.22), (0.72, 0.55, 0.36)))
    parts = [
        block(x, (0.0, high), (0.0, 0.02), _O, style.metal, casts=False),
        block((x[0] + 0.02, x[1] - 0.02), (0.02, high - 0.02), (0.0, 0.022), _O, plain(draw, tone, 0.3), casts=False),
    ]
    for _ in range(draw.integer(0, 5)):
        w, h = draw.uniform(0.08, 0.25), draw.uniform(0.08, 0.3)
        px, pu = draw.uniform(x[0] + w, x[1] - w), draw.uniform(h, max(h, high - h))
        parts.append(Part(
            centre=(px, pu, 0.023), half=(w / 2, h / 2, 0.002), label=_O, material=print_of(draw, w, h), casts=False,
            lean=draw.normal(0, 0.06),
        ))  # fmt: skip
    return Piece(width=wide, depth=0.03, height=high, parts=tuple(parts))


def clock(draw: Draw) -> Piece:
    """A round clock."""
    r = draw.uniform(0.1, 0.2)
    parts = (
        ball((0, r, 0.0), (r, r, 0.035), _O, household(draw)),
        ball((0, r, 0.01), (r * 0.86, r * 0.86, 0.035), _O, plain(draw, (0.92, 0.92, 0.9), 0.2)),
    )
    return Piece(width=2 * r, depth=0.05, height=2 * r, parts=parts)


def switch(draw: Draw) -> Piece:
    """Switches, a socket, a thermostat, a vent or a fuse box."""
    w, h = draw.choice(((0.08, 0.08), (0.16, 0.08), (0.12, 0.12), (0.3, 0.2), (0.35, 0.45)))
    skin = plain(draw, draw.choice(((0.92, 0.92, 0.9), (0.75, 0.75, 0.74))), 0.3)
    part = block((-w / 2, w / 2), (0.0, h), (0.0, draw.choice((0.012, 0.03))), _O, skin, casts=False)
    return Piece(width=w, depth=0.03, height=h, parts=(part,))


def wall_shelf(style: Style, draw: Draw) -> Piece:
    """One to three boards on the wall, with things on them."""
    wide, rows = draw.uniform(0.5, 1.6), draw.weighted(((1, 3.0), (2, 2.0), (3, 1.0)))
    x, body, deep = (-wide / 2, wide / 2), draw.choice((style.wood, style.board, style.trim)), draw.uniform(0.18, 0.3)
    parts = [block(x, (r * 0.33, r * 0.33 + 0.024), (0.0, deep), labels.FURNITURE, body) for r in range(rows)]
    areas = tuple(
        Surface(x0=x[0] + 0.02, x1=x[1] - 0.02, z0=0.01, z1=deep, up=r * 0.33 + 0.025, clearance=0.28, use="shelf")
        for r in range(rows)
    )
    return Piece(width=wide, depth=deep, height=rows * 0.33, parts=tuple(parts), surfaces=areas)


def rail(style: Style, draw: Draw) -> Piece:
    """A towel on a rail, or coats on hooks."""
    if draw.chance(0.6):
        return hung(draw)
    wide, high = draw.uniform(0.35, 0.6), draw.uniform(0.4, 0.8)
    bar = rod((-wide / 2, high, 0.05), (wide / 2, high, 0.05), 0.01, _O, style.metal)
    return gather([bar, *towel(draw, wide * 0.9, high)])


def cable(draw: Draw) -> Piece:
    """A cable or conduit that runs up the wall and turns aside."""
    skin, high, x = household(draw, 0.2), draw.uniform(0.4, 1.3), draw.uniform(-0.6, 0.6)
    r = draw.uniform(0.004, 0.012)
    return gather([rod((0, 0, r), (0, high, r), r, _O, skin), rod((0, high, r), (x, high, r), r, _O, skin)])


def hanging(style: Style, draw: Draw) -> Piece:
    """One thing for a wall."""
    kind = draw.weighted(
        (
            ("picture", 12.0),
            ("notices", 3.0),
            ("mirror", 0.8),
            ("board", 1.2),
            ("clock", 0.6),
            ("shelf", 2.4),
            ("switch", 2.5),
            ("screen", 0.6),
            ("rail", 0.9),
            ("cable", 0.6),
        )
    )
    wide, high = draw.uniform(0.2, 1.15), draw.uniform(0.25, 0.95)
    if kind == "picture":
        return framed(style, draw, wide, high)
    if kind == "notices":
        return notices(draw)
    if kind == "mirror":
        x = (-wide / 2, wide / 2)
        glass = mirror(draw)
        parts = (
            block(x, (0.0, high), (0.0, 0.02), _O, style.wood, casts=False),
            block((x[0] + 0.03, x[1] - 0.03), (0.03, high - 0.03), (0.0, 0.023), _O, glass, casts=False),
        )
        return Piece(width=wide, depth=0.03, height=high, parts=parts)
    if kind == "board":
        return board(style, draw)
    if kind == "clock":
        return clock(draw)
    if kind == "shelf":
        return wall_shelf(style, draw)
    if kind == "screen":
        return television(style, draw, draw.uniform(0.5, 1.3), standing=False)
    if kind == "rail":
        return rail(style, draw)
    return cable(draw) if kind == "cable" else switch(draw)


def hang_things(room: Room) -> None:
    """Fill walls: groups of equal frames now and then, single things elsewhere; more where there is more mess."""
    draw, ceiling = room.draw, 2 * room.half[1]
    reach = sum(room.wall_length(wall) for wall in range(4))
    for _ in range(min(32, int(draw.uniform(0.3, 1.2) * (2.0 + reach * 0.9 * (0.5 + 0.5 * room.mess))))):
        piece, wall = hanging(room.style, draw), draw.integer(0, 3)
        slack = room.wall_length(wall) / 2 - piece.width / 2 - 0.05
        if slack <= 0:
            continue
        along, low = draw.uniform(-slack, slack), draw.uniform(0.9, 1.7)
        if low + piece.height > ceiling - 0.1:
            continue
        span = (along - piece.width / 2 - 0.03, along + piece.width / 2 + 0.03)
        if not room.wall_free(wall, *span, low - 0.04, low + piece.height + 0.04):
            continue
        room.wall_taken[wall].append((*span, low - 0.04, low + piece.height + 0.04))
        x, z = room.point(wall, along, 0.0)
        room.add(piece, x, z, wall * math.pi / 2, low)
        room.furnish(piece, x, z, wall * math.pi / 2, up=low)

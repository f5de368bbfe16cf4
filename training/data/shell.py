"""What belongs to the building: windows, doors, skirting, juts, columns, half walls, slopes, beams.

Convention: world frame of `primitives`; wall k's inward normal is `turn(k * pi / 2, 0, 1)`.
"""

from __future__ import annotations

import math

from training.data import labels, materials, openings, utility
from training.data.arrangement import Room
from training.data.building_blocks import block, post
from training.data.primitives import Part, Piece, turn, wall_origin


def add_openings(room: Room, frame: materials.Material, kind: str) -> None:
    """Windows (with radiators) and doors in the outer walls; kitchens' windows stay above the worktops."""
    draw, ceiling = room.draw, 2 * room.half[1]
    outer = [wall for wall in range(4) if wall not in room.inner_walls]
    few = kind in ("cellar", "store", "corridor", "bath")
    for _ in range(
        draw.weighted(((0, 6.0 if few else 1.8), (1, 4.0), (2, 0.5 if few else 3.0), (3, 0.1 if few else 1.2)))
    ):
        wall = draw.choice(outer)
        wide = min(room.wall_length(wall) - 0.5, draw.uniform(0.6, 2.6 if not few else 1.0))
        low = draw.weighted(((0.05, 1.2), (draw.uniform(0.5, 1.1), 6.0)))
        if kind in ("kitchen", "bath", "cellar"):
            low = draw.uniform(0.98, 1.3)
        high = min(ceiling - 0.15, draw.uniform(max(low + 0.7, 1.9), 2.45))
        slack = (room.wall_length(wall) - wide) / 2 - 0.15
        if wide < 0.5 or high < low + 0.4 or slack < 0:
            continue
        along = draw.uniform(-slack, slack)
        if not room.wall_free(wall, along - wide / 2 - 0.3, along + wide / 2 + 0.3, low, high):
            continue
        x, z = room.point(wall, along, 0.0)
        room.add(openings.window(room.style, draw, wide, low, high, frame), x, z, wall * math.pi / 2)
        room.wall_taken[wall].append((along - wide / 2 - 0.15, along + wide / 2 + 0.15, low - 0.06, ceiling))
        room.panes.append((wall, along, wide, low, high))
        if draw.chance(0.4):
            room.focus.append((x, -(low + high) / 2, z))
        if low > 0.65 and kind != "kitchen" and draw.chance(0.5):
            heater = openings.radiator(room.style, draw, min(wide * 0.8, 1.4))
            room.add(heater, x, z, wall * math.pi / 2)
    for _ in range(draw.weighted(((0, 2.0), (1, 5.0), (2, 2.0)))):
        wall, wide, high = draw.integer(0, 3), draw.uniform(0.75, 0.95), min(ceiling - 0.12, draw.uniform(1.98, 2.15))
        slack = room.wall_length(wall) / 2 - wide / 2 - 0.15
        if slack < 0:
            continue
        along = draw.uniform(-slack, slack)
        if not room.wall_free(wall, along - wide / 2 - 0.1, along + wide / 2 + 0.1, 0.0, high):
            continue
        x, z = room.point(wall, along, 0.0)
        room.add(openings.door(room.style, draw, wide, high, frame), x, z, wall * math.pi / 2)
        room.wall_taken[wall].append((along - wide / 2 - 0.1, along + wide / 2 + 0.1, 0.0, ceiling))
        dx, dz = turn(wall * math.pi / 2, 0.0, 0.4)
        room.taken.append((x + dx - 0.35, x + dx + 0.35, z + dz - 0.35, z + dz + 0.35))


def add_trims(room: Room, frame: materials.Material) -> None:
    """Skirting boards and cornices along the outer walls."""
    draw = room.draw
    high, thick = draw.uniform(0.05, 0.14), draw.uniform(0.01, 0.02)
    cornice = draw.uniform(0.04, 0.12) if draw.chance(0.25) else 0.0
    for wall in range(4):
        if wall in room.inner_walls:
            continue
        length, (x, z) = room.wall_length(wall), wall_origin(room.half, wall)
        span, parts = (-length / 2, length / 2), []
        if high > 0.06:
            parts.append(block(span, (0.0, high), (0.0, thick), labels.WALL, frame, casts=False))
        if cornice:
            top = 2 * room.half[1]
            parts.append(block(span, (top - cornice, top), (0.0, cornice), labels.CEILING, frame, casts=False))
        room.add(Piece(width=length, depth=thick, height=high, parts=tuple(parts)), x, z, wall * math.pi / 2)


def add_jut(room: Room, wall_material: materials.Material) -> None:
    """A wall corner that juts into the room, a half wall, or a column."""
    draw = room.draw
    top = 2 * room.half[1]
    if draw.chance(0.2):
        r = draw.uniform(0.1, 0.25)
        column = Piece(
            width=2 * r, depth=2 * r, height=top, parts=(post(0, r, (0, top), r, labels.WALL, wall_material),)
        )
        room.in_room(column, 0.0, 0.1)
        return
    wide, deep = draw.uniform(0.3, 1.6), draw.uniform(0.3, 1.2)
    high = draw.uniform(0.8, 1.3) if draw.chance(0.2) else top
    parts = (block((-wide / 2, wide / 2), (0, high), (0, deep), labels.WALL, wall_material),)
    room.against_wall(Piece(width=wide, depth=deep, height=high, parts=parts), gap=-0.04)


def add_slope(room: Room, material: materials.Material) -> None:
    """A ceiling that slopes down to a low outer wall without window, as under a roof."""
    draw, ceiling = room.draw, 2 * room.half[1]
    walls = [w for w in range(4) if w not in room.inner_walls and not any(pane[0] == w for pane in room.panes)]
    if not walls:
        return
    wall = draw.choice(walls)
    depth = 2 * room.half[2 if wall % 2 == 0 else 0]
    low, reach = draw.uniform(1.1, 1.8), min(depth * 0.6, draw.uniform(0.8, 2.0))
    angle, thick = math.atan2(ceiling - low, reach), 0.3
    part = Part(
        centre=(0.0, (low + ceiling) / 2 + thick * math.cos(angle), reach / 2 - thick * math.sin(angle)),
        half=(room.wall_length(wall) / 2, thick, math.hypot(ceiling - low, reach) / 2), label=labels.CEILING,
        material=material, tilt=angle,
    )  # fmt: skip
    x, z = room.point(wall, 0.0, 0.0)
    room.add(Piece(width=part.half[0] * 2, depth=reach, height=ceiling, parts=(part,)), x, z, wall * math.pi / 2)
    half = room.wall_length(wall) / 2
    room.wall_taken[wall].append((-half, half, low - 0.05, ceiling))


def add_ceiling(room: Room, kind: str, material: materials.Material) -> None:
    """Beams, coffers, bare joists, a dropped part along a wall, or a slope; most ceilings stay flat."""
    draw, ceiling = room.draw, 2 * room.half[1]
    if kind in ("cellar", "store") and draw.chance(0.5):
        utility.joists(room, draw.uniform(0.4, 0.7), draw.uniform(0.12, 0.22), 0.05, labels.CEILING)
    elif draw.chance(0.07):
        utility.joists(room, draw.uniform(0.8, 2.0), draw.uniform(0.1, 0.25), draw.uniform(0.1, 0.22), labels.CEILING)
    elif draw.chance(0.08) and kind != "kitchen":
        add_slope(room, material)
    elif draw.chance(0.12):
        wall, drop, deep = draw.integer(0, 3), draw.uniform(0.1, 0.35), draw.uniform(0.2, 0.9)
        half = room.wall_length(wall) / 2
        soffit = block((-half, half), (ceiling - drop, ceiling), (0.0, deep), labels.CEILING, material)
        x, z = room.point(wall, 0.0, 0.0)
        if room.wall_free(wall, -half, half, ceiling - drop, ceiling):
            room.wall_taken[wall].append((-half, half, ceiling - drop, ceiling))
            room.add(Piece(width=2 * half, depth=deep, height=ceiling, parts=(soffit,)), x, z, wall * math.pi / 2)

"""One furnished room from one seed: shell, openings, furniture for its purpose, things on walls.

Convention: world frame of `primitives`; wall k's inward normal is `turn(k * pi / 2, 0, 1)`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from training.data import labels, materials, openings, seating, tables
from training.data import small_things as st
from training.data.arrangement import Room
from training.data.building_blocks import Style, block
from training.data.draw import Draw
from training.data.lighting import light_room
from training.data.primitives import CYLINDER, Part, Piece, Scene, pack, turn, wall_origin


def _openings(room: Room, frame: materials.Material) -> None:
    draw, ceiling = room.draw, 2 * room.half[1]
    for _ in range(draw.weighted(((0, 1.5), (1, 4.0), (2, 3.0), (3, 1.5)))):
        wall = draw.integer(0, 3)
        room_for = room.wall_length(wall) - 0.5
        wide = min(room_for, draw.uniform(0.6, 2.6))
        low = draw.weighted(((0.05, 1.5), (draw.uniform(0.5, 1.1), 6.0)))
        high = min(ceiling - 0.15, draw.uniform(max(low + 0.7, 1.9), 2.45))
        slack = (room.wall_length(wall) - wide) / 2 - 0.15
        along = draw.uniform(-slack, slack)
        if (
            wide < 0.5
            or high < low + 0.5
            or not room.wall_free(wall, along - wide / 2 - 0.3, along + wide / 2 + 0.3, low, high)
        ):
            continue
        x, z = room.point(wall, along, 0.0)
        room.add(openings.window(room.style, draw, wide, low, high, frame), x, z, wall * math.pi / 2)
        room.wall_taken[wall].append((along - wide / 2 - 0.15, along + wide / 2 + 0.15, low - 0.1, ceiling))
        room.panes.append((wall, along, wide, low, high))
        room.focus.append((x, -(low + high) / 2, z))
        if low > 0.65 and draw.chance(0.5):
            rx, rz = room.point(wall, along, 0.0)
            heater = openings.radiator(room.style, draw, min(wide * 0.8, 1.4))
            room.add(heater, rx, rz, wall * math.pi / 2)
    for _ in range(draw.weighted(((0, 2.0), (1, 5.0), (2, 2.0)))):
        wall, wide, high = draw.integer(0, 3), draw.uniform(0.75, 0.95), min(ceiling - 0.12, draw.uniform(1.98, 2.15))
        slack = room.wall_length(wall) / 2 - wide / 2 - 0.15
        along = draw.uniform(-slack, slack)
        if not room.wall_free(wall, along - wide / 2 - 0.1, along + wide / 2 + 0.1, 0.0, high):
            continue
        x, z = room.point(wall, along, 0.0)
        room.add(openings.door(room.style, draw, wide, high, frame), x, z, wall * math.pi / 2)
        room.wall_taken[wall].append((along - wide / 2 - 0.1, along + wide / 2 + 0.1, 0.0, ceiling))
        dx, dz = turn(wall * math.pi / 2, 0.0, 0.4)
        room.taken.append((x + dx - 0.35, x + dx + 0.35, z + dz - 0.35, z + dz + 0.35))


def _trims(room: Room, frame: materials.Material) -> None:
    draw = room.draw
    high, thick = draw.uniform(0.05, 0.14), draw.uniform(0.01, 0.02)
    cornice = draw.uniform(0.04, 0.12) if draw.chance(0.25) else 0.0
    for wall in range(4):
        length, (x, z) = room.wall_length(wall), wall_origin(room.half, wall)
        parts = []
        if high > 0.06:
            parts.append(block((-length / 2, length / 2), (0.0, high), (0.0, thick), labels.WALL, frame, casts=False))
        if cornice:
            top = 2 * room.half[1]
            parts.append(
                block(
                    (-length / 2, length / 2), (top - cornice, top), (0.0, cornice), labels.CEILING, frame, casts=False
                )
            )
        room.add(Piece(width=length, depth=thick, height=high, parts=tuple(parts)), x, z, wall * math.pi / 2)


def _hang_pictures(room: Room) -> None:
    draw, ceiling = room.draw, 2 * room.half[1]
    for _ in range(draw.integer(2, 11)):
        piece, wall = openings.hanging(room.style, draw), draw.integer(0, 3)
        slack = room.wall_length(wall) / 2 - piece.width / 2 - 0.05
        if slack <= 0:
            continue
        along, low = draw.uniform(-slack, slack), draw.uniform(1.0, 1.75)
        if low + piece.height > ceiling - 0.1:
            continue
        span = (along - piece.width / 2 - 0.04, along + piece.width / 2 + 0.04)
        if not room.wall_free(wall, *span, low - 0.05, low + piece.height + 0.05):
            continue
        room.wall_taken[wall].append((*span, low - 0.05, low + piece.height + 0.05))
        x, z = room.point(wall, along, 0.0)
        room.add(piece, x, z, wall * math.pi / 2, low)


def _dining(room: Room) -> None:
    draw, style = room.draw, room.style
    yaw = draw.integer(0, 3) * math.pi / 2 + (draw.normal(0, 0.1) if draw.chance(0.3) else 0.0)
    table = tables.table(style, draw, "dining")
    at = room.in_room(table, yaw, 0.35)
    if at is None:
        return
    chair = seating.chair(style, draw)
    seats: list[tuple[float, float, float]] = []
    per_side = max(1, int(table.width / 0.65))
    for k in range(per_side):
        px = (k - (per_side - 1) / 2) * table.width / per_side
        seats += [(px, -0.3, 0.0), (px, table.depth + 0.3, math.pi)]
    if draw.chance(0.5):
        seats += [
            (table.width / 2 + 0.3, table.depth / 2, -math.pi / 2),
            (-table.width / 2 - 0.3, table.depth / 2, math.pi / 2),
        ]
    for px, pz, face in seats:
        if draw.chance(0.15):
            continue
        out = draw.uniform(-0.12, 0.25)
        px2, pz2 = px - out * math.sin(face), pz - out * math.cos(face)
        dx, dz = turn(yaw, px2, pz2)
        room.add(chair, at[0] + dx, at[1] + dz, yaw + face + draw.normal(0, 0.12))
    dx, dz = turn(yaw, 0.0, table.depth / 2)
    reach = max(table.width, table.depth) / 2 + 0.5
    room.taken.append((at[0] + dx - reach, at[0] + dx + reach, at[1] + dz - reach, at[1] + dz + reach))


def _desk(room: Room) -> None:
    draw, style = room.draw, room.style
    desk = tables.desk(style, draw)
    at = room.against_wall(replace(desk, depth=desk.depth + 0.5))
    if at is None:
        return
    wall, along = at
    yaw = wall * math.pi / 2
    if draw.chance(0.7):
        monitor = st.television(style, draw, draw.uniform(0.4, 0.7))
        x, z = room.point(wall, along + draw.normal(0, 0.15), 0.1)
        room.add(monitor, x, z, yaw + draw.normal(0, 0.1), desk.height)
    x, z = room.point(wall, along + draw.normal(0, 0.15), desk.depth + draw.uniform(0.3, 0.6))
    room.add(seating.chair(style, draw), x, z, yaw + math.pi + draw.normal(0, 0.5))


def _seating(room: Room) -> None:
    draw, style = room.draw, room.style
    sofa = seating.sofa(style, draw)
    at = room.against_wall(sofa, gap=draw.choice((0.02, 0.05, 0.15)))
    if at is None:
        return
    wall, along = at
    yaw = wall * math.pi / 2
    if draw.chance(0.6):
        rug_at = room.point(wall, along, 0.5)
        wide, deep = draw.uniform(1.4, 2.8), draw.uniform(1.2, 2.0)
        room.add(_rug(draw, wide, deep), *rug_at, yaw)
    if draw.chance(0.8):
        coffee = tables.table(style, draw, "coffee")
        x, z = room.point(wall, along + draw.normal(0, 0.2), sofa.depth + draw.uniform(0.25, 0.6))
        area = room.footprint(x, z, yaw, coffee, 0.0)
        if room.free(area):
            room.taken.append(area)
            room.add(coffee, x, z, yaw)
            room.furnish(coffee, x, z, yaw)
            room.focus.append((x, -coffee.height, z))
    opposite = (wall + 2) % 4
    if draw.chance(0.65):
        stand = tables.cabinet(style, draw, "low")
        stand = replace(stand, surfaces=())
        there = room.against_wall(stand, (opposite,))
        if there is not None:
            screen = st.television(style, draw)
            hang = draw.chance(0.35)
            x, z = room.point(there[0], there[1], 0.03 if hang else 0.08)
            room.add(screen, x, z, there[0] * math.pi / 2, stand.height + (0.25 if hang else 0.0))
            room.wall_taken[there[0]].append((there[1] - screen.width / 2, there[1] + screen.width / 2, 0.0, 2.0))
    for _ in range(draw.integer(0, 2)):
        armchair = seating.sofa(style if draw.chance(0.6) else replace(style, upholstery=style.textile), draw, 1)
        side = draw.choice((-1, 1))
        x, z = room.point(wall, along + side * draw.uniform(1.4, 2.4), draw.uniform(1.0, 2.2))
        room.in_room(armchair, yaw - side * math.pi / 2 + draw.normal(0, 0.4), 0.02, (x, z))


def _rug(draw: Draw, wide: float, deep: float) -> Piece:
    """A rug (label floor); round ones too."""
    cloth = materials.fabric(draw) if draw.chance(0.6) else materials.carpet(draw)
    thick = draw.uniform(0.006, 0.02)
    if draw.chance(0.15):
        part = Part(
            kind=CYLINDER,
            centre=(0, thick / 2, deep / 2),
            half=(deep / 2, thick / 2, deep / 2),
            label=labels.FLOOR,
            material=cloth,
            casts=False,
        )
        return Piece(width=deep, depth=deep, height=thick, parts=(part,))
    parts = [block((-wide / 2, wide / 2), (0, thick), (0, deep), labels.FLOOR, cloth, casts=False)]
    if draw.chance(0.4):
        rim = draw.uniform(0.05, 0.2)
        inner = materials.fabric(draw)
        parts.append(
            block(
                (-wide / 2 + rim, wide / 2 - rim),
                (0, thick + 0.001),
                (rim, deep - rim),
                labels.FLOOR,
                inner,
                casts=False,
            )
        )
    return Piece(width=wide, depth=deep, height=thick, parts=tuple(parts))


def _bedroom(room: Room) -> None:
    draw, style = room.draw, room.style
    for _ in range(1 if draw.chance(0.85) else 2):
        bed = seating.bed(style, draw)
        at = room.against_wall(bed)
        if at is None:
            continue
        wall, along = at
        for side in (-1, 1):
            if draw.chance(0.6):
                night = tables.cabinet(style, draw, "night")
                offset = along + side * (bed.width / 2 + night.width / 2 + draw.uniform(0.03, 0.2))
                x, z = room.point(wall, offset, 0.01)
                area = room.footprint(x, z, wall * math.pi / 2, night, 0.0)
                if room.free(area):
                    room.taken.append(area)
                    room.wall_taken[wall].append(
                        (offset - night.width / 2, offset + night.width / 2, 0.0, night.height)
                    )
                    room.add(night, x, z, wall * math.pi / 2)
                    room.furnish(night, x, z, wall * math.pi / 2)
        if draw.chance(0.4):
            room.add(
                _rug(draw, bed.width + draw.uniform(0.5, 1.2), draw.uniform(1.0, 1.8)),
                *room.point(wall, along, bed.depth * 0.6),
                wall * math.pi / 2,
            )


def _kitchen(room: Room) -> None:
    draw = room.draw
    walls = [0, 1, 2, 3]
    for _ in range(draw.integer(1, 2)):
        wall = walls.pop(draw.integer(0, len(walls) - 1))
        wide = min(room.wall_length(wall) - 0.1, draw.uniform(1.2, 3.6))
        room.against_wall(tables.counter(room.style, draw, wide), (wall,), 0.0)
    if draw.chance(0.7):
        room.against_wall(tables.cabinet(room.style, draw, "fridge"))


def _extras(room: Room, amount: int) -> None:
    draw, style = room.draw, room.style
    for _ in range(amount):
        kind = draw.weighted(
            (
                ("shelf", 3.0),
                ("cabinet", 3.0),
                ("chair", 1.5),
                ("plant", 1.5),
                ("lamp", 1.0),
                ("side", 1.0),
                ("box", 1.0),
                ("rug", 0.4),
                ("armchair", 0.5),
            )
        )
        if kind == "shelf":
            room.against_wall(st.bookshelf(style, draw))
        elif kind == "cabinet":
            room.against_wall(tables.cabinet(style, draw))
        elif kind == "chair":
            room.in_room(seating.chair(style, draw), draw.uniform(0, 2 * math.pi), 0.05)
        elif kind == "plant":
            room.against_wall(st.plant(draw, draw.uniform(0.6, 1.7)), gap=0.1)
        elif kind == "lamp":
            room.against_wall(st.lamp(draw, draw.uniform(1.3, 1.8)), gap=0.1)
        elif kind == "side":
            room.against_wall(tables.table(style, draw, "side"), gap=0.05)
        elif kind == "armchair":
            room.in_room(seating.sofa(style, draw, 1), draw.uniform(0, 2 * math.pi), 0.05)
        elif kind == "rug":
            room.add(
                _rug(draw, draw.uniform(1, 3), draw.uniform(0.8, 2)),
                draw.normal(0, 0.5),
                draw.normal(0, 0.5),
                draw.uniform(0, 3),
            )
        else:
            room.in_room(st.small_object(style, draw, 0.4), draw.uniform(0, 2 * math.pi), 0.02)


def _jut(room: Room, wall_material: materials.Material) -> None:
    """A wall corner that juts into the room, or a column."""
    draw = room.draw
    wide, deep = draw.uniform(0.3, 1.6), draw.uniform(0.3, 1.2)
    top = 2 * room.half[1]
    piece = Piece(
        width=wide,
        depth=deep,
        height=top,
        parts=(block((-wide / 2, wide / 2), (0, top), (0, deep), labels.WALL, wall_material),),
    )
    room.against_wall(piece, gap=-0.04)


def build_scene(draw: Draw) -> Scene:
    """A furnished room."""
    kind = draw.weighted(
        (("bedroom", 3.0), ("living", 4.0), ("dining", 2.0), ("office", 2.5), ("kitchen", 1.5), ("empty", 0.5))
    )
    big = {"bedroom": 3.8, "living": 4.9, "dining": 4.3, "office": 4.2, "kitchen": 3.8, "empty": 4.0}[kind]
    lx = min(12.0, max(2.6, big * math.exp(draw.normal(0, 0.28))))
    lz = min(12.0, max(2.6, big * math.exp(draw.normal(0, 0.28))))
    height = draw.weighted(((draw.uniform(2.35, 2.7), 6.0), (draw.uniform(2.7, 3.6), 2.0)))
    room = Room(draw=draw, style=Style.sample(draw), half=(lx / 2, height / 2, lz / 2),
        mess=min(3.5, math.exp(draw.normal(-0.05, 0.7))))
    walls = materials.wall(draw)
    accent = materials.wall(draw) if draw.chance(0.35) else walls
    ceiling = materials.plain(draw, materials.hsv(0.1, draw.uniform(0, 0.08), draw.uniform(0.75, 0.97)))
    if draw.chance(0.12):
        ceiling = materials.tiles(draw, 0.6)
    frame = room.style.trim if draw.chance(0.4) else materials.plain(draw, (0.92, 0.92, 0.9), 0.3)
    shell = [materials.floor(draw), ceiling, walls, walls, walls, walls]
    shell[2 + draw.integer(0, 3)] = accent
    if draw.chance(0.3):
        _jut(room, walls)
    _openings(room, frame)
    if draw.chance(0.8):
        _trims(room, frame)
    if kind == "bedroom":
        _bedroom(room)
    elif kind == "living":
        _seating(room)
        if lx * lz > 28 and draw.chance(0.6):
            _dining(room)
    elif kind == "dining":
        _dining(room)
    elif kind == "office":
        for _ in range(draw.integer(1, 4)):
            _desk(room)
    elif kind == "kitchen":
        _kitchen(room)
        if draw.chance(0.6):
            _dining(room)
    if kind in ("bedroom", "living", "kitchen") and draw.chance(0.3):
        _desk(room)
    _extras(room, draw.integer(1, 3) if kind == "empty" else draw.integer(4, 11))
    _hang_pictures(room)
    room.litter()
    suns, ambient = light_room(room)
    shell_labels = [labels.FLOOR, labels.CEILING, *([labels.WALL] * 4)]
    return pack(
        room.half, shell, shell_labels, room.parts, lights=room.lights, suns=suns, ambient=ambient, focus=room.focus
    )

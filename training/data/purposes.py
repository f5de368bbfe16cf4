"""What a room is for: bedrooms, living rooms, kitchens, offices, meeting rooms, baths, cellars, corridors, box rooms.

Convention: world frame of `primitives`; wall k's inward normal is `turn(k * pi / 2, 0, 1)`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from training.data import kitchen, seating, storage, tables, utility
from training.data import small_things as st
from training.data.arrangement import Room
from training.data.furnishing import extras, lived_in, rug
from training.data.primitives import turn

KINDS = (
    ("bedroom", 6.0),
    ("living", 3.6),
    ("dining", 1.5),
    ("office", 2.4),
    ("kitchen", 3.0),
    ("meeting", 1.4),
    ("bath", 0.8),
    ("cellar", 1.4),
    ("corridor", 0.5),
    ("store", 0.7),
    ("empty", 0.2),
)

SIZES = {
    "bedroom": 3.4,
    "living": 4.2,
    "dining": 3.6,
    "office": 3.5,
    "kitchen": 3.4,
    "meeting": 4.3,
    "bath": 2.3,
    "cellar": 3.7,
    "corridor": 3.0,
    "store": 2.7,
    "empty": 3.8,
}


def dining(room: Room, kind: str = "dining", crowd: float = 0.85) -> None:
    """A table with chairs close by."""
    draw, style = room.draw, room.style
    yaw = draw.integer(0, 3) * math.pi / 2 + (draw.normal(0, 0.1) if draw.chance(0.3) else 0.0)
    table = tables.table(style, draw, kind)
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
        across = table.width / 2 + 0.3
        seats += [(across, table.depth / 2, -math.pi / 2), (-across, table.depth / 2, math.pi / 2)]
    for px, pz, face in seats:
        if not draw.chance(crowd):
            continue
        out = draw.uniform(-0.12, 0.3)
        dx, dz = turn(yaw, px - out * math.sin(face), pz - out * math.cos(face))
        room.add(lived_in(room, chair), at[0] + dx, at[1] + dz, yaw + face + draw.normal(0, 0.18))
    dx, dz = turn(yaw, 0.0, table.depth / 2)
    reach = max(table.width, table.depth) / 2 + 0.4
    room.taken.append((at[0] + dx - reach, at[0] + dx + reach, at[1] + dz - reach, at[1] + dz + reach))


def desk(room: Room) -> None:
    """A desk at a wall with a screen or two and its chair."""
    draw, style = room.draw, room.style
    table = tables.desk(style, draw)
    at = room.against_wall(replace(table, depth=table.depth + 0.5))
    if at is None:
        return
    wall, along = at
    yaw = wall * math.pi / 2
    for k in range(draw.weighted(((0, 2.5), (1, 5.0), (2, 2.0)))):
        monitor = st.television(style, draw, draw.uniform(0.4, 0.65))
        x, z = room.point(wall, along + draw.normal(0, 0.1) + (0.62 * k - 0.25 if k else 0.0), 0.1)
        room.add(monitor, x, z, yaw + draw.normal(0, 0.15), table.height)
    x, z = room.point(wall, along + draw.normal(0, 0.15), table.depth + draw.uniform(0.2, 0.6))
    room.add(lived_in(room, seating.chair(style, draw)), x, z, yaw + math.pi + draw.normal(0, 0.5))


def living(room: Room) -> None:
    """A sofa with its rug, low table and armchairs; a screen opposite."""
    draw, style = room.draw, room.style
    sofa = seating.sofa(style, draw)
    at = room.against_wall(sofa, gap=draw.choice((0.02, 0.05, 0.15)))
    if at is None:
        return
    wall, along = at
    yaw = wall * math.pi / 2
    if draw.chance(0.6):
        room.add(rug(draw, draw.uniform(1.4, 2.8), draw.uniform(1.2, 2.0)), *room.point(wall, along, 0.5), yaw)
    if draw.chance(0.85):
        coffee = tables.table(style, draw, "coffee")
        x, z = room.point(wall, along + draw.normal(0, 0.2), sofa.depth + draw.uniform(0.25, 0.6))
        area = room.footprint(x, z, yaw, coffee, 0.0)
        if room.free(area):
            room.taken.append(area)
            room.add(coffee, x, z, yaw)
            room.furnish(coffee, x, z, yaw)
    if draw.chance(0.65):
        stand = tables.cabinet(style, draw, "low")
        there = room.against_wall(replace(stand, surfaces=()), ((wall + 2) % 4,))
        if there is not None:
            screen, hang = st.television(style, draw), draw.chance(0.35)
            x, z = room.point(there[0], there[1], 0.03 if hang else 0.08)
            room.add(screen, x, z, there[0] * math.pi / 2, stand.height + (0.25 if hang else 0.0))
            room.wall_taken[there[0]].append((there[1] - screen.width / 2, there[1] + screen.width / 2, 0.0, 2.0))
    for _ in range(draw.integer(0, 2)):
        armchair = seating.sofa(style if draw.chance(0.6) else replace(style, upholstery=style.textile), draw, 1)
        side = draw.choice((-1, 1))
        x, z = room.point(wall, along + side * draw.uniform(1.4, 2.4), draw.uniform(1.0, 2.2))
        room.in_room(armchair, yaw - side * math.pi / 2 + draw.normal(0, 0.4), 0.02, (x, z))


def bedroom(room: Room) -> None:
    """One or two beds with night stands, a wardrobe."""
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
                room.at_wall(night, wall, offset, 0.01)
        if draw.chance(0.4):
            wide, yaw = bed.width + draw.uniform(0.5, 1.2), wall * math.pi / 2
            room.add(rug(draw, wide, draw.uniform(1.0, 1.8)), *room.point(wall, along, bed.depth * 0.6), yaw)
    if draw.chance(0.5):
        wall = draw.integer(0, 3)
        wide = min(room.wall_length(wall) - 0.1, draw.uniform(1.0, 3.2))
        room.against_wall(storage.cupboard_row(style, draw, wide, min(2.2, 2 * room.half[1] - 0.1)), (wall,), 0.0)


def kitchen_room(room: Room) -> None:
    """Units along one wall or around a corner, a refrigerator, an island or a table."""
    draw = room.draw
    kit = kitchen.Fittings.sample(room.style, draw)
    wall = draw.integer(0, 3)
    reach = room.wall_length(wall) / 2 - 0.02
    corner = draw.chance(0.65)
    free = room.stretch(wall, (-reach, reach), 0.0, kit.high)
    if free[1] - free[0] < 1.4:
        wall = (wall + 1) % 4
        reach = room.wall_length(wall) / 2 - 0.02
    first = min(2 * reach, draw.uniform(1.8, 5.5))
    kitchen.fit_run(room, kit, wall, (-reach, -reach + first), not corner or draw.chance(0.3), True)
    if corner:
        other = (wall + 1) % 4
        end = room.wall_length(other) / 2 - kit.deep - 0.06
        kitchen.fit_run(room, kit, other, (end - min(2 * end, draw.uniform(1.0, 4.0)), end), True, False)
    if draw.chance(0.8):
        room.against_wall(tables.cabinet(room.style, draw, "fridge"))
    if draw.chance(0.25):
        room.in_room(kitchen.island(room.style, draw, kit), wall * math.pi / 2, 0.6)
    if draw.chance(0.65):
        dining(room)


def meeting(room: Room) -> None:
    """A common room: long tables pushed together, many chairs, coloured cupboards, leaflets, a kitchenette."""
    draw, style = room.draw, room.style
    for _ in range(draw.integer(1, 2)):
        dining(room, "meeting", 0.75)
    for _ in range(draw.integer(1, 2)):
        wall = draw.integer(0, 3)
        wide = min(room.wall_length(wall) - 0.1, draw.uniform(1.2, 4.0))
        high = draw.choice((draw.uniform(0.75, 1.2), draw.uniform(1.8, 2.3)))
        room.against_wall(storage.cupboard_row(style, draw, wide, high), (wall,), 0.0)
    if draw.chance(0.6):
        kit, wall = kitchen.Fittings.sample(style, draw), draw.integer(0, 3)
        reach = room.wall_length(wall) / 2 - 0.05
        at = draw.uniform(-reach, reach - 1.2)
        kitchen.fit_run(room, kit, wall, (at, min(reach, at + draw.uniform(1.2, 3.0))), True, False)
    if draw.chance(0.6):
        room.against_wall(storage.leaflet_boards(style, draw))


def office(room: Room) -> None:
    """Desks along the walls, racks between them."""
    for _ in range(room.draw.integer(1, 5)):
        desk(room)
    if room.draw.chance(0.4):
        dining(room, "meeting", 0.5)
    for _ in range(room.draw.integer(0, 2)):
        room.against_wall(storage.rack(room.style, room.draw))


def bath(room: Room) -> None:
    """Basin with mirror, toilet, tub, washer, towels."""
    draw, ceiling = room.draw, 2 * room.half[1]
    basin = utility.basin(room.style, draw)
    at = room.against_wall(basin)
    if at is not None:
        glass = utility.mirror(draw, basin.width * draw.uniform(0.7, 1.0), draw.uniform(0.5, 0.9))
        x, z = room.point(at[0], at[1], 0.0)
        if room.wall_free(at[0], at[1] - 0.3, at[1] + 0.3, 1.1, 1.9):
            room.add(glass, x, z, at[0] * math.pi / 2, 1.1)
            room.wall_taken[at[0]].append((at[1] - 0.5, at[1] + 0.5, 1.0, 2.1))
    room.against_wall(utility.toilet(draw), gap=0.0)
    if draw.chance(0.7):
        room.against_wall(utility.bathtub(draw, ceiling), gap=0.0)
    if draw.chance(0.4):
        room.against_wall(utility.washer(draw))


def cellar(room: Room) -> None:
    """Washer, boiler, racks, tubs, pipes below the joists."""
    draw, ceiling = room.draw, 2 * room.half[1]
    for _ in range(draw.integer(0, 2)):
        room.against_wall(utility.washer(draw))
    if draw.chance(0.6):
        room.against_wall(utility.boiler(draw, ceiling), gap=0.05)
    for _ in range(draw.integer(1, 3)):
        room.against_wall(storage.rack(room.style, draw))
    if draw.chance(0.5):
        desk(room)
    utility.pipes(room)
    room.mess = min(3.5, room.mess * 1.7)


def store(room: Room) -> None:
    """Racks all around, boxes between."""
    for _ in range(room.draw.integer(2, 5)):
        room.against_wall(storage.rack(room.style, room.draw))
    room.mess = min(3.5, room.mess * 1.5)


MAKERS = {
    "bedroom": bedroom,
    "living": living,
    "dining": dining,
    "office": office,
    "kitchen": kitchen_room,
    "meeting": meeting,
    "bath": bath,
    "cellar": cellar,
    "store": store,
}


def furnish_room(room: Room, kind: str, amount: tuple[int, int] = (3, 10)) -> None:
    """Furnish a room for its purpose, then add between `amount` pieces of anything, fewer in small rooms."""
    draw = room.draw
    if kind in MAKERS:
        MAKERS[kind](room)
    if kind == "living" and room.half[0] * room.half[2] > 7 and draw.chance(0.6):
        dining(room)
    if kind in ("bedroom", "living", "kitchen") and draw.chance(0.3):
        desk(room)
    floor = 4 * room.half[0] * room.half[2]
    extras(room, round(draw.integer(*amount) * min(1.3, floor / 11.0)))

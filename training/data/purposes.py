"""What a room is for: bedrooms, living rooms, kitchens, offices, meeting rooms, baths, cellars, corridors, box rooms.

Convention: world frame of `primitives`; wall k's inward normal is `turn(k * pi / 2, 0, 1)`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from training.data import kitchen, labels, materials, seating, soft, storage, tables, utility
from training.data import small_things as st
from training.data.arrangement import Room
from training.data.building_blocks import block
from training.data.draw import Draw
from training.data.people import person
from training.data.primitives import Piece, turn

KINDS = (
    ("bedroom", 3.0),
    ("living", 3.2),
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


def rug(draw: Draw, wide: float, deep: float) -> Piece:
    """A rug (label floor)."""
    cloth, thick = materials.fabric(draw), draw.uniform(0.006, 0.02)
    parts = [block((-wide / 2, wide / 2), (0, thick), (0, deep), labels.FLOOR, cloth, casts=False)]
    if draw.chance(0.4):
        rim, inner = draw.uniform(0.05, 0.2), materials.fabric(draw)
        parts.append(block(
            (-wide / 2 + rim, wide / 2 - rim), (0, thick + 0.001), (rim, deep - rim), labels.FLOOR, inner, casts=False
        ))  # fmt: skip
    return Piece(width=wide, depth=deep, height=thick, parts=tuple(parts))


def lived_in(room: Room, chair: Piece) -> Piece:
    """The chair, now and then with a jacket over its back, a cushion, or somebody on it."""
    draw, parts = room.draw, list(chair.parts)
    if draw.chance(min(0.3, 0.08 * room.mess)) and chair.height > 0.7:
        cloth, wide = materials.fabric(draw), chair.width * draw.uniform(0.7, 1.05) / 2
        parts.append(
            block(
                (-wide, wide),
                (chair.height - draw.uniform(0.25, 0.5), chair.height + 0.015),
                (-0.04, 0.07),
                labels.OBJECTS,
                cloth,
                0.04,
            )
        )
    elif draw.chance(0.1):
        parts.append(soft.cushion(draw, 0.0, 0.48, chair.depth / 2, 0.18))
    elif draw.chance(0.04):
        for part in person(draw, True).parts:
            parts.append(replace(part, centre=(part.centre[0], part.centre[1], part.centre[2] + 0.08)))
    return replace(chair, parts=tuple(parts))


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


def extras(room: Room, amount: int) -> None:
    """Furniture of any kind along walls and on the floor."""
    draw, style, ceiling = room.draw, room.style, 2 * room.half[1]
    for _ in range(amount):
        kind = draw.weighted(
            (
                ("shelf", 2.0),
                ("cubes", 1.6),
                ("rack", 1.2),
                ("cabinet", 2.5),
                ("row", 1.0),
                ("glass", 0.5),
                ("chest", 0.6),
                ("piano", 0.25),
                ("leaflets", 0.4),
                ("chair", 1.5),
                ("plant", 1.2),
                ("lamp", 0.8),
                ("side", 1.0),
                ("rug", 0.3),
                ("armchair", 0.5),
                ("bean", 0.3),
                ("person", 0.25),
            )
        )
        if kind == "shelf":
            room.against_wall(st.bookshelf(style, draw))
        elif kind == "cubes":
            high = min(ceiling - 0.1, draw.uniform(0.7, 2.3))
            room.against_wall(storage.cubes(style, draw, draw.uniform(0.7, 2.6), high))
        elif kind == "rack":
            room.against_wall(storage.rack(style, draw))
        elif kind == "cabinet":
            room.against_wall(tables.cabinet(style, draw))
        elif kind == "row":
            high = min(ceiling - 0.1, draw.choice((0.8, 1.1, 1.9, 2.3)))
            room.against_wall(storage.cupboard_row(style, draw, draw.uniform(1.0, 3.2), high))
        elif kind == "glass":
            room.against_wall(storage.glass_cabinet(style, draw))
        elif kind == "chest":
            room.against_wall(storage.chest(style, draw))
        elif kind == "piano":
            room.against_wall(storage.piano(style, draw))
        elif kind == "leaflets":
            room.against_wall(storage.leaflet_boards(style, draw))
        elif kind == "chair":
            room.in_room(lived_in(room, seating.chair(style, draw)), draw.uniform(0, 2 * math.pi), 0.03)
        elif kind == "plant":
            room.against_wall(st.plant(draw, draw.uniform(0.6, 1.7)), gap=0.1)
        elif kind == "lamp":
            room.against_wall(st.lamp(draw, draw.uniform(1.3, 1.8)), gap=0.1)
        elif kind == "side":
            room.against_wall(tables.table(style, draw, "side"), gap=0.05)
        elif kind == "armchair":
            room.in_room(seating.sofa(style, draw, 1), draw.uniform(0, 2 * math.pi), 0.05)
        elif kind == "bean":
            room.in_room(soft.bean_bag(draw), draw.uniform(0, 2 * math.pi), 0.02)
        elif kind == "person":
            room.in_room(person(draw, False), draw.uniform(0, 2 * math.pi), 0.05)
        else:
            wide, deep = draw.uniform(1, 3), draw.uniform(0.8, 2)
            if max(wide, deep) < min(room.half[0], room.half[2]):
                room.add(rug(draw, wide, deep), draw.normal(0, 0.2), -deep / 2, draw.integer(0, 1) * math.pi / 2)


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

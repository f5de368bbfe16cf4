"""Furniture that stands in any room: pieces along walls, whole walls of them, pieces on the floor, rugs.

Convention: world frame of `primitives`; wall k's inward normal is `turn(k * pi / 2, 0, 1)`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from training.data import labels, materials, seating, soft, storage, tables
from training.data import small_things as st
from training.data.arrangement import Room
from training.data.building_blocks import block
from training.data.draw import Draw
from training.data.people import person
from training.data.primitives import Piece


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


def wall_piece(room: Room) -> Piece:
    """Something that stands with its back to a wall."""
    draw, style, ceiling = room.draw, room.style, 2 * room.half[1]
    kind = draw.weighted((
        ("shelf", 2.0), ("cubes", 1.6), ("rack", 1.2), ("cabinet", 2.5), ("row", 1.0), ("glass", 0.5), ("chest", 0.6),
        ("piano", 0.25), ("leaflets", 0.4), ("plant", 1.0), ("lamp", 0.7), ("side", 1.0), ("desk", 0.5), ("chair", 0.8),
    ))  # fmt: skip
    if kind == "shelf":
        return st.bookshelf(style, draw)
    if kind == "cubes":
        return storage.cubes(style, draw, draw.uniform(0.7, 2.6), min(ceiling - 0.1, draw.uniform(0.7, 2.3)))
    if kind == "rack":
        return storage.rack(style, draw)
    if kind == "row":
        high = min(ceiling - 0.1, draw.choice((0.8, 1.1, 1.9, 2.3)))
        return storage.cupboard_row(style, draw, draw.uniform(1.0, 3.2), high)
    if kind == "glass":
        return storage.glass_cabinet(style, draw)
    if kind == "chest":
        return storage.chest(style, draw)
    if kind == "piano":
        return storage.piano(style, draw)
    if kind == "leaflets":
        return storage.leaflet_boards(style, draw)
    if kind == "plant":
        return st.plant(draw, draw.uniform(0.6, 1.7))
    if kind == "lamp":
        return st.lamp(draw, draw.uniform(1.3, 1.8))
    if kind == "side":
        return tables.table(style, draw, "side")
    if kind == "desk":
        return tables.desk(style, draw)
    if kind == "chair":
        return lived_in(room, seating.chair(style, draw))
    return tables.cabinet(style, draw)


def fill_wall(room: Room, wall: int) -> None:
    """Pieces side by side along one wall, close to each other."""
    draw = room.draw
    end = room.wall_length(wall) / 2
    at = -end + draw.uniform(0.0, 0.3)
    for _ in range(12):
        piece = wall_piece(room)
        if at + piece.width > end:
            if end - at < 0.6:
                return
            continue
        if room.at_wall(piece, wall, at + piece.width / 2, draw.uniform(0.0, 0.06)):
            at += piece.width + draw.weighted(((0.005, 3.0), (draw.uniform(0.02, 0.4), 2.0)))
        else:
            at += 0.3


def extras(room: Room, amount: int) -> None:
    """Furniture of any kind along walls and on the floor; whole walls of it now and then."""
    draw, style = room.draw, room.style
    for wall in range(4):
        if draw.chance(0.35):
            fill_wall(room, wall)
    for _ in range(amount):
        kind = draw.weighted(
            (
                ("wall", 8.0),
                ("chair", 1.7),
                ("rug", 0.3),
                ("armchair", 0.7),
                ("bean", 0.3),
                ("person", 0.25),
                ("table", 0.7),
            )
        )
        yaw = draw.uniform(0, 2 * math.pi)
        if kind == "wall":
            room.against_wall(wall_piece(room), gap=draw.choice((0.0, 0.03, 0.1)))
        elif kind == "chair":
            room.in_room(lived_in(room, seating.chair(style, draw)), yaw, 0.03)
        elif kind == "armchair":
            room.in_room(seating.sofa(style, draw, draw.integer(1, 2)), yaw, 0.05)
        elif kind == "bean":
            room.in_room(soft.bean_bag(draw), yaw, 0.02)
        elif kind == "person":
            room.in_room(person(draw, False), yaw, 0.05)
        elif kind == "table":
            room.in_room(tables.table(style, draw), draw.integer(0, 3) * math.pi / 2 + draw.normal(0, 0.1), 0.1)
        else:
            wide, deep = draw.uniform(1, 3), draw.uniform(0.8, 2)
            if max(wide, deep) < min(room.half[0], room.half[2]):
                room.add(rug(draw, wide, deep), draw.normal(0, 0.2), -deep / 2, draw.integer(0, 1) * math.pi / 2)

"""House fronts: storeys of windows, doors, balconies, shop fronts, cornices, roofs.

Frames: x right, `up` upwards, metres; the front is the plane z = 0 and faces +z, the house lies behind it (z < 0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from training.data import labels
from training.data.building_blocks import block, post
from training.data.draw import Draw
from training.data.material import Material
from training.data.materials import any_colour, hsv, lacquer, picture, plain
from training.data.outdoor import surfaces
from training.data.outdoor.ignored import IGNORED
from training.data.primitives import Part, Piece

_WALL, _WINDOW = labels.WALL, labels.WINDOW


@dataclass(frozen=True, kw_only=True)
class Front:
    """One house's measures (metres) and materials."""

    wide: float
    deep: float
    storeys: int
    ground: float
    storey: float
    wall: Material
    trim: Material
    roof: Material
    dark: Material

    @property
    def eaves(self) -> float:
        return self.ground + self.storey * (self.storeys - 1)

    @classmethod
    def sample(cls, draw: Draw, wide: float, deep: float, storeys: int, rural: bool = False) -> Front:
        white = draw.chance(0.6)
        return cls(
            wide=wide, deep=deep, storeys=storeys, ground=draw.uniform(2.7, 4.2 if storeys > 2 else 3.0),
            storey=draw.uniform(2.6, 3.4),
            wall=surfaces.boards(draw) if rural and draw.chance(0.3) else surfaces.facade(draw),
            trim=plain(draw, hsv(0.1, 0.05, draw.uniform(0.75, 0.95)) if white else any_colour(draw, 0.4), 0.2),
            roof=surfaces.roof_tiles(draw), dark=plain(draw, hsv(0.6, 0.1, draw.uniform(0.08, 0.3)), 0.3),
        )  # fmt: skip


def _windows(draw: Draw, front: Front) -> list[Part]:
    """All windows above the ground floor, in columns; balconies and shutters go with columns."""
    parts: list[Part] = []
    pitch = draw.uniform(1.8, 3.4)
    columns = max(1, int((front.wide - 0.8) / pitch))
    pitch = (front.wide - 0.4) / columns
    wide = min(pitch - 0.5, draw.choice((0.9, 1.1, 1.3, 1.8, 2.4)))
    high = min(front.storey - 0.9, draw.uniform(1.2, 2.1))
    sill = min(front.storey - high - 0.35, draw.uniform(0.5, 1.0))
    rows = draw.choice((2, 2, 4))
    glass = [surfaces.glazing(draw, wide, high, front.trim, draw.choice((2, 2, 4)), rows) for _ in range(3)]
    surround = draw.weighted((("none", 3.0), ("sill", 3.0), ("full", 2.0), ("shutters", 1.2)))
    shutter = surfaces.boards(draw, True)
    balcony_column = draw.integer(0, columns - 1) if front.storeys > 2 and draw.chance(0.4) else -1
    every = draw.chance(0.2)
    tall = {"none": 0.0, "sill": 0.0, "full": 0.12, "shutters": 0.0}[surround]
    for storey in range(1, front.storeys):
        base = front.ground + (storey - 1) * front.storey
        for column in range(columns):
            x = (column - (columns - 1) / 2) * pitch
            balcony = column == balcony_column or (every and column % 2 == 0 and front.storeys > 2)
            low, top = base + (0.08 if balcony else sill), base + sill + high
            if tall:
                parts.append(block(
                    (x - wide / 2 - tall, x + wide / 2 + tall), (low - 0.1, top + tall), (-0.02, 0.02), _WALL,
                    front.trim, casts=False,
                ))  # fmt: skip
            if surround in ("sill", "full"):
                parts.append(block(
                    (x - wide / 2 - 0.1, x + wide / 2 + 0.1), (low - 0.08, low), (0.0, 0.14), _WALL, front.trim
                ))  # fmt: skip
            pane = draw.choice(glass)
            parts.append(block((x - wide / 2, x + wide / 2), (low, top), (-0.02, 0.03), _WINDOW, pane, casts=False))
            if surround == "shutters" and wide + 0.9 < pitch:
                for side in (-1, 1):
                    edge = x + side * wide / 2
                    parts.append(block((edge, edge + side * 0.42), (low, top), (0.0, 0.05), _WINDOW, shutter))
            if balcony:
                parts += _balcony(front, x, base, max(1.4, wide + 0.6))
    return parts


def _balcony(front: Front, x: float, base: float, wide: float) -> list[Part]:
    reach, span = 1.0, (x - wide / 2, x + wide / 2)
    parts = [block(span, (base - 0.12, base + 0.03), (0.0, reach), _WALL, front.trim)]
    parts.append(block(span, (base + 0.95, base + 1.0), (reach - 0.04, reach), _WALL, front.dark, casts=False))
    bars = max(4, int(wide / 0.3))
    for k in range(bars + 1):
        px = span[0] + wide * k / bars
        parts.append(block(
            (px - 0.012, px + 0.012), (base, base + 0.96), (reach - 0.03, reach - 0.01), _WALL, front.dark, casts=False
        ))  # fmt: skip
    return parts


def _door(draw: Draw, front: Front, x: float) -> list[Part]:
    wide, high = draw.uniform(0.95, 1.5), min(front.ground - 0.4, draw.uniform(2.05, 2.6))
    leaf = lacquer(draw) if draw.chance(0.5) else surfaces.boards(draw, True)
    edges = (x - wide / 2, x + wide / 2)
    parts = [
        block((edges[0] - 0.15, edges[1] + 0.15), (0.0, high + 0.15), (-0.02, 0.06), _WALL, front.trim, casts=False),
        block(edges, (0.0, high), (-0.02, 0.07), _WALL, leaf, casts=False),
        block((edges[0] - 0.2, edges[1] + 0.2), (0.0, 0.14), (0.0, 0.5), _WALL, surfaces.stone(draw)),
        block((x + 0.35, x + 0.39), (0.95, 1.15), (0.07, 0.11), _WALL, front.dark, casts=False),
    ]
    if draw.chance(0.4):
        glass = surfaces.glazing(draw, wide * 0.5, high * 0.35, front.trim, 2, 2)
        parts.append(block((x - wide / 4, x + wide / 4), (high * 0.55, high * 0.9), (0, 0.075), _WINDOW, glass))
    if draw.chance(0.25):
        parts.append(block((edges[0] - 0.4, edges[1] + 0.4), (high + 0.2, high + 0.32), (0.0, 0.9), _WALL, front.trim))
    return parts


def _shop(draw: Draw, front: Front) -> list[Part]:
    """Large panes between piers, a fascia with lettering, perhaps an awning and a door."""
    top = front.ground - 0.75
    bays = max(2, int(front.wide / draw.uniform(1.6, 3.2)))
    pitch = (front.wide - 0.5) / bays
    stall = draw.uniform(0.15, 0.6)
    parts = []
    frame = plain(draw, any_colour(draw, 0.5), 0.4)
    parts.append(block((-front.wide / 2 + 0.15, front.wide / 2 - 0.15), (0.0, top), (-0.02, 0.04), _WALL, frame))
    door = draw.integer(0, bays - 1)
    glass = surfaces.glazing(draw, pitch - 0.25, top - stall, frame, 2, 2)
    for bay in range(bays):
        x = (bay - (bays - 1) / 2) * pitch
        low = 0.05 if bay == door else stall
        edge = (x - pitch / 2 + 0.12, x + pitch / 2 - 0.12)
        parts.append(block(edge, (low, top - 0.1), (-0.02, 0.06), _WINDOW, glass, casts=False))
    board = (-front.wide / 2 + 0.15, front.wide / 2 - 0.15)
    parts.append(block(board, (top, top + 0.55), (0.0, 0.14), labels.OBJECTS, plain(draw, any_colour(draw, 0.8), 0.2)))
    name = draw.uniform(0.3, 0.6) * front.wide
    letters = picture(draw, name * 0.6, 1.6, pool=(12,))
    parts.append(block((-name / 2, name / 2), (top + 0.12, top + 0.43), (0.1, 0.15), labels.OBJECTS, letters))
    if draw.chance(0.35):
        cloth = plain(draw, any_colour(draw, 0.8))
        parts.append(Part(
            centre=(0.0, top - 0.15, 0.65), half=(front.wide / 2 - 0.3, 0.02, 0.72), label=IGNORED, material=cloth,
            tilt=-0.4,
        ))  # fmt: skip
    return parts


def _ground_floor(draw: Draw, front: Front) -> list[Part]:
    """Doors and windows at street level."""
    pitch = draw.uniform(2.0, 3.2)
    columns = max(1, int((front.wide - 0.6) / pitch))
    pitch = (front.wide - 0.4) / columns
    wide, high = min(pitch - 0.5, draw.uniform(0.9, 1.7)), min(front.ground - 1.3, draw.uniform(1.1, 1.8))
    sill = min(front.ground - high - 0.3, draw.uniform(0.7, 1.2))
    glass = [surfaces.glazing(draw, wide, high, front.trim, 2, 2) for _ in range(2)]
    door = draw.integer(0, columns - 1)
    garage = draw.integer(0, columns - 1) if columns > 2 and pitch > 2.5 and draw.chance(0.3) else -1
    parts: list[Part] = []
    for column in range(columns):
        x = (column - (columns - 1) / 2) * pitch
        if column == door:
            parts += _door(draw, front, x)
        elif column == garage:
            gate = surfaces.boards(draw)
            parts.append(block((x - 1.15, x + 1.15), (0.0, 2.2), (-0.02, 0.04), _WALL, gate, casts=False))
        else:
            edge = (x - wide / 2, x + wide / 2)
            parts.append(block(edge, (sill, sill + high), (-0.02, 0.03), _WINDOW, draw.choice(glass), casts=False))
            parts.append(block((edge[0] - 0.08, edge[1] + 0.08), (sill - 0.08, sill), (0.0, 0.12), _WALL, front.trim))
    return parts


def gable_roof(front: Front, along: float, across: float, eaves: float, z: float, turned: bool) -> list[Part]:
    """A roof of 45 degrees as a box standing on its edge, half sunk in the house; a slighter one is the gable wall.

    The gable has no bricks or boards: they would run at 45 degrees.
    """
    yaw = math.pi / 2 if turned else 0.0
    edge = across / math.sqrt(2.0)
    over = 0.3 / math.sqrt(2.0)
    quarter = math.pi / 4
    return [
        Part(
            centre=(0.0, eaves - 0.1, z), half=(along / 2 - 0.015, (edge + over) / 2, (edge + over) / 2), label=IGNORED,
            material=front.roof, yaw=yaw, tilt=quarter,
        ),
        Part(
            centre=(0.0, eaves - 0.12, z), half=(along / 2 - 0.004, (edge - 0.1) / 2, (edge - 0.1) / 2), label=_WALL,
            material=replace(front.wall, cell=(0.0, 0.0), joint=0.0), yaw=yaw, tilt=quarter, casts=False,
        ),
    ]  # fmt: skip


def _top(draw: Draw, front: Front) -> list[Part]:
    """Roof, cornice, chimneys and dormers."""
    eaves, wide, deep = front.eaves, front.wide, front.deep
    parts: list[Part] = []
    kind = draw.weighted((("gable", 3.0), ("flat", 3.0), ("mansard", 1.5)))
    if kind == "gable" and deep < 10:
        parts += gable_roof(front, wide, deep, eaves, -deep / 2, False)
        if draw.chance(0.4) and wide > 7:
            glass = surfaces.glazing(draw, 1.0, 1.1, front.trim, 2, 2)
            for x in (-wide / 4, wide / 4):
                parts.append(block((x - 0.7, x + 0.7), (eaves + 0.3, eaves + 2.0), (-2.4, -0.6), _WALL, front.wall))
                parts.append(block((x - 0.9, x + 0.9), (eaves + 2.0, eaves + 2.15), (-2.6, -0.4), IGNORED, front.dark))
                parts.append(block((x - 0.5, x + 0.5), (eaves + 0.6, eaves + 1.7), (-0.7, -0.57), _WINDOW, glass))
    elif kind == "mansard":
        half, slope = deep / 2 - 0.2, 0.22
        up = eaves - 0.05 + 1.3 * math.cos(slope) - half * math.sin(slope)
        parts.append(Part(
            centre=(0.0, up, -deep / 2 - 0.33), half=(wide / 2 - 0.05, 1.3, half), label=IGNORED, material=front.roof,
            tilt=slope,
        ))  # fmt: skip
    else:
        high = draw.uniform(0.2, 1.0)
        parts.append(block((-wide / 2, wide / 2), (eaves, eaves + high), (-0.3, 0.0), _WALL, front.wall))
    if draw.chance(0.7):
        reach = draw.uniform(0.1, 0.5)
        parts.append(block((-wide / 2, wide / 2), (eaves - 0.35, eaves + 0.02), (-0.1, reach), _WALL, front.trim))
    for _ in range(draw.integer(0, 2)):
        x, z = draw.uniform(-0.4, 0.4) * wide, -deep * draw.uniform(0.35, 0.65)
        high = eaves + (deep / 2 if kind == "gable" else 1.0) + draw.uniform(0.3, 1.0)
        parts.append(block((x - 0.4, x + 0.4), (eaves, high), (z - 0.3, z + 0.3), IGNORED, front.wall))
    return parts


def town_house(draw: Draw, wide: float, storeys: int, deep: float = 9.0, detail: bool = True) -> Piece:
    """A house in a row; without `detail` only its walls, windows and roof, for far away."""
    front = Front.sample(draw, wide, deep, storeys)
    parts = [block((-wide / 2, wide / 2), (0.0, front.eaves), (-deep, 0.0), _WALL, front.wall)]
    if draw.chance(0.5):
        plinth = draw.uniform(0.3, 0.9)
        parts.append(block((-wide / 2, wide / 2), (0.0, plinth), (-0.1, 0.05), _WALL, surfaces.stone(draw)))
    if draw.chance(0.4):
        up = front.ground - 0.15
        parts.append(block((-wide / 2, wide / 2), (up, up + 0.18), (-0.1, 0.09), _WALL, front.trim, casts=False))
    shop = storeys > 1 and front.ground > 3.0 and draw.chance(0.45)
    if detail:
        parts += _shop(draw, front) if shop else _ground_floor(draw, front)
    if storeys > 1:
        parts += _windows(draw, front)
    parts += _top(draw, front)
    if detail and draw.chance(0.6):
        parts.append(post(wide / 2 - 0.15, 0.08, (0.0, front.eaves), 0.05, _WALL, front.dark))
    return Piece(width=wide, depth=deep, height=front.eaves, parts=tuple(parts))


def cottage(draw: Draw, wide: float, deep: float, storeys: int) -> Piece:
    """A house on its own with a gable roof, seen from the front or the gable side."""
    front = Front.sample(draw, wide, deep, storeys, rural=True)
    body = block((-wide / 2, wide / 2), (0.0, front.eaves), (-deep, 0.0), _WALL, front.wall)
    parts = [body, *_ground_floor(draw, front)]
    if storeys > 1:
        parts += _windows(draw, front)
    turned = draw.chance(0.5)
    across = wide if turned else deep
    parts += gable_roof(front, deep if turned else wide, across, front.eaves, -deep / 2, turned)
    if turned and across > 5:
        glass = surfaces.glazing(draw, 1.0, 1.2, front.trim, 2, 2)
        low = front.eaves + 0.5
        parts.append(block((-0.5, 0.5), (low, low + 1.2), (-0.1, 0.03), _WINDOW, glass, casts=False))
    x = draw.uniform(-0.25, 0.25) * wide
    parts.append(block(
        (x - 0.35, x + 0.35), (front.eaves, front.eaves + across / 2 + 0.7), (-deep / 2 - 0.3, -deep / 2 + 0.3),
        IGNORED, front.wall,
    ))  # fmt: skip
    if draw.chance(0.3):
        parts.append(block((-1.2, 1.2), (2.3, 2.42), (0.0, 1.3), _WALL, front.trim))
        parts += [post(px, 1.2, (0.0, 2.3), 0.06, IGNORED, front.trim) for px in (-1.1, 1.1)]
    return Piece(width=wide, depth=deep, height=front.eaves, parts=tuple(parts))

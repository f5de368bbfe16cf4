"""Lights of a room: daylight through windows, sun patches, ceiling lamps, fluorescent panels, glowing shades.

Colours are linear; a camera's white balance has taken out a part of each lamp's tint already.
"""

from __future__ import annotations

import math
from dataclasses import replace

from training.data import labels, materials
from training.data.arrangement import Room
from training.data.building_blocks import block
from training.data.draw import Draw
from training.data.primitives import CONE, CYLINDER, Light, Part, Piece, Sun, Vector, turn

_MOODS = (("day", 4.0), ("lamps", 3.0), ("both", 2.5), ("panels", 2.0), ("flat", 0.8))
_MOST_LIGHTS = 5  # every light costs a pass over all solids

_INCANDESCENT, _WARM, _NEUTRAL, _COOL, _FLUORESCENT = (
    (1.0, 0.7, 0.42), (1.0, 0.84, 0.64), (1.0, 0.95, 0.88), (0.88, 0.95, 1.0), (0.94, 1.0, 0.9),
)  # fmt: skip


def light_room(room: Room) -> tuple[list[Sun], Vector]:
    """Add lamps and lights to a furnished room; its suns, and the ambient light (linear RGB)."""
    draw, (hx, _, hz) = room.draw, room.half
    mood = draw.weighted(_MOODS)
    if not room.panes and mood == "day":
        mood = "both"
    suns: list[Sun] = []
    if mood in ("day", "both") or draw.chance(0.3):
        _daylight(room, 1.0 if mood in ("day", "both") else 0.25)
        if room.panes and draw.chance(0.4):
            suns.append(_sun(room))
    if mood in ("lamps", "both", "flat"):
        _ceiling_lamps(room, 4 * hx * hz)
    if mood == "panels":
        _panels(room)
    _glowing_shades(room)
    level = draw.uniform(0.06, 0.4) if mood != "flat" else draw.uniform(0.8, 1.6)
    if mood == "day" and draw.chance(0.3):
        level *= 0.3  # against the light
    return suns, (level * draw.uniform(0.9, 1.1), level, level * draw.uniform(0.85, 1.1))


def flash(draw: Draw, position: Vector) -> Light:
    """The camera's own flash, a hand's width above and beside the lens."""
    power = draw.uniform(1.5, 6.0)
    x, y, z = position
    return Light(position=(x + 0.04, y - 0.07, z), colour=(power, power, power * 1.05), size=0.01)


def _tint(draw: Draw, tone: materials.Colour) -> materials.Colour:
    """A lamp's colour after a camera's white balance took out some of it."""
    share = draw.uniform(0.15, 0.8)
    r, g, b = (1 + share * (c - 1) for c in tone)
    return r, g, b


def _lamp_tone(draw: Draw) -> materials.Colour:
    return _tint(draw, draw.weighted(((_INCANDESCENT, 2.0), (_WARM, 4.0), (_NEUTRAL, 3.0), (_COOL, 1.0))))


def _scaled(tone: materials.Colour, power: float) -> Vector:
    return tone[0] * power, tone[1] * power, tone[2] * power


def _daylight(room: Room, strength: float) -> None:
    draw = room.draw
    overcast = _tint(draw, _COOL) if draw.chance(0.6) else _NEUTRAL
    for wall, along, wide, low, high in room.panes[:3]:
        x, z = room.point(wall, along, 0.12)
        nx, nz = turn(wall * math.pi / 2, 0.0, 1.0)
        power = strength * draw.uniform(1.2, 4.5) * wide * (high - low)
        room.lights.append(Light(
            position=(x, -(low + high) / 2 - 0.2, z), colour=_scaled(overcast, power), size=0.25 + 0.15 * wide,
            facing=(nx, 0.0, nz),
        ))  # fmt: skip


def _sun(room: Room) -> Sun:
    draw = room.draw
    wall, along, wide, low, high = draw.choice(room.panes)
    yaw = wall * math.pi / 2 + math.pi + draw.uniform(-1.0, 1.0)
    height = draw.uniform(0.3, 1.0)
    towards = (math.sin(yaw) * math.cos(height), -math.sin(height), math.cos(yaw) * math.cos(height))
    x, z = room.point(wall, along, 0.03)
    nx, nz = turn(wall * math.pi / 2, 0.0, 1.0)
    ax, az = turn(wall * math.pi / 2, 1.0, 0.0)
    power = draw.uniform(1.0, 7.0)
    return Sun(
        towards=towards, colour=(power, power * 0.93, power * 0.8), pane_centre=(x, -(low + high) / 2, z),
        pane_normal=(nx, 0.0, nz), pane_along=(ax, 0.0, az), pane_half=(wide / 2, (high - low) / 2),
    )  # fmt: skip


def _ceiling_lamps(room: Room, area: float) -> None:
    draw, (hx, hy, hz) = room.draw, room.half
    count = draw.integer(1, 2) if area < 25 else 2
    tone = _lamp_tone(draw)
    for k in range(count):
        if draw.chance(0.2):
            tone = _lamp_tone(draw)
        x = (k - (count - 1) / 2) * hx + draw.normal(0, 0.3)
        z = draw.normal(0, 0.25) * hz
        drop = draw.choice((0.05, 0.1, 0.5, 0.8))
        power = draw.uniform(1.5, 4.0) * hy / count * (1.4 if area > 25 else 1.0)
        room.lights.append(Light(
            position=(x, -2 * hy + drop + 0.14, z), colour=_scaled(tone, power), size=draw.uniform(0.04, 0.3)
        ))  # fmt: skip
        room.add(_ceiling_lamp(draw, tone, drop, 2 * hy), x, z, 0.0)


def _ceiling_lamp(draw: Draw, tone: materials.Colour, drop: float, ceiling: float) -> Piece:
    glow = materials.plain(draw, tone, emission=draw.uniform(1.5, 8.0))
    r, label = draw.uniform(0.08, 0.25), labels.OBJECTS
    if drop > 0.2 and draw.chance(0.5):
        high = draw.uniform(0.08, 0.16)
        shade = glow if draw.chance(0.5) else materials.lacquer(draw)
        parts = [Part(
            kind=CONE, centre=(0, ceiling - drop, 0), half=(r, high, r), radius=draw.uniform(0.1, 0.5), label=label,
            material=shade, casts=False,
        )]  # fmt: skip
    else:
        middle, high = (drop, 0.1) if drop > 0.2 else (drop / 2, drop / 2)  # on a cable, or against the ceiling
        parts = [Part(
            kind=CYLINDER, centre=(0, ceiling - middle, 0), half=(r, high, r), label=label, material=glow, casts=False
        )]  # fmt: skip
    if drop > 0.2:
        cable = materials.plain(draw, (0.1, 0.1, 0.1))
        parts.append(Part(
            kind=CYLINDER, centre=(0, ceiling - drop / 2, 0), half=(0.006, drop / 2, 0.006), label=label,
            material=cable, casts=False,
        ))  # fmt: skip
    return Piece(width=2 * r, depth=2 * r, height=ceiling, parts=tuple(parts))


def _panels(room: Room) -> None:
    """Rows of fluorescent panels in the ceiling; each row shines as two broad lights that face down."""
    draw, (hx, hy, hz) = room.draw, room.half
    tone = _tint(draw, draw.choice((_FLUORESCENT, _COOL, _NEUTRAL)))
    glow = materials.plain(draw, tone, emission=draw.uniform(3.0, 10.0))
    wide, deep = draw.choice(((0.6, 0.6), (1.2, 0.3), (1.2, 0.6), (1.5, 0.15)))
    rows = 1 if hz < 2.2 else 2
    columns = max(1, int(2 * hx / draw.uniform(1.6, 2.6)))
    high = draw.uniform(0.01, 0.06)
    for row in range(rows):
        z = (row - (rows - 1) / 2) * hz
        for column in range(columns):
            x = (column - (columns - 1) / 2) * 2 * hx / columns
            panel = block((-wide / 2, wide / 2), (2 * hy - high, 2 * hy), (-deep / 2, deep / 2), labels.CEILING, glow,
                          casts=False)  # fmt: skip
            room.add(Piece(width=wide, depth=deep, height=2 * hy, parts=(panel,)), x, z, 0.0)
        lights = min(2, columns)
        power = draw.uniform(1.5, 2.5) * hy * columns / lights / rows
        for k in range(lights):
            x = (k - (lights - 1) / 2) * hx
            room.lights.append(Light(
                position=(x, -2 * hy + high + 0.05, z), colour=_scaled(tone, power), size=0.5, facing=(0.0, 1.0, 0.0)
            ))  # fmt: skip


def _glowing_shades(room: Room) -> None:
    """Shades of table and floor lamps that glow also shine."""
    draw = room.draw
    for number, part in enumerate(room.parts):
        shade = part.kind in (CYLINDER, CONE) and part.material.emission > 0.5 and 0.05 < part.half[0] < 0.4
        if not shade or not part.casts or len(room.lights) >= _MOST_LIGHTS:
            continue
        room.parts[number] = replace(part, casts=False)
        x, y, z = part.centre
        tone = _tint(draw, draw.choice((_INCANDESCENT, _WARM)))
        room.lights.append(Light(
            position=(x, y, z), colour=_scaled(tone, draw.uniform(0.3, 1.2)), size=part.half[0]
        ))  # fmt: skip

"""Lights of a room: daylight through windows, sun patches, lamps, ambient light."""

from __future__ import annotations

import math

from training.data import labels, materials
from training.data.arrangement import Room
from training.data.draw import Draw
from training.data.primitives import CYLINDER, Light, Part, Piece, Sun, Vector, turn


def light_room(room: Room) -> tuple[list[Sun], Vector]:
    draw, (hx, hy, hz) = room.draw, room.half
    mood = draw.weighted((("day", 4.0), ("lamps", 3.0), ("both", 3.0), ("flat", 1.5)))
    if not room.panes and mood == "day":
        mood = "both"
    suns: list[Sun] = []
    area = 4 * hx * hz
    if mood in ("day", "both"):
        for wall, along, wide, low, high in room.panes[:2]:
            x, z = room.point(wall, along, 0.12)
            nx, nz = turn(wall * math.pi / 2, 0.0, 1.0)
            power = draw.uniform(1.5, 4.0) * wide * (high - low)
            sky = materials.hsv(0.58, draw.uniform(0, 0.15), 1.0)
            room.lights.append(Light(
                position=(x, -(low + high) / 2 - 0.2, z), colour=(sky[0] * power, sky[1] * power, sky[2] * power),
                size=0.25 + 0.15 * wide, facing=(nx, 0.0, nz),
            ))  # fmt: skip
        if room.panes and draw.chance(0.4):
            wall, along, wide, low, high = draw.choice(room.panes)
            yaw = wall * math.pi / 2 + math.pi + draw.uniform(-1.0, 1.0)
            height = draw.uniform(0.3, 1.0)
            towards = (math.sin(yaw) * math.cos(height), -math.sin(height), math.cos(yaw) * math.cos(height))
            x, z = room.point(wall, along, 0.03)
            nx, nz = turn(wall * math.pi / 2, 0.0, 1.0)
            ax, az = turn(wall * math.pi / 2, 1.0, 0.0)
            power = draw.uniform(1.0, 5.0)
            suns.append(Sun(
                towards=towards, colour=(power, power * 0.93, power * 0.8), pane_centre=(x, -(low + high) / 2, z),
                pane_normal=(nx, 0.0, nz), pane_along=(ax, 0.0, az), pane_half=(wide / 2, (high - low) / 2),
            ))  # fmt: skip
    if mood in ("lamps", "both", "flat"):
        count = draw.integer(1, 2) if area < 25 else 2
        tone = materials.hsv(draw.uniform(0.07, 0.15), draw.uniform(0, 0.35), 1.0)
        for k in range(count):
            x = (k - (count - 1) / 2) * hx + draw.normal(0, 0.3)
            z = draw.normal(0, 0.25) * hz
            drop = draw.choice((0.05, 0.1, 0.5, 0.8))
            power = draw.uniform(1.5, 4.0) * hy / count * (1.4 if area > 25 else 1.0)
            room.lights.append(Light(
                position=(x, -2 * hy + drop + 0.12, z), colour=(power * tone[0], power * tone[1], power * tone[2]),
                size=draw.uniform(0.04, 0.3),
            ))  # fmt: skip
            room.add(_ceiling_lamp(draw, tone, drop, 2 * hy), x, z, 0.0)
    level = draw.uniform(0.12, 0.5) if mood != "flat" else draw.uniform(0.8, 1.6)
    ambient = (level * draw.uniform(0.9, 1.1), level, level * draw.uniform(0.85, 1.1))
    return suns, ambient


def _ceiling_lamp(draw: Draw, tone: materials.Colour, drop: float, ceiling: float) -> Piece:
    glow = materials.plain(draw, tone, emission=draw.uniform(1.5, 6.0))
    r, label = draw.uniform(0.08, 0.25), labels.OBJECTS
    parts = [
        Part(
            kind=CYLINDER,
            centre=(0, ceiling - drop, 0),
            half=(r, 0.04 if drop < 0.2 else 0.1, r),
            label=label,
            material=glow,
            casts=False,
        )
    ]
    if drop > 0.2:
        cable = materials.plain(draw, (0.1, 0.1, 0.1))
        parts.append(
            Part(
                kind=CYLINDER,
                centre=(0, ceiling - drop / 2, 0),
                half=(0.006, drop / 2, 0.006),
                label=label,
                material=cable,
                casts=False,
            )
        )
    return Piece(width=2 * r, depth=2 * r, height=ceiling, parts=tuple(parts))

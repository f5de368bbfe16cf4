"""Kitchens: runs of units around a corner, worktops, wall cupboards, backsplash, appliances, islands.

Frames as in `building_blocks`. Built-in fronts are furniture; hobs, sinks, taps and hoods are objects; backsplash tiles
are wall.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.data import labels
from training.data.arrangement import Room
from training.data.building_blocks import Style, block, post, rod
from training.data.draw import Draw
from training.data.material import Material
from training.data.materials import any_colour, board, hsv, plain, stone, tiles
from training.data.primitives import Part, Piece, Surface
from training.data.storage import fronts

_F, _O = labels.FURNITURE, labels.OBJECTS


@dataclass(frozen=True, kw_only=True)
class Fittings:
    """What all units of one kitchen share; metres."""

    body: Material
    top: Material
    splash: Material
    steel: Material
    handle: Material
    high: float
    deep: float
    rows: int

    @classmethod
    def sample(cls, style: Style, draw: Draw) -> Fittings:
        paint = plain(draw, any_colour(draw, 0.8), draw.uniform(0.1, 0.7), 60.0)
        return cls(
            body=draw.choice((style.board, board(draw), paint)),
            top=draw.choice((style.second_board, board(draw), stone(draw), stone(draw))),
            splash=tiles(draw, draw.uniform(0.07, 0.2)), steel=plain(draw, (0.72, 0.73, 0.75), 0.8, 60.0),
            handle=style.metal, high=draw.uniform(0.85, 0.92), deep=draw.uniform(0.58, 0.66), rows=draw.integer(1, 3),
        )  # fmt: skip


def appliance(draw: Draw, kit: Fittings, x: tuple[float, float], kind: str) -> list[Part]:
    """An oven's or dishwasher's front between base units."""
    dark = plain(draw, hsv(0.6, 0.1, draw.uniform(0.02, 0.12)), 0.8, 90.0)
    skin = draw.choice((kit.steel, dark, plain(draw, (0.92, 0.92, 0.9), 0.4)))
    z, low, high = kit.deep, 0.1, kit.high - 0.045
    parts = [block((x[0] + 0.004, x[1] - 0.004), (low, high), (z - 0.02, z + 0.006), _F, skin, casts=False)]
    if kind == "oven":
        parts.append(block((x[0] + 0.06, x[1] - 0.06), (low + 0.1, high - 0.2), (z, z + 0.01), _F, dark, casts=False))
        for k in range(3):
            a = x[0] + 0.12 + 0.15 * k
            parts.append(
                block((a, a + 0.035), (high - 0.08, high - 0.045), (z, z + 0.025), _F, kit.handle, casts=False)
            )
    bar = high - (0.14 if kind == "oven" else 0.07)
    parts.append(block((x[0] + 0.05, x[1] - 0.05), (bar - 0.008, bar + 0.008), (z + 0.02, z + 0.035), _F, kit.handle))
    return parts


def base_run(draw: Draw, kit: Fittings, wide: float, sink: bool, hob: bool) -> Piece:
    """Base units under one worktop, with a sink and a hob where asked and room."""
    x = (-wide / 2, wide / 2)
    units = max(1, round(wide / 0.6))
    step = wide / units
    special = {draw.integer(0, units - 1): "dishwasher"} if draw.chance(0.35) else {}
    hob_at, sink_at = draw.integer(0, units - 1), draw.integer(0, units - 1)
    if hob:
        special[hob_at] = "oven"
    parts = [
        block(x, (0.0, 0.1), (0.0, kit.deep - 0.08), _F, kit.body),
        block((x[0] - 0.005, x[1] + 0.005), (kit.high - 0.04, kit.high), (0.0, kit.deep + 0.02), _F, kit.top),
    ]
    for k in range(units):
        span = (x[0] + k * step, x[0] + (k + 1) * step)
        if k in special:
            parts.append(block(span, (0.1, kit.high - 0.04), (0.0, kit.deep - 0.02), _F, kit.body))
            parts += appliance(draw, kit, span, special[k])
            continue
        rows = draw.choice((1, kit.rows, 4 if draw.chance(0.3) else 1))
        parts += fronts(draw, span, (0.1, kit.high - 0.04), kit.deep, _F, kit.body, kit.handle, 1, rows)
    if hob:
        mx, dark = x[0] + (hob_at + 0.5) * step, plain(draw, (0.04, 0.04, 0.045), 0.7, 90.0)
        top = kit.high
        parts.append(block((mx - 0.28, mx + 0.28), (top, top + 0.008), (0.06, 0.54), _O, dark, casts=False))
        if draw.chance(0.5):
            for a in (-0.13, 0.13):
                for b in (0.18, 0.42):
                    parts.append(post(mx + a, b, (top, top + 0.02), 0.085, _O, kit.steel))
    if sink and not (hob and sink_at == hob_at):
        mx, dark = x[0] + (sink_at + 0.5) * step, plain(draw, (0.45, 0.46, 0.48), 0.7, 60.0)
        top = kit.high
        parts.append(block((mx - 0.28, mx + 0.28), (top, top + 0.005), (0.08, 0.54), _O, kit.steel, casts=False))
        parts.append(block((mx - 0.22, mx + 0.22), (top, top + 0.007), (0.15, 0.5), _O, dark, casts=False))
        reach = draw.uniform(0.2, 0.4)
        parts.append(rod((mx, top, 0.1), (mx, top + reach, 0.1), 0.013, _O, kit.steel))
        parts.append(rod((mx, top + reach, 0.1), (mx, top + reach - 0.02, 0.28), 0.012, _O, kit.steel))
    area = Surface(
        x0=x[0] + 0.03, x1=x[1] - 0.03, z0=0.03, z1=kit.deep - 0.04, up=kit.high + 0.002, clearance=0.42, use="counter"
    )
    return Piece(width=wide, depth=kit.deep + 0.04, height=kit.high, parts=tuple(parts), surfaces=(area,))


def wall_cupboard(draw: Draw, kit: Fittings, wide: float, high: float) -> Piece:
    """A wall cupboard, an open shelf or a hood; its lower edge is `up` = 0."""
    x, kind = (-wide / 2, wide / 2), draw.weighted((("doors", 5.0), ("open", 1.2), ("hood", 1.0)))
    if kind == "hood" and wide < 0.8:
        parts = [
            block(x, (0.15, 0.22), (0.0, 0.48), _O, kit.steel, casts=False),
            block((-0.15, 0.15), (0.2, high), (0.0, 0.28), _O, kit.steel),
        ]
        return Piece(width=wide, depth=0.48, height=high, parts=tuple(parts))
    if kind == "open":
        pitch = high / 2
        parts = [block(x, (k * pitch, k * pitch + 0.025), (0.0, 0.26), _F, kit.body) for k in range(2)]
        areas = tuple(
            Surface(
                x0=x[0] + 0.02,
                x1=x[1] - 0.02,
                z0=0.02,
                z1=0.24,
                up=k * pitch + 0.026,
                clearance=pitch - 0.04,
                use="shelf",
            )
            for k in range(2)
        )
        return Piece(width=wide, depth=0.26, height=high, parts=tuple(parts), surfaces=areas)
    parts = fronts(draw, x, (0.0, high), 0.34, _F, kit.body, kit.handle, max(1, round(wide / 0.5)), 1)
    return Piece(width=wide, depth=0.36, height=high, parts=tuple(parts))


def fit_run(room: Room, kit: Fittings, wall: int, ends: tuple[float, float], sink: bool, hob: bool) -> bool:
    """Build units along a wall between two positions, with backsplash and cupboards where no window is."""
    draw, ends = room.draw, room.stretch(wall, ends, 0.0, kit.high)
    for shrink in (0.0, 0.25, 0.25):  # a door's swing or a jut may take a corner of the floor
        cut = shrink * (ends[1] - ends[0])
        ends = (ends[0] + cut, ends[1]) if draw.chance(0.5) else (ends[0], ends[1] - cut)
        wide, middle = ends[1] - ends[0], (ends[0] + ends[1]) / 2
        if wide < 0.6:
            return False
        if room.at_wall(base_run(draw, kit, wide, sink, hob), wall, middle, 0.0, density=1.2):
            break
    else:
        return False
    yaw, (x, z) = wall * math.pi / 2, room.point(wall, middle, 0.0)
    low = kit.high + draw.uniform(0.45, 0.6)
    if draw.chance(0.75) and room.wall_free(wall, *ends, kit.high, low):
        strip = block((-wide / 2, wide / 2), (kit.high, low), (0.0, 0.012), labels.WALL, kit.splash, casts=False)
        room.add(Piece(width=wide, depth=0.012, height=low, parts=(strip,)), x, z, yaw)
    tall = min(draw.uniform(0.5, 0.95), 2 * room.half[1] - low - 0.06)
    units, share = max(1, round(wide / 0.9)), draw.choice((0.0, 0.7, 1.0, 1.0))
    for k in range(units):
        a, b = (ends[0] + wide * j / units for j in (k, k + 1))
        if tall < 0.35 or not draw.chance(share) or not room.wall_free(wall, a, b, low, low + tall):
            continue
        cupboard = wall_cupboard(draw, kit, b - a, tall)
        room.wall_taken[wall].append((a, b, low - 0.05, low + tall))
        x, z = room.point(wall, (a + b) / 2, 0.0)
        room.add(cupboard, x, z, yaw, low)
        room.furnish(cupboard, x, z, yaw, up=low)
    room.wall_taken[wall].append((*ends, kit.high, low))
    return True


def island(style: Style, draw: Draw, kit: Fittings) -> Piece:
    """A free-standing block of units with a worktop that juts out for stools."""
    wide, deep = draw.uniform(1.2, 2.4), draw.uniform(0.6, 0.9)
    x = (-wide / 2, wide / 2)
    parts = fronts(
        draw, x, (0.08, kit.high - 0.04), deep, _F, kit.body, kit.handle, max(2, round(wide / 0.6)), kit.rows
    )
    parts.append(block((x[0] + 0.03, x[1] - 0.03), (0.0, 0.08), (0.04, deep - 0.06), _F, kit.body))
    parts.append(block((x[0] - 0.03, x[1] + 0.03), (kit.high - 0.04, kit.high), (-0.25, deep + 0.03), _F, kit.top))
    area = Surface(x0=x[0], x1=x[1], z0=-0.2, z1=deep, up=kit.high + 0.002, use="counter")
    return Piece(width=wide, depth=deep, height=kit.high, parts=tuple(parts), surfaces=(area,))

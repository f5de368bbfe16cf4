"""One furnished home from one seed: a room for some purpose and, now and then, the room behind its doorway.

Convention: world frame of `primitives`. The scene's shell encloses everything; where two rooms share it, walls of two
skins with an opening stand between them, and fillers close what lies beside the smaller one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from training.data import labels, materials, shell
from training.data.arrangement import Room
from training.data.building_blocks import Style, block
from training.data.draw import Draw
from training.data.lighting import light_room
from training.data.on_walls import hang_things
from training.data.primitives import Light, Part, Scene, Sun, Vector, pack
from training.data.purposes import KINDS, SIZES, furnish_room

_SKIN = 0.012  # thickness in metres of a wall's own surface before the shell


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Surface materials of one room."""

    floor: materials.Material
    ceiling: materials.Material
    wall: materials.Material
    accent: materials.Material
    frame: materials.Material


def _finish(draw: Draw, style: Style, kind: str) -> Finish:
    wall = materials.wall(draw)
    if kind == "bath" and draw.chance(0.7):
        wall = materials.tiles(draw, draw.uniform(0.08, 0.3))
    ceiling = materials.plain(draw, materials.hsv(0.1, draw.uniform(0, 0.08), draw.uniform(0.75, 0.97)))
    if draw.chance(0.3 if kind in ("office", "meeting") else 0.08):
        ceiling = materials.tiles(draw, 0.6)
    elif kind in ("cellar", "store") and draw.chance(0.4):
        ceiling = materials.wood(draw)
    return Finish(
        floor=materials.floor(draw),
        ceiling=ceiling,
        wall=wall,
        accent=materials.wall(draw) if draw.chance(0.3) else wall,
        frame=style.trim if draw.chance(0.4) else materials.plain(draw, (0.92, 0.92, 0.9), 0.3),
    )


def _mess(draw: Draw) -> float:
    """How much lies about: tidy rooms are rare, some are very full."""
    return min(3.5, max(0.15, math.exp(draw.normal(0.15, 0.65))))


def _size(draw: Draw, kind: str) -> tuple[float, float]:
    """Length along x and z in metres."""
    if kind == "corridor":
        sides = (draw.uniform(1.2, 1.9), draw.uniform(3.0, 8.0))
        return sides if draw.chance(0.5) else (sides[1], sides[0])
    least = 1.8 if kind in ("bath", "store") else 2.5
    x, z = (min(11.0, max(least, SIZES[kind] * math.exp(draw.normal(0, 0.27)))) for _ in range(2))
    return x, z


def _complete(room: Room, kind: str, finish: Finish, amount: tuple[int, int]) -> None:
    draw = room.draw
    if draw.chance(0.25):
        shell.add_jut(room, finish.wall)
    shell.add_openings(room, finish.frame, kind)
    shell.add_ceiling(room, kind, finish.ceiling)
    if draw.chance(0.8):
        shell.add_trims(room, finish.frame)
    furnish_room(room, kind, amount)
    hang_things(room)
    room.litter()


def _neighbour(main: Room, finish: Finish) -> tuple[Room, Finish, tuple[float, float], list[Part]]:
    """The room behind the main room's +x wall: room, finish, its centre (x, z) in the main room's frame, and walls.

    The walls' parts are in the main room's frame.
    """
    draw, (hx, hy, hz), ceiling = main.draw, main.half, 2 * main.half[1]
    kind = draw.choice(("living", "kitchen", "dining", "corridor", "bedroom", "office", "store"))
    wide, deep = _size(draw, kind)
    wide = draw.uniform(1.2, 1.9) if kind == "corridor" else min(wide, 4.5)
    deep = min(2 * hz - 2 * _SKIN, max(deep, 1.6))
    thick = draw.uniform(0.08, 0.25)
    slack = hz - _SKIN - deep / 2
    oz, ox = draw.uniform(-slack, slack), hx + thick + wide / 2
    gap = min(deep - 0.3, draw.weighted(((draw.uniform(0.75, 1.0), 3.0), (draw.uniform(1.0, 2.4), 3.0))))
    top = min(ceiling, draw.choice((draw.uniform(2.0, 2.3), ceiling)))
    middle = oz + draw.uniform(-1, 1) * (deep - gap - 0.2) / 2
    style = main.style if draw.chance(0.5) else Style.sample(draw)
    other = Room(draw=draw, style=style, half=(wide / 2, hy, deep / 2), mess=_mess(draw) * 0.8, inner_walls=(1,))
    theirs = finish if draw.chance(0.4) else _finish(draw, style, kind)
    parts: list[Part] = []

    def wall(x: tuple[float, float], z: tuple[float, float], up: tuple[float, float], skin: materials.Material) -> None:
        if z[1] - z[0] > 1e-3 and up[1] - up[0] > 1e-3:
            parts.append(block(x, up, z, labels.WALL, skin))

    end = hx + thick + wide + _SKIN
    for x, skin in (((hx, hx + thick / 2), finish.wall), ((hx + thick / 2, hx + thick), theirs.wall)):
        wall(x, (-hz, middle - gap / 2), (0.0, ceiling), skin)
        wall(x, (middle + gap / 2, hz), (0.0, ceiling), skin)
        wall(x, (middle - gap / 2, middle + gap / 2), (top, ceiling), skin)
    wall((hx + thick, end), (-hz, oz - deep / 2), (0.0, ceiling), theirs.wall)
    wall((hx + thick, end), (oz + deep / 2, hz), (0.0, ceiling), theirs.wall)
    wall((end - _SKIN, end), (oz - deep / 2, oz + deep / 2), (0.0, ceiling), theirs.wall)
    if theirs is not finish:
        inside = ((hx + thick, end), (oz - deep / 2, oz + deep / 2))
        parts.append(block(inside[0], (0.0, 0.001), inside[1], labels.FLOOR, theirs.floor, casts=False))
        parts.append(
            block(inside[0], (ceiling - 0.01, ceiling), inside[1], labels.CEILING, theirs.ceiling, casts=False)
        )
    if draw.chance(0.6):
        trim = draw.uniform(0.05, 0.1)
        for z in (middle - gap / 2 - trim, middle + gap / 2):
            parts.append(block((hx - 0.02, hx + thick + 0.02), (0.0, top), (z, z + trim), labels.WALL, finish.frame))
    main.wall_taken[3].append((middle - gap / 2 - 0.1, middle + gap / 2 + 0.1, 0.0, ceiling))
    main.taken.append((hx - 0.8, hx, middle - gap / 2, middle + gap / 2))
    main.focus += [(hx, -1.1, middle)] * 3
    theirs_at = -(middle - oz)
    other.wall_taken[1].append((theirs_at - gap / 2 - 0.1, theirs_at + gap / 2 + 0.1, 0.0, ceiling))
    other.taken.append((-wide / 2, -wide / 2 + 0.8, middle - oz - gap / 2, middle - oz + gap / 2))
    _complete(other, kind, theirs, (2, 6))
    light_room(other)
    return other, theirs, (ox, oz), [replace(p, centre=(p.centre[0], -p.centre[1], p.centre[2])) for p in parts]


def _shift(point: Vector, x: float, z: float) -> Vector:
    return point[0] + x, point[1], point[2] + z


def build_scene(draw: Draw) -> Scene:
    """A furnished room, in a third of the homes with the room behind an opening.

    Focus points mark furniture, windows, doorways and table tops that cameras may look at.
    """
    kind = draw.weighted(KINDS)
    lx, lz = _size(draw, kind)
    height = draw.weighted(((draw.uniform(2.3, 2.7), 6.0), (draw.uniform(2.7, 3.6), 2.0)))
    if kind == "cellar":
        height = draw.uniform(2.05, 2.5)
    style = Style.sample(draw)
    finish = _finish(draw, style, kind)
    opened = kind not in ("bath", "store") and draw.chance(0.36)
    main = Room(
        draw=draw, style=style, half=(lx / 2, height / 2, lz / 2), mess=_mess(draw), inner_walls=(3,) if opened else ()
    )
    walls = [finish.wall] * 4
    walls[draw.integer(0, 3)] = finish.accent
    parts: list[Part] = []
    focus: list[Vector] = []
    lights: list[Light] = []
    half, centre = main.half, 0.0
    if opened:
        other, _, (ox, oz), parts = _neighbour(main, finish)
        half = (main.half[0] + (ox + other.half[0] + _SKIN - main.half[0]) / 2, main.half[1], main.half[2])
        centre = half[0] - main.half[0]
        parts += [replace(part, centre=_shift(part.centre, ox, oz)) for part in other.parts]
        focus += [_shift(point, ox, oz) for point in other.focus]
        lights += [replace(light, position=_shift(light.position, ox, oz)) for light in other.lights[-1:]]
    _complete(main, kind, finish, (4, 12))
    suns, ambient = light_room(main)
    moved_suns: list[Sun] = [replace(sun, pane_centre=_shift(sun.pane_centre, -centre, 0.0)) for sun in suns]
    return pack(
        half,
        [finish.floor, finish.ceiling, *walls],
        [labels.FLOOR, labels.CEILING, *([labels.WALL] * 4)],
        [replace(part, centre=_shift(part.centre, -centre, 0.0)) for part in main.parts + parts],
        lights=[replace(light, position=_shift(light.position, -centre, 0.0)) for light in main.lights + lights],
        suns=moved_suns,
        ambient=ambient,
        focus=[_shift(point, -centre, 0.0) for point in main.focus + focus],
    )

"""Placing pieces in a room: against free stretches of wall, on free floor, on surfaces.

Convention: world frame of `primitives`; wall k's inward normal is `turn(k * pi / 2, 0, 1)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from training.data import materials
from training.data import small_things as st
from training.data.building_blocks import Style, gather
from training.data.clutter import clutter, is_flat
from training.data.draw import Draw
from training.data.primitives import Light, Part, Piece, Surface, Vector, place, turn, wall_origin

_TRIES = 14
_MOST_THINGS = 20
_INTO = 0.02  # metres a part's middle may lie within a wall: juts and flat things do


@dataclass
class Room:
    """The room under construction; `mess` scales how much lies about (1 is usual).

    `inner_walls` have another room behind them: no windows there.
    """

    draw: Draw
    style: Style
    half: Vector
    mess: float = 1.0
    inner_walls: tuple[int, ...] = ()
    parts: list[Part] = field(default_factory=list)
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)
    wall_taken: list[list[tuple[float, float, float, float]]] = field(default_factory=lambda: [[], [], [], []])
    focus: list[Vector] = field(default_factory=list)
    lights: list[Light] = field(default_factory=list)
    panes: list[tuple[int, float, float, float, float]] = field(default_factory=list)

    def wall_length(self, wall: int) -> float:
        return 2 * (self.half[0] if wall % 2 == 0 else self.half[2])

    def point(self, wall: int, along: float, out: float) -> tuple[float, float]:
        """World (x, z) at `along` metres from a wall's middle and `out` metres from it."""
        x, z = wall_origin(self.half, wall)
        dx, dz = turn(wall * math.pi / 2, along, out)
        return x + dx, z + dz

    def wall_free(self, wall: int, a: float, b: float, low: float, high: float) -> bool:
        return all(b <= p or a >= q or high <= base or low >= top for p, q, base, top in self.wall_taken[wall])

    def stretch(self, wall: int, ends: tuple[float, float], low: float, high: float) -> tuple[float, float]:
        """The longest part of a wall between two positions that nothing takes between two heights; empty if none."""
        free = [ends]
        for p, q, base, top in self.wall_taken[wall]:
            if high > base and low < top:
                free = [(a, b) for s, t in free for a, b in ((s, min(t, p)), (max(s, q), t)) if b > a]
        return max(free, key=lambda span: span[1] - span[0], default=(ends[0], ends[0]))

    def footprint(
        self, x: float, z: float, yaw: float, piece: Piece, margin: float
    ) -> tuple[float, float, float, float]:
        corners = [turn(yaw, px, pz) for px in (-piece.width / 2, piece.width / 2) for pz in (0.0, piece.depth)]
        xs, zs = [x + c[0] for c in corners], [z + c[1] for c in corners]
        return min(xs) - margin, max(xs) + margin, min(zs) - margin, max(zs) + margin

    def free(self, area: tuple[float, float, float, float]) -> bool:
        if area[0] < -self.half[0] or area[1] > self.half[0] or area[2] < -self.half[2] or area[3] > self.half[2]:
            return False
        return all(area[1] <= a or area[0] >= b or area[3] <= c or area[2] >= d for a, b, c, d in self.taken)

    def add(self, piece: Piece, x: float, z: float, yaw: float, up: float = 0.0) -> None:
        """Add a piece's parts, less those whose middle would lie in or behind a wall, the floor or the ceiling."""
        hx, hy, hz = self.half
        self.parts += [
            part
            for part in place(piece, x, up, z, yaw)
            if abs(part.centre[0]) <= hx + _INTO
            and abs(part.centre[2]) <= hz + _INTO
            and abs(part.centre[1] + hy) <= hy
        ]

    def against_wall(
        self, piece: Piece, walls: tuple[int, ...] = (0, 1, 2, 3), gap: float = 0.01
    ) -> tuple[int, float] | None:
        """Put a piece with its back to some wall, where floor and wall are free; (wall, along) or None."""
        for _ in range(_TRIES):
            wall = self.draw.choice(walls)
            slack = self.wall_length(wall) / 2 - piece.width / 2
            if slack <= 0.02:
                continue
            along = self.draw.uniform(-slack, slack)
            if self.draw.chance(0.25):
                along = self.draw.choice((-1, 1)) * (slack - 0.03)
            if not self.wall_free(wall, along - piece.width / 2, along + piece.width / 2, 0.0, piece.height):
                continue
            out = gap + self.draw.uniform(0, 0.03)
            x, z = self.point(wall, along, out)
            yaw = wall * math.pi / 2
            area = self.footprint(x, z, yaw, piece, -0.005)
            if not self.free(area):
                continue
            self.taken.append(area)
            self.wall_taken[wall].append((along - piece.width / 2, along + piece.width / 2, 0.0, piece.height))
            self.add(piece, x, z, yaw)
            self.focus.append(
                (x + 0.5 * piece.depth * math.sin(yaw), -piece.height * 0.6, z + 0.5 * piece.depth * math.cos(yaw))
            )
            self.furnish(piece, x, z, yaw)
            return wall, along
        return None

    def at_wall(self, piece: Piece, wall: int, along: float, gap: float = 0.005, density: float = 1.0) -> bool:
        """Put a piece with its back to a wall at one position, if floor and wall are free there."""
        span = (along - piece.width / 2, along + piece.width / 2)
        (x, z), yaw = self.point(wall, along, gap), wall * math.pi / 2
        area = self.footprint(x, z, yaw, piece, -0.008)
        if not self.wall_free(wall, *span, 0.0, piece.height) or not self.free(area):
            return False
        self.taken.append(area)
        self.wall_taken[wall].append((*span, 0.0, piece.height))
        self.add(piece, x, z, yaw)
        x2, z2 = self.point(wall, along, 0.5 * piece.depth)
        self.focus.append((x2, -piece.height * 0.6, z2))
        self.furnish(piece, x, z, yaw, density)
        return True

    def in_room(
        self, piece: Piece, yaw: float, margin: float = 0.25, near: tuple[float, float] | None = None
    ) -> tuple[float, float] | None:
        """Put a piece freely on the floor; its back middle's (x, z) or None."""
        for _ in range(_TRIES):
            if near is None:
                x = self.draw.uniform(-self.half[0], self.half[0]) * 0.8
                z = self.draw.uniform(-self.half[2], self.half[2]) * 0.8
            else:
                x, z = near[0] + self.draw.normal(0, 0.2), near[1] + self.draw.normal(0, 0.2)
            area = self.footprint(x, z, yaw, piece, margin)
            if self.free(area):
                self.taken.append(self.footprint(x, z, yaw, piece, 0.02))
                self.add(piece, x, z, yaw)
                self.focus.append((x, -piece.height, z))
                self.furnish(piece, x, z, yaw)
                return x, z
        return None

    def furnish(self, piece: Piece, x: float, z: float, yaw: float, density: float = 1.0, up: float = 0.0) -> None:
        """Scatter things on a piece's surfaces, as many as the room's mess asks for; sheets lie below the rest.

        Surfaces that hold something become points to look at.
        """
        for area in piece.surfaces:
            taken: list[tuple[float, float, float]] = []
            size = (area.x1 - area.x0) * (area.z1 - area.z0)
            count = self.draw.uniform(0.3, 1.0) * self.mess * density * (2.0 + 13.0 * min(size, 1.4))
            sheets = 0
            for _ in range(min(int(count + self.draw.uniform()), _MOST_THINGS)):
                thing = self.surface_thing(area)
                if thing is None or thing.width > area.x1 - area.x0 or thing.depth > area.z1 - area.z0:
                    continue
                radius = 0.5 * math.hypot(thing.width, thing.depth) * 0.85
                px = self.draw.uniform(area.x0 + thing.width / 2, area.x1 - thing.width / 2)
                pz = self.draw.uniform(area.z0, area.z1 - thing.depth)
                middle = pz + thing.depth / 2
                if is_flat(thing):
                    lift = 0.002 * sheets
                    sheets += 1
                elif any((px - a) ** 2 + (middle - b) ** 2 < (radius + r) ** 2 * 0.7 for a, b, r in taken):
                    continue
                else:
                    taken.append((px, middle, radius))
                    lift = 0.0
                dx, dz = turn(yaw, px, pz)
                self.add(thing, x + dx, z + dz, yaw, up + area.up + lift)
            if taken or sheets:
                dx, dz = turn(yaw, (area.x0 + area.x1) / 2, (area.z0 + area.z1) / 2)
                self.focus.append((x + dx, -up - area.up - 0.05, z + dz))

    def surface_thing(self, area: Surface) -> Piece | None:
        tallest = area.clearance
        kind = self.draw.weighted(
            (
                ("clutter", 7.0),
                ("object", 1.6),
                ("books", 1.0),
                ("lamp", 0.25),
                ("laptop", 0.6),
                ("row", 0.4),
            )
        )
        if kind == "lamp" and tallest > 0.35:
            return st.lamp(self.draw, min(tallest, self.draw.uniform(0.3, 0.6)))
        if kind == "laptop" and area.use in ("table", "desk"):
            return st.laptop(self.style, self.draw)
        if kind == "row" and tallest > 0.25:
            covers = [materials.plain(self.draw, materials.any_colour(self.draw, 0.6), 0.2) for _ in range(5)]
            wide = self.draw.uniform(0.12, 0.4)
            row = st.book_row(self.draw, (-wide / 2, wide / 2), 0.0, (0.0, 0.2), min(0.3, tallest), covers)
            return gather(row) if row else None
        if kind == "books":
            return st.book_stack(self.style, self.draw, tallest)
        if kind == "object":
            return gather(st.small_object(self.style, self.draw, tallest).parts)
        return clutter(self.draw, area.use, tallest, area.x1 - area.x0)

    def litter(self) -> None:
        """Things on the floor: near walls and furniture more often than in the middle."""
        draw = self.draw
        area = 4 * self.half[0] * self.half[2]
        for _ in range(min(int(self.mess * draw.uniform(0.0, 0.65) * area + draw.uniform()), _MOST_THINGS)):
            thing = clutter(draw, "floor", 1.4)
            if thing is None:
                continue
            yaw = draw.uniform(0, 2 * math.pi)
            wall = draw.integer(0, 3)
            slack = self.wall_length(wall) / 2
            reach = max(thing.width, thing.depth) * 0.75 + draw.uniform(0.0, 0.25)
            if draw.chance(0.3):
                reach = draw.uniform(0.3, 2 * self.half[2 - wall % 2 * 2] - 0.3)
            self.in_room(thing, yaw, 0.0, self.point(wall, draw.uniform(-slack, slack), reach))

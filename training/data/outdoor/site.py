"""The scene under construction: parts on gently shaped ground, and where cameras may stand.

Convention: world frame of `primitives` (x, z horizontal, y down); heights and `up` in metres above the shell's floor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from training.data import labels
from training.data.building_blocks import Style
from training.data.draw import Draw
from training.data.material import Material
from training.data.primitives import ELLIPSOID, Part, Piece, Vector, place

_TRIES = 12

Area = tuple[float, float, float, float]


@dataclass
class Site:
    """`taken` are rectangles (x0, x1, z0, z1) where nothing more is put; `hills` are flat ellipsoids of ground."""

    draw: Draw
    style: Style
    season: float
    parts: list[Part] = field(default_factory=list)
    taken: list[Area] = field(default_factory=list)
    hills: list[tuple[float, float, Vector]] = field(default_factory=list)
    slabs: list[tuple[Area, float]] = field(default_factory=list)
    stands: list[Vector] = field(default_factory=list)
    focus: list[Vector] = field(default_factory=list)

    def ground(self, x: float, z: float) -> float:
        """Height of the ground: the shell's floor, a pavement or a hill."""
        best = max((up for (x0, x1, z0, z1), up in self.slabs if x0 <= x <= x1 and z0 <= z <= z1), default=0.0)
        for cx, cz, (hx, hy, hz) in self.hills:
            rest = 1 - ((x - cx) / hx) ** 2 - ((z - cz) / hz) ** 2
            if rest > 0:
                best = max(best, hy * math.sqrt(rest))
        return best

    def hill(self, x: float, z: float, half: Vector, material: Material) -> None:
        """Ground raised by half an ellipsoid."""
        self.hills.append((x, z, half))
        self.parts.append(Part(kind=ELLIPSOID, centre=(x, 0.0, z), half=half, label=labels.FLOOR, material=material))

    def slab(self, area: Area, up: float, material: Material, walkable: bool = True) -> None:
        """A pavement, lawn, path or road marking: flat ground `up` metres high."""
        x0, x1, z0, z1 = area
        self.parts.append(Part(
            centre=((x0 + x1) / 2, -up / 2, (z0 + z1) / 2), half=((x1 - x0) / 2, up / 2, (z1 - z0) / 2),
            label=labels.FLOOR, material=material, casts=False,
        ))  # fmt: skip
        if walkable:
            self.slabs.append((area, up))

    def put(self, what: Piece | Iterable[Part], x: float, z: float, yaw: float = 0.0, up: float | None = None) -> None:
        """Place a thing with its origin on the ground at (x, z)."""
        piece = what if isinstance(what, Piece) else Piece(width=0.0, depth=0.0, height=0.0, parts=tuple(what))
        self.parts += place(piece, x, self.ground(x, z) if up is None else up, z, yaw)

    def take(self, x: float, z: float, radius: float) -> None:
        self.taken.append((x - radius, x + radius, z - radius, z + radius))

    def free(self, x: float, z: float, radius: float) -> bool:
        x0, x1, z0, z1 = x - radius, x + radius, z - radius, z + radius
        return all(x1 <= a or x0 >= b or z1 <= c or z0 >= d for a, b, c, d in self.taken)

    def scatter(self, area: Area, radius: float) -> tuple[float, float] | None:
        """A free place for something of the given radius within a rectangle, now taken; None if there is none."""
        for _ in range(_TRIES):
            x, z = self.draw.uniform(area[0], area[1]), self.draw.uniform(area[2], area[3])
            if self.free(x, z, radius):
                self.take(x, z, radius)
                return x, z
        return None

    def look_at(self, x: float, z: float, up: float) -> None:
        """Note something that a camera may look at."""
        self.focus.append((x, -self.ground(x, z) - up, z))

    def stand(self, area: Area, count: int = 8) -> None:
        """Note places within a rectangle where a camera may stand, whatever else is there (views test that)."""
        for _ in range(count):
            x, z = self.draw.uniform(area[0], area[1]), self.draw.uniform(area[2], area[3])
            self.stands.append((x, -self.ground(x, z), z))

"""Solids that furniture is made of, and the packed scene the ray caster works on.

Convention: world x and z are horizontal, y points down, the floor is y = 0 and the ceiling y = -height.
A part is authored in its piece's frame: x to the right, `up` upwards, z from the back (z = 0) to the front.

Shape suffixes: N primitives, M materials, K material fields.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training.data.material import Material, pack_materials

if TYPE_CHECKING:
    from training.data.outdoor.sky import Outdoors

BOX, ROUNDED, CYLINDER, ELLIPSOID, PLANE, CONE, CAPSULE = range(7)

Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One solid: `half` holds half extents (radii for cylinders, whose axis is vertical, and for ellipsoids), metres.

    `radius` is the edge radius of a rounded box in metres; for a cone (standing on its base; turn it over with
    tilt = pi) it is the top radius as a share of the base's, 0 to 1. A capsule is a ball of radius half x = half z
    swept along y; half y includes the ends.

    `yaw` turns about the vertical, then `tilt` about the part's x axis and `lean` about its z axis (radians).
    """

    kind: int = BOX
    centre: Vector
    half: Vector
    label: int
    material: Material
    yaw: float = 0.0
    tilt: float = 0.0
    lean: float = 0.0
    radius: float = 0.0
    casts: bool = True


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A horizontal rectangle on which small objects may stand, in the piece's frame.

    `use` says what gathers there: "table", "desk", "counter", "shelf" or "floor" (as in `clutter`).
    """

    x0: float
    x1: float
    z0: float
    z1: float
    up: float
    clearance: float = 0.6
    use: str = "table"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Parts with their footprint: x in [-width/2, width/2], z in [0, depth]; `height` above the floor."""

    width: float
    depth: float
    height: float
    parts: tuple[Part, ...]
    surfaces: tuple[Surface, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Light:
    """A point light; `size` widens its shadows' edges. `facing` (world, unit) limits it to one half space."""

    position: Vector
    colour: Vector
    size: float = 0.1
    facing: Vector | None = None


@dataclass(frozen=True, kw_only=True)
class Sun:
    """Parallel light through one window: `towards` the sun; its pane: centre, inward normal, axis, half size."""

    towards: Vector
    colour: Vector
    pane_centre: Vector
    pane_normal: Vector
    pane_along: Vector
    pane_half: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """All primitives of one room as tensors; the first six are the shell's planes (floor, ceiling, four walls).

    `outdoors` makes the shell's walls and ceiling a sky.
    """

    room_half: Vector
    kind_N: Tensor
    rotation_N33: Tensor
    centre_N3: Tensor
    half_N3: Tensor
    radius_N: Tensor
    label_N: Tensor
    material_N: Tensor
    casts_N: Tensor
    material_MK: Tensor
    lights: tuple[Light, ...] = ()
    suns: tuple[Sun, ...] = ()
    ambient: Vector = (1.0, 1.0, 1.0)
    focus: tuple[Vector, ...] = field(default=())
    outdoors: Outdoors | None = None

    @property
    def room_centre(self) -> Vector:
        return (0.0, -self.room_half[1], 0.0)

    def to(self, device: torch.device | str) -> Scene:
        """The same scene with its tensors on `device`."""
        names = ("kind_N", "rotation_N33", "centre_N3", "half_N3", "radius_N", "label_N", "material_N", "casts_N")
        moved = {name: getattr(self, name).to(device) for name in (*names, "material_MK")}
        return replace(self, **moved)


def turn(yaw: float, x: float, z: float) -> tuple[float, float]:
    """Turn a horizontal vector about the vertical: yaw 0 keeps it, yaw 90 degrees maps +z to +x."""
    c, s = math.cos(yaw), math.sin(yaw)
    return c * x + s * z, -s * x + c * z


def rotation(yaw: float, tilt: float = 0.0, lean: float = 0.0) -> list[list[float]]:
    """World-from-local rotation: yaw about y, then tilt about x, then lean about z."""
    cy, sy = math.cos(yaw), math.sin(yaw)
    ct, st = math.cos(tilt), math.sin(tilt)
    cl, sl = math.cos(lean), math.sin(lean)
    yaw_tilt = [[cy, sy * st, sy * ct], [0.0, ct, -st], [-sy, cy * st, cy * ct]]
    return [[row[0] * cl + row[1] * sl, -row[0] * sl + row[1] * cl, row[2]] for row in yaw_tilt]


def place(piece: Piece, x: float, up: float, z: float, yaw: float) -> list[Part]:
    """The piece's parts in world coordinates (`centre` then is world x, y, z with y down)."""
    parts = []
    for part in piece.parts:
        dx, dz = turn(yaw, part.centre[0], part.centre[2])
        parts.append(replace(part, centre=(x + dx, -(up + part.centre[1]), z + dz), yaw=yaw + part.yaw))
    return parts


def moved(piece: Piece, x: float, up: float, z: float, yaw: float = 0.0) -> list[Part]:
    """The piece's parts moved (and turned about their origin) within another piece's frame."""
    parts = []
    for part in piece.parts:
        dx, dz = turn(yaw, part.centre[0], part.centre[2])
        parts.append(replace(part, centre=(x + dx, up + part.centre[1], z + dz), yaw=yaw + part.yaw))
    return parts


def shell_rotations() -> list[list[list[float]]]:
    """World-from-local rotations of floor, ceiling and the four walls; the local z axis is the inward normal."""
    floor = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]
    ceiling = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]
    return [floor, ceiling, *(rotation(k * math.pi / 2) for k in range(4))]


def wall_origin(room_half: Vector, wall: int) -> tuple[float, float]:
    """World (x, z) of the middle of wall 0..3; its inward normal is `turn(wall * pi / 2, 0, 1)`."""
    nx, nz = turn(wall * math.pi / 2, 0.0, 1.0)
    return -nx * room_half[0], -nz * room_half[2]


def pack(
    room_half: Vector,
    shell_materials: Sequence[Material],
    shell_labels: Sequence[int],
    parts: Sequence[Part],
    *,
    lights: Sequence[Light],
    suns: Sequence[Sun],
    ambient: Vector,
    focus: Sequence[Vector],
) -> Scene:
    """Gather the shell and all parts (world coordinates) into tensors on the CPU."""
    if len(shell_materials) != 6 or len(shell_labels) != 6:
        raise ValueError(f"shell_materials: expected 6 of each, found {len(shell_materials)}, {len(shell_labels)}")
    for part in parts:
        if part.kind == CONE and not 0 <= part.radius <= 1:
            raise ValueError(f"radius: expected a cone's top share in [0, 1], found {part.radius}")
        if part.kind == CAPSULE and not part.half[0] == part.half[2] <= part.half[1]:
            raise ValueError(f"half: expected a capsule's x = z <= y, found {part.half}")
    hx, hy, hz = room_half
    origins = [wall_origin(room_half, k) for k in range(4)]
    shell_centres = [[0.0, 0.0, 0.0], [0.0, -2 * hy, 0.0], *([x, -hy, z] for x, z in origins)]
    shell_halves = [[hx, hz, 0.0], [hx, hz, 0.0], *([hx if k % 2 == 0 else hz, hy, 0.0] for k in range(4))]
    numbers: dict[Material, int] = {}
    for material in (*shell_materials, *(part.material for part in parts)):
        numbers.setdefault(material, len(numbers))
    return Scene(
        room_half=room_half,
        kind_N=torch.tensor([PLANE] * 6 + [part.kind for part in parts]),
        rotation_N33=torch.tensor(shell_rotations() + [rotation(p.yaw, p.tilt, p.lean) for p in parts]),
        centre_N3=torch.tensor(shell_centres + [list(part.centre) for part in parts]),
        half_N3=torch.tensor(shell_halves + [list(part.half) for part in parts]),
        radius_N=torch.tensor([0.0] * 6 + [part.radius for part in parts]),
        label_N=torch.tensor([*shell_labels, *(part.label for part in parts)], dtype=torch.uint8),
        material_N=torch.tensor([numbers[m] for m in (*shell_materials, *(part.material for part in parts))]),
        casts_N=torch.tensor([False] * 6 + [part.casts for part in parts]),
        material_MK=pack_materials(list(numbers)),
        lights=tuple(lights),
        suns=tuple(suns),
        ambient=ambient,
        focus=tuple(focus),
    )

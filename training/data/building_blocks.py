"""The materials of one room and the solids that furniture makers share.

Frames: x right, `up` upwards, back at z = 0, front towards +z, metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from training.data import labels
from training.data.draw import Draw
from training.data.material import Material
from training.data.materials import any_colour, board, fabric, lacquer, metal, plain, wood
from training.data.primitives import BOX, CYLINDER, ELLIPSOID, ROUNDED, Part, Piece, Surface, rotation


@dataclass(frozen=True, kw_only=True)
class Style:
    """Materials that one room's pieces share."""

    wood: Material
    board: Material
    second_board: Material
    metal: Material
    upholstery: Material
    textile: Material
    trim: Material

    @classmethod
    def sample(cls, draw: Draw) -> Style:
        return cls(
            wood=wood(draw), board=board(draw), second_board=board(draw), metal=metal(draw), upholstery=fabric(draw),
            textile=fabric(draw), trim=lacquer(draw),
        )  # fmt: skip


def block(
    x: tuple[float, float], up: tuple[float, float], z: tuple[float, float], label: int, material: Material,
    radius: float = 0.0, casts: bool = True,
) -> Part:  # fmt: skip
    """A box from its ranges; a radius rounds its edges."""
    half = (abs(x[1] - x[0]) / 2, abs(up[1] - up[0]) / 2, abs(z[1] - z[0]) / 2)
    radius = min(radius, 0.95 * min(half))
    return Part(
        kind=ROUNDED if radius > 0.004 else BOX, centre=((x[0] + x[1]) / 2, (up[0] + up[1]) / 2, (z[0] + z[1]) / 2),
        half=half, label=label, material=material, radius=radius, casts=casts,
    )  # fmt: skip


def post(x: float, z: float, up: tuple[float, float], radius: float, label: int, material: Material) -> Part:
    """A vertical cylinder."""
    return Part(
        kind=CYLINDER, centre=(x, (up[0] + up[1]) / 2, z), half=(radius, (up[1] - up[0]) / 2, radius), label=label,
        material=material,
    )  # fmt: skip


def ball(centre: tuple[float, float, float], half: tuple[float, float, float], label: int, material: Material) -> Part:
    """An ellipsoid."""
    return Part(kind=ELLIPSOID, centre=centre, half=half, label=label, material=material)


def legs(
    draw: Draw,
    width: float,
    z: tuple[float, float],
    up: float,
    label: int,
    material: Material,
    thickness: float = 0.025,
) -> list[Part]:
    """Four legs, round or square."""
    square = draw.chance(0.6)
    inset = thickness + draw.uniform(0.0, 0.04)
    parts = []
    for x in (-width / 2 + inset, width / 2 - inset):
        for depth in (z[0] + inset, z[1] - inset):
            if square:
                t = thickness
                parts.append(block((x - t, x + t), (0.0, up), (depth - t, depth + t), label, material))
            else:
                parts.append(post(x, depth, (0.0, up), thickness, label, material))
    return parts


def pillow(draw: Draw, x: float, up: float, z: float, material: Material, size: float = 0.25) -> Part:
    """A pillow that leans against something behind it, or lies."""
    lying = draw.chance(0.4)
    return Part(
        kind=ROUNDED,
        centre=(x, up + (0.07 if lying else size * 0.8), z),
        half=(size * draw.uniform(0.9, 1.4), size * 0.8, 0.075),
        label=labels.OBJECTS,
        material=material,
        radius=0.07,
        yaw=draw.normal(0, 0.12),
        tilt=1.5 if lying else draw.uniform(0.15, 0.6),
        casts=False,
    )


def rod(
    start: tuple[float, float, float], end: tuple[float, float, float], radius: float, label: int, material: Material,
    casts: bool = False,
) -> Part:  # fmt: skip
    """A round bar between two points of the piece's frame."""
    (x, up, z), (x2, up2, z2) = start, end
    dx, du, dz = x2 - x, up2 - up, z2 - z
    flat = math.hypot(dx, dz)
    return Part(
        kind=CYLINDER, centre=((x + x2) / 2, (up + up2) / 2, (z + z2) / 2),
        half=(radius, math.hypot(flat, du) / 2, radius), label=label, material=material, yaw=math.atan2(dx, dz),
        tilt=-math.atan2(flat, du), casts=casts,
    )  # fmt: skip


def extent(part: Part) -> tuple[float, float, float]:
    """Half size of a part's upright bounding box along its frame's x, up and z."""
    x, y, z = (
        sum(abs(entry) * half for entry, half in zip(row, part.half, strict=True))
        for row in rotation(part.yaw, part.tilt, part.lean)
    )
    return x, y, z


def gather(parts: Sequence[Part], surfaces: tuple[Surface, ...] = ()) -> Piece:
    """A piece from parts drawn anywhere: moved so that it is centred in x and its back is at z = 0."""
    reach = [(part.centre, extent(part)) for part in parts]
    left, right = min(c[0] - e[0] for c, e in reach), max(c[0] + e[0] for c, e in reach)
    back, front = min(c[2] - e[2] for c, e in reach), max(c[2] + e[2] for c, e in reach)
    dx, dz = -(left + right) / 2, -back
    return Piece(
        width=right - left,
        depth=front - back,
        height=max(c[1] + e[1] for c, e in reach),
        parts=tuple(replace(p, centre=(p.centre[0] + dx, p.centre[1], p.centre[2] + dz)) for p in parts),
        surfaces=tuple(replace(s, x0=s.x0 + dx, x1=s.x1 + dx, z0=s.z0 + dz, z1=s.z1 + dz) for s in surfaces),
    )


def household(draw: Draw, saturation: float = 0.55) -> Material:
    """Plastic, glazed clay, tin or card, as household things are made of: mostly muted, some bright."""
    return plain(draw, any_colour(draw, saturation), draw.uniform(0.0, 0.7), draw.uniform(15, 120))

"""Cloth that lies and hangs: heaps, duvets, blankets, cushions, towels, clothes on a hook.

Frames as in `building_blocks`. Folds are overlapping flat ellipsoids and rounded boxes: uneven, cheap, smooth.
"""

from __future__ import annotations

import math

from training.data import labels
from training.data.building_blocks import ball, block, gather
from training.data.draw import Draw
from training.data.material import Material
from training.data.materials import fabric
from training.data.primitives import CYLINDER, ELLIPSOID, ROUNDED, Part, Piece


def heap(draw: Draw) -> Piece:
    """Clothes or a blanket thrown down."""
    size = draw.uniform(0.14, 0.34)
    parts = []
    for _ in range(draw.integer(2, 4)):
        cloth = fabric(draw)
        high = size * draw.uniform(0.18, 0.4)
        parts.append(Part(
            kind=ELLIPSOID, centre=(draw.normal(0, size * 0.3), high * 0.7, draw.normal(0, size * 0.3)),
            half=(size * draw.uniform(0.5, 1.0), high, size * draw.uniform(0.35, 0.7)), label=labels.OBJECTS,
            material=cloth, yaw=draw.uniform(0, 3.14), lean=draw.normal(0, 0.12), casts=False,
        ))  # fmt: skip
    return gather(parts)


def rumple(
    draw: Draw, x: tuple[float, float], z: tuple[float, float], up: float, label: int, cloth: Material, count: int
) -> list[Part]:
    """Folds of a duvet over a rectangle at height `up`: long low waves that cross each other."""
    parts = []
    wide, deep = x[1] - x[0], z[1] - z[0]
    for _ in range(count):
        long, half = draw.uniform(0.25, 0.5) * min(wide, deep), draw.uniform(0.08, 0.2)
        high = draw.uniform(0.04, 0.12)
        yaw = draw.normal(0, 0.7)
        reach_x = abs(math.cos(yaw)) * long + abs(math.sin(yaw)) * half
        reach_z = abs(math.sin(yaw)) * long + abs(math.cos(yaw)) * half
        parts.append(Part(
            kind=ELLIPSOID,
            centre=(
                draw.uniform(min(x[0] + reach_x, 0.0), max(x[1] - reach_x, 0.0)), up,
                draw.uniform(min(z[0] + reach_z, z[1]), max(z[1] - reach_z, z[0])),
            ),
            half=(long, high, half), label=label, material=cloth, yaw=yaw, lean=draw.normal(0, 0.05), casts=False,
        ))  # fmt: skip
    return parts


def throw(draw: Draw, x: float, wide: float, up: float, seat: float, front: float, back: float) -> list[Part]:
    """A blanket over a sofa's back and seat, at `x`: three thin rounded slabs."""
    cloth = fabric(draw)
    span = (x - wide / 2, x + wide / 2)
    return [
        block(span, (seat, up + 0.02), (back - 0.03, back + 0.18), labels.OBJECTS, cloth, 0.02),
        block(span, (seat - 0.01, seat + 0.025), (back, front + 0.02), labels.OBJECTS, cloth, 0.02, casts=False),
        block(
            span,
            (seat - draw.uniform(0.1, 0.25), seat),
            (front, front + 0.025),
            labels.OBJECTS,
            cloth,
            0.01,
            casts=False,
        ),
    ]


def hung(draw: Draw) -> Piece:
    """Coats or towels on hooks at a wall; their upper end is the piece's top."""
    parts: list[Part] = []
    high, at = draw.uniform(0.5, 1.1), 0.0
    for _ in range(draw.integer(1, 4)):
        wide, cloth = draw.uniform(0.1, 0.22), fabric(draw)
        drop = high * draw.uniform(0.6, 1.0)
        parts.append(Part(
            kind=ELLIPSOID, centre=(at, high - drop / 2, 0.1), half=(wide, drop / 2, draw.uniform(0.06, 0.1)),
            label=labels.OBJECTS, material=cloth, casts=False,
        ))  # fmt: skip
        at += wide * draw.uniform(1.2, 2.0)
    return gather(parts)


def towel(draw: Draw, wide: float, high: float) -> list[Part]:
    """A towel that hangs flat in front of z = 0 with its lower edge at `up` = 0."""
    cloth = fabric(draw)
    return [
        Part(
            kind=CYLINDER, centre=((k - 1) * wide / 3, high / 2, 0.02), half=(wide / 5.2, high / 2, 0.018),
            label=labels.OBJECTS, material=cloth, casts=False,
        )
        for k in range(3)
    ]  # fmt: skip


def bean_bag(draw: Draw) -> Piece:
    """A bean bag or pouf (label chair)."""
    r, h = draw.uniform(0.3, 0.45), draw.uniform(0.3, 0.45)
    cloth = fabric(draw)
    parts = [ball((0, h * 0.45, 0), (r, h * 0.48, r), labels.CHAIR, cloth)]
    if draw.chance(0.6):
        parts.append(ball((0, h * 0.9, -r * 0.5), (r * 0.8, h * 0.5, r * 0.45), labels.CHAIR, cloth))
    return gather(parts)


def cushion(draw: Draw, x: float, up: float, z: float, size: float = 0.22) -> Part:
    """A cushion that lies at any angle."""
    return Part(
        kind=ROUNDED, centre=(x, up + 0.06, z), half=(size, 0.07, size * 0.8), label=labels.OBJECTS,
        material=fabric(draw), radius=0.065, yaw=draw.uniform(0, 3.14), tilt=draw.normal(0, 0.2), casts=False,
    )  # fmt: skip

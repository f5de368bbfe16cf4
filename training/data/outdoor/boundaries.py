"""Garden walls and fences along x, their middle at x = 0 (label wall).

Frames: x right, `up` upwards, metres.
"""

from __future__ import annotations

from training.data import labels
from training.data.building_blocks import block
from training.data.draw import Draw
from training.data.materials import hsv, plain
from training.data.outdoor import surfaces
from training.data.primitives import Part


def free_wall(draw: Draw, long: float, high: float) -> list[Part]:
    """A garden wall of brick, stone or render with a coping."""
    made = surfaces.facade(draw)
    return [
        block((-long / 2, long / 2), (0.0, high), (-0.12, 0.12), labels.WALL, made),
        block(
            (-long / 2, long / 2), (high, high + 0.08), (-0.16, 0.16), labels.WALL, surfaces.stone(draw), casts=False
        ),
    ]


def fence(draw: Draw, long: float) -> list[Part]:
    """Boards, rails or pickets between posts."""
    kind = draw.choice(("boards", "rails", "pickets", "iron"))
    made = surfaces.boards(draw, True)
    if kind == "iron":
        made = plain(draw, hsv(0.6, 0.1, draw.uniform(0.05, 0.25)), 0.3)
    high = {"boards": 1.8, "rails": 1.1, "pickets": 0.95, "iron": 1.2}[kind] * draw.uniform(0.85, 1.1)
    parts: list[Part] = []
    if kind == "boards":
        parts.append(block((-long / 2, long / 2), (0.05, high), (-0.02, 0.02), labels.WALL, made))
        step = 2.0
    else:
        for share in (0.3, 0.6, 0.9) if kind == "rails" else (0.2, 0.85):
            up = share * high
            parts.append(block((-long / 2, long / 2), (up - 0.04, up + 0.04), (-0.02, 0.02), labels.WALL, made))
        step = 2.2
        if kind != "rails":
            slim = 0.04 if kind == "pickets" else 0.012
            count = min(60, int(long / (0.13 if kind == "pickets" else 0.15)))
            for k in range(count):
                x = -long / 2 + (k + 0.5) * long / count
                parts.append(block((x - slim, x + slim), (0.05, high), (0.02, 0.04), labels.WALL, made, casts=False))
    for k in range(int(long / step) + 1):
        x = -long / 2 + min(long, k * step)
        parts.append(block((x - 0.05, x + 0.05), (0.0, high + 0.05), (-0.07, 0.02), labels.WALL, made))
    return parts

"""People, roughly: a standing or sitting figure of rounded limbs (label objects, as NYU's grouping has it).

Frame as in `building_blocks`; the figure faces +z.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from training.data import labels
from training.data.building_blocks import ball, gather, rod
from training.data.draw import Draw
from training.data.material import Material
from training.data.materials import fabric, hsv, plain
from training.data.primitives import CAPSULE, ROUNDED, Part, Piece

_O = labels.OBJECTS
Point = tuple[float, float, float]


def _limb(points: tuple[Point, ...], radius: float, skin: Material) -> list[Part]:
    bars = [rod(a, b, radius, _O, skin, casts=True) for a, b in pairwise(points)]
    return [replace(bar, kind=CAPSULE, half=(radius, max(radius, bar.half[1]) + 0.3 * radius, radius)) for bar in bars]


def person(draw: Draw, sitting: bool, seat: float = 0.46) -> Piece:
    """A figure of 1.2 to 1.9 m; a sitting one has its seat at `seat` metres, thighs forward."""
    size = draw.uniform(1.5, 1.95) / 1.75
    skin = plain(draw, hsv(draw.uniform(0.04, 0.08), draw.uniform(0.3, 0.6), draw.uniform(0.3, 0.9)))
    hair = plain(draw, hsv(draw.uniform(0.04, 0.1), 0.4, draw.uniform(0.05, 0.5)))
    shirt, trousers = fabric(draw), fabric(draw)
    hip = seat + 0.1 if sitting else 0.92 * size
    neck = hip + 0.52 * size
    parts = [Part(
        kind=ROUNDED, centre=(0, (hip + neck) / 2, 0), half=(0.19 * size, 0.3 * size, 0.11 * size), label=_O,
        material=shirt, radius=0.1 * size, tilt=draw.uniform(-0.1, 0.12),
    )]  # fmt: skip
    parts.append(ball((0, neck + 0.14 * size, 0.01), (0.078 * size, 0.115 * size, 0.095 * size), _O, skin))
    parts.append(ball((0, neck + 0.17 * size, -0.02), (0.085 * size, 0.1 * size, 0.095 * size), _O, hair))
    for s in (-1, 1):
        x, foot = s * 0.1 * size, s * draw.uniform(0.08, 0.16)
        if sitting:
            step = 0.42 * size + draw.uniform(-0.1, 0.1)
            knee = (foot, seat + 0.06, 0.42 * size)
            parts += _limb(((x, hip, 0.02), knee, (foot, 0.09, step)), 0.075 * size, trousers)
        else:
            step = draw.normal(0, 0.07)
            parts += _limb(
                ((x, hip, 0.0), ((x + foot) / 2, hip / 2, step + 0.03), (foot, 0.09, step)), 0.08 * size, trousers
            )
        shoe = (0.062 * size, 0.09, 0.135 * size)
        parts.append(ball((foot, 0.0, step + 0.06 * size), shoe, _O, hair))  # its upper half stands on the floor
        elbow = (s * 0.27 * size, neck - 0.27 * size, draw.uniform(-0.05, 0.12))
        hand = (s * draw.uniform(0.1, 0.3), hip + draw.uniform(-0.05, 0.3), draw.uniform(0.1, 0.35))
        parts += _limb(((s * 0.2 * size, neck - 0.04, 0.0), elbow), 0.055 * size, shirt)
        parts += _limb((elbow, hand), 0.042 * size, draw.choice((skin, shirt)))
    return gather(parts)

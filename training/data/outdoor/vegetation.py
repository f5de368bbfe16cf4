"""Trees, bushes, hedges and flower beds: trunks, and crowns as clusters of ellipsoids (label: ignored).

Frames: x right, `up` upwards, metres; a plant grows at the origin.
"""

from __future__ import annotations

import math
from dataclasses import replace

from training.data.building_blocks import ball, block
from training.data.draw import Draw
from training.data.material import Material
from training.data.outdoor import surfaces
from training.data.outdoor.ignored import IGNORED
from training.data.primitives import CAPSULE, CONE, Part, Vector


def _leaves(centre: Vector, half: Vector, made: Material, casts: bool, yaw: float = 0.0, tilt: float = 0.0) -> Part:
    """A clump; turning it keeps the poles of its texture from all pointing up."""
    return replace(ball(centre, half, IGNORED, made), casts=casts, yaw=yaw, tilt=tilt)


def _branch(start: Vector, lean: float, yaw: float, long: float, radius: float, made: Material) -> Part:
    """A capsule that leaves `start` at `lean` from the vertical."""
    reach = long / 2
    side, rise = math.sin(lean) * reach, math.cos(lean) * reach
    centre = (start[0] + side * math.sin(yaw), start[1] + rise, start[2] + side * math.cos(yaw))
    return Part(
        kind=CAPSULE,
        centre=centre,
        half=(radius, reach, radius),
        label=IGNORED,
        material=made,
        yaw=yaw,
        tilt=-lean,
        casts=False,
    )


def tree(draw: Draw, high: float, season: float) -> list[Part]:
    """A broad-leaved tree, conifer, poplar or bare tree of the given height."""
    kind = draw.weighted((("broad", 6.0), ("conifer", 1.5), ("poplar", 1.0), ("bare", 0.8 + season)))
    wood = surfaces.bark(draw)
    leaves = [surfaces.foliage(draw, season) for _ in range(3)]
    radius = high * draw.uniform(0.018, 0.035)
    trunk = high * {"broad": draw.uniform(0.35, 0.5), "conifer": 0.9, "poplar": 0.6, "bare": 0.5}[kind]
    parts = [Part(
        kind=CONE, centre=(0.0, trunk / 2, 0.0), half=(radius, trunk / 2, radius), label=IGNORED, material=wood,
        radius=0.2 if kind == "conifer" else 0.6, lean=draw.normal(0, 0.03),
    )]  # fmt: skip
    if kind == "conifer":
        tiers = draw.integer(6, 9)
        for k in range(tiers):
            low = high * (0.12 + 0.76 * k / tiers)
            span, tall = high * draw.uniform(0.2, 0.26) * (1 - 0.8 * k / tiers), high * 0.22
            parts.append(Part(
                kind=CONE, centre=(0.0, low + tall / 2, 0.0), half=(span, tall / 2, span), label=IGNORED,
                material=leaves[k % 2], radius=0.05, yaw=k * 1.3, casts=k < 3,
            ))  # fmt: skip
        return parts
    count = draw.integer(3, 5) if kind != "poplar" else 0
    for k in range(count):
        yaw = 2 * math.pi * (k + draw.uniform(0, 0.6)) / count
        long = high * draw.uniform(0.2, 0.4)
        parts.append(_branch((0.0, trunk * draw.uniform(0.75, 0.97), 0.0), draw.uniform(0.4, 0.9), yaw, long,
                             radius * 0.45, wood))  # fmt: skip
        if kind == "bare":
            for _ in range(3):
                up = trunk * draw.uniform(0.85, 1.3)
                yaw += draw.uniform(0.5, 1.5)
                parts.append(_branch((0.0, up, 0.0), draw.uniform(0.3, 1.0), yaw, long * 0.8, radius * 0.22, wood))
    if kind == "bare":
        return parts
    middle = (trunk + high) / 2 if kind == "broad" else high * 0.55
    tall = (high - trunk * 0.75) / 2 if kind == "broad" else high * 0.45
    wide = tall * draw.uniform(0.8, 1.3) if kind == "broad" else high * 0.12
    parts.append(_leaves((0.0, middle, 0.0), (wide * 0.75, tall * 0.8, wide * 0.75), leaves[0], True))
    clumps = draw.integer(26, 40)
    for k in range(clumps):
        yaw = 2.4 * k + draw.uniform(0, 0.8)
        rise = 1 - 2 * (k + 0.5) / clumps
        ring = math.sqrt(max(0.0, 1 - rise * rise)) * draw.uniform(0.7, 1.05)
        size = draw.uniform(0.14, 0.36)
        parts.append(_leaves(
            (wide * ring * math.sin(yaw), middle + tall * 0.85 * rise, wide * ring * math.cos(yaw)),
            (wide * size * draw.uniform(0.8, 1.3), tall * size * draw.uniform(0.6, 1.1), wide * size),
            leaves[k % 3], k % 8 == 0, yaw, draw.uniform(0.5, 2.5),
        ))  # fmt: skip
    return parts


def bush(draw: Draw, size: float, season: float) -> list[Part]:
    """A shrub of about `size` metres width."""
    leaves = [surfaces.foliage(draw, season) for _ in range(2)]
    parts = []
    count = draw.integer(5, 9)
    for k in range(count):
        yaw, far = 2 * math.pi * k / count + draw.uniform(0, 0.5), size * draw.uniform(0.1, 0.35)
        r = size * draw.uniform(0.18, 0.32)
        parts.append(_leaves(
            (far * math.sin(yaw), size * draw.uniform(0.15, 0.55), far * math.cos(yaw)),
            (r, r * draw.uniform(0.7, 1.1), r), leaves[k % 2], k % 3 == 0, yaw, draw.uniform(0.5, 2.5),
        ))  # fmt: skip
    return parts


def hedge(draw: Draw, long: float, season: float) -> list[Part]:
    """A trimmed hedge along x, its middle at x = 0."""
    high, deep = draw.uniform(0.7, 2.2), draw.uniform(0.3, 0.6)
    made = surfaces.foliage(draw, season * 0.5)
    parts = [block((-long / 2, long / 2), (0.0, high), (-deep, deep), IGNORED, made, radius=0.12)]
    for _ in range(int(long * 0.8)):
        x, r = draw.uniform(-long / 2, long / 2), draw.uniform(0.15, 0.35)
        z = draw.choice((-deep, deep)) * 0.8
        parts.append(_leaves((x, draw.uniform(0.2, 1.0) * high, z), (r, r * 0.7, r * 0.7), made, False))
    return parts


def flower_bed(draw: Draw, long: float, deep: float) -> list[Part]:
    """Low flowers on earth."""
    made = [surfaces.flowers(draw) for _ in range(2)]
    parts = [block((-long / 2, long / 2), (0.0, 0.05), (-deep / 2, deep / 2), IGNORED, surfaces.gravel(draw))]
    for k in range(int(long / 0.35)):
        r = draw.uniform(0.12, 0.3)
        x, z = -long / 2 + (k + 0.5) * 0.35, draw.uniform(-0.35, 0.35) * deep
        parts.append(_leaves((x, r * 0.6, z), (r, r, r), made[k % 2], False))
    return parts

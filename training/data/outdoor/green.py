"""Gardens and country: what stands where. Each layout fills a `Site` around the origin; cameras mostly look along +z.

Convention: world frame of `primitives`; yaw 0 leaves a thing facing +z, pi / 2 facing +x.
"""

from __future__ import annotations

import math

from training.data import labels
from training.data.material import Material
from training.data.outdoor import boundaries, facades, surfaces
from training.data.outdoor import street_things as things
from training.data.outdoor import vegetation as plants
from training.data.outdoor.ignored import IGNORED
from training.data.outdoor.site import Area, Site
from training.data.outdoor.surroundings import backdrop, people, table_group
from training.data.primitives import ELLIPSOID, Part


def garden(site: Site) -> Material:
    """Houses on their own plots: front gardens or a backyard with lawn, path, terrace, hedges and a shed."""
    draw = site.draw
    lawn = surfaces.grass(draw)
    path = surfaces.paving(draw)
    front = draw.uniform(8, 14)
    wide, deep = draw.uniform(8, 13), draw.uniform(6.5, 9)
    x = draw.uniform(-3, 3)
    house = facades.cottage(draw, wide, deep, draw.integer(1, 2))
    site.put(house, x, front, math.pi, up=0.0)
    site.look_at(x, front, 1.8)
    site.look_at(x + draw.uniform(-4, 4), front, 1.2)
    plot = wide / 2 + draw.uniform(2.5, 5)
    for side in (-1.0, 1.0):
        edge = x + side * plot
        kind = draw.choice(("hedge", "fence", "wall"))
        made = {
            "hedge": lambda: plants.hedge(draw, 26, site.season),
            "fence": lambda: boundaries.fence(draw, 26.0),
            "wall": lambda: boundaries.free_wall(draw, 26, draw.uniform(1.0, 2.2)),
        }[kind]()
        site.put(made, edge, 4, -side * math.pi / 2)
        site.taken.append((edge - 0.5, edge + 0.5, -9, 17))
        site.put(facades.cottage(draw, draw.uniform(7, 11), 8, draw.integer(1, 2)), edge + side * draw.uniform(6, 10),
                 front + draw.uniform(-2, 4), math.pi, up=0.0)  # fmt: skip
        for _ in range(2):
            site.put(plants.tree(draw, draw.uniform(4, 9), site.season), edge + side * draw.uniform(2, 6),
                     draw.uniform(0, 20))  # fmt: skip
    px = x + draw.uniform(-0.3, 0.3) * wide
    site.slab((px - 0.7, px + 0.7, -8, front), 0.03, path)
    site.taken.append((px - 0.7, px + 0.7, -8, front))
    if draw.chance(0.6):
        reach = draw.uniform(2.5, 4.0)
        site.slab((x - wide / 2, x + wide / 2, front - reach, front), 0.05, path)
        if draw.chance(0.7):
            table_group(site, x + draw.uniform(-0.3, 0.3) * wide, front - reach / 2)
    elif draw.chance(0.5):
        site.put(things.stairs(draw, draw.integer(2, 4), 1.6), px, front - 1.6, math.pi)
    inside = (x - plot + 1, x + plot - 1, 0.5, front - 1.5)
    if draw.chance(0.5):
        at = site.scatter((inside[0], inside[1], 1, front - 3), 1.6)
        if at is not None:
            site.put(things.vehicle(draw), *at, yaw=draw.choice((0.0, math.pi)))
            site.slab((at[0] - 1.5, at[0] + 1.5, -8, front), 0.025, path)
            site.look_at(*at, 0.8)
    if draw.chance(0.5):
        at = site.scatter(inside, 1.5)
        if at is not None:
            shed = surfaces.boards(draw, True)
            roof = surfaces.roof_tiles(draw)
            site.put([
                Part(centre=(0, 1.0, 0), half=(1.2, 1.0, 1.0), label=labels.WALL, material=shed),
                Part(centre=(0, 2.05, 0), half=(1.4, 0.05, 1.25), label=IGNORED, material=roof, tilt=0.12),
            ], *at, yaw=draw.uniform(-0.3, 0.3) + math.pi)  # fmt: skip
    for _ in range(draw.integer(1, 4)):
        at = site.scatter(inside, 1.0)
        if at is not None:
            site.put(plants.tree(draw, draw.uniform(2.5, 7), site.season), *at)
            site.look_at(*at, 1.5)
    for k in range(draw.integer(4, 10)):
        at = site.scatter(inside, 0.5)
        if at is not None:
            made = (
                plants.bush(draw, draw.uniform(0.5, 1.4), site.season)
                if k % 3 != 2
                else things.bench(draw) if draw.chance(0.3) else things.small_thing(draw)
            )  # fmt: skip
            site.put(made, *at, yaw=draw.uniform(0, 6.28))
            site.look_at(*at, 0.4)
    for side in (-1.0, 1.0):
        if draw.chance(0.6):
            long = wide / 2 - 1.2
            site.put(plants.flower_bed(draw, long, 0.7), x + side * (long / 2 + 1.2), front - 0.5)
    people(site, inside, draw.integer(0, 1))
    site.stand((x - plot + 0.8, x + plot - 0.8, -9, 3), 20)
    if draw.chance(0.5):
        site.slab((-60, 60, -16, -9), 0.01, surfaces.asphalt(draw))
    backdrop(site, 75, 9)
    return lawn


def _beside(side: float, near: float, far: float, z0: float, z1: float) -> Area:
    """The rectangle from `near` to `far` metres on one side (-1 or 1) of the path."""
    return min(side * near, side * far), max(side * near, side * far), z0, z1


def country(site: Site) -> Material:
    """A path over hills and meadows, with fences, trees, woods, a farmhouse."""
    draw = site.draw
    meadow, path = surfaces.grass(draw), surfaces.gravel(draw)
    for k in range(draw.integer(4, 8)):
        far = draw.uniform(14, 60)
        angle = draw.uniform(-1.3, 1.3)
        size = draw.uniform(0.3, 0.7) * far
        made = meadow if k % 3 else surfaces.grass(draw)
        site.hill(far * math.sin(angle), far * math.cos(angle) + size * 0.5, (size, size * draw.uniform(0.06, 0.22),
                  size * draw.uniform(0.7, 1.3)), made)  # fmt: skip
    x, drift = 0.0, draw.normal(0, 0.12)
    wide = draw.uniform(0.9, 2.0)
    for k in range(10):
        z = k * 4.0 - 12
        site.parts.append(Part(
            centre=(x, -0.005 - 0.001 * (k % 2), z + 2), half=(wide, 0.005 + 0.001 * (k % 2), 2.3), label=labels.FLOOR,
            material=path, yaw=drift, casts=False,
        ))  # fmt: skip
        x += 4.0 * math.tan(drift)
        drift += draw.normal(0, 0.08)
    for side in (-1.0, 1.0):
        if draw.chance(0.45):
            site.put(boundaries.fence(draw, 30.0), side * (wide + draw.uniform(1.0, 3.0)), 8,
                     math.pi / 2 + draw.normal(0, 0.05))  # fmt: skip
        elif draw.chance(0.3):
            site.put(plants.hedge(draw, 30, site.season), side * (wide + draw.uniform(1.5, 3.0)), 8, math.pi / 2)
    for side in (-1.0, 1.0):
        for _ in range(draw.integer(2, 5)):
            at = site.scatter(_beside(side, wide + 1.5, 18.0, 0, 34), 1.5)
            if at is not None:
                site.put(plants.tree(draw, draw.uniform(4, 13), site.season), *at)
                site.look_at(*at, 2.0)
        for _ in range(draw.integer(1, 5)):
            at = site.scatter(_beside(side, wide + 0.8, 8.0, -1, 16), 0.5)
            if at is not None:
                site.put(plants.bush(draw, draw.uniform(0.4, 2.0), site.season), *at)
    stone = surfaces.stone(draw)
    for _ in range(draw.integer(0, 6)):
        at = site.scatter((-8, 8, 0, 16), 0.4)
        if at is not None:
            r = draw.uniform(0.15, 0.6)
            site.put([Part(kind=ELLIPSOID, centre=(0, r * 0.3, 0), half=(r * 1.3, r * 0.7, r), label=IGNORED,
                           material=stone)], *at, yaw=draw.uniform(0, 6.28))  # fmt: skip
    if draw.chance(0.6):
        at = (draw.choice((-1, 1)) * draw.uniform(8, 16), draw.uniform(16, 34))
        site.put(facades.cottage(draw, draw.uniform(8, 14), 8.0, draw.integer(1, 2)), *at, yaw=math.pi, up=0.0)
        site.look_at(*at, 2.0)
    people(site, (-wide, wide, 3, 20), draw.integer(0, 2))
    if draw.chance(0.3):
        at = site.scatter((-4, 4, 1, 8), 0.9)
        if at is not None:
            site.put(things.bench(draw), *at, yaw=draw.uniform(0, 6.28))
            site.look_at(*at, 0.5)
    site.stand((-4, 4, -11, 5), 20)
    for z in (12.0, 25.0):
        site.look_at(draw.uniform(-3, 3), z, 1.0)
    backdrop(site, 80, 12)
    return meadow

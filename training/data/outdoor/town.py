"""Streets and squares: what stands where. Each layout fills a `Site` around the origin; cameras mostly look along +z.

Convention: world frame of `primitives`; yaw 0 leaves a thing facing +z, pi / 2 facing +x.
"""

from __future__ import annotations

import math

from training.data.material import Material
from training.data.materials import plain
from training.data.outdoor import boundaries, facades, surfaces
from training.data.outdoor import street_things as things
from training.data.outdoor import vegetation as plants
from training.data.outdoor.ignored import IGNORED
from training.data.outdoor.site import Site
from training.data.outdoor.surroundings import backdrop, people, table_group
from training.data.primitives import Part


def _house_row(site: Site, x: float, side: float, z0: float, z1: float, storeys: tuple[int, int]) -> None:
    """Houses wall to wall along z, their fronts at `x` facing away from `side`; gaps become walls with trees behind."""
    draw, z = site.draw, z0
    yaw = -side * math.pi / 2
    while z < z1:
        wide = draw.uniform(6.0, 14.0)
        set_back = draw.choice((0.0, 0.0, 0.0, 0.15, 0.5, 1.5))
        middle = z + wide / 2
        if draw.chance(0.12):
            site.put(boundaries.free_wall(draw, wide, draw.uniform(1.8, 3.0)), x + side * 0.2, middle, yaw)
            site.put(plants.tree(draw, draw.uniform(6, 10), site.season), x + side * 5, middle)
        else:
            count = draw.integer(*storeys)
            house = facades.town_house(draw, wide, count, draw.uniform(7.5, 11.0), detail=middle < 42)
            site.put(house, x + side * set_back, middle, yaw, up=0.0)
            if middle < 25:
                site.look_at(x, middle, draw.uniform(1.0, 5.0))
        z += wide


def _park_cars(site: Site, x: float, z0: float, z1: float, share: float, outward: float) -> None:
    draw, z = site.draw, z0 + site.draw.uniform(0, 3)
    while z < z1:
        if draw.chance(share) and site.free(x, z, 2.2):
            car = things.vehicle(draw)
            yaw = (0.0 if draw.chance(0.5) else math.pi) + draw.normal(0, 0.03)
            site.put(car, x + outward * draw.uniform(0, 0.15), z, yaw, up=0.0)
            site.taken.append((x - 1.1, x + 1.1, z - 2.6, z + 2.6))
            site.look_at(x, z, 0.8)
        z += draw.uniform(5.2, 7.0)


def street(site: Site) -> Material:
    """A street between two rows of houses, with pavements, parked cars, trees and people; answers its ground."""
    draw = site.draw
    road, pavement = draw.uniform(2.6, 4.6), draw.uniform(1.6, 4.5)
    edge, front = road + draw.choice((0.0, 2.1)), road + 2.1 + pavement
    kerb, flags = draw.uniform(0.08, 0.15), surfaces.paving(draw)
    stone = surfaces.stone(draw)
    storeys = draw.choice(((1, 2), (2, 3), (2, 4), (3, 6)))
    for side in (-1.0, 1.0):
        inner, outer = sorted((side * edge, side * (front + 12)))
        site.slab((inner, outer, -40, 110), kerb, flags)
        rim = sorted((side * (edge - 0.15), side * edge))
        site.slab((rim[0], rim[1], -40, 110), kerb + 0.005, stone, walkable=False)
        if draw.chance(0.92):
            _house_row(site, side * front, side, draw.uniform(-26, -20), draw.uniform(55, 85), storeys)
        else:
            site.put(plants.hedge(draw, 80, site.season), side * front, 25, math.pi / 2)
            for k in range(7):
                high = draw.uniform(5, 11)
                site.put(plants.tree(draw, high, site.season), side * (front + draw.uniform(2, 6)), k * 9 - 6)
    white = plain(draw, (0.85, 0.85, 0.82))
    if draw.chance(0.6):
        for k in range(14):
            site.slab((-0.06, 0.06, k * 6.0 - 12, k * 6.0 - 9), 0.004, white, walkable=False)
    if draw.chance(0.3):
        z = draw.uniform(4, 14)
        for k in range(int(2 * edge)):
            site.slab((-edge + k + 0.1, -edge + k + 0.6, z, z + 2.5), 0.004, white, walkable=False)
    share = draw.choice((0.1, 0.4, 0.75))
    for side in (-1.0, 1.0):
        _park_cars(site, side * (edge - 1.15), -9, 45, share, side * 0.0)
    strip = draw.choice((0.45, 0.7))
    every, planted = draw.uniform(7, 13), draw.chance(0.5)
    for side in (-1.0, 1.0):
        x, z = side * (edge + strip), draw.uniform(-8, 2)
        while z < 50:
            if planted and pavement > 2.2:
                site.put(plants.tree(draw, draw.uniform(4.5, 9), site.season), x, z)
                site.take(x, z, 0.4)
            elif draw.chance(0.5):
                site.put(things.lamp_post(draw), x, z, -side * math.pi / 2)
                site.take(x, z, 0.3)
            z += every
        walk = tuple(sorted((side * (edge + 0.4), side * (front - 0.4))))
        people(site, (walk[0], walk[1], 1.0, 30.0), draw.integer(0, 3))
        for _ in range(draw.integer(1, 5)):
            at = site.scatter((walk[0], walk[1], 0.5, 22.0), 0.4)
            if at is not None:
                made = things.bench(draw) if draw.chance(0.2) else things.small_thing(draw)
                site.put(made, *at, yaw=-side * math.pi / 2)
                site.look_at(*at, 0.6)
        if draw.chance(0.3) and pavement > 2.5:
            table_group(site, side * (front - 1.3), draw.uniform(2, 12))
        site.stand((walk[0], walk[1], -14.0, 6.0), 8)
    site.stand((-road + 1, road - 1, -14.0, 6.0), 6)
    for z in (15.0, 30.0, 45.0):
        site.look_at(draw.uniform(-2, 2), z, 1.5)
    if draw.chance(0.5):
        site.put(facades.town_house(draw, 2 * front + 8, draw.integer(2, 5), 10.0, False), 0.0, draw.uniform(55, 78),
                 math.pi, up=0.0)  # fmt: skip
    backdrop(site, 115, 9)
    return surfaces.asphalt(draw) if draw.chance(0.8) else surfaces.paving(draw)


def square(site: Site) -> Material:
    """A square or park: open ground, benches, trees and people, houses or trees around it."""
    draw = site.draw
    half = draw.uniform(13, 26)
    park = draw.chance(0.55)
    ground = surfaces.grass(draw) if park else surfaces.paving(draw)
    path = surfaces.gravel(draw) if draw.chance(0.6) else surfaces.paving(draw)
    if park:
        x = draw.uniform(-4, 4)
        site.slab((x - 1.6, x + 1.6, -60, 80), 0.02, path)
        site.slab((-70, 70, 6, 9), 0.021, path)
        for _ in range(draw.integer(0, 3)):
            size = draw.uniform(7, 16)
            site.hill(draw.uniform(-25, 25), draw.uniform(14, 35), (size, draw.uniform(0.6, 2.0), size), ground)
    storeys = draw.choice(((2, 3), (3, 5)))
    if not park or draw.chance(0.5):
        for side in (-1.0, 1.0):
            _house_row(site, side * (half + 4), side, -22, half + 12, storeys)
        x = -half
        while x < half:
            wide = draw.uniform(7, 14)
            house = facades.town_house(draw, wide, draw.integer(*storeys), 9.0)
            site.put(house, x + wide / 2, half + draw.uniform(8, 9), math.pi, up=0.0)
            x += wide
    if not park and draw.chance(0.5):
        z, high = draw.uniform(6, 14), draw.uniform(1.5, 3.5)
        stone = surfaces.stone(draw)
        base = [Part(centre=(0, 0.2 + 0.2 * k, 0), half=(1.6 - 0.5 * k, 0.2, 1.6 - 0.5 * k), label=IGNORED,
                     material=stone) for k in range(2)]  # fmt: skip
        figure = [Part(**{**vars(p), "material": stone, "centre": (p.centre[0], p.centre[1] + high, p.centre[2])})
                  for p in things.person(draw)]  # fmt: skip
        column = Part(centre=(0, high / 2, 0), half=(0.4, high / 2, 0.4), label=IGNORED, material=stone)
        site.put([*base, column, *figure], 0.0, z)
        site.take(0.0, z, 2.0)
        site.look_at(0.0, z, high / 2)
    near = (-half + 2, half - 2, -2.0, half + 4)
    for _ in range(draw.integer(4, 9) if park else draw.integer(0, 6)):
        at = site.scatter(near, 1.2)
        if at is not None:
            site.put(plants.tree(draw, draw.uniform(4, 11), site.season), *at)
            site.look_at(*at, 2.0)
    for _ in range(draw.integer(1, 4)):
        at = site.scatter((-9, 9, 1.5, 14), 0.9)
        if at is not None:
            site.put(things.bench(draw), *at, yaw=draw.choice((0.0, 1.57, 3.14, -1.57)) + draw.normal(0, 0.1))
            site.look_at(*at, 0.5)
    for _ in range(draw.integer(2, 6)):
        at = site.scatter((-10, 10, 1, 16), 0.6)
        if at is not None:
            made = plants.bush(draw, draw.uniform(0.6, 1.6), site.season) if park else things.small_thing(draw)
            site.put(made, *at)
            site.look_at(*at, 0.5)
    for _ in range(draw.integer(0, 4)):
        at = site.scatter(near, 0.4)
        if at is not None:
            site.put(things.lamp_post(draw), *at, yaw=draw.uniform(0, 6.28))
    if not park and draw.chance(0.5):
        for _ in range(draw.integer(1, 3)):
            at = site.scatter((-8, 8, 2, 10), 1.6)
            if at is not None:
                table_group(site, *at)
    people(site, (-9, 9, 1, 18), draw.integer(0, 5))
    site.stand((-8, 8, -12, 4), 24)
    site.look_at(0, 20, 1.5)
    backdrop(site, 85, 10)
    return ground

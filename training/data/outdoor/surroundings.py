"""What all outdoor layouts share: the distance, people, tables with chairs.

Convention: world frame of `primitives`; yaw 0 leaves a thing facing +z, pi / 2 facing +x.
"""

from __future__ import annotations

import math

from training.data import labels, seating, tables
from training.data.outdoor import street_things as things
from training.data.outdoor import surfaces
from training.data.outdoor.ignored import IGNORED
from training.data.outdoor.site import Area, Site
from training.data.primitives import ELLIPSOID, Part


def backdrop(site: Site, distance: float, tall: float) -> None:
    """Hills, woods or blocks far away, where the view would end at the bare horizon."""
    draw = site.draw
    kind = draw.choice(("hills", "woods", "blocks"))
    leaves = [surfaces.foliage(draw, site.season) for _ in range(3)]
    walls = [surfaces.facade(draw) for _ in range(3)]
    for k in range(18):
        angle = 2 * math.pi * (k + draw.uniform(0, 0.8)) / 18
        far = distance * draw.uniform(1.0, 1.5)
        x, z = far * math.sin(angle), far * math.cos(angle)
        if kind == "blocks":
            wide, high = draw.uniform(8, 20), tall * draw.uniform(0.6, 2.5)
            site.parts.append(Part(centre=(x, -high / 2, z), half=(wide / 2, high / 2, wide / 2), label=labels.WALL,
                                   material=draw.choice(walls), yaw=angle, casts=False))  # fmt: skip
            continue
        wide, high = draw.uniform(0.18, 0.35) * far, tall * draw.uniform(0.5, 1.4)
        label = labels.FLOOR if kind == "hills" else IGNORED
        made = surfaces.grass(draw) if kind == "hills" and draw.chance(0.6) else draw.choice(leaves)
        site.parts.append(Part(kind=ELLIPSOID, centre=(x, 0, z), half=(wide, high, wide * 0.6), label=label,
                               material=made, yaw=angle, casts=False))  # fmt: skip


def people(site: Site, area: Area, count: int) -> None:
    """Figures on free ground."""
    for _ in range(count):
        at = site.scatter(area, 0.35)
        if at is not None:
            site.put(things.person(site.draw), *at, yaw=site.draw.uniform(0, 6.28))
            site.look_at(*at, 1.2)


def table_group(site: Site, x: float, z: float) -> None:
    """A table with chairs, as in front of a cafe or on a terrace."""
    draw = site.draw
    table = tables.table(site.style, draw, "dining")
    yaw = draw.uniform(0, 6.28)
    site.put(table, x, z, yaw)
    chair = seating.chair(site.style, draw)
    for k in range(draw.integer(2, 4)):
        face = yaw + k * math.pi / 2 + draw.normal(0, 0.2)
        middle = (x + math.sin(yaw) * table.depth / 2, z + math.cos(yaw) * table.depth / 2)
        reach = max(table.width, table.depth) / 2 + draw.uniform(0.3, 0.6)
        site.put(chair, middle[0] - reach * math.sin(face), middle[1] - reach * math.cos(face), face)
    site.take(x, z, 1.6)
    site.look_at(x, z, 0.7)

"""What stands in streets, squares and gardens: cars, people, lamp posts, benches, bins, signs, stairs.

Labels: benches are chairs; lamp posts, bins, signs, bollards and pots are objects; cars, people and stairs are ignored.
Frames: x right, `up` upwards, metres; a thing stands at the origin and faces +z (cars and stairs lie along z).
"""

from __future__ import annotations

import math

from training.data import labels
from training.data.building_blocks import ball, block, post
from training.data.draw import Draw
from training.data.material import Material
from training.data.materials import any_colour, fabric, hsv, metal, picture, plain
from training.data.outdoor import surfaces
from training.data.outdoor.ignored import IGNORED
from training.data.outdoor.vegetation import bush
from training.data.primitives import CAPSULE, CONE, CYLINDER, Part, Piece


def _wheel(x: float, z: float, radius: float, rubber: Material, rim: Material) -> list[Part]:
    def disc(half_width: float, r: float, made: Material) -> Part:
        return Part(
            kind=CYLINDER, centre=(x, radius, z), half=(r, half_width, r), label=IGNORED, material=made,
            lean=math.pi / 2, casts=False,
        )  # fmt: skip

    return [disc(0.11, radius, rubber), disc(0.115, radius * 0.65, rim)]


def vehicle(draw: Draw) -> Piece:
    """A parked car, estate or van, 1.7 to 2 m wide, its front towards +z."""
    kind = draw.weighted((("saloon", 3.0), ("hatchback", 4.0), ("van", 1.5)))
    paint = surfaces.enamel(draw)
    glass = plain(draw, hsv(0.58, 0.2, draw.uniform(0.05, 0.2)), 0.9, 150.0)
    rubber, rim = plain(draw, (0.05, 0.05, 0.05)), metal(draw)
    dark = plain(draw, (0.04, 0.04, 0.05))
    wide = draw.uniform(1.68, 1.85) if kind != "van" else draw.uniform(1.85, 2.05)
    long = {"saloon": draw.uniform(4.3, 4.9), "hatchback": draw.uniform(3.6, 4.4), "van": draw.uniform(4.6, 5.6)}[kind]
    r, belt = draw.uniform(0.29, 0.34), draw.uniform(0.82, 0.98)
    roof = {"saloon": 1.43, "hatchback": 1.5, "van": draw.uniform(1.9, 2.4)}[kind]
    half, x = long / 2, (-wide / 2, wide / 2)
    bonnet = 0.9 if kind == "van" else draw.uniform(1.0, 1.3)
    boot = 0.75 if kind == "saloon" else 0.12
    belt = belt + (0.15 if kind == "van" else 0.0)
    parts = [
        block(x, (0.2, belt), (-half, half), IGNORED, paint, radius=0.16),
        block((x[0] + 0.04, x[1] - 0.04), (0.14, 0.4), (-half + 0.2, half - 0.2), IGNORED, dark),
    ]
    back, front = -half + boot, half - bonnet
    inset = 0.1
    shell = paint if kind == "van" else glass
    parts.append(block(
        (x[0] + inset, x[1] - inset), (belt - 0.12, roof), (back + 0.15, front - 0.3), IGNORED, shell, radius=0.14
    ))  # fmt: skip
    parts.append(block(
        (x[0] + inset + 0.02, x[1] - inset - 0.02), (roof - 0.07, roof + 0.02), (back + 0.25, front - 0.42), IGNORED,
        paint, radius=0.04, casts=False,
    ))  # fmt: skip
    rise = roof - belt
    for z, slope in ((front - 0.22, 0.55), (back + 0.2, -0.4 if kind != "van" else -0.03)):
        parts.append(Part(
            centre=(0.0, belt + rise / 2 - 0.02, z), half=(wide / 2 - inset - 0.05, rise / 2 / math.cos(slope), 0.04),
            label=IGNORED, material=glass, tilt=slope, casts=False,
        ))  # fmt: skip
    if kind == "van":
        for side in (-1, 1):
            px = side * (wide / 2 - inset)
            parts.append(block((px - 0.01, px + 0.01), (belt, roof - 0.25), (front - 1.4, front - 0.6), IGNORED, glass))
    else:
        for z in (back + 0.3, (back + front) / 2, front - 0.55):
            parts.append(block(
                (x[0] + inset - 0.01, x[1] - inset + 0.01), (belt - 0.05, roof - 0.03), (z - 0.04, z + 0.04), IGNORED,
                paint, radius=0.02, casts=False,
            ))  # fmt: skip
    for side in (-1, 1):
        for z in (-half + 0.78, half - 0.8):
            parts += _wheel(side * (wide / 2 - 0.1), z, r, rubber, rim)
        parts.append(ball((side * wide * 0.36, belt - 0.25, half - 0.08), (0.16, 0.09, 0.1), IGNORED,
                          plain(draw, (0.9, 0.92, 0.95), 0.8)))  # fmt: skip
        edge = side * (wide / 2 - 0.15)
        parts.append(block((edge - 0.12, edge + 0.12), (belt - 0.32, belt - 0.12), (-half - 0.01, -half + 0.1), IGNORED,
                           plain(draw, (0.6, 0.05, 0.05), 0.6), casts=False))  # fmt: skip
        parts.append(ball((side * (wide / 2 + 0.06), belt + 0.06, front - 0.4), (0.1, 0.07, 0.05), IGNORED, paint))
    plate = plain(draw, (0.9, 0.9, 0.85))
    parts.append(block((-0.26, 0.26), (0.42, 0.53), (-half - 0.02, half + 0.02), IGNORED, plate, casts=False))
    parts.append(block((-0.6, 0.6), (0.28, 0.42), (half - 0.1, half + 0.015), IGNORED, dark, casts=False))
    return Piece(width=wide, depth=long, height=roof, parts=tuple(parts))


def person(draw: Draw) -> list[Part]:
    """A standing or walking figure of 1.5 to 1.9 m."""
    tall = draw.uniform(1.5, 1.9)
    coat, trousers = fabric(draw), fabric(draw)
    skin = plain(draw, hsv(draw.uniform(0.03, 0.08), draw.uniform(0.25, 0.55), draw.uniform(0.35, 0.9)))
    hair = plain(draw, hsv(draw.uniform(0.03, 0.12), draw.uniform(0.1, 0.6), draw.uniform(0.05, 0.6)))
    hip, neck = tall * 0.5, tall * 0.84
    stride = draw.choice((0.03, 0.25, 0.35))

    def limb(x: float, low: float, high: float, r: float, tilt: float, made: Material, lean: float = 0.0) -> Part:
        return Part(
            kind=CAPSULE, centre=(x, (low + high) / 2, 0.0), half=(r, (high - low) / 2, r), label=IGNORED,
            material=made, tilt=tilt, lean=lean, casts=r > 0.06,
        )  # fmt: skip

    wide = draw.uniform(0.15, 0.19)
    parts = [
        limb(-0.09, 0.0, hip + 0.08, 0.075, stride, trousers), limb(0.09, 0.0, hip + 0.08, 0.075, -stride, trousers),
        Part(kind=CONE, centre=(0, (hip + neck) / 2 - 0.04, 0), half=(wide, (neck - hip) / 2 + 0.06, 0.12),
             label=IGNORED, material=coat, radius=0.95),
        ball((0, neck - 0.02, 0), (wide, 0.09, 0.11), IGNORED, coat),
        limb(-wide - 0.06, hip, neck + 0.02, 0.05, -stride * 0.8, coat, 0.12),
        limb(wide + 0.06, hip, neck + 0.02, 0.05, stride * 0.8, coat, -0.12),
        ball((0, tall - 0.12, 0.0), (0.078, 0.12, 0.095), IGNORED, skin),
        ball((0, tall - 0.09, -0.018), (0.085, 0.1, 0.095), IGNORED, hair),
    ]  # fmt: skip
    for x, z in ((-0.09, stride), (0.09, -stride)):
        parts.append(ball((x, 0.04, 0.05 + z * hip * 0.9), (0.05, 0.05, 0.13), IGNORED, hair))
    return parts


def lamp_post(draw: Draw) -> list[Part]:
    """A street lamp with an arm over +z, or a lantern on a post."""
    made = plain(draw, hsv(draw.uniform(0.3, 0.65), draw.uniform(0, 0.4), draw.uniform(0.1, 0.6)), 0.3)
    head = plain(draw, (0.92, 0.92, 0.85), 0.4)
    if draw.chance(0.5):
        high = draw.uniform(5.0, 8.0)
        return [
            Part(kind=CONE, centre=(0, high / 2, 0), half=(0.09, high / 2, 0.09), label=labels.OBJECTS, material=made,
                 radius=0.6),
            block((-0.03, 0.03), (high - 0.06, high), (0.0, 1.3), labels.OBJECTS, made),
            block((-0.13, 0.13), (high - 0.1, high + 0.04), (0.9, 1.6), labels.OBJECTS, made, radius=0.04),
            block((-0.1, 0.1), (high - 0.11, high - 0.09), (1.0, 1.5), labels.OBJECTS, head, casts=False),
        ]  # fmt: skip
    high = draw.uniform(3.2, 4.2)
    return [
        post(0, 0, (0.0, high), 0.05, labels.OBJECTS, made), post(0, 0, (0.0, 0.8), 0.1, labels.OBJECTS, made),
        Part(kind=CONE, centre=(0, high + 0.2, 0), half=(0.1, 0.22, 0.1), label=labels.OBJECTS, material=head,
             radius=1.0, casts=False),
        Part(kind=CONE, centre=(0, high + 0.5, 0), half=(0.25, 0.1, 0.25), label=labels.OBJECTS, material=made,
             radius=0.15, casts=False),
    ]  # fmt: skip


def bench(draw: Draw) -> list[Part]:
    """A slatted bench facing +z (label chair)."""
    wide, made, frame = draw.uniform(1.2, 2.0), surfaces.boards(draw), metal(draw)
    x = (-wide / 2, wide / 2)
    parts = [block(x, (0.42, 0.45), (z, z + 0.11), labels.CHAIR, made) for z in (0.05, 0.18, 0.31)]
    if draw.chance(0.75):
        for up in (0.58, 0.72):
            parts.append(Part(centre=(0, up + 0.05, -0.05), half=(wide / 2, 0.055, 0.015), label=labels.CHAIR,
                              material=made, tilt=0.2))  # fmt: skip
    for px in (x[0] + 0.15, x[1] - 0.15):
        parts.append(block((px - 0.03, px + 0.03), (0.0, 0.42), (0.05, 0.4), labels.CHAIR, frame))
        parts.append(block((px - 0.02, px + 0.02), (0.4, 0.85), (-0.08, -0.05), labels.CHAIR, frame, casts=False))
    return parts


def small_thing(draw: Draw) -> list[Part]:
    """A bin, bollard, sign, pot with a plant, crate, letter box or hydrant (label objects)."""
    kind = draw.weighted((("bin", 2.0), ("wheelie", 2.0), ("bollard", 2.0), ("sign", 2.5), ("pot", 2.0), ("box", 1.0)))
    label, made = labels.OBJECTS, plain(draw, any_colour(draw, 0.7), 0.3)
    if kind == "bin":
        r, high = draw.uniform(0.18, 0.28), draw.uniform(0.7, 1.0)
        rim = plain(draw, (0.1, 0.1, 0.1))
        return [
            Part(kind=CONE, centre=(0, high / 2, 0), half=(r * 0.85, high / 2, r * 0.85), label=label, material=made,
                 radius=1.0),
            post(0, 0, (high, high + 0.05), r, label, rim),
        ]  # fmt: skip
    if kind == "wheelie":
        dark = draw.choice(((0.1, 0.1, 0.11), (0.1, 0.25, 0.12), (0.1, 0.15, 0.35), (0.35, 0.3, 0.1)))
        body = plain(draw, dark, 0.2)
        return [
            block((-0.28, 0.28), (0.05, 0.98), (-0.3, 0.3), label, body, radius=0.05),
            block((-0.31, 0.31), (0.98, 1.06), (-0.36, 0.33), label, plain(draw, any_colour(draw, 0.7), 0.2), 0.02),
        ]  # fmt: skip
    if kind == "bollard":
        r, high = draw.uniform(0.05, 0.12), draw.uniform(0.6, 1.0)
        return [post(0, 0, (0, high), r, label, made), ball((0, high, 0), (r, r, r), label, made)]
    if kind == "sign":
        high, face = draw.uniform(2.1, 2.7), plain(draw, any_colour(draw, 0.95), 0.3)
        parts = [post(0, 0, (0, high + 0.6), 0.03, label, metal(draw))]
        if draw.chance(0.5):
            for r, thick, colour in ((0.3, 0.02, face), (0.24, 0.025, plain(draw, (0.93, 0.93, 0.93)))):
                parts.append(Part(kind=CYLINDER, centre=(0, high + 0.3, 0.03), half=(r, thick, r), label=label,
                                  material=colour, tilt=math.pi / 2))  # fmt: skip
            return parts
        wide = draw.uniform(0.3, 0.9)
        print_ = picture(draw, wide, 0.5)
        return [
            *parts, block((-wide / 2, wide / 2), (high, high + 0.5), (0.02, 0.04), label, face),
            block((-wide / 2 + 0.04, wide / 2 - 0.04), (high + 0.04, high + 0.46), (0.03, 0.045), label, print_),
        ]  # fmt: skip
    if kind == "pot":
        r, high = draw.uniform(0.2, 0.4), draw.uniform(0.3, 0.6)
        clay = surfaces.stone(draw) if draw.chance(0.4) else plain(draw, hsv(0.05, 0.5, draw.uniform(0.4, 0.7)))
        pot = Part(kind=CONE, centre=(0, high / 2, 0), half=(r * 0.7, high / 2, r * 0.7), label=label, material=clay,
                   radius=1.0)  # fmt: skip
        plant = [
            Part(**{**vars(part), "label": label, "centre": (part.centre[0], part.centre[1] + high, part.centre[2])})
            for part in bush(draw, 2.4 * r, draw.uniform(0, 0.4))
        ]
        return [pot, post(0, 0, (high - 0.06, high), r * 0.8, label, clay), *plant]
    w, d, h = draw.uniform(0.3, 0.8), draw.uniform(0.2, 0.5), draw.uniform(0.5, 1.4)
    return [
        block((-w / 2, w / 2), (0, h), (-d / 2, d / 2), label, made, radius=0.03),
        block((-w / 2 + 0.05, w / 2 - 0.05), (h * 0.5, h * 0.9), (0, d / 2 + 0.01), label, picture(draw, w, h * 0.4)),
    ]  # fmt: skip


def stairs(draw: Draw, steps: int, wide: float) -> list[Part]:
    """Steps that rise towards -z from the origin."""
    made = surfaces.stone(draw)
    rise, tread = draw.uniform(0.14, 0.18), draw.uniform(0.27, 0.36)
    parts = [
        block((-wide / 2, wide / 2), (k * rise, (k + 1) * rise), (-steps * tread - 0.5, -k * tread), IGNORED, made)
        for k in range(steps)
    ]
    if draw.chance(0.6):
        rail = metal(draw)
        for x in (-wide / 2 + 0.05, wide / 2 - 0.05):
            parts += [post(x, 0.0, (0.0, 1.0), 0.025, labels.OBJECTS, rail),
                      post(x, -steps * tread, (0.0, steps * rise + 1.0), 0.025, labels.OBJECTS, rail)]  # fmt: skip
            long = math.hypot(steps * rise, steps * tread)
            parts.append(Part(centre=(x, 1.0 + steps * rise / 2, -steps * tread / 2), half=(0.025, 0.02, long / 2),
                              label=labels.OBJECTS, material=rail, tilt=-math.atan2(rise, tread)))  # fmt: skip
    return parts

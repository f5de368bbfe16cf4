"""Things that lie and stand about: papers, dishes, devices, bags, boxes, toys.

Frames as in `building_blocks`: x right, `up` upwards, back at z = 0. Small things cast no shadow of their own: their
share of the picture is small and each caster costs as much as a wardrobe.
"""

from __future__ import annotations

from collections.abc import Callable

from training.data import labels, plates
from training.data.building_blocks import ball, block, extent, gather, household, post, rod
from training.data.draw import Draw
from training.data.material import Material
from training.data.materials import any_colour, fabric, hsv, picture, plain
from training.data.primitives import ROUNDED, Part, Piece
from training.data.soft import heap

Maker = Callable[[Draw], Piece]
_O = labels.OBJECTS


def print_of(draw: Draw, wide: float, high: float, text: float = 0.6) -> Material:
    """A printed sheet: text, or a picture."""
    pictures = (plates.PHOTO, plates.PHOTO2, plates.POSTER, plates.POSTER, plates.SPINES)
    pool = (plates.TEXT, plates.PAGE, plates.PAGE) if draw.chance(text) else pictures
    return picture(draw, wide, high, pool=pool)


def sheet(draw: Draw) -> Piece:
    """A sheet, leaflet, envelope or open magazine that lies flat."""
    wide, deep = draw.choice(((0.21, 0.3), (0.21, 0.3), (0.15, 0.21), (0.11, 0.22), (0.42, 0.3)))
    thick = draw.weighted(((0.002, 3.0), (0.006, 2.0), (0.02, 1.0)))
    blank = plain(draw, hsv(0.12, draw.uniform(0, 0.12), draw.uniform(0.85, 0.97)))
    cover = blank if draw.chance(0.3) else print_of(draw, wide, deep)
    label = labels.BOOKS if thick > 0.005 else _O
    return gather([Part(
        centre=(0.0, thick / 2, 0.0), half=(wide / 2, thick / 2, deep / 2), label=label, material=cover,
        yaw=draw.uniform(0, 6.28) if draw.chance(0.5) else draw.normal(0, 0.2), casts=False,
    )])  # fmt: skip


def mug(draw: Draw) -> Piece:
    """A mug, cup or glass, perhaps on a saucer."""
    r, h = draw.uniform(0.03, 0.045), draw.uniform(0.08, 0.13)
    clay = household(draw)
    parts = [post(0, 0, (0, h), r, _O, clay)]
    if draw.chance(0.6):
        parts.append(block((r, r + 0.025), (h * 0.25, h * 0.8), (-0.006, 0.006), _O, clay))
    if draw.chance(0.2):
        parts.append(post(0, 0, (0, 0.012), r * 1.9, _O, clay))
    return gather(parts)


def dish(draw: Draw) -> Piece:
    """A plate, pan, pot or bowl."""
    r, h = draw.uniform(0.08, 0.15), draw.choice((0.015, 0.03, 0.08, 0.13))
    ware = household(draw, 0.3)
    parts = [post(0, 0, (0, h), r, _O, ware)]
    if h > 0.02 and draw.chance(0.6):
        parts.append(rod((r * 0.9, h * 0.8, 0), (r + 0.16, h * 0.9, 0), 0.011, _O, ware))
    if h < 0.1 and draw.chance(0.4):
        food = plain(draw, hsv(draw.uniform(0, 0.35), 0.6, draw.uniform(0.3, 0.8)))
        parts.append(ball((0, h, 0), (r * 0.6, 0.03, r * 0.6), _O, food))
    return gather(parts)


def bottles(draw: Draw) -> Piece:
    """One to five bottles, jars or tins that stand together."""
    parts: list[Part] = []
    at = 0.0
    for _ in range(draw.weighted(((1, 3.0), (2, 2.0), (3, 1.5), (5, 1.0)))):
        r, h = draw.uniform(0.025, 0.05), draw.uniform(0.1, 0.3)
        body, z = household(draw, 0.7), draw.normal(0, 0.03)
        neck = h > 0.17
        parts.append(post(at, z, (0, h * 0.68 if neck else h), r, _O, body))
        if neck:
            parts.append(post(at, z, (h * 0.6, h), r * 0.42, _O, body))
        at += 2.3 * r + draw.uniform(0, 0.03)
    return gather(parts)


def tin_box(draw: Draw) -> Piece:
    """A tissue box, carton, tin or case."""
    w, h, d = draw.uniform(0.06, 0.3), draw.uniform(0.03, 0.2), draw.uniform(0.06, 0.22)
    skin = print_of(draw, w, h, 0.2) if draw.chance(0.3) else household(draw)
    lid = draw.choice((0.0, 0.012))
    return gather([block((-w / 2, w / 2), (0, h), (-d / 2, d / 2), _O, skin, lid)])


def pens(draw: Draw) -> Piece:
    """A holder with pens, brushes or kitchen tools."""
    r, h = draw.uniform(0.035, 0.06), draw.uniform(0.08, 0.14)
    parts = [post(0, 0, (0, h), r, _O, household(draw))]
    for _ in range(draw.integer(2, 5)):
        x, z = draw.normal(0, r * 0.7), draw.normal(0, r * 0.7)
        parts.append(rod((0, h * 0.5, 0), (x, h * draw.uniform(1.3, 2.2), z), 0.006, _O, household(draw)))
    return gather(parts)


def device(draw: Draw) -> Piece:
    """A microwave, toaster, printer, radio, speaker or coffee machine: a dark or pale box with a face."""
    w, h, d = draw.choice(
        ((0.48, 0.28, 0.34), (0.28, 0.19, 0.17), (0.42, 0.2, 0.36), (0.2, 0.33, 0.25), (0.16, 0.3, 0.18))
    )
    size = draw.uniform(0.8, 1.1)
    w, h, d = w * size, h * size, d * size
    body = plain(
        draw, draw.choice(((0.9, 0.9, 0.88), (0.06, 0.06, 0.07), (0.6, 0.61, 0.63), (0.5, 0.12, 0.1))), 0.5, 60.0
    )
    face = plain(draw, hsv(0.6, 0.1, draw.uniform(0.02, 0.3)), 0.7, 80.0)
    side = draw.uniform(0.55, 0.9) * w
    return gather([
        block((0, w), (0, h), (0, d), _O, body, 0.015),
        block((0.02, side), (h * 0.15, h * 0.85), (d - 0.01, d + 0.004), _O, face, casts=False),
    ])  # fmt: skip


def kettle(draw: Draw) -> Piece:
    """A kettle, teapot or jug: a round body, spout and grip."""
    r, h = draw.uniform(0.06, 0.1), draw.uniform(0.14, 0.24)
    body = household(draw, 0.4)
    return gather([
        ball((0, h * 0.5, 0), (r, h * 0.5, r), _O, body),
        rod((r * 0.7, h * 0.5, 0), (r * 1.5, h * 0.85, 0), 0.014, _O, body),
        rod((-r * 0.8, h * 0.3, 0), (-r * 1.3, h * 0.85, 0), 0.012, _O, body),
    ])  # fmt: skip


def rack(draw: Draw) -> Piece:
    """A dish rack with plates, or a leaning cutting board."""
    steel = plain(draw, (0.7, 0.7, 0.72), 0.6, 60.0)
    if draw.chance(0.5):
        wood = plain(draw, hsv(0.08, 0.4, draw.uniform(0.3, 0.75)), 0.1)
        return gather([Part(centre=(0, 0.15, 0), half=(0.12, 0.15, 0.01), label=_O, material=wood, tilt=0.25)])
    parts = [block((-0.2, 0.2), (0.0, 0.03), (-0.14, 0.14), _O, steel)]
    ware = household(draw, 0.3)
    for k in range(draw.integer(2, 5)):
        parts.append(Part(
            centre=(-0.15 + 0.06 * k, 0.14, 0), half=(0.008, 0.1, 0.1), label=_O, material=ware, lean=0.2, casts=False,
        ))  # fmt: skip
    return gather(parts)


def keyboard(draw: Draw) -> Piece:
    """A keyboard with its mouse."""
    skin = plain(draw, draw.choice(((0.08, 0.08, 0.09), (0.85, 0.85, 0.84), (0.5, 0.5, 0.52))), 0.2)
    parts = [block((-0.22, 0.22), (0, 0.02), (0, 0.15), _O, skin, casts=False)]
    if draw.chance(0.8):
        parts.append(ball((0.29, 0.012, 0.08), (0.03, 0.018, 0.05), _O, skin))
    return gather(parts)


def desk_lamp(draw: Draw) -> Piece:
    """A jointed desk lamp."""
    skin, h, x = household(draw), draw.uniform(0.28, 0.45), draw.choice((-1, 1)) * draw.uniform(0.1, 0.2)
    return gather([
        post(0, 0, (0, 0.02), 0.08, _O, skin),
        rod((0, 0.02, 0), (-x * 0.6, h * 0.55, 0), 0.009, _O, skin),
        rod((-x * 0.6, h * 0.55, 0), (x * 0.5, h, 0), 0.009, _O, skin),
        ball((x * 0.6, h - 0.02, 0), (0.07, 0.05, 0.06), _O, skin),
    ])  # fmt: skip


def bag(draw: Draw) -> Piece:
    """A bag, backpack or filled sack."""
    w, h, d = draw.uniform(0.25, 0.45), draw.uniform(0.25, 0.5), draw.uniform(0.14, 0.28)
    cloth = fabric(draw) if draw.chance(0.7) else household(draw)
    parts = [
        Part(
            kind=ROUNDED,
            centre=(0, h * 0.48, 0),
            half=(w / 2, h / 2, d / 2),
            label=_O,
            material=cloth,
            radius=d * 0.42,
            tilt=draw.uniform(-0.05, 0.3),
            lean=draw.normal(0, 0.08),
        ),
        ball((draw.normal(0, 0.04), h * 0.3, d * 0.45), (w * 0.36, h * 0.24, d * 0.25), _O, cloth),
    ]
    for s in (-1, 1):
        if draw.chance(0.5):
            parts.append(rod((s * w * 0.25, h * 0.85, 0), (s * w * 0.08, h * 1.2, 0), 0.012, _O, cloth))
    return gather(parts)


def carton(draw: Draw) -> Piece:
    """A cardboard box, closed, or open with flaps and something in it; two may be stacked."""
    card = plain(draw, hsv(draw.uniform(0.07, 0.1), draw.uniform(0.25, 0.5), draw.uniform(0.45, 0.8)), 0.0)
    if draw.chance(0.3):
        card = household(draw)
    w, h, d = draw.uniform(0.2, 0.6), draw.uniform(0.15, 0.45), draw.uniform(0.2, 0.45)
    parts = [block((-w / 2, w / 2), (0, h), (-d / 2, d / 2), _O, card)]
    if draw.chance(0.35):
        for s in (-1, 1):
            parts.append(Part(
                centre=(s * (w / 2 + d * 0.12), h + 0.02, 0), half=(d * 0.16, 0.003, d / 2), label=_O, material=card,
                lean=s * draw.uniform(-0.5, 0.6), casts=False,
            ))  # fmt: skip
        parts.append(ball((0, h, 0), (w * 0.4, draw.uniform(0.02, 0.12), d * 0.4), _O, fabric(draw)))
    elif draw.chance(0.4):
        turn = draw.normal(0, 0.15)
        parts.append(Part(
            centre=(0, h + 0.12, 0), half=(w * 0.42, 0.12, d * 0.42), label=_O, material=household(draw), yaw=turn,
        ))  # fmt: skip
    elif draw.chance(0.5):
        parts.append(block((-w / 2, w / 2), (h * 0.99, h + 0.002), (-0.03, 0.03), _O, household(draw), casts=False))
    return gather(parts)


def tub(draw: Draw) -> Piece:
    """One to three plastic tubs with lids, stacked."""
    w, d = draw.uniform(0.35, 0.6), draw.uniform(0.28, 0.42)
    up, parts = 0.0, []
    for _ in range(draw.weighted(((1, 2.0), (2, 1.5), (3, 0.7)))):
        h = draw.uniform(0.16, 0.36)
        body = plain(draw, any_colour(draw, 0.5), 0.3)
        parts.append(block((-w / 2, w / 2), (up, up + h), (-d / 2, d / 2), _O, body, 0.03))
        parts.append(
            block(
                (-w / 2 - 0.015, w / 2 + 0.015),
                (up + h - 0.03, up + h),
                (-d / 2 - 0.015, d / 2 + 0.015),
                _O,
                household(draw),
                casts=False,
            )
        )
        up += h
    return gather(parts)


def basket(draw: Draw) -> Piece:
    """A round basket, bin or bucket, perhaps full."""
    r, h = draw.uniform(0.12, 0.24), draw.uniform(0.2, 0.5)
    parts = [post(0, 0, (0, h), r, _O, fabric(draw) if draw.chance(0.4) else household(draw))]
    if draw.chance(0.6):
        parts.append(ball((0, h, 0), (r * 0.9, draw.uniform(0.03, 0.12), r * 0.9), _O, fabric(draw)))
    return gather(parts)


def toys(draw: Draw) -> Piece:
    """Some blocks and balls, or a soft animal."""
    if draw.chance(0.3):
        fur, s = fabric(draw), draw.uniform(0.06, 0.14)
        parts = [ball((0, s, 0), (s, s * 1.1, s), _O, fur), ball((0, s * 2.4, 0), (s * 0.7,) * 3, _O, fur)]
        return gather(
            parts + [ball((k * s * 0.9, s * 0.5, s * 0.9), (s * 0.4, s * 0.4, s * 0.6), _O, fur) for k in (-1, 1)]
        )
    parts = []
    for _ in range(draw.integer(1, 5)):
        r, x, z = draw.uniform(0.02, 0.08), draw.normal(0, 0.12), draw.normal(0, 0.12)
        paint = household(draw, 0.95)
        if draw.chance(0.4):
            parts.append(ball((x, r, z), (r, r, r), _O, paint))
        else:
            parts.append(Part(centre=(x, r, z), half=(r, r, r * 1.5), label=_O, material=paint, yaw=draw.uniform(0, 6)))
    return gather(parts)


def shoes(draw: Draw) -> Piece:
    """A pair of shoes, or slippers."""
    leather = household(draw)
    return gather([
        Part(kind=ROUNDED, centre=(s * 0.07, 0.05, draw.normal(0, 0.03)), half=(0.045, 0.05, 0.14), label=_O,
             material=leather, radius=0.04, yaw=draw.normal(0, 0.3), casts=False)
        for s in (-1, 1)
    ])  # fmt: skip


def fan(draw: Draw) -> Piece:
    """A fan, a vacuum cleaner's pipe or a music stand: something on a stalk."""
    skin, h = household(draw, 0.3), draw.uniform(0.5, 1.3)
    r = draw.uniform(0.15, 0.24)
    return gather([
        post(0, 0, (0, 0.03), 0.18, _O, skin),
        post(0, 0, (0.02, h), 0.015, _O, skin),
        ball((0, h, 0.05), (r, r, 0.07), _O, skin),
    ])  # fmt: skip


_KINDS: dict[str, tuple[tuple[Maker, float], ...]] = {
    "table": (
        (sheet, 6.0),
        (mug, 3.0),
        (bottles, 2.0),
        (dish, 1.5),
        (tin_box, 2.0),
        (pens, 0.6),
        (device, 0.3),
        (toys, 0.6),
        (kettle, 0.5),
        (keyboard, 0.2),
        (heap, 0.6),
        (bag, 0.3),
    ),
    "desk": (
        (sheet, 6.0),
        (mug, 1.5),
        (pens, 1.5),
        (keyboard, 1.2),
        (desk_lamp, 1.0),
        (tin_box, 2.0),
        (device, 1.0),
        (bottles, 1.0),
        (bag, 0.3),
        (toys, 0.3),
    ),
    "counter": (
        (bottles, 4.0),
        (mug, 2.5),
        (dish, 2.5),
        (device, 2.5),
        (kettle, 1.2),
        (rack, 1.5),
        (pens, 1.5),
        (tin_box, 2.5),
        (sheet, 1.0),
        (bag, 0.3),
    ),
    "floor": (
        (carton, 3.0),
        (bag, 2.5),
        (basket, 1.5),
        (heap, 1.8),
        (tub, 1.2),
        (toys, 1.5),
        (shoes, 1.2),
        (fan, 0.6),
        (device, 0.4),
        (sheet, 1.0),
    ),
    "shelf": (
        (tin_box, 4.0),
        (bottles, 2.0),
        (tub, 2.0),
        (carton, 2.0),
        (sheet, 1.0),
        (toys, 1.0),
        (dish, 1.0),
        (device, 0.7),
    ),
}


def clutter(draw: Draw, place: str, tallest: float = 2.0, widest: float = 2.0) -> Piece | None:
    """Something that belongs on a "table", "desk", "counter", "floor" or "shelf" and fits; None when nothing did."""
    for _ in range(4):
        piece = draw.weighted(_KINDS[place])(draw)
        if piece.height <= tallest and piece.width <= widest:
            return piece
    return None


def is_flat(piece: Piece) -> bool:
    """Whether things may lie over it: sheets and magazines."""
    return piece.height < 0.022 and all(extent(part)[1] < 0.012 for part in piece.parts)

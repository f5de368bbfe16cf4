"""Furniture composed of solids: beds, sofas, chairs, tables, desks, shelves, cabinets, TV stands.

Every maker takes the scene's `Style` and a `Draw` and returns a `Piece`: x right, `up` upwards, back at z = 0, front
towards +z; footprint x in [-width/2, width/2], z in [0, depth]; metres.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.data import labels
from training.data.draw import Draw
from training.data.materials import Material, any_colour, board, fabric, hsv, lacquer, metal, plain, wood
from training.data.primitives import BOX, CYLINDER, ELLIPSOID, ROUNDED, Part, Piece, Surface


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
    draw: Draw, width: float, z: tuple[float, float], up: float, label: int, material: Material, thickness: float = 0.025,
) -> list[Part]:  # fmt: skip
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
        kind=ROUNDED, centre=(x, up + (0.07 if lying else size * 0.8), z), half=(size * draw.uniform(0.9, 1.4), size * 0.8, 0.075),
        label=labels.OBJECTS, material=material, radius=0.07, yaw=draw.normal(0, 0.12),
        tilt=1.5 if lying else draw.uniform(0.15, 0.6), casts=False,
    )  # fmt: skip


def bed(style: Style, draw: Draw) -> Piece:
    """A bed with head at the wall: frame, mattress, blanket, pillows, headboard."""
    width, depth = draw.choice((0.9, 1.2, 1.4, 1.6, 1.8, 2.0)) + 0.08, draw.uniform(1.95, 2.2)
    base, thick = draw.uniform(0.12, 0.35), draw.uniform(0.15, 0.3)
    top = base + thick
    label = labels.BED
    sheet = fabric(draw, hsv(draw.uniform(), draw.uniform(0, 0.25), draw.uniform(0.7, 0.97)))
    blanket = fabric(draw) if draw.chance(0.7) else sheet
    frame = style.wood if draw.chance(0.6) else style.upholstery
    x = (-width / 2, width / 2)
    soft = draw.uniform(0.03, 0.09)
    parts = [
        block(x, (0.05 if draw.chance(0.5) else 0.0, base), (0.0, depth), label, frame),
        block((x[0] + 0.03, x[1] - 0.03), (base, top), (0.05, depth - 0.03), label, sheet, soft),
    ]
    fold = depth * draw.uniform(0.25, 0.5)
    hang = draw.uniform(0.05, thick)
    parts.append(block((x[0] - 0.01, x[1] + 0.01), (top - hang, top + draw.uniform(0.02, 0.07)), (fold, depth), label, blanket, 0.03))
    if draw.chance(0.85):
        high = draw.uniform(top + 0.2, top + 0.75)
        parts.append(block(x, (0.0, high), (-0.02, 0.05), label, frame if draw.chance(0.7) else style.upholstery, draw.choice((0.0, 0.03))))
    if draw.chance(0.2):
        parts.append(block(x, (0.0, top + draw.uniform(0, 0.3)), (depth, depth + 0.05), label, frame))
    count = 1 if width < 1.3 else 2
    case = sheet if draw.chance(0.5) else fabric(draw)
    for row in range(draw.integer(1, 2)):
        for k in range(count):
            px = (k - (count - 1) / 2) * width / 2 + draw.normal(0, 0.03)
            parts.append(pillow(draw, px, top, 0.2 + 0.2 * row, case if row == 0 else style.textile, 0.27))
    area = Surface(x0=x[0] + 0.2, x1=x[1] - 0.2, z0=fold + 0.1, z1=depth - 0.1, up=top + 0.03)
    return Piece(width=width, depth=depth + 0.06, height=top + 0.3, parts=tuple(parts), surfaces=(area,) if draw.chance(0.3) else ())


def sofa(style: Style, draw: Draw, seats: int | None = None) -> Piece:
    """An armchair or sofa: base, seat cushions, back cushions, arms, throw pillows."""
    seats = seats or draw.choice((2, 2, 3, 3, 4))
    arm = draw.uniform(0.1, 0.28)
    seat = draw.uniform(0.55, 0.75)
    width, depth = seats * seat + 2 * arm, draw.uniform(0.78, 1.02)
    sit, back, arms = draw.uniform(0.36, 0.48), draw.uniform(0.68, 0.98), draw.uniform(0.5, 0.68)
    cloth, label = style.upholstery, labels.SOFA
    soft = draw.uniform(0.02, 0.08)
    foot = draw.uniform(0.02, 0.16)
    rear = draw.uniform(0.12, 0.22)
    x = (-width / 2, width / 2)
    parts = [
        block(x, (foot, sit - 0.14), (0.02, depth - 0.03), label, cloth),
        block(x, (foot, back - draw.uniform(0.0, 0.12)), (0.0, rear), label, cloth, soft),
        block((x[0], x[0] + arm), (foot, arms), (0.02, depth), label, cloth, soft),
        block((x[1] - arm, x[1]), (foot, arms), (0.02, depth), label, cloth, soft),
    ]
    split = 1 if draw.chance(0.25) else seats
    step = seats * seat / split
    for k in range(split):
        a = x[0] + arm + k * step
        parts.append(block((a + 0.004, a + step - 0.004), (sit - 0.15, sit), (rear - 0.03, depth + 0.01), label, cloth, soft))
        high = back + draw.uniform(-0.03, 0.04)
        cushion = block((a + 0.008, a + step - 0.008), (sit - 0.02, high), (rear - 0.04, rear + 0.14), label, cloth, soft)
        parts.append(cushion)
    parts += legs(draw, width, (0.05, depth), foot, label, style.wood, 0.02)
    for _ in range(draw.choice((0, 1, 2, 3, 4))):
        parts.append(pillow(draw, draw.uniform(x[0] + arm + 0.2, x[1] - arm - 0.2), sit, rear + 0.22, fabric(draw), draw.uniform(0.16, 0.24)))
    if seats >= 3 and draw.chance(0.25):
        side = draw.choice((-1, 1))
        a = side * width / 2
        reach = depth + draw.uniform(0.5, 0.8)
        parts.append(block((a, a - side * (seat + arm)), (foot, sit), (0.1, reach), label, cloth, soft))
        return Piece(width=width, depth=reach, height=back, parts=tuple(parts))
    return Piece(width=width, depth=depth, height=back, parts=tuple(parts))


def chair(style: Style, draw: Draw) -> Piece:
    """A dining, office or bar chair."""
    width, depth, sit = draw.uniform(0.4, 0.52), draw.uniform(0.42, 0.55), draw.uniform(0.42, 0.5)
    back = sit + draw.uniform(0.3, 0.55)
    label = labels.CHAIR
    frame = draw.choice((style.wood, style.metal, style.second_board, style.trim))
    seat = draw.choice((frame, style.upholstery, style.textile, plain(draw, any_colour(draw), 0.2)))
    x = (-width / 2, width / 2)
    kind = draw.weighted((("wood", 4.0), ("office", 2.0), ("shell", 1.5), ("stool", 0.8)))
    thick = draw.uniform(0.02, 0.07)
    parts = [block(x, (sit - thick, sit), (0.02, depth), label, seat, draw.choice((0.0, 0.02)))]
    if kind == "office":
        parts = [block(x, (sit - 0.08, sit), (0.03, depth), label, seat, 0.035)]
        parts.append(post(0.0, depth / 2, (0.08, sit - 0.08), 0.03, label, style.metal))
        for yaw in (0.0, 1.2566, 2.5133, 3.7699, 5.0265):
            parts.append(Part(centre=(0.0, 0.06, depth / 2), half=(0.28, 0.02, 0.025), label=label, material=style.metal, yaw=yaw))
        parts.append(Part(
            kind=ROUNDED, centre=(0.0, (sit + back) / 2 + 0.1, 0.03), half=(width / 2, (back - sit) / 2, 0.04), label=label,
            material=seat, radius=0.035, tilt=0.12,
        ))  # fmt: skip
        if draw.chance(0.6):
            for s in (-1, 1):
                parts.append(block((s * width / 2, s * (width / 2 + 0.04)), (sit + 0.16, sit + 0.2), (0.1, depth - 0.1), label, style.metal))
                parts.append(block((s * width / 2, s * (width / 2 + 0.03)), (sit - 0.05, sit + 0.17), (0.22, 0.27), label, style.metal))
        return Piece(width=width + 0.1, depth=depth + 0.05, height=back + 0.1, parts=tuple(parts))
    parts += legs(draw, width, (0.02, depth), sit - thick, label, frame, draw.uniform(0.012, 0.024))
    if kind == "stool":
        return Piece(width=width, depth=depth, height=sit, parts=tuple(parts))
    if kind == "shell":
        parts.append(Part(
            kind=ROUNDED, centre=(0.0, (sit + back) / 2, 0.03), half=(width / 2, (back - sit) / 2, 0.022), label=label,
            material=seat, radius=0.02, tilt=0.15,
        ))  # fmt: skip
        return Piece(width=width, depth=depth, height=back, parts=tuple(parts))
    t = draw.uniform(0.014, 0.025)
    for s in (-1, 1):
        parts.append(block((s * (width / 2 - t) - t, s * (width / 2 - t) + t), (sit - 0.02, back), (0.0, 2 * t), label, frame))
    if draw.chance(0.5):
        bars = draw.integer(1, 4)
        for k in range(bars):
            up = sit + (back - sit) * (k + 1) / bars
            parts.append(block(x, (up - draw.uniform(0.04, 0.09), up), (0.002, 0.028), label, frame))
    elif draw.chance(0.5):
        parts.append(block((x[0] + 0.02, x[1] - 0.02), (sit + 0.12, back), (0.0, 0.035), label, seat, 0.012))
    else:
        for k in range(draw.integer(3, 6)):
            px = x[0] + 0.06 + k * (width - 0.12) / 5
            parts.append(block((px - 0.01, px + 0.01), (sit, back - 0.03), (0.006, 0.024), label, frame, casts=False))
        parts.append(block(x, (back - 0.07, back), (0.0, 0.03), label, frame))
    return Piece(width=width, depth=depth, height=back, parts=tuple(parts))


def table(style: Style, draw: Draw, kind: str | None = None) -> Piece:
    """A dining, coffee or side table; rectangular, or round with a foot."""
    kind = kind or draw.weighted((("dining", 4.0), ("coffee", 3.0), ("side", 1.0)))
    wide, deep, high = {
        "dining": (draw.uniform(0.9, 2.0), draw.uniform(0.7, 1.0), draw.uniform(0.7, 0.78)),
        "coffee": (draw.uniform(0.7, 1.3), draw.uniform(0.45, 0.8), draw.uniform(0.3, 0.5)),
        "side": (draw.uniform(0.35, 0.6), draw.uniform(0.35, 0.6), draw.uniform(0.45, 0.65)),
    }[kind]
    top = draw.choice((style.wood, style.board, style.second_board))
    frame = draw.choice((top, style.metal, style.wood))
    label, thick = labels.TABLE, draw.uniform(0.018, 0.05)
    if draw.chance(0.25):
        radius = (wide + deep) / 4
        parts = [
            Part(kind=CYLINDER, centre=(0.0, high - thick / 2, radius), half=(radius, thick / 2, radius), label=label, material=top),
            post(0.0, radius, (0.02, high - thick), draw.uniform(0.03, 0.07), label, frame),
            Part(kind=CYLINDER, centre=(0.0, 0.015, radius), half=(radius * 0.55, 0.015, radius * 0.55), label=label, material=frame),
        ]
        area = Surface(x0=-0.6 * radius, x1=0.6 * radius, z0=0.4 * radius, z1=1.6 * radius, up=high)
        return Piece(width=2 * radius, depth=2 * radius, height=high, parts=tuple(parts), surfaces=(area,))
    x = (-wide / 2, wide / 2)
    parts = [block(x, (high - thick, high), (0.0, deep), label, top, draw.choice((0.0, 0.0, 0.012)))]
    parts += legs(draw, wide, (0.0, deep), high - thick, label, frame, draw.uniform(0.015, 0.045))
    if draw.chance(0.5):
        rim = high - thick
        for z in (0.06, deep - 0.06):
            parts.append(block((x[0] + 0.05, x[1] - 0.05), (rim - 0.08, rim), (z - 0.01, z + 0.01), label, frame))
    if kind == "coffee" and draw.chance(0.4):
        parts.append(block((x[0] + 0.04, x[1] - 0.04), (0.12, 0.14), (0.04, deep - 0.04), label, top))
    if kind == "dining" and draw.chance(0.15):
        cloth = fabric(draw)
        parts.append(block((x[0] - 0.01, x[1] + 0.01), (high - draw.uniform(0.1, 0.3), high + 0.006), (-0.01, deep + 0.01), label, cloth))
    area = Surface(x0=x[0] + 0.05, x1=x[1] - 0.05, z0=0.05, z1=deep - 0.05, up=high + 0.006)
    return Piece(width=wide, depth=deep, height=high, parts=tuple(parts), surfaces=(area,))


def desk(style: Style, draw: Draw) -> Piece:
    """A desk with a drawer block, at a wall."""
    wide, deep, high = draw.uniform(1.0, 1.8), draw.uniform(0.55, 0.8), draw.uniform(0.71, 0.77)
    label, x = labels.TABLE, (-wide / 2, wide / 2)
    top = draw.choice((style.wood, style.board, style.second_board))
    parts = [block(x, (high - 0.03, high), (0.0, deep), label, top)]
    parts += legs(draw, wide, (0.0, deep), high - 0.03, label, draw.choice((top, style.metal)), draw.uniform(0.015, 0.035))
    if draw.chance(0.6):
        side = draw.choice((-1, 1))
        a, b = side * (wide / 2 - 0.04), side * (wide / 2 - 0.46)
        parts += _fronts(draw, (min(a, b), max(a, b)), (0.06, high - 0.03), deep - 0.05, labels.FURNITURE, style.second_board, style.metal, 1, draw.integer(2, 4))
    if draw.chance(0.3):
        parts.append(block((x[0] + 0.03, x[1] - 0.03), (0.25, high - 0.03), (0.02, 0.04), label, top))
    area = Surface(x0=x[0] + 0.05, x1=x[1] - 0.05, z0=0.05, z1=deep - 0.05, up=high)
    return Piece(width=wide, depth=deep, height=high, parts=tuple(parts), surfaces=(area,))


def _fronts(
    draw: Draw, x: tuple[float, float], up: tuple[float, float], deep: float, label: int, material: Material,
    handle: Material, columns: int, rows: int,
) -> list[Part]:  # fmt: skip
    """A closed body with doors or drawers in front, slightly apart, and handles."""
    parts = [block(x, up, (0.0, deep - 0.02), label, material)]
    gap = draw.uniform(0.002, 0.006)
    style = draw.choice(("bar", "knob", "none"))
    front = material
    for c in range(columns):
        a, b = (x[0] + (x[1] - x[0]) * k / columns for k in (c, c + 1))
        for r in range(rows):
            low, high = (up[0] + (up[1] - up[0]) * k / rows for k in (r, r + 1))
            parts.append(block((a + gap, b - gap), (low + gap, high - gap), (deep - 0.02, deep), label, front, casts=False))
            tall = (high - low) > (b - a) * 1.2
            px, pu = ((b - 0.05) if tall else (a + b) / 2), ((low + high) / 2 if tall else high - 0.06)
            if style == "knob":
                parts.append(ball((px, pu, deep + 0.015), (0.015, 0.015, 0.015), label, handle))
            elif style == "bar":
                w, h = (0.007, 0.07) if tall else (min(0.08, (b - a) * 0.3), 0.007)
                parts.append(block((px - w, px + w), (pu - h, pu + h), (deep + 0.012, deep + 0.025), label, handle, casts=False))
    return parts


def cabinet(style: Style, draw: Draw, kind: str | None = None) -> Piece:
    """A night stand, dresser, sideboard, wardrobe or refrigerator."""
    kind = kind or draw.weighted((("dresser", 2.0), ("sideboard", 2.0), ("wardrobe", 2.0), ("fridge", 0.6), ("low", 1.0)))
    material = draw.choice((style.board, style.second_board, style.wood))
    wide, high, deep, columns, rows = {
        "night": (draw.uniform(0.35, 0.55), draw.uniform(0.4, 0.65), draw.uniform(0.33, 0.45), 1, draw.integer(1, 3)),
        "dresser": (draw.uniform(0.7, 1.4), draw.uniform(0.75, 1.2), draw.uniform(0.4, 0.52), draw.integer(1, 2), draw.integer(3, 5)),
        "sideboard": (draw.uniform(1.1, 2.0), draw.uniform(0.6, 0.95), draw.uniform(0.36, 0.5), draw.integer(2, 4), 1),
        "wardrobe": (draw.uniform(0.8, 2.4), draw.uniform(1.8, 2.3), draw.uniform(0.5, 0.65), draw.integer(2, 4), 1),
        "fridge": (draw.uniform(0.6, 0.75), draw.uniform(1.5, 1.9), draw.uniform(0.6, 0.7), 1, 2),
        "low": (draw.uniform(0.8, 1.6), draw.uniform(0.35, 0.55), draw.uniform(0.36, 0.48), draw.integer(2, 3), draw.integer(1, 2)),
    }[kind]  # fmt: skip
    if kind == "fridge":
        material = plain(draw, draw.choice(((0.93, 0.93, 0.92), (0.65, 0.66, 0.68), (0.12, 0.12, 0.13))), 0.5, 60.0)
    foot = draw.choice((0.0, 0.05, 0.12))
    x = (-wide / 2, wide / 2)
    parts = _fronts(draw, x, (foot, high - 0.02), deep, labels.FURNITURE, material, style.metal, columns, rows)
    parts.append(block((x[0] - 0.008, x[1] + 0.008), (high - 0.02, high), (0.0, deep + 0.012), labels.FURNITURE, material))
    if foot > 0.1:
        parts += legs(draw, wide, (0.0, deep), foot, labels.FURNITURE, draw.choice((style.metal, style.wood)), 0.02)
    elif foot > 0:
        parts.append(block((x[0] + 0.02, x[1] - 0.02), (0.0, foot), (0.02, deep - 0.05), labels.FURNITURE, material))
    area = Surface(x0=x[0] + 0.04, x1=x[1] - 0.04, z0=0.04, z1=deep - 0.04, up=high, clearance=0.5)
    return Piece(width=wide, depth=deep + 0.03, height=high, parts=tuple(parts), surfaces=(area,) if high < 1.5 else ())


def counter(style: Style, draw: Draw, wide: float) -> Piece:
    """A kitchen run: base units, worktop, wall units, hob or sink."""
    high, deep = draw.uniform(0.85, 0.92), draw.uniform(0.58, 0.65)
    label, x = labels.FURNITURE, (-wide / 2, wide / 2)
    units = max(1, round(wide / 0.6))
    parts = _fronts(draw, x, (0.1, high - 0.04), deep, label, style.board, style.metal, units, draw.integer(1, 2))
    parts.append(block(x, (0.0, 0.1), (0.0, deep - 0.08), label, style.trim))
    parts.append(block((x[0] - 0.01, x[1] + 0.01), (high - 0.04, high), (0.0, deep + 0.02), label, style.second_board))
    steel = plain(draw, (0.75, 0.76, 0.78), 0.8, 60.0)
    sx = draw.uniform(x[0] + 0.3, x[1] - 0.3) if wide > 0.8 else 0.0
    parts.append(block((sx - 0.25, sx + 0.25), (high, high + 0.006), (0.1, 0.5), labels.OBJECTS, draw.choice((steel, plain(draw, (0.05, 0.05, 0.05), 0.6)))))
    if draw.chance(0.6):
        parts.append(post(sx, 0.09, (high, high + 0.28), 0.012, labels.OBJECTS, steel))
        parts.append(block((sx - 0.011, sx + 0.011), (high + 0.26, high + 0.285), (0.09, 0.27), labels.OBJECTS, steel))
    if draw.chance(0.7):
        low = high + draw.uniform(0.48, 0.6)
        parts += _fronts(draw, x, (low, low + draw.uniform(0.5, 0.75)), 0.34, label, style.board, style.metal, units, 1)
    area = Surface(x0=x[0] + 0.05, x1=x[1] - 0.05, z0=0.04, z1=deep - 0.06, up=high + 0.006, clearance=0.4)
    return Piece(width=wide + 0.02, depth=deep + 0.04, height=high, parts=tuple(parts), surfaces=(area,))

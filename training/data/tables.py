"""Tables, desks and cabinets.

Frames: x right, `up` upwards, back at z = 0, front towards +z, metres.
"""

from __future__ import annotations

from training.data import labels
from training.data.building_blocks import Style, block, legs, post
from training.data.draw import Draw
from training.data.materials import fabric, plain
from training.data.primitives import CYLINDER, Part, Piece, Surface
from training.data.storage import fronts


def table(style: Style, draw: Draw, kind: str | None = None) -> Piece:
    """A dining, coffee or side table; rectangular, or round with a foot."""
    kind = kind or draw.weighted((("dining", 4.0), ("coffee", 3.0), ("side", 1.0)))
    wide, deep, high = {
        "dining": (draw.uniform(0.9, 2.0), draw.uniform(0.7, 1.0), draw.uniform(0.7, 0.78)),
        "meeting": (draw.uniform(1.4, 3.2), draw.uniform(0.75, 1.2), draw.uniform(0.7, 0.78)),
        "coffee": (draw.uniform(0.7, 1.3), draw.uniform(0.45, 0.8), draw.uniform(0.3, 0.5)),
        "side": (draw.uniform(0.35, 0.6), draw.uniform(0.35, 0.6), draw.uniform(0.45, 0.65)),
    }[kind]
    top = draw.choice((style.wood, style.board, style.second_board))
    frame = draw.choice((top, style.metal, style.wood))
    label, thick = labels.TABLE, draw.uniform(0.018, 0.05)
    if kind != "meeting" and draw.chance(0.25):
        radius = (wide + deep) / 4
        parts = [
            Part(
                kind=CYLINDER,
                centre=(0.0, high - thick / 2, radius),
                half=(radius, thick / 2, radius),
                label=label,
                material=top,
            ),
            post(0.0, radius, (0.02, high - thick), draw.uniform(0.03, 0.07), label, frame),
            Part(
                kind=CYLINDER,
                centre=(0.0, 0.015, radius),
                half=(radius * 0.55, 0.015, radius * 0.55),
                label=label,
                material=frame,
            ),
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
        parts.append(
            block(
                (x[0] - 0.01, x[1] + 0.01),
                (high - draw.uniform(0.1, 0.3), high + 0.006),
                (-0.01, deep + 0.01),
                label,
                cloth,
            )
        )
    area = Surface(x0=x[0] + 0.05, x1=x[1] - 0.05, z0=0.05, z1=deep - 0.05, up=high + 0.006)
    return Piece(width=wide, depth=deep, height=high, parts=tuple(parts), surfaces=(area,))


def desk(style: Style, draw: Draw) -> Piece:
    """A desk with a drawer block, at a wall."""
    wide, deep, high = draw.uniform(1.0, 1.8), draw.uniform(0.55, 0.8), draw.uniform(0.71, 0.77)
    label, x = labels.TABLE, (-wide / 2, wide / 2)
    top = draw.choice((style.wood, style.board, style.second_board))
    parts = [block(x, (high - 0.03, high), (0.0, deep), label, top)]
    parts += legs(
        draw, wide, (0.0, deep), high - 0.03, label, draw.choice((top, style.metal)), draw.uniform(0.015, 0.035)
    )
    if draw.chance(0.6):
        side = draw.choice((-1, 1))
        a, b = side * (wide / 2 - 0.04), side * (wide / 2 - 0.46)
        parts += fronts(
            draw,
            (min(a, b), max(a, b)),
            (0.06, high - 0.03),
            deep - 0.05,
            labels.FURNITURE,
            style.second_board,
            style.metal,
            1,
            draw.integer(2, 4),
        )
    if draw.chance(0.3):
        parts.append(block((x[0] + 0.03, x[1] - 0.03), (0.25, high - 0.03), (0.02, 0.04), label, top))
    area = Surface(x0=x[0] + 0.05, x1=x[1] - 0.05, z0=0.05, z1=deep - 0.05, up=high, use="desk")
    return Piece(width=wide, depth=deep, height=high, parts=tuple(parts), surfaces=(area,))


def cabinet(style: Style, draw: Draw, kind: str | None = None) -> Piece:
    """A night stand, dresser, sideboard, wardrobe or refrigerator."""
    kind = kind or draw.weighted(
        (("dresser", 2.0), ("sideboard", 2.0), ("wardrobe", 2.0), ("fridge", 0.6), ("low", 1.0))
    )
    material = draw.choice((style.board, style.second_board, style.wood))
    wide, high, deep, columns, rows = {
        "night": (draw.uniform(0.35, 0.55), draw.uniform(0.4, 0.65), draw.uniform(0.33, 0.45), 1, draw.integer(1, 3)),
        "dresser": (
            draw.uniform(0.7, 1.4),
            draw.uniform(0.75, 1.2),
            draw.uniform(0.4, 0.52),
            draw.integer(1, 2),
            draw.integer(3, 5),
        ),
        "sideboard": (draw.uniform(1.1, 2.0), draw.uniform(0.6, 0.95), draw.uniform(0.36, 0.5), draw.integer(2, 4), 1),
        "wardrobe": (draw.uniform(0.8, 2.4), draw.uniform(1.8, 2.3), draw.uniform(0.5, 0.65), draw.integer(2, 4), 1),
        "fridge": (draw.uniform(0.6, 0.75), draw.uniform(1.5, 1.9), draw.uniform(0.6, 0.7), 1, 2),
        "low": (
            draw.uniform(0.8, 1.6),
            draw.uniform(0.35, 0.55),
            draw.uniform(0.36, 0.48),
            draw.integer(2, 3),
            draw.integer(1, 2),
        ),
    }[kind]
    if kind == "fridge":
        material = plain(draw, draw.choice(((0.93, 0.93, 0.92), (0.65, 0.66, 0.68), (0.12, 0.12, 0.13))), 0.5, 60.0)
    foot = draw.choice((0.0, 0.05, 0.12))
    x = (-wide / 2, wide / 2)
    parts = fronts(draw, x, (foot, high - 0.02), deep, labels.FURNITURE, material, style.metal, columns, rows)
    parts.append(
        block((x[0] - 0.008, x[1] + 0.008), (high - 0.02, high), (0.0, deep + 0.012), labels.FURNITURE, material)
    )
    if foot > 0.1:
        parts += legs(draw, wide, (0.0, deep), foot, labels.FURNITURE, draw.choice((style.metal, style.wood)), 0.02)
    elif foot > 0:
        parts.append(block((x[0] + 0.02, x[1] - 0.02), (0.0, foot), (0.02, deep - 0.05), labels.FURNITURE, material))
    area = Surface(
        x0=x[0] + 0.04,
        x1=x[1] - 0.04,
        z0=0.04,
        z1=deep - 0.04,
        up=high,
        clearance=0.5,
        use=draw.choice(("shelf", "table")),
    )
    return Piece(width=wide, depth=deep + 0.03, height=high, parts=tuple(parts), surfaces=(area,) if high < 1.5 else ())

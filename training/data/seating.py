"""Beds, sofas and chairs.

Frames: x right, `up` upwards, back at z = 0, front towards +z, metres.
"""

from __future__ import annotations

from training.data import labels
from training.data.building_blocks import Style, ball, block, legs, pillow, post
from training.data.draw import Draw
from training.data.materials import any_colour, fabric, hsv, plain
from training.data.primitives import ROUNDED, Part, Piece, Surface, turn
from training.data.soft import rumple, throw


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
    parts.append(
        block(
            (x[0] - 0.01, x[1] + 0.01),
            (top - hang, top + draw.uniform(0.02, 0.07)),
            (fold, depth),
            label,
            blanket,
            0.03,
        )
    )
    if draw.chance(0.85):
        high = draw.uniform(top + 0.2, top + 0.75)
        parts.append(
            block(
                x,
                (0.0, high),
                (-0.02, 0.05),
                label,
                frame if draw.chance(0.7) else style.upholstery,
                draw.choice((0.0, 0.03)),
            )
        )
    if draw.chance(0.2):
        parts.append(block(x, (0.0, top + draw.uniform(0, 0.3)), (depth, depth + 0.05), label, frame))
    count = 1 if width < 1.3 else 2
    case = sheet if draw.chance(0.5) else fabric(draw)
    for row in range(draw.integer(1, 2)):
        for k in range(count):
            px = (k - (count - 1) / 2) * width / 2 + draw.normal(0, 0.03)
            parts.append(pillow(draw, px, top, 0.2 + 0.2 * row, case if row == 0 else style.textile, 0.27))
    if draw.chance(0.6):
        span = (x[0] + 0.05, x[1] - 0.05)
        parts += rumple(draw, span, (fold - 0.25, depth - 0.05), top + 0.03, label, blanket, draw.integer(2, 7))
    area = Surface(x0=x[0] + 0.2, x1=x[1] - 0.2, z0=fold + 0.1, z1=depth - 0.1, up=top + 0.05)
    return Piece(
        width=width,
        depth=depth + 0.06,
        height=top + 0.3,
        parts=tuple(parts),
        surfaces=(area,) if draw.chance(0.4) else (),
    )


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
        parts.append(
            block((a + 0.004, a + step - 0.004), (sit - 0.15, sit), (rear - 0.03, depth + 0.01), label, cloth, soft)
        )
        high = back + draw.uniform(-0.03, 0.04)
        cushion = block(
            (a + 0.008, a + step - 0.008), (sit - 0.02, high), (rear - 0.04, rear + 0.14), label, cloth, soft
        )
        parts.append(cushion)
    parts += legs(draw, width, (0.05, depth), foot, label, style.wood, 0.02)
    for _ in range(draw.choice((0, 1, 2, 3, 4))):
        parts.append(
            pillow(
                draw,
                draw.uniform(x[0] + arm + 0.2, x[1] - arm - 0.2),
                sit,
                rear + 0.22,
                fabric(draw),
                draw.uniform(0.16, 0.24),
            )
        )
    if draw.chance(0.25):
        wide = draw.uniform(0.3, 0.8) * seat
        parts += throw(draw, draw.uniform(-0.3, 0.3) * seats * seat, wide, back, sit, depth, rear)
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
            (ax, az), (cx, cz) = turn(yaw, 0.14, 0.0), turn(yaw, 0.25, 0.0)
            parts.append(Part(
                centre=(ax, 0.065, depth / 2 + az), half=(0.14, 0.02, 0.025), label=label, material=style.metal, yaw=yaw
            ))  # fmt: skip
            parts.append(ball((cx, 0.03, depth / 2 + cz), (0.03, 0.03, 0.03), label, style.metal))
        parts.append(block((-0.035, 0.035), (sit - 0.06, sit + 0.18), (0.04, 0.06), label, style.metal))
        parts.append(
            Part(
                kind=ROUNDED,
                centre=(0.0, (sit + back) / 2 + 0.1, 0.03),
                half=(width / 2, (back - sit) / 2, 0.04),
                label=label,
                material=seat,
                radius=0.035,
                tilt=0.12,
            )
        )
        if draw.chance(0.6):
            for s in (-1, 1):
                parts.append(
                    block(
                        (s * width / 2, s * (width / 2 + 0.04)),
                        (sit + 0.16, sit + 0.2),
                        (0.1, depth - 0.1),
                        label,
                        style.metal,
                    )
                )
                parts.append(
                    block(
                        (s * width / 2, s * (width / 2 + 0.03)),
                        (sit - 0.05, sit + 0.17),
                        (0.22, 0.27),
                        label,
                        style.metal,
                    )
                )
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
        parts.append(
            block((s * (width / 2 - t) - t, s * (width / 2 - t) + t), (sit - 0.02, back), (0.0, 2 * t), label, frame)
        )
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

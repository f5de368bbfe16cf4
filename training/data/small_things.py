"""Books, shelves full of them, and small objects that stand on surfaces; TVs, lamps and plants.

Frames and units as in `building_blocks`: x right, up, back at z = 0.
"""

from __future__ import annotations

from training.data import labels, plates
from training.data.building_blocks import Style, ball, block, post
from training.data.draw import Draw
from training.data.material import Material
from training.data.materials import any_colour, hsv, picture, plain, scale
from training.data.primitives import CYLINDER, ELLIPSOID, Part, Piece, Surface, moved


def _cover(draw: Draw) -> Material:
    if draw.chance(0.25):
        return picture(draw, 0.3, 0.3, pool=(plates.TEXT, plates.POSTER, plates.PHOTO, plates.SPINES))
    return plain(draw, any_colour(draw, 0.85), draw.uniform(0, 0.4), 40.0)


def book_row(
    draw: Draw, x: tuple[float, float], up: float, z: tuple[float, float], tallest: float, covers: list[Material]
) -> list[Part]:
    """Standing books from x[0] on, some missing, some leaning."""
    parts = []
    at = x[0] + draw.uniform(0, 0.02)
    shared_height = draw.uniform(0.55, 0.95) * tallest
    thick = draw.uniform(0.015, 0.04)
    while at < x[1] - 0.05:
        wide = thick * draw.uniform(0.6, 1.7)
        high = min(tallest, shared_height * draw.uniform(0.75, 1.2))
        deep = (z[1] - z[0]) * draw.uniform(0.65, 0.95)
        front = z[1] - draw.uniform(0.0, 0.03)
        if draw.chance(0.05) and at + high * 0.35 < x[1]:
            lean = draw.uniform(0.15, 0.3)
            parts.append(Part(
                centre=(at + 0.5 * high * lean, up + high / 2, front - deep / 2), half=(wide / 2, high / 2, deep / 2),
                label=labels.BOOKS, material=draw.choice(covers), lean=lean, casts=False,
            ))  # fmt: skip
            at += wide + high * lean
            continue
        parts.append(
            block(
                (at, at + wide), (up, up + high), (front - deep, front), labels.BOOKS, draw.choice(covers), casts=False
            )
        )
        at += wide + 0.0015
        if draw.chance(0.03):
            break
    return parts


def bookshelf(style: Style, draw: Draw) -> Piece:
    """An open shelf: rows of books, some objects."""
    wide, high, deep = draw.uniform(0.6, 1.8), draw.uniform(0.8, 2.2), draw.uniform(0.24, 0.36)
    material, label = draw.choice((style.wood, style.board, style.second_board)), labels.FURNITURE
    x, t = (-wide / 2, wide / 2), draw.uniform(0.014, 0.03)
    rows = max(2, round(high / draw.uniform(0.28, 0.42)))
    columns = max(1, round(wide / draw.uniform(0.5, 0.95)))
    parts = [block(x, (0.0, high), (0.0, 0.012), label, material)]
    for c in range(columns + 1):
        px = x[0] + t + (wide - 2 * t) * c / columns
        parts.append(block((px - t / 2 - t / 4, px + t / 2 + t / 4), (0.0, high), (0.0, deep), label, material))
    pitch = (high - t) / rows
    covers = [_cover(draw) for _ in range(draw.integer(5, 14))]
    fullness = draw.uniform(0.5, 1.0)
    budget = 70
    for r in range(rows + 1):
        parts.append(block(x, (r * pitch, r * pitch + t), (0.0, deep - 0.003), label, material))
        if r == rows:
            break
        for c in range(columns):
            a, b = (x[0] + t + (wide - 2 * t) * k / columns + t * s for k, s in ((c, 1), (c + 1, -1)))
            up = r * pitch + t
            if draw.chance(fullness) and budget > 0:
                row = book_row(
                    draw, (a, a + (b - a) * draw.uniform(0.5, 1.05)), up, (0.02, deep - 0.01), pitch - t - 0.02, covers
                )
                row = [part for part in row if part.centre[0] + part.half[0] < b]
                budget -= len(row)
                parts += row
            elif draw.chance(0.7):
                thing = small_object(style, draw, pitch - 2 * t)
                if thing.width < b - a and thing.depth < deep:
                    parts += moved(thing, (a + b) / 2, up, (deep - thing.depth) / 2)
    area = Surface(x0=x[0] + 0.05, x1=x[1] - 0.05, z0=0.03, z1=deep - 0.03, up=high, clearance=0.35, use="shelf")
    return Piece(width=wide, depth=deep, height=high, parts=tuple(parts), surfaces=(area,) if high < 1.7 else ())


def book_stack(style: Style, draw: Draw, tallest: float = 0.3) -> Piece:
    """Lying books or magazines, the upper ones turned a little."""
    wide, deep = draw.uniform(0.15, 0.24), draw.uniform(0.2, 0.3)
    parts: list[Part] = []
    up = 0.0
    for _ in range(draw.integer(1, 6)):
        thick = draw.uniform(0.008, 0.045)
        if up + thick > tallest:
            break
        cover = picture(draw, wide, deep) if draw.chance(0.5) else _cover(draw)
        parts.append(
            Part(
                centre=(0.0, up + thick / 2, deep / 2),
                half=(wide / 2 * draw.uniform(0.8, 1), thick / 2, deep / 2 * draw.uniform(0.8, 1)),
                label=labels.BOOKS,
                material=cover,
                yaw=draw.normal(0, 0.2),
                casts=False,
            )
        )
        up += thick
    return Piece(width=wide + 0.05, depth=deep + 0.03, height=up, parts=tuple(parts))


def small_object(style: Style, draw: Draw, tallest: float = 0.5) -> Piece:
    """A vase, box, bowl, cup, bottle, plant, clock, framed photo, figure or paper."""
    kind = draw.choice(
        ("vase", "box", "bowl", "cup", "bottle", "plant", "photo", "figure", "paper", "box", "basket", "toy")
    )
    label = labels.OBJECTS
    size = draw.uniform(0.6, 1.3)
    material = plain(draw, any_colour(draw, 0.8), draw.uniform(0, 0.7), draw.uniform(15, 120))
    if draw.chance(0.2):
        material = picture(draw, 0.3, 0.3)
    if kind == "vase":
        r, h = 0.06 * size, 0.2 * size
        parts = [
            ball((0, h * 0.5, r), (r, h * 0.5, r), label, material),
            post(0, r, (h * 0.7, h * 1.1), r * 0.45, label, material),
        ]
    elif kind in ("box", "basket"):
        w, h, d = 0.22 * size, draw.uniform(0.04, 0.2) * size, draw.uniform(0.1, 0.22) * size
        parts = [block((-w / 2, w / 2), (0, h), (0, d), label, material, 0.01 if kind == "basket" else 0.0)]
        r = d / 2
    elif kind == "bowl":
        r, h = 0.12 * size, 0.08 * size
        parts = [post(0, r, (0, h), r * 0.55, label, material), ball((0, h, r), (r, h * 0.6, r), label, material)]
        for _ in range(draw.integer(0, 4)):
            fruit = plain(draw, any_colour(draw, 0.95), 0.3)
            parts.append(
                ball(
                    (draw.uniform(-r, r) * 0.5, h * 1.5, r + draw.uniform(-r, r) * 0.5),
                    (0.04, 0.04, 0.04),
                    label,
                    fruit,
                )
            )
    elif kind == "cup":
        r, h = 0.04 * size, 0.1 * size
        parts = [post(0, r, (0, h), r, label, material)]
    elif kind == "bottle":
        r, h = 0.035 * size, 0.26 * size
        parts = [post(0, r, (0, h * 0.65), r, label, material), post(0, r, (h * 0.6, h), r * 0.4, label, material)]
    elif kind == "plant":
        return plant(draw, min(tallest, draw.uniform(0.2, 0.5)))
    elif kind == "photo":
        w, h = 0.15 * size, 0.2 * size
        parts = [
            Part(
                centre=(0, h / 2, 0.03), half=(w / 2, h / 2, 0.008), label=label, material=picture(draw, w, h), tilt=0.2
            )
        ]
        r = 0.05
    elif kind == "figure":
        r, h = 0.05 * size, 0.22 * size
        parts = [
            ball((0, h * 0.35, r), (r, h * 0.35, r), label, material),
            ball((0, h * 0.8, r), (r * 0.6, r * 0.6, r * 0.6), label, material),
        ]
    elif kind == "toy":
        r = draw.uniform(0.04, 0.11)
        parts = [ball((0, r, r), (r, r, r), label, material)]
    else:
        w, d = 0.21, 0.3
        paper = picture(draw, w, d, pool=(plates.TEXT, plates.PAGE, plates.POSTER))
        parts = [
            Part(
                centre=(0, 0.002, d / 2),
                half=(w / 2, 0.002, d / 2),
                label=label,
                material=paper,
                yaw=draw.normal(0, 0.3),
                casts=False,
            )
        ]
        r = d / 2
    high = max(part.centre[1] + part.half[1] for part in parts)
    wide = 2 * max(part.half[0] for part in parts)
    if high > tallest:
        return book_stack(style, draw, tallest)
    return Piece(width=wide, depth=2 * max(part.half[2] for part in parts), height=high, parts=tuple(parts))


def plant(draw: Draw, high: float) -> Piece:
    """A pot with a crown of leaves."""
    label = labels.OBJECTS
    r = max(0.05, high * draw.uniform(0.12, 0.2))
    pot_high = high * draw.uniform(0.2, 0.4)
    pot = plain(draw, any_colour(draw, 0.5), draw.uniform(0, 0.4))
    green = hsv(draw.uniform(0.2, 0.4), draw.uniform(0.3, 0.8), draw.uniform(0.2, 0.6))
    leaf = Material(
        colour=scale(green, 1.4), second=scale(green, 0.5), plate=float(plates.FOLIAGE), own=0.45, contrast=1.5,
        tiles=(0.9 / high, 0.9 / high), shift=(draw.uniform(), draw.uniform()), fine_contrast=0.15, gloss=0.15,
    )  # fmt: skip
    parts = [post(0, r, (0, pot_high), r, label, pot)]
    for _ in range(draw.integer(5, 16)):
        long = (high - pot_high) * draw.uniform(0.25, 0.5)
        parts.append(
            Part(
                kind=ELLIPSOID,
                centre=(
                    draw.normal(0, r * 0.8),
                    draw.uniform(pot_high, high - 0.25 * long),
                    r + draw.normal(0, r * 0.6),
                ),
                half=(long * draw.uniform(0.08, 0.4), long, long * draw.uniform(0.06, 0.3)),
                label=label,
                material=leaf,
                yaw=draw.uniform(0, 6.28),
                tilt=draw.normal(0, 0.5),
                casts=high > 0.6,
            )
        )
    return Piece(width=2.2 * r, depth=2.2 * r, height=high, parts=tuple(parts))


def lamp(draw: Draw, high: float) -> Piece:
    """A table or floor lamp; its shade may glow."""
    label, r = labels.OBJECTS, max(0.09, min(0.22, high * 0.3))
    tone = hsv(draw.uniform(0.05, 0.15), draw.uniform(0, 0.4), draw.uniform(0.6, 0.95))
    shade = plain(draw, tone, emission=draw.choice((0.0, 0.0, 1.5, 4.0)))
    stand = plain(draw, any_colour(draw, 0.5), 0.6, 60.0)
    shade_high = min(0.3, high * 0.45)
    parts = [
        Part(kind=CYLINDER, centre=(0, 0.01, r), half=(r * 0.6, 0.01, r * 0.6), label=label, material=stand),
        post(0, r, (0, high - shade_high * 0.5), 0.012 if high > 0.8 else 0.02, label, stand),
        Part(
            kind=CYLINDER,
            centre=(0, high - shade_high / 2, r),
            half=(r, shade_high / 2, r),
            label=label,
            material=shade,
            casts=False,
        ),
    ]
    return Piece(width=2 * r, depth=2 * r, height=high, parts=tuple(parts))


def _screen(draw: Draw, wide: float, high: float) -> Material:
    if draw.chance(0.3):
        pool = (plates.SCREEN, plates.SCREEN, plates.PAGE, plates.PHOTO, plates.STREET, plates.GARDEN)
        return picture(draw, wide, high, emission=draw.uniform(0.3, 1.5), pool=pool)
    return plain(
        draw, hsv(draw.uniform(), 0.1, draw.uniform(0.02, 0.08)), draw.uniform(0.3, 1.0), draw.uniform(40, 200)
    )


def television(style: Style, draw: Draw, wide: float | None = None, standing: bool = True) -> Piece:
    """A flat TV or monitor, on a foot or to hang."""
    wide = wide or draw.uniform(0.7, 1.45)
    high = wide * draw.uniform(0.55, 0.63)
    rim = draw.uniform(0.006, 0.03)
    body = plain(draw, draw.choice(((0.03, 0.03, 0.03), (0.06, 0.06, 0.07), (0.6, 0.6, 0.62))), 0.4, 60.0)
    low = draw.uniform(0.04, 0.12) if standing else 0.0
    label, x = labels.TV, (-wide / 2, wide / 2)
    z = 0.1 if standing else 0.02
    parts = [
        block(x, (low, low + high), (z, z + 0.035), label, body),
        block(
            (x[0] + rim, x[1] - rim),
            (low + rim * 1.3, low + high - rim),
            (z + 0.03, z + 0.037),
            label,
            _screen(draw, wide, high),
            casts=False,
        ),
    ]
    if standing:
        parts.append(block((-wide * 0.18, wide * 0.18), (0, 0.015), (0.02, 0.22), label, body))
        parts.append(block((-0.04, 0.04), (0, low + 0.05), (z - 0.02, z + 0.02), label, body))
    return Piece(width=wide, depth=z + 0.12 if standing else 0.06, height=low + high, parts=tuple(parts))


def laptop(style: Style, draw: Draw) -> Piece:
    """An open laptop, or a keyboard."""
    grey = plain(draw, draw.choice(((0.7, 0.7, 0.72), (0.12, 0.12, 0.13))), 0.3, 40.0)
    label = labels.OBJECTS
    parts = [block((-0.17, 0.17), (0, 0.018), (0.08, 0.31), label, grey)]
    if draw.chance(0.7):
        parts.append(Part(centre=(0, 0.12, 0.05), half=(0.17, 0.11, 0.004), label=label, material=grey, tilt=0.25))
        parts.append(
            Part(
                centre=(0, 0.121, 0.055),
                half=(0.16, 0.1, 0.003),
                label=label,
                material=_screen(draw, 0.32, 0.2),
                tilt=0.25,
                casts=False,
            )
        )
    return Piece(width=0.36, depth=0.34, height=0.25, parts=tuple(parts))

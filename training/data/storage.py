"""Things that hold things: cupboard rows, open racks full of boxes, leaflet boards, glass cabinets, chests, pianos.

Frames as in `building_blocks`: x right, `up` upwards, back at z = 0, front towards +z, metres.
"""

from __future__ import annotations

from training.data import labels
from training.data.building_blocks import Style, ball, block, household, legs
from training.data.clutter import clutter, print_of
from training.data.draw import Draw
from training.data.material import Material
from training.data.materials import any_colour, hsv, plain
from training.data.primitives import Part, Piece, Surface, moved
from training.data.small_things import book_row

_F = labels.FURNITURE


def fronts(
    draw: Draw, x: tuple[float, float], up: tuple[float, float], deep: float, label: int, material: Material,
    handle: Material, columns: int, rows: int,
) -> list[Part]:  # fmt: skip
    """A closed body with doors or drawers in front, slightly apart, and handles."""
    parts = [block(x, up, (0.0, deep - 0.02), label, material)]
    gap = draw.uniform(0.002, 0.006)
    style = draw.choice(("bar", "knob", "none"))
    for c in range(columns):
        a, b = (x[0] + (x[1] - x[0]) * k / columns for k in (c, c + 1))
        for r in range(rows):
            low, high = (up[0] + (up[1] - up[0]) * k / rows for k in (r, r + 1))
            parts.append(
                block((a + gap, b - gap), (low + gap, high - gap), (deep - 0.02, deep), label, material, casts=False)
            )
            tall = (high - low) > (b - a) * 1.2
            px, pu = ((b - 0.05) if tall else (a + b) / 2), ((low + high) / 2 if tall else high - 0.06)
            if style == "knob":
                parts.append(ball((px, pu, deep + 0.015), (0.015, 0.015, 0.015), label, handle))
            elif style == "bar":
                w, h = (0.007, 0.07) if tall else (min(0.08, (b - a) * 0.3), 0.007)
                parts.append(
                    block((px - w, px + w), (pu - h, pu + h), (deep + 0.012, deep + 0.025), label, handle, casts=False)
                )
    return parts


def _boards(
    x: tuple[float, float], high: float, deep: float, rows: int, thick: float, clearance: float
) -> tuple[Surface, ...]:
    pitch = (high - thick) / rows
    return tuple(
        Surface(
            x0=x[0] + 0.03, x1=x[1] - 0.03, z0=0.02, z1=deep - 0.02, up=k * pitch + thick + 0.001,
            clearance=(pitch - thick - 0.02) if k < rows else clearance, use="shelf",
        )
        for k in range(rows + 1)
    )  # fmt: skip


def rack(style: Style, draw: Draw) -> Piece:
    """An open metal or wooden rack with boards; boxes, bins and the rest stand on them."""
    wide, high, deep = draw.uniform(0.7, 2.2), draw.uniform(0.9, 2.2), draw.uniform(0.3, 0.55)
    x, rows = (-wide / 2, wide / 2), draw.integer(2, 5)
    material = draw.choice((style.metal, style.wood, style.second_board))
    thick = draw.uniform(0.015, 0.035)
    pitch = (high - thick) / rows
    parts = [block(x, (k * pitch, k * pitch + thick), (0.0, deep), _F, material) for k in range(rows + 1)]
    parts += legs(draw, wide, (0.0, deep), high, _F, material, draw.uniform(0.012, 0.025))
    if draw.chance(0.3):
        parts.append(block(x, (0.0, high), (0.0, 0.01), _F, material))
    areas = _boards(x, high, deep, rows, thick, 0.5)
    if high > 1.6:
        areas = areas[:-1]
    return Piece(width=wide, depth=deep, height=high, parts=tuple(parts), surfaces=areas)


def cubes(style: Style, draw: Draw, wide: float, high: float) -> Piece:
    """A wall of compartments: books, boxes, doors in some, some empty."""
    deep, x = draw.uniform(0.3, 0.42), (-wide / 2, wide / 2)
    columns, rows = max(1, round(wide / draw.uniform(0.35, 0.8))), max(1, round(high / draw.uniform(0.33, 0.48)))
    material, t = draw.choice((style.wood, style.board, style.second_board)), draw.uniform(0.018, 0.035)
    parts = [block(x, (0.0, high), (0.0, 0.012), _F, material)]
    parts += [
        block(
            (x[0] + (wide - t) * c / columns, x[0] + (wide - t) * c / columns + t),
            (0.0, high),
            (0.0, deep),
            _F,
            material,
        )
        for c in range(columns + 1)
    ]
    parts += [
        block(x, ((high - t) * r / rows, (high - t) * r / rows + t), (0.0, deep - 0.003), _F, material)
        for r in range(rows + 1)
    ]
    covers = [household(draw, 0.7) for _ in range(8)]
    door = draw.choice((material, style.trim, household(draw, 0.8)))
    books = 60
    for c in range(columns):
        for r in range(rows):
            a, b = (x[0] + (wide - t) * (c + k) / columns + t * (1 - k) for k in (0, 1))
            low, top = ((high - t) * (r + k) / rows + t * (1 - k) for k in (0, 1))
            kind = draw.weighted((("books", 3.0), ("thing", 3.5), ("door", 1.5), ("bin", 1.5), ("none", 1.5)))
            if kind == "door":
                parts.append(
                    block(
                        (a + 0.003, b - 0.003), (low + 0.003, top - 0.003), (deep - 0.02, deep), _F, door, casts=False
                    )
                )
            elif kind == "bin":
                bin_ = household(draw, 0.4)
                parts.append(
                    block(
                        (a + 0.02, b - 0.02),
                        (low, low + (top - low) * 0.8),
                        (0.04, deep - 0.02),
                        labels.OBJECTS,
                        bin_,
                        casts=False,
                    )
                )
            elif kind == "books" and books > 0:
                row = book_row(draw, (a, b - 0.02), low, (0.02, deep - 0.02), top - low - 0.02, covers)
                row = [part for part in row if part.centre[0] + part.half[0] < b][:books]
                books -= len(row)
                parts += row
            elif kind == "thing":
                thing = clutter(draw, "shelf", top - low - 0.01, b - a - 0.02)
                if thing is not None and thing.depth < deep - 0.02:
                    parts += moved(thing, (a + b) / 2, low, max(0.0, (deep - thing.depth) / 2))
    area = Surface(x0=x[0] + 0.03, x1=x[1] - 0.03, z0=0.02, z1=deep - 0.02, up=high + 0.001, clearance=0.4, use="shelf")
    return Piece(width=wide, depth=deep, height=high, parts=tuple(parts), surfaces=(area,) if high < 1.6 else ())


def cupboard_row(style: Style, draw: Draw, wide: float, high: float) -> Piece:
    """Built-in cupboards or lockers along a wall, often of one strong colour, low ones with a top to use."""
    deep, x = draw.uniform(0.4, 0.62), (-wide / 2, wide / 2)
    paint = plain(draw, any_colour(draw, 0.9), draw.uniform(0.1, 0.6), 50.0)
    body = draw.choice((style.board, style.second_board, paint, style.trim))
    columns = max(1, round(wide / draw.uniform(0.4, 0.7)))
    rows = max(1, round(high / draw.uniform(0.8, 1.6)))
    parts = fronts(draw, x, (0.05, high - 0.02), deep, _F, body, style.metal, columns, rows)
    parts.append(block((x[0] + 0.02, x[1] - 0.02), (0.0, 0.05), (0.0, deep - 0.05), _F, body))
    top = draw.choice((body, style.board))
    parts.append(block((x[0] - 0.006, x[1] + 0.006), (high - 0.02, high), (0.0, deep + 0.01), _F, top))
    area = Surface(
        x0=x[0] + 0.03, x1=x[1] - 0.03, z0=0.03, z1=deep - 0.03, up=high + 0.001, clearance=0.5, use="counter"
    )
    return Piece(width=wide, depth=deep + 0.03, height=high, parts=tuple(parts), surfaces=(area,) if high < 1.5 else ())


def leaflet_boards(style: Style, draw: Draw) -> Piece:
    """Narrow boards with leaflets and magazines that lean against the back."""
    wide, high = draw.uniform(0.6, 1.8), draw.uniform(1.0, 1.9)
    x, rows = (-wide / 2, wide / 2), draw.integer(2, 5)
    body = draw.choice((style.wood, style.board, style.trim))
    parts = [block(x, (0.0, high), (0.0, 0.03), _F, body)]
    for r in range(rows):
        up = 0.25 + (high - 0.5) * r / rows
        parts.append(block(x, (up, up + 0.02), (0.0, 0.14), _F, body))
        at = x[0] + 0.03
        while at < x[1] - 0.25:
            w, h = draw.choice(((0.21, 0.29), (0.11, 0.22), (0.15, 0.21)))
            if draw.chance(0.8):
                thick = draw.uniform(0.003, 0.02)
                parts.append(
                    Part(
                        centre=(at + w / 2, up + 0.02 + h * 0.48, 0.065),
                        half=(w / 2, h / 2, thick),
                        material=print_of(draw, w, h, 0.4),
                        label=labels.BOOKS if thick > 0.008 else labels.OBJECTS,
                        tilt=0.15,
                        casts=False,
                    )
                )
            at += w + draw.uniform(0.01, 0.06)
    return Piece(width=wide, depth=0.15, height=high, parts=tuple(parts))


def glass_cabinet(style: Style, draw: Draw) -> Piece:
    """A cabinet with glazed doors: dark panes with the frame in front, drawers below."""
    wide, high, deep = draw.uniform(0.8, 1.6), draw.uniform(1.5, 2.1), draw.uniform(0.35, 0.5)
    x, low = (-wide / 2, wide / 2), draw.uniform(0.5, 0.8)
    body = draw.choice((style.wood, style.board))
    pane = plain(draw, hsv(0.5, 0.08, draw.uniform(0.15, 0.5)), 1.0, 150.0)
    columns = draw.integer(2, 3)
    parts = fronts(draw, x, (0.0, low), deep, _F, body, style.metal, columns, draw.integer(1, 2))
    parts.append(block(x, (low, high), (0.0, deep - 0.06), _F, body))
    for c in range(columns):
        a, b = (x[0] + wide * (c + k) / columns for k in (0, 1))
        parts.append(
            block((a + 0.05, b - 0.05), (low + 0.06, high - 0.06), (deep - 0.07, deep - 0.05), _F, pane, casts=False)
        )
        for r in range(draw.integer(1, 3)):
            up = low + (high - low) * (r + 1) / 4
            parts.append(
                block((a + 0.04, b - 0.04), (up, up + 0.02), (deep - 0.06, deep - 0.045), _F, body, casts=False)
            )
    return Piece(width=wide, depth=deep + 0.02, height=high, parts=tuple(parts))


def chest(style: Style, draw: Draw) -> Piece:
    """A chest or bench with a rounded lid."""
    wide, high, deep = draw.uniform(0.7, 1.4), draw.uniform(0.35, 0.55), draw.uniform(0.35, 0.5)
    x, body = (-wide / 2, wide / 2), draw.choice((style.wood, style.board))
    lid = draw.choice((body, style.upholstery))
    parts = [
        block(x, (0.0, high - 0.06), (0.0, deep), _F, body),
        block((x[0] - 0.01, x[1] + 0.01), (high - 0.07, high), (0.0, deep + 0.015), _F, lid, 0.02),
    ]
    area = Surface(x0=x[0] + 0.05, x1=x[1] - 0.05, z0=0.04, z1=deep - 0.04, up=high, clearance=0.8)
    return Piece(width=wide, depth=deep + 0.02, height=high, parts=tuple(parts), surfaces=(area,))


def piano(style: Style, draw: Draw) -> Piece:
    """An upright piano with its keys."""
    wide, high = draw.uniform(1.35, 1.5), draw.uniform(1.05, 1.3)
    x = (-wide / 2, wide / 2)
    body = draw.choice((style.wood, plain(draw, (0.03, 0.03, 0.03), 0.9, 100.0)))
    ivory = plain(draw, (0.93, 0.92, 0.88), 0.5)
    parts = [
        block(x, (0.0, high), (0.0, 0.35), _F, body),
        block(x, (0.6, 0.72), (0.3, 0.62), _F, body),
        block((x[0] + 0.06, x[1] - 0.06), (0.71, 0.735), (0.45, 0.61), _F, ivory, casts=False),
        *(block((s * wide / 2, s * (wide / 2 - 0.06)), (0.0, 0.75), (0.3, 0.62), _F, body) for s in (-1, 1)),
    ]
    if draw.chance(0.5):
        music = print_of(draw, 0.4, 0.3, 1.0)
        parts.append(
            Part(centre=(0, 0.95, 0.38), half=(0.2, 0.14, 0.004), label=labels.OBJECTS, material=music, tilt=0.15)
        )
    area = Surface(x0=x[0] + 0.05, x1=x[1] - 0.05, z0=0.03, z1=0.32, up=high, clearance=0.5)
    return Piece(width=wide, depth=0.64, height=high, parts=tuple(parts), surfaces=(area,))

"""Furnished rooms: every purpose can be built, parts stay inside, small things stand on what carries them."""

import pytest
import torch

from training.data import labels, layout
from training.data.arrangement import Room
from training.data.building_blocks import Style, extent, gather, rod
from training.data.clutter import _KINDS, clutter
from training.data.draw import Draw
from training.data.layout import build_scene
from training.data.lighting import _ceiling_lamp
from training.data.people import person
from training.data.primitives import BOX, Part
from training.data.purposes import KINDS
from training.data.seating import chair
from training.data.tables import table


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS])
def test_every_purpose_can_be_built_inside_its_walls(kind, monkeypatch):
    monkeypatch.setattr(layout, "KINDS", ((kind, 1.0),))
    for seed in range(8):
        scene = build_scene(Draw(seed))
        numbers = torch.cat([scene.centre_N3, scene.half_N3, scene.rotation_N33.flatten(1)], dim=1)
        assert torch.isfinite(numbers).all()
        assert (scene.half_N3[6:] > 0).all()
        assert int(scene.label_N.max()) < len(labels.NAMES)
        beyond = (scene.centre_N3[6:] - torch.tensor(scene.room_centre)).abs() - torch.tensor(scene.room_half)
        assert float(beyond.max()) < 0.06
        assert scene.lights or scene.suns or min(scene.ambient) > 0


def test_a_seed_fixes_a_home():
    first, second, other = build_scene(Draw(5)), build_scene(Draw(5)), build_scene(Draw(6))
    assert torch.equal(first.centre_N3, second.centre_N3)
    assert torch.equal(first.material_MK, second.material_MK)
    assert first.focus == second.focus
    assert first.room_half != other.room_half


def test_some_homes_show_a_second_room_behind_an_opening():
    shell_and_walls = []
    for seed in range(30):
        scene = build_scene(Draw(seed))
        box = (scene.kind_N == BOX) & (scene.label_N == labels.WALL)
        high = (scene.half_N3[:, 1] - scene.room_half[1]).abs() < 1e-5
        shell_and_walls.append(int((box & high & (scene.half_N3[:, 0] > 0.03)).sum()) >= 4)
    assert 4 <= sum(shell_and_walls) <= 22


@pytest.mark.parametrize("place", sorted(_KINDS))
def test_things_rest_on_their_base_and_fit_where_they_were_asked_to(place):
    draw = Draw(1)
    found = 0
    for _ in range(120):
        piece = clutter(draw, place, 0.4, 0.5)
        if piece is None:
            continue
        found += 1
        low = min(part.centre[1] - extent(part)[1] for part in piece.parts)
        assert -0.12 < low < 0.03
        assert piece.height <= 0.4
        assert piece.width <= 0.5
        assert min(part.centre[2] - extent(part)[2] for part in piece.parts) == pytest.approx(0.0, abs=1e-6)
    assert found > 60


def held(piece, up):
    """Whether every part hangs together, box by box, with one that reaches the height `up` in metres."""
    boxes = [
        [(c - e, c + e) for c, e in zip(part.centre, extent(part), strict=True)] for part in piece.parts
    ]  # fmt: skip
    reached = [k for k, box in enumerate(boxes) if box[1][0] <= up + 1e-6 and box[1][1] >= up - 1e-6]
    for k in reached:
        for other, box in enumerate(boxes):
            touches = all(a <= d + 1e-6 and c <= b + 1e-6 for (a, b), (c, d) in zip(boxes[k], box, strict=True))
            if touches and other not in reached:
                reached.append(other)
    return len(reached) == len(boxes)


def test_chairs_and_people_stand_on_the_floor():
    for seed in range(60):
        assert held(chair(Style.sample(Draw(seed, 1)), Draw(seed)), 0.0)
        assert held(person(Draw(seed), sitting=False), 0.0)
        assert held(person(Draw(seed), sitting=True), 0.0)


def test_ceiling_lamps_hang_from_the_ceiling():
    for drop in (0.05, 0.1, 0.5, 0.8):
        for seed in range(8):
            assert held(_ceiling_lamp(Draw(seed), (1.0, 0.9, 0.8), drop, 2.6), 2.6)


def test_what_lies_on_a_table_lies_within_it():
    for seed in range(12):
        draw = Draw(seed)
        style = Style.sample(draw)
        room = Room(draw=draw, style=style, half=(4.0, 1.3, 4.0), mess=3.0)
        piece = table(style, draw, "meeting")
        room.furnish(piece, 0.0, 0.0, 0.0)
        area = piece.surfaces[0]
        assert room.parts
        assert room.focus
        for part in room.parts:
            assert area.x0 - 1e-6 <= part.centre[0] <= area.x1 + 1e-6
            assert area.z0 - 1e-6 <= part.centre[2] <= area.z1 + 1e-6
            assert -part.centre[1] > area.up - 1e-6


def test_a_rod_joins_its_ends():
    start, end = (0.1, 0.2, -0.3), (-0.4, 0.9, 0.5)
    bar = rod(start, end, 0.01, labels.OBJECTS, Style.sample(Draw(0)).metal)
    assert bar.centre == pytest.approx([(a + b) / 2 for a, b in zip(start, end, strict=True)])
    reach = [abs(b - a) / 2 for a, b in zip(start, end, strict=True)]
    assert extent(bar) == pytest.approx(reach, abs=0.021)


def test_gather_moves_parts_to_their_own_footprint():
    material = Style.sample(Draw(0)).wood
    part = Part(centre=(1.0, 0.5, -2.0), half=(0.2, 0.5, 0.1), label=labels.OBJECTS, material=material)
    piece = gather([part])
    assert (piece.width, piece.depth, piece.height) == pytest.approx((0.4, 0.2, 1.0))
    assert piece.parts[0].centre == pytest.approx((0.0, 0.5, 0.1))

"""Viewpoints: where hand-held cameras stand, how they look, and that no frame is wasted."""

import math
from dataclasses import replace

import pytest
import torch

from training.data.camera import Camera
from training.data.caster import Hits, cast_boxes
from training.data.draw import Draw
from training.data.layout import build_scene
from training.data.primitives import Scene
from training.data.viewpoint import ViewConfig, free_distance, free_distances, sample_camera, sample_focal

NO_VIEW = dict.fromkeys(("overview", "corner", "surface", "close_up", "tilted", "seated"), 0.0)
SEEDS = range(60)


@pytest.fixture(scope="module")
def scenes():
    return [build_scene(Draw(seed)) for seed in SEEDS]


def cast(scene: Scene, camera: Camera) -> Hits:
    rays = camera.rays()[:, ::4, ::4].reshape(3, -1)
    return cast_boxes(scene, torch.tensor(camera.position), rays)


def angles(camera: Camera) -> tuple[float, float]:
    """Pitch and roll in degrees."""
    r = camera.rotation
    return math.degrees(math.asin(-float(r[1, 2]))), math.degrees(math.atan2(float(r[1, 0]), float(r[1, 1])))


def test_default_views_cover_what_hands_do_and_waste_little(scenes):
    cameras = [sample_camera(scene, Draw(seed, 1), 48, 64) for seed, scene in zip(SEEDS, scenes, strict=True)]
    more = [sample_camera(scene, Draw(seed, 4), 48, 64) for seed, scene in zip(SEEDS, scenes, strict=True)]
    pitch, roll = torch.tensor([angles(camera) for camera in (*cameras, *more)]).T
    assert pitch.quantile(0.1) < -25
    assert pitch.max() > 5
    assert pitch.min() > -62
    assert 1.5 < roll.abs().median() < 5
    assert 8 < roll.abs().max() < 21
    hits = [cast(scene, camera) for scene, camera in zip(scenes, cameras, strict=True)]
    depth = torch.cat([hit.t for hit in hits])
    assert 1.5 < depth.median() < 2.8
    assert depth.quantile(0.05) < 1.0
    assert depth.quantile(0.95) > 4.0
    assert (depth < 0.5).float().mean() < 0.05
    filled = torch.tensor([hit.which.bincount().max() / len(hit.which) for hit in hits])
    assert (filled > 0.8).float().mean() < 0.05
    labels = torch.tensor(
        [len(set(scene.label_N[hit.which].tolist())) for scene, hit in zip(scenes, hits, strict=True)]
    )
    assert labels.float().mean() > 5


def test_cameras_keep_clear_of_things_and_inside_the_room(scenes):
    for seed, scene in zip(SEEDS, scenes, strict=True):
        camera = sample_camera(scene, Draw(seed, 2), 48, 64)
        assert 0.2 <= -camera.position[1] <= 2 * scene.room_half[1] - 0.2
        assert free_distance(scene, camera.position) > 0.2


def test_every_kind_of_view_is_as_described(scenes):
    found = {}
    for name in NO_VIEW:
        views = ViewConfig(**(NO_VIEW | {name: 1.0}))
        cameras = [sample_camera(scene, Draw(5, 3), 48, 64, views) for scene in scenes[:24]]
        depth = torch.tensor([float(cast(s, c).t.median()) for s, c in zip(scenes, cameras, strict=False)])
        height = torch.tensor([-camera.position[1] for camera in cameras])
        pitch = torch.tensor([angles(camera)[0] for camera in cameras])
        found[name] = depth.median(), height.median(), pitch
    assert found["close_up"][0] < found["overview"][0] < found["corner"][0] + 0.5
    assert found["surface"][0] < found["overview"][0]
    assert found["seated"][1] < 1.25 < found["overview"][1]
    assert (found["tilted"][2].abs() > 4).float().mean() > 0.9
    assert found["surface"][2].median() < found["overview"][2].median()


def test_roll_zero_is_level_and_a_seed_fixes_the_camera(scenes):
    level = sample_camera(scenes[0], Draw(4), 48, 64, ViewConfig(roll=0.0))
    assert abs(angles(level)[1]) < 1e-4
    first, second = (sample_camera(scenes[1], Draw(6), 48, 64) for _ in range(2))
    assert torch.equal(first.rotation, second.rotation)
    assert replace(first, rotation=second.rotation) == second
    assert sample_camera(scenes[1], Draw(7), 48, 64).position != first.position


def test_focal_lengths_gather_at_depth_cameras_and_phones():
    draw = Draw(0)
    ratio = torch.tensor([sample_focal(draw, 100) / 100 for _ in range(2000)])
    assert 0.6 <= ratio.min() < 0.63
    assert 1.3 < ratio.max() <= 1.4
    assert ((ratio > 0.8) & (ratio < 0.95)).float().mean() > 0.45
    assert ((ratio > 0.65) & (ratio < 0.8)).float().mean() > 0.25


def test_free_distance_is_exact_beside_a_box_and_a_wall(scenes):
    scene = replace(
        scenes[0], room_half=(3.0, 1.25, 3.0), kind_N=scenes[0].kind_N[:7],
        rotation_N33=torch.eye(3).expand(7, 3, 3), centre_N3=torch.tensor([[0.0, -0.5, 0.0]]).repeat(7, 1),
        half_N3=torch.tensor([[0.5, 0.5, 0.5]]).repeat(7, 1),
    )  # fmt: skip
    points = torch.tensor([[1.1, -0.7, 0.0], [0.8, -1.4, 0.0], [2.9, -1.2, 0.0], [0.1, -0.5, 0.2], [3.4, -1.0, 0.0]])
    torch.testing.assert_close(free_distances(scene, points), torch.tensor([0.6, 0.5, 0.1, 0.0, -0.4]))


def test_no_kind_of_view_is_refused():
    with pytest.raises(ValueError, match="expected one kind of view"):
        ViewConfig(**NO_VIEW)
    with pytest.raises(ValueError, match="corner: expected at least 0"):
        ViewConfig(corner=-1.0)

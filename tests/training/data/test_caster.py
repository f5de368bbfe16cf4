"""Solids met by rays against closed forms, and image casting against casting single points."""

import math

import pytest
import torch

from training.data import labels
from training.data.camera import Camera, look
from training.data.caster import cast_image, cast_points, light_reaching
from training.data.material import Material
from training.data.primitives import BOX, CYLINDER, ELLIPSOID, ROUNDED, Part, Scene, pack
from training.data.surfaces import surface

GREY = Material(colour=(0.5, 0.5, 0.5))


def scene_of(*parts: Part) -> Scene:
    labels_of_shell = [labels.FLOOR, labels.CEILING, *[labels.WALL] * 4]
    return pack(
        (3.0, 1.5, 4.0), [GREY] * 6, labels_of_shell, parts, lights=[], suns=[], ambient=(1.0, 1.0, 1.0), focus=[]
    )


def camera_at(position: tuple[float, float, float], yaw: float = 0.0, pitch: float = 0.0) -> Camera:
    return Camera.centred(look(yaw, pitch, 0.0), position, 40.0, 31, 41)


def test_axis_parallel_view_of_an_empty_room_has_the_walls_depth():
    camera = camera_at((0.5, -1.2, -1.0))
    hits = cast_image(scene_of(), camera, camera.rays())
    assert hits.t[15, 20] == pytest.approx(5.0)
    assert hits.which[15, 20] == 4  # the wall at z = +4
    assert torch.isfinite(hits.t).all()


def test_looking_down_meets_the_floor():
    camera = camera_at((0.0, -1.2, 0.0), pitch=-math.pi / 2)
    hits = cast_image(scene_of(), camera, camera.rays())
    assert hits.which[15, 20] == 0
    assert hits.t[15, 20] == pytest.approx(1.2, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "depth"),
    [(BOX, 1.6), (ELLIPSOID, 1.6), (CYLINDER, 1.6), (ROUNDED, 1.6)],
    ids=["box", "ball", "tube", "soft"],
)
def test_solid_in_front_is_met_at_its_nearest_point(kind, depth):
    part = Part(kind=kind, centre=(0.0, -1.0, 2.0), half=(0.3, 0.5, 0.4), label=3, material=GREY, radius=0.1)
    camera = camera_at((0.0, -1.0, 0.0))
    rays = camera.rays()
    hits = cast_image(scene_of(part), camera, rays)
    assert hits.which[15, 20] == 6
    assert hits.t[15, 20] == pytest.approx(depth, abs=1e-4)
    flat = type(hits)(hits.t.reshape(-1), hits.which.reshape(-1))
    origin = torch.tensor(camera.position)[:, None]
    normal = surface(scene_of(part), origin, rays.reshape(3, -1), flat).normal_3P.view(3, 31, 41)
    torch.testing.assert_close(normal[:, 15, 20], torch.tensor([0.0, 0.0, -1.0]), atol=1e-4, rtol=0)


def test_ellipsoid_points_satisfy_its_equation():
    part = Part(
        kind=ELLIPSOID, centre=(0.1, -1.0, 2.0), half=(0.5, 0.3, 0.4), label=3, material=GREY, yaw=0.7, tilt=0.4
    )
    camera = camera_at((0.0, -1.1, 0.0), yaw=0.03)
    rays = camera.rays()
    scene = scene_of(part)
    hits = cast_image(scene, camera, rays)
    mask = hits.which == 6
    points = torch.tensor(camera.position)[:, None] + hits.t[mask] * rays[:, mask]
    local = scene.rotation_N33[6].T @ (points - scene.centre_N3[6][:, None]) / scene.half_N3[6][:, None]
    assert int(mask.sum()) > 50
    torch.testing.assert_close((local**2).sum(0), torch.ones(int(mask.sum())), atol=1e-4, rtol=0)


def test_casting_points_equals_casting_the_image():
    parts = [
        Part(
            kind=k,
            centre=(0.4 * k - 0.6, -1.0 + 0.1 * k, 1.5 + 0.3 * k),
            half=(0.2, 0.3, 0.25),
            label=3,
            material=GREY,
            yaw=0.4 * k,
            tilt=0.2,
            radius=0.05,
        )
        for k in (BOX, ROUNDED, CYLINDER, ELLIPSOID)
    ]
    scene, camera = scene_of(*parts), camera_at((0.05, -1.1, -0.5), yaw=0.1, pitch=-0.1)
    image = cast_image(scene, camera, camera.rays())
    y, x = torch.meshgrid(torch.arange(31.0), torch.arange(41.0), indexing="ij")
    points = cast_points(scene, camera, torch.stack([x.reshape(-1), y.reshape(-1)]))
    same = points.which == image.which.reshape(-1)
    assert same.float().mean() > 0.995  # silhouettes may fall either way by rounding
    torch.testing.assert_close(points.t[same], image.t.reshape(-1)[same], atol=1e-4, rtol=1e-4)
    assert set(image.which.unique().tolist()) >= {6, 7, 8, 9}


def test_shadow_is_full_behind_a_thick_box_and_absent_beside_it():
    part = Part(centre=(0.0, -1.0, 1.0), half=(0.3, 0.3, 0.3), label=3, material=GREY)
    points = torch.tensor([[0.01, -1.01, 2.5], [1.5, -1.0, 2.5]]).T
    towards = torch.tensor([[0.0, -1.0, -1.0]]).T - points
    reaching = light_reaching(scene_of(part), points, towards, 0.02, [6])
    torch.testing.assert_close(reaching, torch.tensor([0.0, 1.0]))

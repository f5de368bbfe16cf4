"""Light: bounded in a white room, mirrored exactly, bumps and adaptive sampling leave geometry alone."""

import math
from dataclasses import replace

import pytest
import torch

from training.data import labels
from training.data.antialiasing import choose_samples, even_pixels
from training.data.camera import Camera, look
from training.data.caster import cast_image
from training.data.indirect import indirect_light, shell_glow
from training.data.material import Material
from training.data.plates import SOFT, load_plates
from training.data.primitives import Light, Part, Scene, pack
from training.data.reflections import reflected_light, reflectivity
from training.data.rooms import render_view

GREY = Material(colour=(0.5, 0.5, 0.5), second=(0.5, 0.5, 0.5), fine_contrast=0.0)
WHITE = replace(GREY, colour=(1.0, 1.0, 1.0), second=(1.0, 1.0, 1.0))


def scene_of(
    *parts: Part, shell: Material = GREY, lights: tuple[Light, ...] = (), floor: Material | None = None
) -> Scene:
    names = [labels.FLOOR, labels.CEILING, *[labels.WALL] * 4]
    materials = [floor or shell, *[shell] * 5]
    return pack((2.0, 1.25, 2.5), materials, names, parts, lights=lights, suns=[], ambient=(1.0, 1.0, 1.0), focus=[])


def camera_at(position=(0.0, -1.2, -1.5), yaw=0.0, pitch=0.0, size=(48, 64)) -> Camera:
    return Camera.centred(look(yaw, pitch, 0.0), position, 50.0, *size)


def test_a_white_room_without_lamps_stays_as_bright_as_its_ambient_light():
    part = Part(centre=(0.3, -0.4, 1.0), half=(0.4, 0.4, 0.4), label=3, material=WHITE)
    view = render_view(scene_of(part, shell=WHITE), camera_at(), True)
    assert float(view.radiance_3HW.min()) > 0
    assert float(view.radiance_3HW.max()) < 3.0
    assert float(shell_glow(scene_of(shell=WHITE)).max()) < 2.0


def test_more_reflectance_and_more_light_give_more_radiance():
    lamp = Light(position=(0.0, -2.0, 0.0), colour=(2.0, 2.0, 2.0))
    dark = render_view(scene_of(lights=(lamp,)), camera_at(), True).radiance_3HW
    white = render_view(scene_of(lights=(lamp,), shell=WHITE), camera_at(), True).radiance_3HW
    unlit = render_view(scene_of(), camera_at(), True).radiance_3HW
    assert (white > dark).all()
    assert (dark > unlit).all()


def test_a_red_floor_tints_what_faces_down_more_than_what_faces_up():
    red = replace(GREY, colour=(0.9, 0.1, 0.1), second=(0.9, 0.1, 0.1))
    lamp = Light(position=(0.0, -2.0, 0.0), colour=(2.0, 2.0, 2.0))
    scene = scene_of(lights=(lamp,), floor=red)
    point = torch.tensor([[0.5, 0.5], [-1.0, -1.0], [0.5, 0.5]])
    normal = torch.tensor([[0.0, 0.0], [1.0, -1.0], [0.0, 0.0]])
    light = indirect_light(scene, point, normal, [])
    down, up = light[0] / light[1]
    assert down > 1.15 * up


def test_corners_and_the_floor_under_furniture_are_darker():
    shelf = Part(centre=(0.0, -0.12, 0.0), half=(0.5, 0.02, 0.5), label=3, material=GREY)
    scene = scene_of(shelf)
    point = torch.tensor([[0.0, 1.95, 1.2], [0.0, 0.0, 0.0], [0.0, 2.45, 0.8]])
    normal = torch.tensor([0.0, -1.0, 0.0])[:, None].expand(3, 3)
    under, corner, free = indirect_light(scene, point, normal, [6])[0]
    assert under < 0.6 * free
    assert corner < 0.8 * free


def test_a_mirror_shows_what_is_in_front_of_it_and_keeps_its_own_geometry():
    glass = Material(colour=(0.1, 0.1, 0.1), fine_contrast=0.0, gloss=0.5, mirror=1.0)
    lamp_box = replace(WHITE, emission=5.0)
    mirror = Part(centre=(0.0, -1.2, 2.49), half=(0.5, 0.5, 0.01), label=labels.OBJECTS, material=glass, casts=False)
    behind = Part(centre=(0.3, -1.2, -2.0), half=(0.1, 0.1, 0.1), label=3, material=lamp_box, casts=False)
    scene, camera = scene_of(mirror, behind), camera_at((0.0, -1.2, 0.0), size=(49, 65))
    view = render_view(scene, camera, False)
    x = 50.0 * 0.3 / (2 * 2.48 + 1.9) + 32  # the image of the box's front lies as far behind the glass
    lit = view.radiance_3HW[0] > 2.0
    assert lit[24, round(x)]
    assert not lit[24, 32 - round(x - 32)]
    assert float(lit.float().sum()) < 0.02 * lit.numel()
    assert view.hits.t[24, round(x)] == pytest.approx(2.48, abs=1e-4)
    assert scene.label_N[view.hits.which[24, round(x)]] == labels.OBJECTS


def test_mirrored_light_of_a_glowing_wall_is_its_emission():
    scene = scene_of(shell=replace(GREY, emission=4.0))
    point = torch.tensor([[0.0], [0.0], [0.0]])
    up = torch.tensor([[0.0], [-1.0], [0.0]])
    value = reflected_light(scene, load_plates("cpu"), point, up, up)
    ambient = shell_glow(scene).mean() + 0.4
    reflectance = 0.013 + 0.987 * 0.5**2.2
    torch.testing.assert_close(value[:, 0], (reflectance * (4.0 + ambient)).expand(3), rtol=0.02, atol=0)


def test_reflectivity_follows_fresnel():
    fields = torch.zeros(33, 3)
    fields[26] = torch.tensor([0.0, 0.9, 0.9])
    grazing = reflectivity(fields, torch.tensor([0.05, 0.05, 1.0]))
    assert grazing[0] == 0
    assert 0.4 < grazing[1] < 0.7
    assert grazing[2] == pytest.approx(0.05)


def test_bumps_change_shading_but_no_label():
    flat = replace(GREY, bump_plate=float(SOFT))
    lamp = Light(position=(1.5, -1.2, 2.0), colour=(2.0, 2.0, 2.0))
    camera = camera_at(yaw=0.2, pitch=-0.2)
    plain = render_view(scene_of(shell=flat, lights=(lamp,)), camera, True)
    bumpy = render_view(scene_of(shell=replace(flat, bump=0.3), lights=(lamp,)), camera, True)
    assert torch.equal(plain.normal_3HW, bumpy.normal_3HW)
    assert torch.equal(plain.hits.t, bumpy.hits.t)
    assert float((plain.radiance_3HW - bumpy.radiance_3HW).abs().mean()) > 0.01


def test_half_pixels_are_shaded_around_edges_and_creases_only():
    part = Part(centre=(0.0, -1.0, 1.0), half=(0.3, 0.3, 0.3), label=3, material=GREY, yaw=math.pi / 4)
    camera = camera_at()
    fine = cast_image(scene_of(part), camera.refined(), camera.refined().rays())
    even = even_pixels(fine.t, fine.which)
    assert 0.7 < even.float().mean() < 0.97
    assert not even[20:30, 31:33].any(1).all() or not even[20:30, 31:33].all()  # the vertical edge that faces us
    samples = choose_samples(even)
    assert samples.pixel_P[: even.numel()].view(48, 64)[2, 3] == 5 * 129 + 7
    assert len(samples.pixel_P.unique()) == len(samples.pixel_P)
    around = set(samples.pixel_P.tolist())
    for y, x in (~even).nonzero()[:50].tolist():
        assert all((2 * y + dy) * 129 + 2 * x + dx in around for dy in range(3) for dx in range(3))

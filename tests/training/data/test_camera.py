"""Cameras: rays, derived frames, and a lens distortion whose labels stay exact."""

import math
from dataclasses import replace

import pytest
import torch

from training.data.camera import Camera, look
from training.data.caster import cast_image
from training.data.draw import Draw
from training.data.layout import build_scene
from training.data.viewpoint import ViewConfig, sample_camera

CAMERA = Camera.centred(look(0.4, -0.2, 0.1), (0.0, -1.4, 0.0), 60.0, 48, 64)


def test_look_turns_pitches_and_rolls_as_described():
    torch.testing.assert_close(look(math.pi / 2, 0, 0)[:, 2], torch.tensor([1.0, 0.0, 0.0]), atol=1e-6, rtol=0)
    assert look(0, 0.3, 0)[1, 2] < 0
    rotation = look(0.3, -0.5, 0.2)
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("distortion", [0.0, 0.15, -0.1])
def test_refined_and_extended_frames_see_along_the_same_rays(distortion):
    camera = replace(CAMERA, distortion=distortion)
    rays = camera.rays()
    torch.testing.assert_close(camera.refined().rays()[:, 1::2, 1::2], rays, atol=1e-6, rtol=0)
    torch.testing.assert_close(camera.extended(60, 80, 5, 7).rays()[:, 7:55, 5:69], rays, atol=1e-6, rtol=0)


def test_distortion_scales_the_ray_by_one_plus_k_r_squared():
    straight = CAMERA.rotation.T @ CAMERA.rays().flatten(1)
    bent = CAMERA.rotation.T @ replace(CAMERA, distortion=0.2).rays().flatten(1)
    scale = 1 + 0.2 * straight[:2].square().sum(0)
    torch.testing.assert_close(bent[:2], straight[:2] * scale, atol=1e-5, rtol=0)
    torch.testing.assert_close(bent[2], torch.ones(48 * 64), atol=1e-5, rtol=0)


@pytest.mark.parametrize("distortion", [0.25, -0.25])
def test_windows_of_distorted_pictures_hide_nothing(distortion, monkeypatch):
    scene = build_scene(Draw(4))
    camera = replace(sample_camera(scene, Draw(4, 1), 48, 64), distortion=distortion)
    found = cast_image(scene, camera, camera.rays())
    everywhere = [(0, 64, 0, 48)] * len(scene.kind_N)
    monkeypatch.setattr("training.data.caster.project_windows", lambda *_: everywhere)
    free = cast_image(scene, camera, camera.rays())
    assert torch.equal(free.which, found.which)
    assert torch.equal(free.t, found.t)


def test_a_distortion_that_folds_the_picture_is_refused():
    with pytest.raises(ValueError, match="distortion: expected more than"):
        replace(CAMERA, distortion=-2.0)


def test_distortion_is_off_by_default_and_bounded_when_asked_for():
    scene = build_scene(Draw(2))
    assert sample_camera(scene, Draw(3), 48, 64).distortion == 0
    found = [sample_camera(scene, Draw(seed), 48, 64, ViewConfig(distortion=0.1)).distortion for seed in range(4)]
    assert len(set(found)) == 4
    assert max(abs(value) for value in found) <= 0.1

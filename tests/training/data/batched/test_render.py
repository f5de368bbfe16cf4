"""Many scenes at once against one scene at a time: the same hits and the same light."""

from dataclasses import replace
from functools import cache, partial

import pytest
import torch

from training.data.batched import cast, light
from training.data.batched.cast import camera_rays
from training.data.batched.render import render_views
from training.data.batched.scenes import STEP, batch_scenes
from training.data.draw import Draw
from training.data.layout import build_scene
from training.data.photometrics import CLEAN
from training.data.primitives import Sun
from training.data.rooms import CAMERA_STREAM, SCENE_STREAM, RoomConfig, is_outdoors, render_rooms, render_view
from training.data.viewpoint import sample_camera

SEEDS = (51, 55)  # small homes: a mirror, a few lamps


def some_homes(seeds, height, width):
    """Rooms with their cameras; the first is lit by a sun too, through a pane in its wall at z = -half."""
    scenes = [build_scene(Draw(seed, SCENE_STREAM)) for seed in seeds]
    wall = -scenes[0].room_half[2]
    sun = Sun(
        towards=(0.3, -0.6, -0.74), colour=(3.0, 2.8, 2.4), pane_centre=(0.0, -1.4, wall + 0.03),
        pane_normal=(0.0, 0.0, 1.0), pane_along=(1.0, 0.0, 0.0), pane_half=(0.9, 0.7),
    )  # fmt: skip
    scenes[0] = replace(scenes[0], suns=(sun,))
    pairs = zip(seeds, scenes, strict=True)
    return scenes, [sample_camera(scene, Draw(seed, CAMERA_STREAM), height, width) for seed, scene in pairs]


@pytest.fixture(scope="module")
def homes():
    return some_homes(SEEDS, 24, 32)


def check_equal(scenes, cameras, antialias):
    together = render_views(scenes, cameras, antialias, "cpu")
    for b, (scene, camera) in enumerate(zip(scenes, cameras, strict=True)):
        alone = render_view(scene, camera, antialias)
        same = together.which_BHW[b] == alone.hits.which
        assert same.float().mean() > 0.999
        labels = scene.label_N[alone.hits.which]
        assert (together.label_BHW[b] == labels).float().mean() > 0.999
        apart = (together.depth_BHW[b] - alone.hits.t).abs()[same]
        assert (apart < 1e-4).float().mean() > 0.995
        assert float(apart.max()) < 0.01  # rays that graze thin round solids: rounding of the discriminant
        turned = (together.normal_B3HW[b] * alone.normal_3HW).sum(0)[same]
        assert (turned > 0.999).float().mean() > 0.998
        exposed = [radiance.clamp(0, 1) ** (1 / 2.2) for radiance in (together.radiance_B3HW[b], alone.radiance_3HW)]
        assert float((exposed[0] - exposed[1]).abs().mean()) < 1 / 255


def test_a_batch_gives_the_pictures_of_single_views(homes):
    check_equal(*homes, True)


def test_a_batch_gives_the_pictures_of_single_views_without_antialiasing(homes):
    check_equal(*homes, False)


@pytest.mark.full
def test_furnished_homes_give_the_same_pictures_too():
    check_equal(*some_homes((3, 11, 20, 35), 48, 64), True)


def test_slots_are_sorted_by_kind_and_padded_to_whole_steps(homes):
    batch = batch_scenes(*homes)
    assert all((end - first) % STEP == 0 for _, first, end in batch.runs)
    kinds = batch.solids.kind_N.view(len(SEEDS), -1)
    valid = batch.numbers_NBQ[..., 16].T > 0
    for kind, first, end in batch.runs:
        assert (kinds[:, first:end][valid[:, first:end]] == kind).all()
    assert valid.sum(1).tolist() == [len(scene.kind_N) for scene in homes[0]]


def test_rays_are_the_cameras_own(homes):
    batch = batch_scenes(*homes)
    rays = camera_rays(batch)
    for b, camera in enumerate(homes[1]):
        torch.testing.assert_close(rays[:, b].view(3, 24, 32), camera.rays(), atol=1e-6, rtol=1e-6)


@pytest.mark.full
def test_steps_trace_as_one_graph(homes, monkeypatch):
    """No value is read back inside a step, and capture changes nothing."""
    monkeypatch.setattr(cast, "_fused", cache(partial(torch.compile, backend="eager", fullgraph=True)))
    monkeypatch.setattr(cast, "STEP", 2)  # graphs of 2 slots trace faster than of 8 and are made of the same
    monkeypatch.setattr(light, "STEP", 2)
    traced, plain = (render_views(*homes, False, "cpu", compiled) for compiled in (True, False))
    for one, other in zip(traced, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_scenes_that_do_not_fit_together_are_refused(homes):
    scenes, cameras = homes
    with pytest.raises(ValueError, match="expected one for each of 2 scenes"):
        batch_scenes(scenes, cameras[:1])
    other = sample_camera(scenes[0], Draw(1, CAMERA_STREAM), 10, 12)
    with pytest.raises(ValueError, match="one frame size"):
        batch_scenes(scenes, [cameras[0], other])


def test_rooms_are_the_same_in_batches_and_one_by_one():
    config = RoomConfig(height=18, width=24, photometrics=CLEAN, outdoor=0.4)
    seeds = (51, 4, 55, 81)
    one_by_one, batched = (render_rooms(seeds, config, batched=batched) for batched in (False, True))
    assert any(is_outdoors(seed, 0.4) for seed in seeds)
    assert not all(is_outdoors(seed, 0.4) for seed in seeds)
    for one, other in zip(one_by_one, batched, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
    assert (one_by_one.label_BHW == batched.label_BHW).float().mean() > 0.995
    assert float((one_by_one.image_B3HW - batched.image_B3HW).abs().mean()) < 1 / 255

"""Outdoor frames: fixed by their seed; sky and far things invalid everywhere; cameras above ground, outside solids."""

import math

import pytest
import torch

from training.data import labels
from training.data.camera import Camera, look
from training.data.draw import Draw
from training.data.layout import build_scene
from training.data.outdoor.ignored import IGNORED
from training.data.outdoor.layouts import LAYOUTS
from training.data.outdoor.scene import build_outdoor_scene, clearance, sample_outdoor_camera
from training.data.outdoor.sky import FAR_METRES, too_far
from training.data.pairs import PairConfig, render_pairs
from training.data.photometrics import CLEAN
from training.data.rooms import CAMERA_STREAM, SCENE_STREAM, RoomConfig, is_outdoors, render_rooms, render_view
from training.regions import OVERLAP

SMALL = RoomConfig(height=48, width=64, outdoor=1.0)
SEEDS = (100, 203, 304, 315)


@pytest.fixture(scope="module")
def frames():
    return render_rooms(SEEDS, SMALL)


def test_a_frame_depends_on_its_seed_alone(frames):
    alone = render_rooms([SEEDS[2]], SMALL)
    for together, single in zip(frames, alone, strict=True):
        assert torch.equal(together[2], single[0])


def test_depth_normal_and_label_are_invalid_together(frames):
    unknown = frames.depth_BHW == 0
    assert 0.02 < float(unknown.float().mean()) < 0.6
    length = frames.normal_B3HW.norm(dim=1)
    assert torch.equal(unknown, length == 0)
    torch.testing.assert_close(length[~unknown], torch.ones(int((~unknown).sum())), atol=1e-4, rtol=0)
    assert (frames.label_BHW[unknown] == IGNORED).all()
    assert float(frames.depth_BHW.max()) <= FAR_METRES
    assert set(frames.label_BHW.unique().tolist()) <= {*range(len(labels.NAMES)), IGNORED}
    for name in (labels.FLOOR, labels.WALL, labels.WINDOW):
        assert (frames.label_BHW == name).any()


def test_ground_has_the_depth_of_its_plane_and_the_sky_is_far():
    scene = build_outdoor_scene(Draw(SEEDS[0], SCENE_STREAM))
    camera = sample_outdoor_camera(scene, Draw(SEEDS[0], CAMERA_STREAM), 48, 64)
    hits = render_view(scene, camera, False).hits
    down = camera.rays()[1]
    ground = hits.which == 0
    assert ground.float().mean() > 0.02
    torch.testing.assert_close(hits.t[ground], -camera.position[1] / down[ground], atol=0, rtol=1e-4)
    up = Camera.centred(look(0.0, math.pi / 2, 0.0), (0.0, -60.0, 0.0), 64.0, 8, 8)
    assert too_far(render_view(scene, up, False).hits).all()


@pytest.mark.parametrize("seed", range(400, 406))
def test_cameras_stand_on_the_ground_outside_of_solids(seed):
    scene = build_outdoor_scene(Draw(seed, SCENE_STREAM))
    camera = sample_outdoor_camera(scene, Draw(seed, CAMERA_STREAM), 48, 64)
    assert 1.2 <= -camera.position[1] <= 6.0
    assert clearance(scene, camera.position) > 0.3
    assert 0.6 <= camera.focal / 64 <= 1.4


def test_all_layouts_occur_and_shadows_stay_few():
    assert set(LAYOUTS) == {"street", "square", "garden", "country"}
    for seed in range(6):
        scene = build_outdoor_scene(Draw(seed, SCENE_STREAM))
        assert int(scene.casts_N.sum()) <= 100
        assert len(scene.suns) <= 1


def test_rooms_stay_as_they_are_beside_outdoor_frames():
    inside = [seed for seed in range(40) if not is_outdoors(seed, 0.3)]
    assert 20 < len(inside) < 36
    assert all(not is_outdoors(seed, 0.0) for seed in range(40))
    size = {"height": 24, "width": 32, "antialias": False, "photometrics": CLEAN}
    mixed, rooms = (render_rooms(inside[:1], RoomConfig(**size, outdoor=share)) for share in (0.3, 0.0))
    for one, other in zip(mixed, rooms, strict=True):
        assert torch.equal(one, other)


def test_outdoor_pairs_are_consistent_up_to_the_sky():
    pair = render_pairs([703], PairConfig(height=48, width=64, antialias=False, outdoor=1.0))
    assert float((pair.region_BHW == OVERLAP).float().mean()) > 0.15
    assert float(pair.inverse_depth_BHW[pair.inverse_depth_BHW > 0].min()) < 1 / FAR_METRES
    assert float(pair.translation_B3.norm()) <= 2.0


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="outdoor: expected a share"):
        RoomConfig(outdoor=1.5)
    with pytest.raises(ValueError, match="scene: expected an outdoor scene"):
        sample_outdoor_camera(build_scene(Draw(1)), Draw(2), 48, 64)

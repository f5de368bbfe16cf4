"""Generated frames: their depth, normals, labels and intrinsics agree, and a seed fixes a frame."""

import pytest
import torch

from training.data import labels
from training.data.camera import Camera
from training.data.draw import Draw
from training.data.layout import build_scene
from training.data.pairs import PairConfig
from training.data.photometrics import CLEAN
from training.data.rooms import CAMERA_STREAM, SCENE_STREAM, RoomConfig, render_rooms, render_view
from training.data.viewpoint import free_distance, sample_camera

SMALL = RoomConfig(height=48, width=64)
SEEDS = (3, 11, 107, 20)


@pytest.fixture(scope="module")
def frames():
    return render_rooms(SEEDS, SMALL)


def unproject(frames):
    """Camera-frame rays and points, float32 [B, 3, H, W]."""
    height, width = frames.depth_BHW.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    k = frames.intrinsics_B33
    rays = torch.stack(
        [
            (x - k[:, 0, 2, None, None]) / k[:, 0, 0, None, None],
            (y - k[:, 1, 2, None, None]) / k[:, 1, 1, None, None],
            torch.ones(len(k), height, width),
        ],
        dim=1,
    )
    return rays, rays * frames.depth_BHW[:, None]


def test_shapes_types_and_ranges(frames):
    assert frames.image_B3HW.shape == (4, 3, 48, 64)
    assert frames.image_B3HW.dtype == frames.depth_BHW.dtype == frames.normal_B3HW.dtype == torch.float32
    assert frames.label_BHW.dtype == torch.uint8
    assert int(frames.label_BHW.max()) < len(labels.NAMES)
    assert 0 <= float(frames.image_B3HW.min()) <= float(frames.image_B3HW.max()) <= 1
    assert float(frames.depth_BHW.min()) > 0.05
    assert float(frames.depth_BHW.max()) < 20
    for brightness in frames.image_B3HW.mean((1, 2, 3)):
        assert 0.1 < brightness < 0.9
    torch.testing.assert_close(frames.intrinsics_B33[:, 0, 2], torch.full((4,), 31.5))


def test_normals_are_unit_and_face_the_camera(frames):
    rays, _ = unproject(frames)
    torch.testing.assert_close(frames.normal_B3HW.norm(dim=1), torch.ones(4, 48, 64), atol=1e-4, rtol=0)
    assert float((frames.normal_B3HW * rays).sum(1).max()) < 1e-4


def test_normals_agree_with_depth_on_flat_areas(frames):
    _, points = unproject(frames)
    normal = frames.normal_B3HW
    du = points[:, :, 1:-1, 2:] - points[:, :, 1:-1, :-2]
    dv = points[:, :, 2:, 1:-1] - points[:, :, :-2, 1:-1]
    measured = torch.nn.functional.normalize(torch.linalg.cross(dv, du, dim=1), dim=1)
    inner, label = normal[:, :, 1:-1, 1:-1], frames.label_BHW
    flat = torch.ones_like(inner[:, 0], dtype=torch.bool)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        shifted = normal[:, :, dy : dy + 46, dx : dx + 62]
        flat &= ((shifted - inner).abs().amax(1) < 1e-4) & (
            label[:, dy : dy + 46, dx : dx + 62] == label[:, 1:-1, 1:-1]
        )
        gap = (points[:, :, dy : dy + 46, dx : dx + 62] - points[:, :, 1:-1, 1:-1]) * inner
        flat &= gap.sum(1).abs() < 1e-3
    assert flat.float().mean() > 0.4
    assert float((measured * inner).sum(1)[flat].min()) > 0.999


def test_wall_floor_and_ceiling_pixels_lie_on_few_planes():
    config = RoomConfig(height=48, width=64, photometrics=CLEAN, antialias=False)
    for seed in SEEDS:
        scene = build_scene(Draw(seed, SCENE_STREAM))
        camera = sample_camera(scene, Draw(seed, CAMERA_STREAM), config.height, config.width)
        view = render_view(scene, camera, False)
        points = torch.tensor(camera.position)[:, None, None] + view.hits.t * camera.rays()
        half = torch.tensor(scene.room_half)
        offset = points - torch.tensor(scene.room_centre)[:, None, None]
        floor, ceiling = view.hits.which == 0, view.hits.which == 1
        assert torch.allclose(points[1][floor], torch.zeros(()), atol=1e-4)
        assert torch.allclose(points[1][ceiling], -2 * half[1], atol=1e-4)
        walls = (view.hits.which >= 2) & (view.hits.which < 6)
        gap = torch.minimum((offset[0].abs() - half[0]).abs(), (offset[2].abs() - half[2]).abs())
        assert not (gap[walls] >= 1e-4).any()
        assert (scene.label_N[view.hits.which[walls]] == labels.WALL).all()


def test_a_frame_depends_on_its_seed_alone(frames):
    alone = render_rooms([SEEDS[2]], SMALL)
    for together, single in zip(frames, alone, strict=True):
        assert torch.equal(together[2], single[0])
    other = render_rooms([SEEDS[2] + 1], SMALL)
    assert not torch.equal(alone.image_B3HW, other.image_B3HW)


def test_antialiasing_leaves_geometry_alone(frames):
    plain = render_rooms(SEEDS[:2], RoomConfig(height=48, width=64, antialias=False))
    same = plain.label_BHW == frames.label_BHW[:2]
    assert same.float().mean() > 0.995
    torch.testing.assert_close(plain.depth_BHW[same], frames.depth_BHW[:2][same], atol=1e-2, rtol=1e-3)


def test_cameras_are_held_where_a_person_could():
    for seed in range(40, 52):
        scene = build_scene(Draw(seed, SCENE_STREAM))
        camera = sample_camera(scene, Draw(seed, CAMERA_STREAM), 48, 64)
        assert isinstance(camera, Camera)
        assert 0.2 <= -camera.position[1] <= 2 * scene.room_half[1] - 0.2
        assert 0.6 <= camera.focal / 64 <= 1.4
        assert free_distance(scene, camera.position) > 0.08


def test_seeds_cover_every_label():
    found = render_rooms(range(200, 224), RoomConfig(height=36, width=48, antialias=False)).label_BHW.unique()
    assert len(found) == len(labels.NAMES)


@pytest.mark.parametrize("config", [RoomConfig, PairConfig])
def test_wrong_sizes_and_shares_are_named(config):
    with pytest.raises(ValueError, match="height: expected at least 1 pixel, found 0"):
        config(height=0)
    with pytest.raises(ValueError, match="width: expected at least 1 pixel, found -4"):
        config(width=-4)
    with pytest.raises(ValueError, match=r"outdoor: expected a share in \[0, 1\], found 1.5"):
        config(outdoor=1.5)


def test_no_seeds_is_refused():
    with pytest.raises(ValueError, match="seeds: expected at least one"):
        render_rooms([])

"""Augmentation changes appearance within bounds and geometry exactly."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from training.augmentation import STRONG, PhotometricConfig, photometric
from training.virtual_camera import CameraFrames, VirtualCameraConfig, virtual_camera

H, W, FOCAL = 48, 64, 55.0


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_appearance_stays_in_range_differs_per_image_and_follows_the_seed() -> None:
    image = torch.rand(1, 3, H, W).repeat(6, 1, 1, 1)
    config = replace(STRONG, probability=1.0)
    changed = photometric(image, config, seeded(1))
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(changed, photometric(image, config, seeded(1)))
    assert all(not torch.equal(changed[0], other) for other in changed[1:])


def test_probability_zero_leaves_images() -> None:
    image = torch.rand(2, 3, H, W) * 0.9 + 0.05
    assert torch.allclose(photometric(image, replace(STRONG, probability=0.0), seeded()), image, atol=1e-6)


NOTHING = PhotometricConfig(
    probability=1.0, exposure=0, gamma=0, contrast=0, saturation=0, channel=0, shift=0, blur=0, noise=0
)


def test_all_strengths_zero_leave_images() -> None:
    image = torch.rand(3, 3, H, W) * 0.9 + 0.05
    assert torch.allclose(photometric(image, NOTHING, seeded()), image, atol=1e-6)


@pytest.mark.parametrize("name", ["exposure", "gamma", "channel", "shift", "shading", "jpeg", "blur", "noise", "hue"])
def test_each_strength_alone_changes_images(name: str) -> None:
    image = torch.rand(4, 3, H, W)
    value = 30.0 if name == "hue" else 1.0
    changed = photometric(image, replace(NOTHING, **{name: value}), seeded(3))
    assert ((changed - image).abs().amax(dim=(1, 2, 3)) > 0.01).all()


def test_hue_keeps_grey_and_brightness_and_grey_removes_colour() -> None:
    image = torch.rand(8, 3, H, W) * 0.4 + 0.3
    turned = photometric(image, replace(NOTHING, hue=40.0), seeded())
    assert torch.allclose(turned.mean(dim=1), image.mean(dim=1), atol=1e-5)
    assert torch.allclose(
        (turned - turned.mean(1, True)).norm(dim=1), (image - image.mean(1, True)).norm(dim=1), atol=1e-5
    )
    still = image.mean(dim=1, keepdim=True).repeat(1, 3, 1, 1)
    assert torch.allclose(photometric(still, replace(NOTHING, hue=40.0), seeded()), still, atol=1e-5)
    grey = photometric(image, replace(NOTHING, grey=1.0), seeded())
    assert torch.allclose(grey, still, atol=1e-5)


def test_sharpening_and_blur_move_detail_in_opposite_directions() -> None:
    image = torch.rand(16, 3, H, W) * 0.2 + 0.4
    detail = image.std()
    assert photometric(image, replace(NOTHING, blur=1.0), seeded()).std() < detail
    either = photometric(image, replace(NOTHING, blur=1.0, sharpen=1.0), seeded()).flatten(1).std(dim=1)
    assert either.min() < 0.9 * detail
    assert either.max() > 1.1 * detail


def test_shading_is_smooth_and_has_no_colour() -> None:
    image = torch.full((4, 3, H, W), 0.5)
    shaded = photometric(image, replace(NOTHING, shading=0.3), seeded(2))
    assert torch.allclose(shaded[:, :1], shaded[:, 1:2])
    assert shaded.std() > 0.02
    assert shaded.diff(dim=-1).abs().max() < 0.03


def plane(
    normal: torch.Tensor,
    distance: float,
    batch: int,
    config: VirtualCameraConfig,
    seed: int,
    size: tuple[int, int] | None = None,
    stride: int = 2,
) -> CameraFrames:
    """Frames of the plane n . X = -distance, seen by virtual cameras."""
    y, x = torch.meshgrid(torch.arange(H) - (H - 1) / 2, torch.arange(W) - (W - 1) / 2, indexing="ij")
    rays = torch.stack((x / FOCAL, y / FOCAL, torch.ones(H, W)))
    depth = -distance / torch.einsum("c,chw->hw", normal, rays)
    assert (depth > 0).all()
    image = torch.rand(1, 3, H // 8, W // 8, generator=seeded(9))
    image = F.interpolate(image, size=(H, W), mode="bilinear", align_corners=False)
    return virtual_camera(
        image.repeat(batch, 1, 1, 1),
        depth.repeat(batch, 1, 1),
        torch.full((batch, H, W), 3, dtype=torch.uint8),
        normal.view(1, 3, 1, 1).expand(batch, 3, H, W),
        torch.full((batch,), FOCAL),
        config,
        seeded(seed),
        stride,
        size,
    )


@pytest.mark.parametrize(("size", "stride"), [(None, 2), ((24, 32), 2), ((36, 48), 1), ((96, 128), 4), ((32, 32), 2)])
def test_a_plane_stays_a_plane_with_its_turned_normal(size: tuple[int, int] | None, stride: int) -> None:
    normal = F.normalize(torch.tensor([0.3, -0.2, -1.0]), dim=0)
    frames = plane(normal, 2.0, 8, VirtualCameraConfig(probability=1.0), 4, size, stride)
    height, width = size or (H, W)
    assert frames.image_B3HW.shape == (8, 3, height, width)
    assert frames.depth_Bhw.shape == (8, height // stride, width // stride)
    scale = max(height / H, width / W)
    assert (frames.focal_B > FOCAL * scale).all()
    assert (frames.focal_B <= FOCAL * scale * VirtualCameraConfig().zoom + 1e-3).all()
    y = (torch.arange(height // stride) * stride + (stride - 1) / 2 - (height - 1) / 2)[:, None]
    x = (torch.arange(width // stride) * stride + (stride - 1) / 2 - (width - 1) / 2)[None]
    for depth, new, label, focal in zip(
        frames.depth_Bhw, frames.normal_B3hw, frames.label_Bhw, frames.focal_B, strict=True
    ):
        valid = label == 3
        assert valid.float().mean() > 0.9
        assert ((depth > 0) == valid).all()
        assert torch.allclose(new.norm(dim=0)[valid], torch.ones(int(valid.sum())), atol=1e-5)
        turned = new[:, valid].mean(dim=1)
        assert torch.allclose(new[:, valid], turned[:, None], atol=1e-5)
        along = turned[0] * depth * x / focal + turned[1] * depth * y / focal + turned[2] * depth
        # Labels are taken from the nearest pixel, so up to a pixel away: 1 / focal in the ray.
        assert torch.allclose(along[valid], torch.tensor(-2.0), rtol=0.02)
    assert (frames.normal_B3hw[:, 0].mean(dim=(1, 2)) < 0).any()
    assert (frames.normal_B3hw[:, 0].mean(dim=(1, 2)) > 0).any()


def test_half_size_without_a_turn_averages_pixels_and_halves_the_focal_length() -> None:
    still = VirtualCameraConfig(probability=0.0, mirror=0.0)
    full = plane(torch.tensor([0.0, 0.0, -1.0]), 2.0, 2, still, 0)
    half = plane(torch.tensor([0.0, 0.0, -1.0]), 2.0, 2, still, 0, (H // 2, W // 2))
    assert torch.allclose(half.image_B3HW, F.avg_pool2d(full.image_B3HW, 2), atol=1e-4)
    assert torch.allclose(half.focal_B, torch.full((2,), FOCAL / 2))
    assert torch.allclose(half.depth_Bhw, torch.full((2, H // 4, W // 4), 2.0))


def test_another_aspect_ratio_shows_the_middle_of_the_picture() -> None:
    still = VirtualCameraConfig(probability=0.0, mirror=0.0)
    full = plane(torch.tensor([0.0, 0.0, -1.0]), 2.0, 1, still, 0)
    square = plane(torch.tensor([0.0, 0.0, -1.0]), 2.0, 1, still, 0, (H, H))
    assert torch.allclose(square.image_B3HW, full.image_B3HW[..., 8:56], atol=1e-4)
    assert math.isclose(float(square.focal_B[0]), FOCAL, rel_tol=1e-6)


def test_a_size_that_the_stride_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="size: expected positive multiples of the stride 2"):
        plane(torch.tensor([0.0, 0.0, -1.0]), 2.0, 1, VirtualCameraConfig(), 0, (25, 32))


def test_views_turn_as_far_as_asked_and_stay_in_the_picture() -> None:
    frames = plane(torch.tensor([0.0, 0.0, -1.0]), 2.0, 64, VirtualCameraConfig(), 1)
    turned = frames.normal_B3hw[:, :, H // 4, W // 4]
    angle = torch.rad2deg(torch.acos((-turned[:, 2]).clamp(max=1)))
    assert angle.max() > 6
    assert ((frames.label_Bhw == 255).float().mean(dim=(1, 2)) < 0.1).all()


def test_mirroring_alone_mirrors_exactly() -> None:
    normal = F.normalize(torch.tensor([0.3, 0.0, -1.0]), dim=0)
    still = plane(normal, 2.0, 2, VirtualCameraConfig(probability=0.0, mirror=0.0), 0)
    mirrored = plane(normal, 2.0, 2, VirtualCameraConfig(probability=0.0, mirror=1.0), 0)
    assert torch.allclose(mirrored.image_B3HW, still.image_B3HW.flip(-1), atol=1e-4)
    assert torch.equal(mirrored.normal_B3hw[:, 0], -still.normal_B3hw[:, 0].flip(-1))
    assert math.isclose(float(mirrored.focal_B[0]), FOCAL)

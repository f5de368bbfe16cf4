"""Augmentation changes appearance within bounds and geometry exactly."""

import math

import torch
import torch.nn.functional as F

from training.augmentation import PhotometricConfig, photometric
from training.virtual_camera import CameraFrames, VirtualCameraConfig, virtual_camera

H, W, FOCAL = 48, 64, 55.0


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_appearance_stays_in_range_differs_per_image_and_follows_the_seed() -> None:
    image = torch.rand(1, 3, H, W).repeat(6, 1, 1, 1)
    config = PhotometricConfig(probability=1.0)
    changed = photometric(image, config, seeded(1))
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(changed, photometric(image, config, seeded(1)))
    assert all(not torch.equal(changed[0], other) for other in changed[1:])


def test_probability_zero_leaves_images() -> None:
    image = torch.rand(2, 3, H, W) * 0.9 + 0.05
    assert torch.allclose(photometric(image, PhotometricConfig(probability=0.0), seeded()), image, atol=1e-6)


def plane(normal: torch.Tensor, distance: float, batch: int, config: VirtualCameraConfig, seed: int) -> CameraFrames:
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
    )


def test_a_plane_stays_a_plane_with_its_turned_normal() -> None:
    normal = F.normalize(torch.tensor([0.3, -0.2, -1.0]), dim=0)
    frames = plane(normal, 2.0, 8, VirtualCameraConfig(probability=1.0), 4)
    assert (frames.focal_B > FOCAL).all()
    y = (torch.arange(H // 2) * 2 + 0.5 - (H - 1) / 2)[:, None]
    x = (torch.arange(W // 2) * 2 + 0.5 - (W - 1) / 2)[None]
    for depth, new, label, focal in zip(
        frames.depth_Bhw, frames.normal_B3hw, frames.label_Bhw, frames.focal_B, strict=True
    ):
        valid = label == 3
        assert valid.float().mean() > 0.97
        assert torch.allclose(new.norm(dim=0)[valid], torch.ones(int(valid.sum())), atol=1e-5)
        turned = new[:, valid].mean(dim=1)
        assert torch.allclose(new[:, valid], turned[:, None], atol=1e-5)
        along = turned[0] * depth * x / focal + turned[1] * depth * y / focal + turned[2] * depth
        # Labels are taken from the nearest pixel, so up to a pixel away: 1 / focal in the ray.
        assert torch.allclose(along[valid], torch.tensor(-2.0), rtol=0.02)
    assert (frames.normal_B3hw[:, 0].mean(dim=(1, 2)) < 0).any()
    assert (frames.normal_B3hw[:, 0].mean(dim=(1, 2)) > 0).any()


def test_mirroring_alone_mirrors_exactly() -> None:
    normal = F.normalize(torch.tensor([0.3, 0.0, -1.0]), dim=0)
    still = plane(normal, 2.0, 2, VirtualCameraConfig(probability=0.0, mirror=0.0), 0)
    mirrored = plane(normal, 2.0, 2, VirtualCameraConfig(probability=0.0, mirror=1.0), 0)
    assert torch.allclose(mirrored.image_B3HW, still.image_B3HW.flip(-1), atol=1e-4)
    assert torch.equal(mirrored.normal_B3hw[:, 0], -still.normal_B3hw[:, 0].flip(-1))
    assert math.isclose(float(mirrored.focal_B[0]), FOCAL)

"""Objectives on generated pairs: labels stay consistent with the pictures that the network sees."""

import pytest
import torch
import torch.nn.functional as F

from models.tasks import tasks_of
from training.augmentation import PhotometricConfig
from training.canvases import compensate, crop_around
from training.datasets import open_dataset, read_batch
from training.dense_warp import dense_gather
from training.losses.pixel_warp import OVERLAP, epipolar_distance, pixel_grid
from training.moved_patches import MovedPatchesConfig
from training.objectives.dense_tasks import DenseTasksObjective, DenseTasksOptions
from training.objectives.perceive import PerceiveObjective, PerceiveOptions
from training.objectives.pixel_warp import PixelWarpObjective, PixelWarpOptions, align
from training.objectives.stitched_image import (
    StitchedImageObjective,
    StitchedImageOptions,
)
from training.prealignment import fit_homography
from training.prefetch import Batch
from training.recipes import get_recipe
from training.virtual_camera import VirtualCameraConfig


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Four generated pairs."""
    dataset = open_dataset(get_recipe("tiny_pixel_warp").data, tmp_path_factory.mktemp("pairs"), "validation")
    return read_batch(dataset, range(4))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fetch(image: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    points = pixel_grid(flow.shape[-2], flow.shape[-1], flow) + flow
    size = flow.new_tensor([flow.shape[-1], flow.shape[-2]]).view(1, 2, 1, 1)
    return F.grid_sample(image, ((2 * points + 1) / size - 1).permute(0, 2, 3, 1), align_corners=False)


def test_prepared_flow_keeps_the_epipolar_constraint_mirrored_and_aligned(pairs: Batch) -> None:
    objective = PixelWarpObjective(PixelWarpOptions(prealign=0.8, patches=MovedPatchesConfig(probability=0.0)))
    for seed in range(4):
        inputs, fundamental = objective.prepare(pairs, seeded(seed))
        distance, defined = epipolar_distance(inputs.flow_B2HW, fundamental)
        # Flow is stored in steps of 1/32 pixel.
        assert distance[defined & (inputs.region_BHW > 0)].max() < 0.1


def test_the_aligned_reference_is_fetched_by_the_residual_as_the_raw_one_by_the_flow(pairs: Batch) -> None:
    homography, _ = fit_homography(pairs["flow"], pairs["region"] == OVERLAP)
    smooth = F.avg_pool2d(F.pad(pairs["reference"], (4, 4, 4, 4), mode="replicate"), 9, stride=1)
    inputs = align(pairs["target"], smooth, pairs["flow"], pairs["region"], pairs["inverse_depth"], homography)
    overlap = (inputs.region_BHW == OVERLAP)[:, None].expand(-1, 3, -1, -1)
    inner = -F.max_pool2d(-overlap.float(), 7, stride=1, padding=3) > 0
    difference = (fetch(inputs.reference_B3HW, inputs.flow_B2HW) - fetch(smooth, pairs["flow"])).abs()
    assert difference[inner].mean() < 0.01


def test_canonical_depth_scales_by_the_focal_length() -> None:
    objective = PerceiveObjective(PerceiveOptions(canonical_focal_ratio=0.9), 13)
    depth = torch.tensor([[[2.0, 0.0]], [[2.0, 0.0]]])
    canonical = objective.canonical(depth, torch.tensor([90.0, 180.0]), 100)
    assert canonical.flatten().tolist() == pytest.approx([2.0, 0.0, 1.0, 0.0])


def test_depth_is_canonical_by_the_longer_side() -> None:
    """A portrait photograph is what the same camera sees when it is turned."""
    objective = DenseTasksObjective(DenseTasksOptions(canonical_focal_ratio=0.9), tasks_of(("depth",), 13))
    for height, width in ((60, 100), (100, 60)):
        batch = {
            "image": torch.zeros(1, 3, height, width),
            "depth": torch.full((1, height, width), 2.0),
            "intrinsics": torch.diag(torch.tensor([45.0, 45.0, 1.0]))[None],
        }
        prepared = objective.prepare(batch, torch.Generator())
        torch.testing.assert_close(prepared.labels["depth"], torch.full((1, height, width), 4.0))


STILL = VirtualCameraConfig(probability=0.0, mirror=0.0)


def facing_walls(height: int, width: int, focal: float) -> Batch:
    """Two frames of noise on a wall two metres before the camera."""
    return {
        "image": torch.rand(2, 3, height, width),
        "depth": torch.full((2, height, width), 2.0),
        "label": torch.zeros(2, height, width, dtype=torch.uint8),
        "normal": torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1).repeat(2, 1, height, width),
        "intrinsics": torch.diag(torch.tensor([focal, focal, 1.0])).repeat(2, 1, 1),
    }


def test_a_reduced_batch_keeps_canonical_depth() -> None:
    batch = facing_walls(64, 96, 80.0)
    seen = [
        PerceiveObjective(PerceiveOptions(reduced=share, camera=STILL), 13).prepare(batch, seeded())
        for share in (0.0, 1.0)
    ]
    assert [frames.image_B3HW.shape[-2:] for frames in seen] == [(64, 96), (32, 48)]
    assert [frames.depth_Bhw.shape[-2:] for frames in seen] == [(32, 48), (16, 24)]
    assert seen[1].focal_B.tolist() == [40.0, 40.0]
    assert torch.allclose(seen[0].depth_Bhw, torch.tensor(2.0 * 0.9 * 96 / 80))
    assert torch.allclose(seen[1].depth_Bhw, torch.tensor(2.0 * 0.9 * 96 / 80))


def test_an_upright_batch_is_the_middle_of_the_frames_with_depth_by_its_own_longer_side() -> None:
    batch = facing_walls(192, 256, 200.0)
    options = PerceiveOptions(upright=1.0, camera=STILL, photometric=PhotometricConfig(probability=0.0))
    frames = PerceiveObjective(options, 13).prepare(batch, seeded())
    assert frames.depth_Bhw.shape == (2, 96, 64)
    assert torch.allclose(frames.image_B3HW, batch["image"][..., 64:192], atol=1e-4)
    assert frames.focal_B.tolist() == [200.0, 200.0]
    assert torch.allclose(frames.depth_Bhw, torch.tensor(2.0 * 0.9 * 192 / 200))


def test_compensation_undoes_a_gain_up_to_its_limit(pairs: Batch) -> None:
    flow = torch.zeros_like(pairs["flow"])
    everywhere = torch.ones_like(pairs["region"], dtype=torch.bool)
    image = pairs["reference"] * 0.6 + 0.1
    gain = torch.tensor([1.2, 0.9, 1.05]).view(1, 3, 1, 1)
    assert torch.allclose(compensate(image / gain, image, flow, everywhere), image, atol=1 / 255)
    limited = compensate(image / 4, image, flow, everywhere)
    assert torch.allclose(limited, image / 4 * 2**0.6, atol=1e-4)


def test_the_true_warp_brings_the_target_to_the_stitched_view(pairs: Batch) -> None:
    objective = StitchedImageObjective(StitchedImageOptions(), None)
    true, disturbed = objective.branches(pairs, torch.eye(3, dtype=torch.float64).repeat(4, 1, 1))
    both = (pairs["seen"] >= 2) & (true.canvas_B8hw[:, 7] > 0.99)
    errors = [
        (canvas.canvas_B8hw[:, 4:7] - pairs["stitched"]).abs().mean(dim=1)[both].mean() for canvas in (true, disturbed)
    ]
    assert errors[0] < 0.06
    assert errors[0] < errors[1]
    inside = true.canvas_B8hw[:, 3] > 0
    assert inside.sum(dim=(1, 2)).tolist() == [64 * 96] * 4


def test_dense_points_close_what_a_stretch_of_three_tears() -> None:
    flow = pixel_grid(16, 16, torch.zeros(1))[None] * 2.0
    splat = dense_gather(
        torch.rand(1, 3, 16, 16), flow, (48, 48), torch.zeros(1, 2), importance_B1HW=torch.zeros(1, 1, 16, 16)
    )
    assert (splat.coverage_B1hw[..., 1:45, 1:45] > 0.25).all()


def test_crops_hold_a_wanted_pixel() -> None:
    wanted = torch.zeros(3, 40, 60, dtype=torch.bool)
    wanted[0, 0, 0] = wanted[1, 39, 59] = True
    maps = wanted[:, None].float()
    parts = crop_around(maps, wanted, (16, 32), seeded())
    assert parts.shape == (3, 1, 16, 32)
    assert parts.amax(dim=(1, 2, 3)).tolist() == [1.0, 1.0, 0.0]

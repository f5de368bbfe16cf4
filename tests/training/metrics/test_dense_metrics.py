"""Evaluation metrics against values worked out by hand."""

import math

import pytest
import torch

from training.metrics.dense import NEAR_LIMIT, DepthMeter, NormalMeter, SegmentationMeter
from training.metrics.pairs import EndPointMeter, MaskedPsnrMeter


def test_depth_by_hand_and_accumulated_over_pixels_of_the_set() -> None:
    meter = DepthMeter()
    meter.add(torch.tensor([[[1.1, 2.0]]]), torch.tensor([[[1.0, 0.0]]]))
    meter.add(torch.tensor([[[3.0, 2.0]]]), torch.tensor([[[2.0, 2.0]]]))
    result = meter.result()
    assert result["depth/abs_rel"] == pytest.approx((0.1 + 0.5 + 0.0) / 3)
    assert result["depth/rmse"] == pytest.approx(math.sqrt((0.01 + 1.0) / 3))
    assert result["depth/delta1"] == pytest.approx(2 / 3)
    assert result["depth/delta2"] == pytest.approx(3 / 3)
    assert result["depth/sq_rel"] == pytest.approx((0.01 + 0.5) / 3)


def test_median_scaling_removes_scale_alone() -> None:
    label = torch.rand(2, 8, 9) + 0.5
    scaled, metric = DepthMeter(median_scaled=True), DepthMeter()
    for meter in (scaled, metric):
        meter.add(label * torch.tensor([3.0, 0.2]).view(2, 1, 1), label)
    assert scaled.result()["depth/scaled_abs_rel"] == pytest.approx(0, abs=1e-6)
    assert metric.result()["depth/abs_rel"] == pytest.approx(1.4, rel=1e-6)


def test_normals_at_known_angles() -> None:
    meter = NormalMeter()
    angles = torch.tensor([0.0, 10.0, 20.0, 90.0, 180.0])
    label = torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 1, 6).clone()
    label[..., 5] = 0
    radians = torch.deg2rad(torch.cat((angles, torch.zeros(1))))
    prediction = 4 * torch.stack((radians.sin(), torch.zeros(6), -radians.cos())).view(1, 3, 1, 6)
    meter.add(prediction, label)
    result = meter.result()
    assert result["normals/mean"] == pytest.approx(60, abs=1e-3)
    assert result["normals/median"] == pytest.approx(20, abs=1e-3)
    assert result["normals/under_11.25"] == pytest.approx(2 / 5)


def test_miou_ignores_255_and_absent_classes() -> None:
    meter = SegmentationMeter(4)
    meter.add(torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 1, 1, 255]], dtype=torch.uint8))
    result = meter.result()
    assert result["segmentation/miou"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert result["segmentation/pixel_accuracy"] == pytest.approx(2 / 3)
    assert meter.iou().isnan().tolist() == [False, False, True, True]


def test_end_point_error_by_region_at_a_long_side_of_512() -> None:
    meter = EndPointMeter("warp")
    label = torch.zeros(1, 2, 4, 256)
    label[0, 0, 3] = 1000.0
    flow = label + torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    region = torch.tensor([1, 2, 3, 3], dtype=torch.uint8).view(1, 4, 1).expand(1, 4, 256).clone()
    region[0, 0, :100] = 0
    meter.add(flow, label, region, limit=384)
    result = meter.result()
    assert result["warp/epe512_ov"] == result["warp/epe512_nov"] == pytest.approx(10)
    assert result["warp/over5_occ"] == 1.0


def test_masked_psnr_of_a_constant_error_does_not_depend_on_the_mask() -> None:
    image = torch.rand(3, 3, 6, 7) * 0.5
    for share in (0.2, 0.9):
        meter = MaskedPsnrMeter("psnr")
        mask = torch.rand(3, 6, 7) < share
        mask[:, 0, 0] = True
        meter.add(image + 0.1 * mask[:, None] + 0.3 * ~mask[:, None], image, mask)
        assert meter.result()["psnr"] == pytest.approx(20, abs=1e-4)


def test_the_two_depth_ranges_differ_by_far_labels_alone() -> None:
    label = torch.tensor([[[2.0, 6.5535, 8.0]]])
    prediction = torch.tensor([[[2.5, 7.5535, 4.0]]])
    near, full = DepthMeter(limit=NEAR_LIMIT), DepthMeter()
    for meter in (near, full):
        meter.add(prediction, label)
    assert near.result()["depth/near_rmse"] == pytest.approx(0.5)
    assert full.result()["depth/rmse"] == pytest.approx(math.sqrt((0.25 + 1 + 16) / 3), rel=1e-6)
    assert DepthMeter().result() == {}


def test_the_median_angle_of_a_set_is_that_of_all_its_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    meter, angles = NormalMeter(), []
    for count in (50, 101, 49):
        p, g = (torch.randn(1, 3, 1, count, generator=generator, dtype=torch.float64) for _ in range(2))
        meter.add(p, g)
        angles.append(torch.rad2deg(torch.acos(torch.nn.functional.cosine_similarity(p, g, dim=1))).flatten())
    every = torch.cat(angles)
    result = meter.result()
    assert result["normals/median"] == pytest.approx(float(every.quantile(0.5)), abs=1e-3)
    assert result["normals/mean"] == pytest.approx(float(every.mean()), abs=1e-6)
    assert result["normals/rms"] == pytest.approx(float(every.square().mean().sqrt()), abs=1e-6)


def test_absent_classes_may_count_zero_under_another_name() -> None:
    meter = SegmentationMeter(4, name="parts", absent_is_zero=True)
    meter.add(torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 1, 1, 255]], dtype=torch.uint8))
    assert meter.result()["parts/miou"] == pytest.approx((1 / 2 + 1 / 2) / 4)


@pytest.mark.full
def test_what_torchmetrics_defines_too_agrees() -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    regression = pytest.importorskip("torchmetrics.regression")
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(0, 6, (3, 20, 30), generator=generator)
    label[:, :3] = 255
    prediction = torch.randint(0, 5, (3, 20, 30), generator=generator)
    jaccard = classification.MulticlassJaccardIndex(6, average="none", ignore_index=255)
    meter = SegmentationMeter(6, absent_is_zero=True)
    rmse, depth_meter = regression.MeanSquaredError(squared=False).set_dtype(torch.float64), DepthMeter()
    depth, depth_label = (torch.rand(3, 20, 30, generator=generator, dtype=torch.float64) + 0.1 for _ in range(2))
    for b in range(3):
        jaccard.update(prediction[b : b + 1], label[b : b + 1])
        meter.add(prediction[b : b + 1], label[b : b + 1])
        rmse.update(depth[b].flatten(), depth_label[b].flatten())
        depth_meter.add(depth[b : b + 1], depth_label[b : b + 1])
    assert meter.result()["segmentation/miou"] == pytest.approx(float(jaccard.compute().mean()), rel=1e-6)
    assert depth_meter.result()["depth/rmse"] == pytest.approx(float(rmse.compute()), rel=1e-9)

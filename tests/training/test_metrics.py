"""Evaluation metrics against values worked out by hand."""

import math

import pytest
import torch

from training.metrics import DepthMeter, EndPointMeter, MaskedPsnrMeter, NormalMeter, SegmentationMeter


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

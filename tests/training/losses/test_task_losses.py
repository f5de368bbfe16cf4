"""Losses of the dense tasks: values by hand, ignored pixels, resizing."""

import math

import pytest
import torch

from training.losses.tasks import (
    TaskLossConfig,
    balanced_bce,
    depth_error,
    log_projection,
    normals_loss,
    task_loss,
)

MTI = TaskLossConfig()
MTCP = TaskLossConfig(depth_limit=6.5535, normals="mse", intermediate_normals="l1")


def test_balanced_cross_entropy_of_zero_logits() -> None:
    label = torch.tensor([[[1, 0], [0, 0]]])
    assert float(balanced_bce(torch.zeros(1, 2, 2), label)) == pytest.approx(1.5 * math.log(2) / 4, abs=1e-7)
    assert float(balanced_bce(torch.zeros(1, 2, 2), label)) == pytest.approx(0.259930, abs=1e-6)
    fixed = (0.95 + 3 * 0.05) * math.log(2) / 4
    assert float(balanced_bce(torch.zeros(1, 2, 2), label, 0.95)) == pytest.approx(fixed, rel=1e-6)
    ignored = torch.cat((label, torch.full((1, 2, 2), 255)))
    logits = torch.cat((torch.zeros(1, 2, 2), torch.full((1, 2, 2), 9.0)))
    assert float(balanced_bce(logits, ignored)) == pytest.approx(0.259930, abs=1e-6)


def test_depth_counts_valid_pixels_below_the_limit() -> None:
    label = torch.tensor([[[2.0, 0.0, 7.0]]])
    prediction = torch.tensor([[[1.5, 9.0, 4.0]]])
    assert float(depth_error(prediction, label, "l1")) == pytest.approx((0.5 + 3.0) / 2)
    assert float(depth_error(prediction, label, "l1", 6.5535)) == pytest.approx(0.5)


def test_normals_are_divided_by_valid_elements_and_scaled_only_where_asked() -> None:
    label = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0]]).T.view(1, 3, 1, 2)
    prediction = torch.tensor([[3.0, 0.0, -4.0], [1.0, 2.0, 3.0]]).T.reshape(1, 3, 1, 2)
    assert float(normals_loss(prediction, label, "unit_l1")) == pytest.approx((0.6 + 0.2) / 3)
    assert float(normals_loss(prediction, label, "l1")) == pytest.approx((3 + 3) / 3)
    assert float(normals_loss(prediction, label, "mse")) == pytest.approx((9 + 9) / 3)
    zero = torch.zeros(1, 3, 1, 2, requires_grad=True)
    normals_loss(zero, label, "unit_l1").backward()
    assert torch.isfinite(zero.grad).all()  # type: ignore[arg-type]


def test_forms_differ_between_final_and_intermediate_maps() -> None:
    label = torch.zeros(1, 3, 2, 2)
    label[:, 2] = -1
    prediction = 2 * label
    assert float(task_loss("normals", prediction, label, MTI)) == pytest.approx(0, abs=1e-6)
    assert float(task_loss("normals", prediction, label, MTCP)) == pytest.approx(1 / 3)
    assert float(task_loss("normals", 3 * label, label, MTCP)) == pytest.approx(4 / 3)
    assert float(task_loss("normals", 3 * label, label, MTCP, final=False)) == pytest.approx(2 / 3)


LABELS = {
    "segmentation": (5, torch.tensor([[[0, 4], [255, 255]]])),
    "parts": (7, torch.tensor([[[6, 0], [255, 255]]])),
    "saliency": (1, torch.tensor([[[1, 0], [255, 255]]])),
    "edges": (1, torch.tensor([[[1, 0], [255, 255]]])),
    "depth": (1, torch.tensor([[[1.0, 2.0], [0.0, 0.0]]])),
    "normals": (3, torch.tensor([[[0.0, 0.0], [0.0, 0.0]], [[0.0] * 2] * 2, [[-1.0, -1.0], [0.0, 0.0]]])[None]),
}


@pytest.mark.parametrize("task", LABELS)
def test_ignored_pixels_have_no_gradient_and_an_unlabelled_image_no_loss(task: str) -> None:
    channels, label = LABELS[task]
    prediction = torch.randn(1, channels, 2, 2, requires_grad=True)
    task_loss(task, prediction, label, MTI).backward()
    assert prediction.grad is not None
    assert prediction.grad[..., 1, :].eq(0).all()
    assert prediction.grad[..., 0, :].abs().sum() > 0
    unlabelled = torch.zeros_like(label) if task in ("depth", "normals") else torch.full_like(label, 255)
    assert float(task_loss(task, prediction.detach(), unlabelled, MTI)) == 0


def test_a_coarse_map_is_resized_to_the_label() -> None:
    coarse = torch.tensor([[[[1.0, 3.0]]]])
    label = torch.tensor([[[1.0, 1.5, 2.5, 3.0]]])
    assert float(task_loss("depth", coarse, label, MTI)) == 0
    with pytest.raises(ValueError, match="1 channels"):
        task_loss("depth", torch.zeros(1, 2, 1, 4), label, MTI)


def test_log_projection() -> None:
    assert float(log_projection(torch.tensor(1.0, dtype=torch.float64))) == pytest.approx(0.6931477, abs=5e-8)
    losses = torch.linspace(0, 50, 200, dtype=torch.float64, requires_grad=True)
    projected = log_projection(losses)
    assert projected.min() >= 0
    assert (projected[1:] > projected[:-1]).all()
    projected.sum().backward()
    assert torch.allclose(losses.grad, 1 / (1 + losses.detach()), atol=1e-5)  # type: ignore[arg-type]

"""Dense losses: zero at the truth, blind to what is masked, right gradients, pinned values."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.dense import (
    DepthLossWeights,
    balanced_class_weights,
    coherence_loss,
    depth_loss,
    normal_loss,
    normals_of_depth,
    segmentation_loss,
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_depth_loss_terms_on_a_scaled_prediction() -> None:
    target = noise(2, 16, 16).exp()
    scaled = depth_loss(2 * target, target, DepthLossWeights(scale_invariant=0, gradient=0))
    assert float(scaled) == pytest.approx(math.log(2), abs=1e-12)
    invariant = depth_loss(2 * target, target, DepthLossWeights(metric=0))
    assert float(invariant) == pytest.approx(0.5 * 1e-3, abs=1e-9)


def test_gradient_term_of_a_ramp_in_log_depth() -> None:
    target = torch.ones(1, 16, 16, dtype=torch.float64)
    ramp = (0.1 * torch.arange(16, dtype=torch.float64)).exp().expand(1, 16, 16)
    found = depth_loss(ramp, target, DepthLossWeights(metric=0, scale_invariant=0, gradient=1, scales=3))
    assert float(found) == pytest.approx((0.1 + 0.2 + 0.4) / 3, abs=1e-12)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_invalid_depth_changes_neither_value_nor_gradient(bad: float) -> None:
    target = noise(1, 8, 8).exp()
    target[0, 2:5, 3] = bad
    results = []
    for filler in (1.0, 50.0):
        pred = noise(1, 8, 8, seed=1).exp()
        pred[0, 2:5, 3] = filler
        pred.requires_grad_()
        loss = depth_loss(pred, target)
        loss.backward()
        assert pred.grad is not None
        assert pred.grad.isfinite().all()
        assert (pred.grad[0, 2:5, 3] == 0).all()
        results.append(loss.detach())
    assert torch.equal(*results)


def test_depth_gradient() -> None:
    target = noise(2, 5, 6).exp()
    target[0, :2] = 0
    pred = noise(2, 5, 6, seed=1).exp().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: depth_loss(p, target), (pred,))


def test_normal_loss_is_the_angle() -> None:
    target = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 4, 4).clone()
    angle = 0.3
    pred = (
        torch.tensor([math.sin(angle), 0.0, -math.cos(angle)], dtype=torch.float64).view(1, 3, 1, 1).expand_as(target)
    )
    expected = 1 - math.cos(angle) + 0.5 * angle
    assert float(normal_loss(pred, target)) == pytest.approx(expected, abs=1e-6)
    target[..., :2, :] = 0
    assert float(normal_loss(pred, target)) == pytest.approx(expected, abs=1e-6)
    assert float(normal_loss(pred, torch.zeros_like(pred))) == 0


def test_normal_gradient_is_right_and_finite_at_the_truth() -> None:
    target = F.normalize(noise(1, 3, 3, 4), dim=1)
    raw = noise(1, 3, 3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: normal_loss(F.normalize(value, dim=1), target), (raw,))
    exact = target.clone().requires_grad_()
    normal_loss(exact, target).backward()
    assert exact.grad is not None
    assert exact.grad.isfinite().all()


def plane_depth(normal: Tensor, focal: float, height: int, width: int) -> Tensor:
    """Depth of the plane normal . X = -2 seen through a centred pinhole."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) - (height - 1) / 2,
        torch.arange(width, dtype=torch.float64) - (width - 1) / 2,
        indexing="ij",
    )
    return -2 / (normal[0] * x / focal + normal[1] * y / focal + normal[2])


def test_normals_of_a_plane_are_exact_at_any_scale() -> None:
    focal = torch.tensor([20.0], dtype=torch.float64)
    for seed in range(4):
        normal = F.normalize(torch.tensor([0.0, 0.0, -2.0], dtype=torch.float64) + noise(3, seed=seed) * 0.4, dim=0)
        depth = plane_depth(normal, 20.0, 12, 16)[None]
        for scale in (1.0, 3.0):
            found = normals_of_depth(depth * scale, focal)
            torch.testing.assert_close(found, normal.view(1, 3, 1, 1).expand_as(found), atol=1e-9, rtol=0)
    label = normal.view(1, 3, 1, 1).expand(1, 3, 12, 16)
    assert float(coherence_loss(depth * 3, depth, label, focal)) == pytest.approx(0, abs=1e-12)


def test_coherence_sees_a_tilted_prediction_and_no_depth_borders() -> None:
    focal = torch.tensor([20.0], dtype=torch.float64)
    facing, tilted = (
        torch.tensor([0.0, 0.0, -1.0]).double(),
        torch.tensor([math.sin(0.4), 0.0, -math.cos(0.4)]).double(),
    )
    depth = plane_depth(facing, 20.0, 12, 32)[None]
    depth[..., 16:] += 1.0
    label = facing.view(1, 3, 1, 1).expand(1, 3, 12, 32)
    assert float(coherence_loss(depth, depth, label, focal)) == pytest.approx(0, abs=1e-12)
    pred = plane_depth(tilted, 20.0, 12, 32)[None].requires_grad_()
    loss = coherence_loss(pred, depth, label, focal)
    assert float(loss.detach()) == pytest.approx(1 - math.cos(0.4), abs=1e-9)
    depth[..., :8] = 0
    assert float(coherence_loss(pred, depth, label, focal).detach()) == pytest.approx(1 - math.cos(0.4), abs=1e-9)
    assert torch.autograd.gradcheck(lambda p: coherence_loss(p, depth, label, focal), (pred,))


def test_class_weights_balance_by_their_exponent() -> None:
    label = torch.tensor([[[0] * 8 + [1] * 2 + [255] * 2]], dtype=torch.uint8)
    torch.testing.assert_close(balanced_class_weights(label, 2, 1.0), torch.tensor([0.5 / 0.8, 0.5 / 0.2]))
    torch.testing.assert_close(balanced_class_weights(label, 2, 0.0), torch.ones(2))
    assert balanced_class_weights(torch.full((1, 2, 2), 255), 3, 0.5).isfinite().all()


def test_segmentation_ignores_255_and_weights_classes() -> None:
    logits = noise(2, 4, 5, 6)
    label = torch.randint(0, 4, (2, 5, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    label[0, 0] = 255
    expected = F.cross_entropy(logits, label.long(), ignore_index=255)
    torch.testing.assert_close(segmentation_loss(logits, label), expected)
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    expected = F.cross_entropy(logits, label.long(), weight=weights, ignore_index=255)
    torch.testing.assert_close(segmentation_loss(logits, label, weights), expected)
    everything = torch.full_like(label, 255)
    assert float(segmentation_loss(logits, everything)) == 0
    assert float(segmentation_loss(logits, everything, weights)) == 0


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="target"):
        depth_loss(torch.ones(1, 4, 4), torch.ones(1, 4, 5))
    with pytest.raises(ValueError, match="label"):
        segmentation_loss(torch.ones(1, 3, 4, 4), torch.zeros(1, 8, 8))

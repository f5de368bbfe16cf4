"""Losses of the composition: zero at the truth, weighted as stated, and they can be lowered."""

import pytest
import torch
from torch import Tensor

from models.stitched_image import StitchedImage, StitchedImageConfig, compose
from training.feather import feather
from training.losses.stitched_image import (
    StitchedImageLossWeights,
    branch_loss,
    stitched_image_loss,
    supervision_weight,
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_branch_loss_values_and_mask() -> None:
    target, weight = noise(1, 3, 6, 8), torch.ones(1, 1, 6, 8, dtype=torch.float64)
    assert float(branch_loss(target, target, weight)) == 0
    assert float(branch_loss(target + 0.2, target, weight)) == pytest.approx(0.2)
    weight[..., 4:] = 0
    spoiled = target.clone()
    spoiled[..., 4:] = 9
    assert float(branch_loss(spoiled, target, weight)) == 0
    image = noise(1, 3, 6, 8, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: branch_loss(value, target, weight), (image,))


def test_branches_add_up() -> None:
    target, ones = noise(1, 3, 6, 8), torch.ones(1, 1, 6, 8, dtype=torch.float64)
    images = {"gt_warp": target + 0.1, "predicted_warp": target + 0.3, "clean": target + 0.4}
    losses = stitched_image_loss(images, target, dict.fromkeys(images, ones), ones)
    assert float(losses["total"]) == pytest.approx(0.1 + 0.3 + 0.25 * 0.4 + 0.1 * 0.2)
    alone = stitched_image_loss({"clean": target}, target, {"clean": ones}, ones)
    assert float(alone["total"]) == 0
    with pytest.raises(ValueError, match="pwm"):
        stitched_image_loss({"pwm": target}, target, {"pwm": ones}, ones)
    with pytest.raises(ValueError, match="branch_weight"):
        stitched_image_loss({"clean": target}, target, {}, ones)


def test_supervision_is_weak_in_holes_and_absent_outside() -> None:
    seen = torch.tensor([[[1, 2, 3, 0, 0]]], dtype=torch.uint8)
    hole = torch.tensor([[[[0, 1, 0, 1, 0]]]]).bool()
    assert supervision_weight(seen, hole).flatten().tolist() == pytest.approx([1, 1, 1, 0.1, 0])
    assert supervision_weight(seen, hole, holes=0.0).flatten().tolist() == [1, 1, 1, 0, 0]


def test_one_canvas_can_be_learned() -> None:
    torch.manual_seed(0)
    network = StitchedImage(StitchedImageConfig(widths=(8, 12, 16)))
    target = torch.nn.functional.interpolate(torch.rand(1, 3, 4, 8), (32, 64), mode="bicubic").clamp(0, 1)
    reference_mask, target_mask = torch.zeros(1, 1, 32, 64), torch.zeros(1, 1, 32, 64)
    reference_mask[..., :36] = 1
    target_mask[..., 28:] = 1
    warped = (target.roll(2, dims=3) * 0.8) * target_mask
    canvas = torch.cat((target * reference_mask, reference_mask, warped, target_mask), dim=1)
    weight = feather(reference_mask, target_mask)
    ones = torch.ones(1, 1, 32, 64)
    overlap = reference_mask * target_mask
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    history = []
    for _ in range(60):
        image = compose(canvas, *network(canvas, weight)).image_B3HW
        loss = stitched_image_loss(
            {"predicted_warp": image}, target, {"predicted_warp": overlap}, ones, StitchedImageLossWeights()
        )["total"]
        history.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert history[-1] < 0.6 * history[0], history[::10]

"""A small regression with a class beside it, 30 % of whose targets are permuted: the weights find and survive them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.instance_parameters import InstanceParameters, InstanceParametersConfig
from training.metrics.detection import roc_area
from training.task_weighting.task_weighting import ImageLosses

COUNT, EPOCHS, BATCH = 2000, 60, 64


def problem(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, four regression targets and one of five classes, from a random layer; the second half is for testing."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2 * COUNT, 16, generator=generator)
    hidden = torch.tanh(x @ torch.randn(16, 32, generator=generator) / 4)
    target = hidden @ torch.randn(32, 4, generator=generator) / 32**0.5
    label = (hidden @ torch.randn(32, 5, generator=generator)).argmax(dim=1)
    return x, target, label


def fit(seed: int, learning_rate: float | None) -> tuple[float, float]:
    """RMSE on clean data, and the ROC area of s (of the last loss where weights are uniform)."""
    x, target, label = problem(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    chosen = torch.randperm(COUNT, generator=generator)[: 3 * COUNT // 10]
    noisy = target.clone()
    noisy[chosen] = target[chosen[torch.randperm(len(chosen), generator=generator)]]
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 9))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    config = InstanceParametersConfig(learning_rate=learning_rate or 0.0)
    weighting = InstanceParameters(config, {"depth": "squared", "segmentation": "cross_entropy"})
    ones = torch.ones(BATCH, dtype=torch.bool)
    for _ in range(EPOCHS):
        for index in torch.randperm(COUNT, generator=generator).split(BATCH):
            answer, valid = model(x[index]), ones[: len(index)]
            losses = {
                "depth": ImageLosses((answer[:, :4] - noisy[index]).square().mean(dim=1), valid),
                "segmentation": ImageLosses(F.cross_entropy(answer[:, 4:], label[index], reduction="none"), valid),
            }
            total = weighting.combine_images(losses, index)
            if learning_rate is None:
                total = torch.stack([of.loss_B.mean() for of in losses.values()]).sum()
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            optimizer.step()
            weighting.observe({})
    with torch.no_grad():
        error = (model(x[COUNT:])[:, :4] - target[COUNT:]).square().mean().sqrt().item()
    rows = weighting.state_dict()["last_loss" if learning_rate is None else "log_variance"]["values"][:, 0]
    bad = torch.zeros(COUNT, dtype=torch.bool)
    bad[chosen] = True
    return error, roc_area(rows.tolist(), bad.tolist())


@pytest.mark.full
def test_wrong_targets_are_found_and_hardly_hurt() -> None:
    uniform, baseline = fit(0, None)
    error, found = fit(0, 0.2)
    assert error < 0.7 * uniform
    assert found > 0.97
    assert found > baseline

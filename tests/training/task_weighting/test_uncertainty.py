"""Uncertainty weighting: its loss and gradient by hand and by autograd, where it comes to rest, its state."""

import math

import pytest
import torch

from training.state_tree import pack, unpack
from training.task_weighting.build import build_weighting
from training.task_weighting.fixed import FixedWeights
from training.task_weighting.uncertainty import UncertaintyConfig, UncertaintyWeighting

TASKS = ("segmentation", "depth")
LOSSES = {"segmentation": 3.0, "depth": 0.25}


def tensors() -> dict[str, torch.Tensor]:
    return {task: torch.tensor(value, dtype=torch.float64, requires_grad=True) for task, value in LOSSES.items()}


def test_the_first_step_by_hand() -> None:
    weighting = UncertaintyWeighting(UncertaintyConfig(learning_rate=0.1), TASKS)
    losses = tensors()
    total = weighting.combine(losses)
    total.backward()
    assert total.item() == 0.5 * 3.25
    assert [float(loss.grad) for loss in losses.values()] == [0.5, 0.5]  # type: ignore[arg-type]
    weighting.observe(
        LOSSES
    )  # gradients (1 - 3) / 2 and (1 - 0.25) / 2: Adam's first step is the rate along their sign
    assert weighting.log_variances() == pytest.approx({"segmentation": 0.1, "depth": -0.1})
    assert weighting.weights() == pytest.approx({"segmentation": 0.5 * math.exp(-0.1), "depth": 0.5 * math.exp(0.1)})
    assert weighting.combine(tensors()).item() == pytest.approx(1.5 * math.exp(-0.1) + 0.125 * math.exp(0.1))


@pytest.mark.parametrize(
    ("form", "scales", "penalties"), [("gaussian", (0.5, 0.5), (0.5, 0.5)), ("by_loss", (1, 1), (0.5, 1))]
)
def test_the_closed_form_is_the_gradient_of_the_loss(form, scales, penalties) -> None:  # type: ignore[no-untyped-def]
    weighting = UncertaintyWeighting(UncertaintyConfig(form=form), TASKS)
    for _ in range(40):
        weighting.observe(LOSSES)
    s = torch.tensor(list(weighting.log_variances().values()), dtype=torch.float64, requires_grad=True)
    values = torch.tensor(list(LOSSES.values()), dtype=torch.float64)
    total = (torch.tensor(scales) * torch.exp(-s) * values + torch.tensor(penalties) * s).sum()
    assert weighting.combine(tensors()).item() == pytest.approx(total.item())
    total.backward()
    weighting.observe(LOSSES)
    found = [variance.grad for variance in weighting._log_variances.values()]
    torch.testing.assert_close(torch.cat(found), s.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize(("form", "rest"), [("gaussian", (3.0, 0.25)), ("by_loss", (6.0, 0.25))])
def test_it_comes_to_rest_at_the_likeliest_variance(form, rest) -> None:  # type: ignore[no-untyped-def]
    weighting = UncertaintyWeighting(UncertaintyConfig(form=form, learning_rate=0.05), TASKS)
    for _ in range(400):
        weighting.observe(LOSSES)
    assert [math.exp(s) for s in weighting.log_variances().values()] == pytest.approx(rest, rel=1e-3)


def test_a_task_without_labels_rests_while_others_move() -> None:
    weighting, undisturbed = (UncertaintyWeighting(UncertaintyConfig(learning_rate=0.1), TASKS) for _ in range(2))
    for _ in range(2):
        weighting.observe(LOSSES)
        undisturbed.observe(LOSSES)
        for _ in range(3):
            before = weighting.log_variances()
            weighting.observe({"segmentation": 3.0})
            assert weighting.log_variances()["depth"] == before["depth"]
            assert weighting.log_variances()["segmentation"] > before["segmentation"]
    assert weighting.log_variances()["depth"] == undisturbed.log_variances()["depth"]
    before = weighting.log_variances()
    weighting.observe({})
    assert weighting.log_variances() == before


def test_a_state_with_all_tasks_in_one_tensor_goes_on_exactly() -> None:
    together = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = torch.optim.Adam([together], lr=0.005)
    weighting = UncertaintyWeighting(UncertaintyConfig(), TASKS)
    for _ in range(3):
        weights = weighting.weights().values()
        slopes = [0.5 - weight * loss for weight, loss in zip(weights, LOSSES.values(), strict=True)]
        together.grad = torch.tensor(slopes, dtype=torch.float64)
        optimizer.step()
        weighting.observe(LOSSES)
    saved = {"log_variances": dict(zip(TASKS, together.tolist(), strict=True)), "optimizer": optimizer.state_dict()}
    for state in (saved, saved | {"optimizer": torch.optim.Adam([together]).state_dict()}):
        other = UncertaintyWeighting(UncertaintyConfig(), TASKS)
        other.load_state_dict(state)
        assert other.log_variances() == pytest.approx(weighting.log_variances())
    other.load_state_dict(saved)
    for either in (weighting, other):
        either.observe(LOSSES)
    assert other.log_variances() == pytest.approx(weighting.log_variances(), rel=1e-6)


def test_the_whole_is_the_sum_over_tasks() -> None:
    weighting = UncertaintyWeighting(UncertaintyConfig(), TASKS)
    weighting.observe(LOSSES)
    parts = [weighting.combine({task: loss}).item() for task, loss in tensors().items()]
    assert weighting.combine(tensors()).item() == pytest.approx(sum(parts))


@pytest.mark.parametrize("split", [0, 1, 5])
def test_a_state_that_went_through_a_file_goes_on_exactly(split: int) -> None:
    def steps(weighting: UncertaintyWeighting, numbers: range) -> None:
        for number in numbers:
            weighting.observe({task: loss * (1 + 0.3 * math.sin(number)) for task, loss in LOSSES.items()})

    whole, first, second = (build_weighting(UncertaintyConfig(), TASKS) for _ in range(3))
    steps(whole, range(8))  # type: ignore[arg-type]
    steps(first, range(split))  # type: ignore[arg-type]
    saved, skeleton = pack(first.state_dict())
    second.load_state_dict(unpack(skeleton, saved))
    steps(second, range(split, 8))  # type: ignore[arg-type]
    assert second.weights() == whole.weights()


def test_states_of_other_tasks_or_methods_are_refused() -> None:
    weighting = UncertaintyWeighting(UncertaintyConfig(), TASKS)
    with pytest.raises(ValueError, match="normals"):
        weighting.load_state_dict(UncertaintyWeighting(UncertaintyConfig(), ("normals",)).state_dict())
    with pytest.raises(ValueError, match="log variances"):
        weighting.load_state_dict(FixedWeights().state_dict())
    with pytest.raises(ValueError, match="learning_rate"):
        UncertaintyConfig(learning_rate=0)

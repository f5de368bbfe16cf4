"""Parameters per image: the forms, their optimum, sparse updates, bounds, granularities, and the state."""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.instance_losses import FORMS, Form, form_of, scaled, scaled_slope, tempered_cross_entropy
from training.instance_parameters import InstanceParameters, InstanceParametersConfig, class_shares
from training.losses.per_image import ImageLosses
from training.losses.tasks import TaskLossConfig
from training.sparse_rows import SparseRows

LIMIT = math.log(20)
ALL = torch.ones(1, dtype=torch.bool)


def parameters(tasks: dict[str, Form] | None = None, classes: int = 0, **options: object) -> InstanceParameters:
    config = InstanceParametersConfig(**options)  # type: ignore[arg-type]
    return InstanceParameters(config, tasks or {"depth": "squared"}, classes)


def step(weighting: InstanceParameters, index: list[int], *losses: list[float]) -> dict[str, Tensor]:
    """One batch with these losses per task and image; NaN is a missing label."""
    values = [torch.tensor(loss) for loss in losses]
    pairs = {
        task: ImageLosses(torch.nan_to_num(value), ~value.isnan())
        for task, value in zip(weighting.tasks, values, strict=True)
    }
    answer = weighting.weigh(pairs, torch.tensor(index))
    weighting.observe({})
    return answer


@pytest.mark.parametrize("form", FORMS)
def test_slopes_are_derivatives_and_vanish_at_the_optimum(form: Form) -> None:
    loss = torch.tensor([0.01, 0.5, 1.0, 30.0], dtype=torch.float64)
    s = torch.tensor([-2.0, 0.3, 0.0, 1.5], dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(scaled(form, loss, s).sum(), s)
    torch.testing.assert_close(scaled_slope(form, loss, s.detach()), derivative, rtol=1e-14, atol=0)
    best = (2 * loss).log() if form == "cross_entropy" else loss.log()
    torch.testing.assert_close(scaled_slope(form, loss, best), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-15)
    if form == "squared":
        torch.testing.assert_close(scaled(form, loss, best), (1 + loss.log()) / 2)
        assert torch.equal(scaled_slope(form, loss, best - 1) < 0, torch.ones(4).bool())
        scaled_gradients = []
        for factor in (1, 1000):  # after inner minimisation the gradient does not know the loss's scale
            residual = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
            inner = factor * residual.square()
            scaled(form, inner, inner.detach().log()).backward()
            scaled_gradients.append(float(residual.grad))  # type: ignore[arg-type]
        assert scaled_gradients[0] == pytest.approx(scaled_gradients[1], rel=1e-12)


def test_forms_follow_the_losses_and_at_zero_weigh_as_uniformly() -> None:
    assert form_of("depth", TaskLossConfig()) == form_of("normals", TaskLossConfig()) == "laplace"
    squared = TaskLossConfig(depth="mse", normals="mse")
    assert form_of("depth", squared) == form_of("normals", squared) == "squared"
    assert form_of("segmentation", squared) == form_of("edges", squared) == "cross_entropy"
    tasks: dict[str, Form] = {"depth": "squared", "normals": "laplace", "segmentation": "cross_entropy"}
    losses = {task: torch.tensor([1.0, 3.0], requires_grad=True) for task in tasks}
    terms = parameters(tasks).weigh(
        {task: ImageLosses(loss, ALL.expand(2)) for task, loss in losses.items()}, torch.tensor([4, 9])
    )
    torch.stack(list(terms.values())).sum().backward()
    for (task, loss), factor in zip(losses.items(), (0.5, 1, 1), strict=True):
        assert terms[task].item() == factor * 2
        assert loss.grad is not None
        assert torch.equal(loss.grad, torch.full((2,), factor / 2))


def test_one_row_for_all_is_uncertainty_weighting() -> None:
    weighting = parameters(granularity="task", learning_rate=0.5)
    losses = torch.tensor([1.0, 4.0, 0.5, 2.5])
    s = torch.tensor(0.0, requires_grad=True)
    for _ in range(5):
        value = 0.5 * torch.exp(-s) * losses.mean() + 0.5 * s
        (slope,) = torch.autograd.grad(value, s)
        terms = step(weighting, [3, 1, 7, 5], losses.tolist())
        assert float(terms["depth"]) == pytest.approx(value.item(), rel=1e-6)
        s = (s.detach() - 0.5 * slope).requires_grad_()
        assert float(weighting.log_variances([0])) == pytest.approx(s.item(), rel=1e-6)
    assert weighting.weights()["depth"] < 0.5


@pytest.mark.parametrize("options", [{}, {"decay": 0.1}, {"momentum": 0.9}, {"momentum": 0.9, "decay": 0.1}])
def test_rows_outside_a_batch_and_missing_labels_keep_every_bit(options: dict[str, float]) -> None:
    weighting = parameters({"depth": "laplace", "segmentation": "cross_entropy"}, **options)
    step(weighting, [5, 2, 9], [0.1, 3.0, 7.0], [2.0, 0.3, 1.1])
    before = weighting.state_dict()
    terms = step(weighting, [2, 40], [9.0, math.nan], [math.nan, 0.7])
    after = weighting.state_dict()
    for name in {"log_variance", "velocity"} & set(before):
        kept, moved = (dict(zip(s[name]["keys"].tolist(), s[name]["values"], strict=True)) for s in (before, after))
        assert list(moved) == [2, 5, 9, 40]
        assert torch.equal(moved[5], kept[5])
        assert torch.equal(moved[9], kept[9])
        assert moved[2][0] != kept[2][0]
        assert torch.equal(moved[2][1], kept[2][1])
        assert moved[40][0] == 0 != moved[40][1]
    last = dict(zip(after["last_loss"]["keys"].tolist(), after["last_loss"]["values"].tolist(), strict=True))
    assert last[2] == pytest.approx([9.0, 0.3])
    assert math.isnan(last[40][0])
    (s,) = before["log_variance"]["values"][before["log_variance"]["keys"] == 2]
    alone = math.exp(-s[0]) * 9 + s[0] + weighting.config.decay / 2 * s[0] ** 2
    assert float(terms["depth"]) == pytest.approx(float(alone) / 2)  # the missing label adds nothing


def test_a_missing_label_leaves_the_gradients_of_other_tasks() -> None:
    gradients = []
    for valid in (True, False):
        losses = [torch.tensor([1.0, 2.0], requires_grad=True) for _ in range(2)]
        weighting = parameters({"depth": "squared", "normals": "laplace"})
        valid_B = torch.tensor([True, valid])
        pairs = {"depth": ImageLosses(losses[0], valid_B), "normals": ImageLosses(losses[1], ALL.expand(2))}
        torch.stack(list(weighting.weigh(pairs, torch.tensor([0, 1])).values())).sum().backward()
        gradients.append([loss.grad.tolist() for loss in losses])  # type: ignore[union-attr]
    assert gradients == [[[0.25, 0.25], [0.5, 0.5]], [[0.25, 0.0], [0.5, 0.5]]]


def test_bounds_of_the_weight() -> None:
    weighting = parameters(learning_rate=0.5)
    for _ in range(40):
        step(weighting, [0, 1], [0.0, 1e6])
    low, high = weighting.log_variances([0, 1])[:, 0].tolist()
    assert (low, high) == (-float(torch.tensor(LIMIT)), float(torch.tensor(LIMIT)))
    loss = torch.tensor([1.0], requires_grad=True)
    weighting.weigh({"depth": ImageLosses(loss, ALL)}, torch.tensor([0]))["depth"].backward()
    assert float(loss.grad) == pytest.approx(0.5 * 20)  # type: ignore[arg-type]
    free = parameters(learning_rate=0.5, limit=None)
    for _ in range(40):
        step(free, [0], [0.0])
    assert float(free.log_variances([0])) == pytest.approx(-10.0)


def test_decay_holds_back_from_the_optimum() -> None:
    weighting = parameters(decay=0.25)
    for _ in range(150):
        step(weighting, [0], [6.0])
    s = float(weighting.log_variances([0]))
    assert 0 < s < math.log(6)
    assert 0.5 * (1 - math.exp(-s) * 6) + 0.25 * s == pytest.approx(0, abs=1e-6)


def test_the_mean_of_noisy_labels_becomes_robust() -> None:
    labels = torch.tensor([0.0] * 7 + [10.0] * 3, dtype=torch.float64)

    def iterate(bound: float, count: int) -> list[float]:
        means = [float(labels.mean())]
        for _ in range(count):
            s = (means[-1] - labels).square().log().clamp(-bound, bound)
            weight = torch.exp(-s)
            means.append(float((weight * labels).sum() / weight.sum()))
        return means

    assert iterate(math.inf, 3) == pytest.approx([3, 0.7297, 0.02649, 3.02e-5], rel=1e-3)
    assert iterate(LIMIT, 200)[-1] == pytest.approx(0.15 / 14.015, rel=1e-9)

    weighting = parameters(learning_rate=1.0)  # the class itself, with s and the mean learnt together
    mean = torch.tensor(3.0, requires_grad=True)
    index = torch.arange(10)
    for _ in range(250):
        loss = (mean - labels.float()).square()
        (slope,) = torch.autograd.grad(
            weighting.weigh({"depth": ImageLosses(loss, ALL.expand(10))}, index)["depth"], mean
        )
        weighting.observe({})
        mean = (mean.detach() - 0.12 * slope).requires_grad_()
    assert mean.item() == pytest.approx(0.0107028, abs=1e-5)


def test_temperature_grows_for_wrong_labels_and_its_slope_is_the_derivative() -> None:
    logits = torch.tensor([[2.0, 0.0]], dtype=torch.float64)[:, :, None, None].repeat(2, 1, 1, 1)
    label = torch.tensor([0, 1])[:, None, None]
    _, slope, plain = tempered_cross_entropy(logits, label, torch.zeros(2, dtype=torch.float64))
    assert slope[0] > 0 > slope[1]
    assert torch.allclose(plain, F.cross_entropy(logits[:, :, 0, 0], label[:, 0, 0], reduction="none"))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 5, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    label = torch.randint(0, 4, (3, 5, 6), generator=generator).to(torch.uint8)
    label[0, :2], label[2] = 255, 255
    s = torch.tensor([0.4, -1.0, 0.2], dtype=torch.float64, requires_grad=True)
    means = [
        F.cross_entropy(logits[b : b + 1] * torch.exp(-s[b]), label[b : b + 1].long(), ignore_index=255)
        for b in range(2)
    ]
    (expected,) = torch.autograd.grad(torch.stack(means).sum(), s, retain_graph=True)
    value, slope, _ = tempered_cross_entropy(logits, label, s)
    torch.testing.assert_close(value[:2], torch.stack(means))
    torch.testing.assert_close(slope, expected)
    assert value[2] == slope[2] == 0

    weighting = parameters({"segmentation": "cross_entropy"}, classification="temperature")
    maps = logits.detach().float().requires_grad_()
    losses = ImageLosses(torch.zeros(3), torch.tensor([True, True, False]), maps, label)
    weighting.combine_images({"segmentation": losses}, torch.tensor([0, 1, 2])).backward()
    weighting.observe({})
    assert maps.grad is not None
    assert not maps.grad[2].any()
    s = weighting.log_variances([0, 1, 2])[:, 0]
    assert s[2] == 0
    assert s[0] * s[1] != 0


def test_classes_share_rows_by_the_pixels_of_an_image() -> None:
    label = torch.tensor([[[0, 0, 2, 255]], [[2, 2, 2, 2]], [[255, 255, 255, 255]]], dtype=torch.uint8)
    assert torch.allclose(class_shares(label, 3), torch.tensor([[2 / 3, 0, 1 / 3], [0, 0, 1], [0, 0, 0]]))
    tasks: dict[str, Form] = {"depth": "squared", "segmentation": "cross_entropy"}
    weighting = parameters(tasks, classes=3, granularity="class", learning_rate=1.0)
    valid_B = torch.ones(3, dtype=torch.bool)
    losses = {
        "depth": ImageLosses(torch.tensor([4.0, 1.0, 50.0]), valid_B),
        "segmentation": ImageLosses(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([True, True, False]), label=label),
    }
    weighting.weigh(losses, torch.tensor([0, 1, 2]))
    weighting.observe({})
    slope = 0.5 * (1 - 4)
    assert weighting.log_variances([0, 1, 2])[:, 0].tolist() == pytest.approx([-slope, 0, -(slope / 3) / (1 / 3 + 1)])
    assert weighting.log_variances([0, 1, 2])[:, 1].tolist() == pytest.approx([0.5, 0, 0.5])
    with pytest.raises(ValueError, match="segmentation among"):
        parameters(granularity="class")
    with pytest.raises(ValueError, match="passes of all tasks"):
        weighting.weigh({"depth": losses["depth"]}, torch.tensor([0, 1, 2]))


def test_an_image_that_a_batch_holds_twice_moves_once() -> None:
    twice, once = parameters(), parameters()
    step(twice, [3, 3], [5.0, 2.0])
    step(once, [3], [3.5])
    assert torch.equal(twice.log_variances([3]), once.log_variances([3]))


def test_passes_of_single_tasks_and_parts_of_a_batch_are_one_update() -> None:
    tasks: dict[str, Form] = {"depth": "squared", "normals": "laplace"}
    whole, parts = parameters(tasks), parameters(tasks)
    step(whole, [0, 1], [3.0, 0.2], [1.5, 4.0])
    for index, depth, normals in ((0, 3.0, 1.5), (1, 0.2, 4.0)):
        for task, loss in (("depth", depth), ("normals", normals)):
            parts.weigh({task: ImageLosses(torch.tensor([loss]), ALL)}, torch.tensor([index]))
    parts.observe({})
    assert torch.equal(whole.log_variances([0, 1]), parts.log_variances([0, 1]))
    step_before = parts.log_variances([0, 1])
    parts.weigh({"depth": ImageLosses(torch.tensor([9.0]), ALL)}, torch.tensor([0]))
    parts.discard()  # the step was not applied
    parts.observe({})
    assert torch.equal(step_before, parts.log_variances([0, 1]))


def test_losses_inside_the_network_get_the_weights_of_their_images() -> None:
    weighting = parameters({"depth": "laplace"}, learning_rate=1.0)
    step(weighting, [0, 1], [3.0, 1.0])  # s = 2 and 0
    weighting.weigh({"depth": ImageLosses(torch.ones(2), ALL.expand(2))}, torch.tensor([0, 1]))
    inner = ImageLosses(torch.tensor([4.0, 6.0]), ALL.expand(2))
    expected = (math.exp(-2) * 4 + 6) / 2
    assert float(weighting.combine_inside({"depth": inner})) == pytest.approx(expected)
    assert float(weighting.combine_inside({"depth": inner, "edges": inner})) == pytest.approx(expected + 5)
    assert weighting.weights()["depth"] == pytest.approx((math.exp(-2) + 1) / 2)


def test_undisturbed_by_passes_that_only_measure() -> None:
    weighting = parameters(learning_rate=1.0)

    def weigh(index: int, loss: float) -> None:
        weighting.weigh({"depth": ImageLosses(torch.tensor([loss]), ALL)}, torch.tensor([index]))

    step(weighting, [0], [3.0])
    weigh(0, 2.0)
    factors = weighting.weights()
    with weighting.undisturbed():
        weigh(1, 5.0)
        assert weighting.weights() != factors
    assert weighting.weights() == factors
    weighting.observe({})
    assert weighting.log_variances([1]).tolist() == [[0]]
    assert weighting.state_dict()["log_variance"]["keys"].tolist() == [0]


@pytest.mark.parametrize("split", range(4))
def test_a_state_restored_after_any_step_goes_on_exactly(split: int) -> None:
    def advance(weighting: InstanceParameters, number: int) -> None:
        step(weighting, [7 * number % 5, 100 + number], [1 + number, 0.1], [0.5, math.nan])

    def fresh() -> InstanceParameters:
        return parameters({"depth": "squared", "edges": "cross_entropy"}, momentum=0.5)

    whole, first, second = fresh(), fresh(), fresh()
    for number in range(4):
        advance(whole, number)
        if number == split:
            second.load_state_dict(first.state_dict())
        advance(first if number < split else second, number)
    one, other = whole.state_dict(), second.state_dict()
    for name in ("log_variance", "velocity", "last_loss"):
        for field in ("keys", "values"):
            assert torch.equal(torch.nan_to_num(one[name][field], -1), torch.nan_to_num(other[name][field], -1))
    with pytest.raises(ValueError, match="instance parameters of"):
        parameters().load_state_dict(one)
    with pytest.raises(ValueError, match="instance parameters of"):
        parameters(granularity="task").load_state_dict(parameters().state_dict())


def test_rows_exist_once_written_and_grow() -> None:
    table = SparseRows(2, fill=-1)
    assert table.read([3, 0]).tolist() == [[-1, -1], [-1, -1]]
    for first, last in pairwise((0, 10, 100, 1000)):
        keys = list(range(10**9 + first, 10**9 + last))[::-1]
        table.write(keys, torch.tensor(keys)[:, None] % 1000 * torch.tensor([1.0, 0.5]))
    assert len(table) == 1000
    assert table.read([10**9 + 999, 5, 10**9]).tolist() == [[999, 499.5], [-1, -1], [0, 0]]
    copy = SparseRows(2)
    copy.load_state_dict(table.state_dict())
    assert torch.equal(copy.read([10**9 + 500]), table.read([10**9 + 500]))
    with pytest.raises(ValueError, match="each once"):
        table.write([1, 1], torch.zeros(2, 2))
    with pytest.raises(ValueError, match="rows"):
        SparseRows(3).load_state_dict(table.state_dict())


def test_senseless_settings_are_refused() -> None:
    for options in ({"learning_rate": -1.0}, {"momentum": 1.0}, {"limit": 1.0}):
        with pytest.raises(ValueError, match="expected"):
            InstanceParametersConfig(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="some of the tasks"):
        parameters().weigh({"edges": ImageLosses(torch.ones(1), ALL)}, torch.tensor([0]))

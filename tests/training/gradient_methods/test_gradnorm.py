"""GradNorm: its weights by hand, where they settle, and one whole update of a quadratic problem."""

from collections.abc import Callable, Iterable

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from models.backbones import BackboneConfig
from models.build import DenseTasksConfig, build
from models.mt_cp import MtCpConfig
from models.mti_net import MTINetConfig
from models.pad_net import PADNetConfig
from models.shared_encoder import SharedEncoderConfig
from models.task_batch_norm import TaskBatchNormConfig
from models.tasks import tasks_of
from training.gradient_methods.gradnorm import GradNorm, GradNormConfig, next_weights, shared_layer
from training.gradient_methods.update import Update
from training.objectives.objective import Batch, Pictures, SplitLoss

EVEN = {"a": 1.0, "b": 1.0}


def test_a_step_of_the_weights_by_hand() -> None:
    # Norms 4 and 1, both losses halved: targets 2.5; the weights step by 0.025 of 4 / 2.5 down and 1 / 2.5 up.
    stepped = (1 - 0.025 * 1.6, 1 + 0.025 * 0.4)
    expected = {task: 2 * weight / sum(stepped) for task, weight in zip("ab", stepped, strict=True)}
    halved = {"a": 1.0, "b": 5.0}
    initial = {"a": 2.0, "b": 10.0}
    assert next_weights(EVEN, {"a": 4, "b": 1}, halved, initial, GradNormConfig()) == pytest.approx(expected)
    # Equal norms, and b four times as far behind: r = 0.4 and 1.6, so a's norm is above its target and b's below.
    behind = next_weights(EVEN, EVEN, {"a": 0.5, "b": 10.0}, {"a": 2.0, "b": 10.0}, GradNormConfig())
    assert behind == pytest.approx({"a": 0.975, "b": 1.025})


def test_invariants_of_the_weights() -> None:
    norms, losses, initial = (
        {"a": 4.0, "b": 1.0, "c": 0.3},
        {"a": 1.0, "b": 2.0, "c": 0.1},
        {"a": 2.0, "b": 2.0, "c": 2.0},
    )
    weights = dict.fromkeys(norms, 1.0)
    scaled = {task: 100 * norm for task, norm in norms.items()}
    after = next_weights(weights, norms, losses, initial, GradNormConfig())
    assert sum(after.values()) == pytest.approx(3)
    assert next_weights(weights, scaled, losses, initial, GradNormConfig()) == pytest.approx(after)
    assert next_weights(weights, dict.fromkeys(norms, 0.0), losses, initial, GradNormConfig()) == weights
    steep = next_weights(weights, norms, losses, initial, GradNormConfig(learning_rate=10))
    assert min(steep.values()) > 0


def test_equal_rates_settle_at_equal_norms() -> None:
    norms, weights = {"a": 4.0, "b": 1.0}, EVEN
    for _ in range(400):
        weights = next_weights(weights, norms, EVEN, EVEN, GradNormConfig(learning_rate=0.005))
    assert weights == pytest.approx({"a": 0.4, "b": 1.6}, abs=0.02)


def test_tasks_without_labels_keep_their_weights() -> None:
    weights = {"a": 0.9, "b": 0.8, "c": 1.3}
    norms, losses = {"a": 4.0, "b": 1.0, "c": 0.0}, {"a": 1.0, "b": 2.0, "c": 0.0}
    initial = {"a": 2.0, "b": 2.0, "c": 5.0}
    # Of a and b: norms 3.6 and 0.8 of mean 2.2, and a ahead; they share what c leaves.
    stepped = (0.9 - 0.025 * 4 / 2.2, 0.8 + 0.025 / 2.2)
    a, b = (1.7 * weight / sum(stepped) for weight in stepped)
    after = next_weights(weights, norms, losses, initial, GradNormConfig())
    assert after == pytest.approx({"a": a, "b": b, "c": 1.3})
    never = next_weights(weights, norms | {"c": 1.0}, losses | {"c": 1.0}, {"a": 2.0, "b": 2.0}, GradNormConfig())
    assert never == after
    for one in ({}, {"a": 2.0}):  # nothing to compare a lone task with
        assert next_weights(weights, norms, losses, one, GradNormConfig()) == weights


class Point(nn.Module):
    """A shared row of weights and a scale for each task."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Parameter(torch.tensor([[1.0, 2.0]]))
        self.a, self.b = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(1.0))

    def forward(self) -> dict[str, Tensor]:
        return {"a": self.a * self.shared, "b": self.b * self.shared}


class Quadratics:
    """|a x|^2 / 2 and 2 |b x|^2: gradients x and 4 x of the shared weights, |x|^2 and 4 |x|^2 of the scales."""

    best_metric, best_is_lower = "score", False

    def to(self, device: torch.device) -> None: ...

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:
        return batch

    def split_loss(self, model: nn.Module, prepared: Batch) -> SplitLoss:
        points = model()
        losses = {"a": points["a"].square().sum() / 2, "b": 2 * points["b"].square().sum()}
        losses = {task: loss * prepared[task] if task in prepared else loss for task, loss in losses.items()}
        return SplitLoss(losses, losses)

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        raise NotImplementedError

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        raise NotImplementedError

    def images(self, model: nn.Module, batch: Batch) -> Pictures:
        raise NotImplementedError


def point_in_training(lr: float) -> tuple[Point, Callable[..., dict[str, float]], GradNorm]:
    """A point, one step of GradNorm on it with what a batch holds beside its image, and the method."""
    fabric = Fabric(accelerator="cpu", devices=1)
    module = Point()
    model, optimizer = fabric.setup(module, torch.optim.SGD(module.parameters(), lr=lr))
    method = GradNorm(GradNormConfig())

    def step(**labels: Tensor) -> dict[str, float]:
        batch = {"image": torch.zeros(1), **labels}
        return method.update(Update(fabric, model, optimizer, Quadratics(), batch, torch.Generator(), clip_norm=None))

    return module, step, method


def test_an_update_scales_whole_losses_and_then_learns() -> None:
    module, step, method = point_in_training(lr=0.1)
    method.load_state_dict({"weights": {"a": 1.5, "b": 0.5}, "initial": {"a": 2.5, "b": 10.0}})
    logged = step()
    assert logged == {"combination/a": 1.5, "combination/b": 0.5}
    torch.testing.assert_close(module.shared.detach(), torch.tensor([[1.0, 2.0]]) * (1 - 0.1 * (1.5 + 0.5 * 4)))
    assert (module.a.item(), module.b.item()) == pytest.approx((0.25, 0), abs=1e-6)
    # Norms 5^(1/2) and 4 times it, weighted 1.5 and 2 of 1.75: one up by 1 / 1.75 and one down by 4 / 1.75 of 0.025.
    stepped = (1.5 + 0.025 / 1.75, 0.5 - 0.025 * 4 / 1.75)
    expected = {task: 2 * weight / sum(stepped) for task, weight in zip("ab", stepped, strict=True)}
    assert method.state_dict()["weights"] == pytest.approx(expected)


def test_initial_losses_are_those_of_each_tasks_first_labels() -> None:
    module, step, method = point_in_training(lr=0.01)

    def update(labelled: bool) -> dict[str, float]:
        step(b=torch.tensor(float(labelled)))
        state: dict[str, dict[str, float]] = method.state_dict()
        assert sum(state["weights"].values()) == pytest.approx(2)
        method.load_state_dict(state)
        return state["initial"]

    assert update(labelled=False) == {"a": 2.5}
    assert method.state_dict()["weights"] == {"a": 1, "b": 1}
    b = 2 * (module.b * module.shared).square().sum().item()
    assert update(labelled=True) == pytest.approx({"a": 2.5, "b": b})
    weights = method.state_dict()["weights"]
    assert weights["a"] > 1 > weights["b"]
    assert update(labelled=False) == pytest.approx({"a": 2.5, "b": b})
    assert method.state_dict()["weights"] == weights


def test_a_saved_initial_loss_of_zero_is_made_good() -> None:
    _, step, method = point_in_training(lr=0.01)
    method.load_state_dict({"weights": {"a": 1.0, "b": 1.0}, "initial": {"a": 2.5, "b": 0.0}})
    step()
    assert method.state_dict()["initial"] == {"a": 2.5, "b": 10}
    assert method.state_dict()["weights"] != {"a": 1, "b": 1}


BACKBONE = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))
TASKS, AUXILIARY = tasks_of(("segmentation", "depth", "normals"), 5), tasks_of(("edges",), 5)
ENCODER = "backbone.network.encoder.stages.3.layers.0.layer.1.convolution.weight"


@pytest.mark.parametrize(
    ("config", "layer"),
    [
        (SharedEncoderConfig(backbone=BACKBONE, tasks=TASKS), ENCODER),
        (PADNetConfig(backbone=BACKBONE, tasks=TASKS, auxiliary_tasks=AUXILIARY, channels=16), "joint.0.weight"),
        (MTINetConfig(backbone=BACKBONE, tasks=TASKS, auxiliary_tasks=AUXILIARY), ENCODER),
        (MtCpConfig(backbone=BACKBONE, tasks=TASKS, channels=16), "representation.pyramid.smooth.0.weight"),
        (
            TaskBatchNormConfig(network=SharedEncoderConfig(backbone=BACKBONE, tasks=TASKS)),
            f"network.{ENCODER}",
        ),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_the_layer_lies_before_anything_of_one_task(config: DenseTasksConfig, layer: str) -> None:
    torch.manual_seed(0)
    network = build(config).train()
    outputs = network(torch.rand(2, 3, 64, 64))
    parts: dict[str, list[Tensor]] = {task: [map_BOHW.square().mean()] for task, map_BOHW in outputs.final.items()}
    for entry in outputs.intermediate:
        parts.setdefault(entry.task, []).append(entry.map_BOhw.square().mean())
    names, parameters = zip(*network.named_parameters(), strict=True)
    gradients: dict[str, list[Tensor | None]] = {
        task: list(torch.autograd.grad(torch.stack(of).sum(), parameters, retain_graph=True, allow_unused=True))
        for task, of in parts.items()
    }
    assert names[shared_layer(names, gradients, None)] == layer


def test_the_layer_is_the_last_shared_weight_unless_named() -> None:
    names = ["conv", "bias", "only_a", "last"]
    square, line = torch.zeros(2, 2), torch.zeros(2)
    gradients: dict[str, list[Tensor | None]] = {"a": [square, line, square, None], "b": [square, line, None, square]}
    assert shared_layer(names, gradients, None) == 0
    assert shared_layer(names, gradients, "bias") == 1
    for name in ("only_a", "other"):
        with pytest.raises(ValueError, match=name):
            shared_layer(names, gradients, name)
    with pytest.raises(ValueError, match="none"):
        shared_layer(names, {"a": [None, line, square, None], "b": [square, line, None, None]}, None)

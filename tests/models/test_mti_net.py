"""MTI-Net, PAD-Net and the plain baselines: sizes to the last parameter, identities of parts, what learns."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.backbones import BackboneConfig
from models.blocks import BasicBlock, SelfAttention
from models.build import DenseTasksConfig, build, config_from_dict
from models.distillation import MultiModalDistillation
from models.mti_net import FeaturePropagation, MTINet, MTINetConfig
from models.pad_net import PADNetConfig
from models.shared_encoder import SharedEncoderConfig
from models.tasks import Intermediate, TaskOutputs, TaskSpec, tasks_of

SEGMENTATION, DEPTH, NORMALS, EDGES = tasks_of(("segmentation", "depth", "normals", "edges"), classes=40)
PASCAL = tasks_of(("segmentation", "parts", "saliency", "normals", "edges"), classes=21)
TINY = BackboneConfig(name="hrnet", embedding_size=8, hidden_sizes=(6, 8, 10, 12), depths=(1, 1, 1, 1))
TINY_TASKS = tasks_of(("segmentation", "depth"), classes=4)
TINY_AUXILIARY = tasks_of(("normals",), classes=4)
CONFIGS: dict[str, Callable[[], DenseTasksConfig]] = {
    "shared_encoder": lambda: SharedEncoderConfig(backbone=TINY, tasks=TINY_TASKS),
    "pad_net": lambda: PADNetConfig(backbone=TINY, tasks=TINY_TASKS, auxiliary_tasks=TINY_AUXILIARY, channels=16),
    "mti_net": lambda: MTINetConfig(backbone=TINY, tasks=TINY_TASKS, auxiliary_tasks=TINY_AUXILIARY),
}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(config: DenseTasksConfig) -> nn.Module:
    with torch.device("meta"):
        return build(config)


def tiny_mti_net(**changes: object) -> MTINet:
    torch.manual_seed(0)
    config = MTINetConfig(backbone=TINY, tasks=TINY_TASKS, **changes)  # type: ignore[arg-type]
    network = build(config)
    assert isinstance(network, MTINet)
    return network


@pytest.mark.parametrize(
    ("tasks", "auxiliary", "expected"),
    [
        ((SEGMENTATION, DEPTH), (), 8_578_179),
        ((SEGMENTATION, DEPTH), (EDGES, NORMALS), 14_838_121),
        ((SEGMENTATION, DEPTH, NORMALS), (), 12_653_616),
        (PASCAL, (), 24_494_171),
        (PASCAL[:3], (), 12_645_441),
    ],
)
def test_mti_net_has_the_published_size(
    tasks: tuple[TaskSpec, ...], auxiliary: tuple[TaskSpec, ...], expected: int
) -> None:
    for softmax in ("task", "adjacent"):
        config = MTINetConfig(tasks=tasks, auxiliary_tasks=auxiliary, fpm_softmax=softmax)  # type: ignore[arg-type]
        assert parameters(on_meta(config)) == expected


def test_parts_of_mti_net_have_the_published_sizes() -> None:
    network = on_meta(MTINetConfig(tasks=(SEGMENTATION, DEPTH)))
    assert isinstance(network, MTINet)
    assert parameters(network.backbone) == 3_860_720
    assert parameters(network.propagations["1"]) == 61_420
    assert parameters(network.distillations["0"]) == 11_664
    assert parameters(network.distillations["3"]) == 746_496
    assert parameters(network.heads["segmentation"]) == 84_550


def test_the_comparisons_have_the_published_sizes() -> None:
    single = [parameters(on_meta(SharedEncoderConfig(tasks=(task,)))) for task in (SEGMENTATION, DEPTH)]
    assert sum(single) == 7_879_971
    assert parameters(on_meta(SharedEncoderConfig(tasks=(SEGMENTATION, DEPTH)))) == 4_019_251
    assert parameters(on_meta(PADNetConfig(tasks=(SEGMENTATION, DEPTH)))) == 7_019_056


def test_passes_cost_what_was_published() -> None:
    """Multiply-adds at 480 x 640, in units of 10^9: two single-task networks 22.5, PAD-Net 70.2, MTI-Net 17.1."""

    def cost(config: DenseTasksConfig) -> float:
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            build(config).train()(torch.zeros(1, 3, 96, 128))
        return 25 * counter.get_total_flops() / 2e9

    tasks = (SEGMENTATION, DEPTH)
    assert round(sum(cost(SharedEncoderConfig(tasks=(task,))) for task in tasks), 1) == 22.5
    assert round(cost(PADNetConfig(tasks=tasks)), 1) == 70.2
    assert round(cost(MTINetConfig(tasks=tasks)), 1) == 17.1


def test_mti_net_answers_at_full_size_and_supervises_four_scales() -> None:
    network = on_meta(MTINetConfig(tasks=(SEGMENTATION, DEPTH), auxiliary_tasks=(EDGES,)))
    image = torch.empty(1, 3, 480, 640, device="meta")
    final, intermediate = network.train()(image)
    assert {name: tuple(value.shape) for name, value in final.items()} == {
        "segmentation": (1, 40, 480, 640),
        "depth": (1, 1, 480, 640),
    }
    shapes = {(entry.task, entry.level): tuple(entry.map_BOhw.shape[1:]) for entry in intermediate}
    sizes = {0: (120, 160), 1: (60, 80), 2: (30, 40), 3: (15, 20)}
    channels = {"segmentation": 40, "depth": 1, "edges": 1}
    assert shapes == {(name, level): (channels[name], *size) for name in channels for level, size in sizes.items()}
    assert network.eval()(image).intermediate == ()


@pytest.mark.parametrize("name", CONFIGS)
def test_outputs_follow_the_common_contract(name: str) -> None:
    network = build(CONFIGS[name]()).eval()
    outputs = network(torch.rand(2, 3, 64, 96))
    assert isinstance(outputs, TaskOutputs)
    assert list(outputs.final) == ["segmentation", "depth"]
    assert [tuple(value.shape) for value in outputs.final.values()] == [(2, 4, 64, 96), (2, 1, 64, 96)]
    assert outputs.intermediate == ()
    with torch.autocast("cpu", torch.bfloat16):
        final, intermediate = network.train()(torch.rand(2, 3, 64, 64))
    assert {value.dtype for value in (*final.values(), *(entry.map_BOhw for entry in intermediate))} == {torch.float32}
    assert {entry.task for entry in intermediate} == (
        set() if name == "shared_encoder" else {"segmentation", "depth", "normals"}
    )
    with pytest.raises(ValueError, match="image"):
        network(torch.rand(1, 3, 48, 64))


def propagation(tasks: int, softmax: str = "task", channels: int = 6) -> FeaturePropagation:
    torch.manual_seed(1)
    names = [f"task{index}" for index in range(tasks)]
    return FeaturePropagation(names, channels, softmax).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("tasks", [2, 3, 4])
def test_propagation_weighs_tasks_against_each_other(tasks: int) -> None:
    module = propagation(tasks)
    attention = module.attention(torch.randn(2, tasks * 6, 4, 5))
    per_task = attention.reshape(2, tasks, 6, 4, 5)
    torch.testing.assert_close(per_task.sum(dim=1), torch.ones(2, 6, 4, 5))
    assert per_task.std() > 1e-3
    _constant_logits(module)
    torch.testing.assert_close(module.attention(torch.randn(2, tasks * 6, 4, 5)), torch.full_like(attention, 1 / tasks))


def test_propagation_of_the_release_weighs_adjacent_channels() -> None:
    module, same = propagation(2, "adjacent"), propagation(2)
    joint = torch.randn(1, 12, 3, 3)
    attention = module.attention(joint)
    torch.testing.assert_close(attention.reshape(1, 6, 2, 3, 3).sum(dim=2), torch.ones(1, 6, 3, 3))
    assert not torch.allclose(attention, same.attention(joint))
    torch.testing.assert_close(module.harmonise(joint), same.harmonise(joint))


def _constant_logits(module: FeaturePropagation) -> None:
    nn.init.zeros_(module.harmonise[-1].weight)  # type: ignore[arg-type]
    nn.init.zeros_(module.harmonise[-1].bias)  # type: ignore[arg-type]


@torch.no_grad()
def test_propagation_that_reduces_to_nothing_is_the_identity() -> None:
    module = propagation(3)
    assert isinstance(module.reduce, BasicBlock)
    for norm in (module.reduce.bn2, module.reduce.downsample[1]):  # type: ignore[index]
        norm.weight.zero_()
        norm.bias.zero_()
    features = {name: torch.randn(2, 6, 4, 5) for name in module.names}
    propagated = module(features)
    assert all(torch.equal(propagated[name], features[name]) for name in features)


@torch.no_grad()
def test_distillation_without_gates_or_without_values() -> None:
    torch.manual_seed(2)
    module = MultiModalDistillation(["a", "b"], ["a", "b", "c"], 5)
    features = {name: torch.randn(2, 5, 4, 6) for name in "abc"}
    messages: dict[str, dict[str, SelfAttention]] = {
        receiver: dict(module.messages[receiver].items())  # type: ignore[operator]
        for receiver in "ab"
    }
    assert {receiver: set(found) for receiver, found in messages.items()} == {"a": {"b", "c"}, "b": {"a", "c"}}
    everyone = [message for found in messages.values() for message in found.values()]
    for message in everyone:
        message.attend.weight.zero_()
    distilled = module(features)
    for receiver, found in messages.items():
        expected = features[receiver] + 0.5 * sum(message.value(features[name]) for name, message in found.items())
        torch.testing.assert_close(distilled[receiver], expected)
    for message in everyone:
        message.value.weight.zero_()
    distilled = module(features)
    assert all(torch.equal(distilled[receiver], features[receiver]) for receiver in "ab")


def reached(network: MTINet, level: int) -> set[str]:
    """The parts, with their scales, that the loss of one level's predictions gives a gradient to."""
    network.zero_grad()
    _, intermediate = network.train()(torch.rand(2, 3, 64, 64))
    losses = [entry.map_BOhw.square().mean() for entry in intermediate if entry.level == level]
    torch.stack(losses).sum().backward()
    named = [name for name, parameter in network.named_parameters() if parameter.grad is not None]
    return {".".join(name.split(".")[:2]) if name[:8] != "backbone" else "backbone" for name in named}


def test_gradients_of_the_scales_reach_what_lies_before_them() -> None:
    network = tiny_mti_net(auxiliary_tasks=TINY_AUXILIARY)
    assert reached(network, 3) == {"backbone", "features.3", "predictions.3"}
    everything = {f"features.{scale}" for scale in range(4)} | {f"propagations.{scale}" for scale in (1, 2, 3)}
    assert reached(network, 0) == everything | {"backbone", "predictions.0"}


def test_switches_remove_what_they_name() -> None:
    full = tiny_mti_net()
    without_fpm = tiny_mti_net(use_fpm=False)
    assert not without_fpm.propagations
    assert parameters(without_fpm.features["3"]) == parameters(full.features["3"])
    assert parameters(without_fpm.features["0"]) < parameters(full.features["0"])
    assert reached(without_fpm, 0) == {"backbone", "features.0", "predictions.0"}
    unsupervised = tiny_mti_net(deep_supervision=False).train()
    assert not unsupervised.predictions
    assert unsupervised(torch.rand(2, 3, 64, 64)).intermediate == ()


@pytest.mark.parametrize("scales", [(0,), (3,), (0, 2), (1, 2, 3)])
def test_fewer_scales_leave_the_encoders_own_maps(scales: tuple[int, ...]) -> None:
    network = tiny_mti_net(scales=scales)
    outputs = network.train()(torch.rand(2, 3, 64, 64))
    assert {entry.level for entry in outputs.intermediate} == set(scales)
    assert set(network.propagations) == {str(scale) for scale in scales[1:]}
    baseline = build(SharedEncoderConfig(backbone=TINY, tasks=TINY_TASKS))
    assert parameters(network.heads) == parameters(baseline.heads)  # type: ignore[arg-type]
    torch.stack([value.mean() for value in outputs.final.values()]).sum().backward()
    unused = {name.split(".")[0] for name, value in network.named_parameters() if value.grad is None}
    assert unused <= {"predictions"}


@pytest.mark.parametrize("name", CONFIGS)
def test_one_batch_can_be_learned(name: str) -> None:
    torch.manual_seed(0)
    network = build(CONFIGS[name]()).train()
    image = torch.rand(2, 3, 64, 64)
    labels = {
        "segmentation": torch.rand(2, 4, 64, 64),
        "depth": 1 + torch.rand(2, 1, 64, 64),
        "normals": torch.rand(2, 3, 64, 64),
    }

    def error(task: str, found: Tensor) -> Tensor:
        return (nn.functional.interpolate(found, size=(64, 64), mode="bilinear") - labels[task]).abs().mean()

    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    history: list[Tensor] = []
    for _ in range(15):
        outputs: TaskOutputs = network(image)
        everything = [Intermediate(task, -1, value) for task, value in outputs.final.items()]
        losses = torch.stack([error(entry.task, entry.map_BOhw) for entry in (*everything, *outputs.intermediate)])
        history.append(losses.detach())
        optimiser.zero_grad()
        losses.sum().backward()
        optimiser.step()
    assert (history[-1] < 0.8 * history[0]).all(), (history[0], history[-1])
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kind": "mti_net"}, "tasks"),
        ({"kind": "mti_net", "tasks": []}, "tasks"),
        ({"kind": "mti_net", "tasks": [{"name": "depth", "channels": 1}], "scales": [1, 0]}, "scales"),
        ({"kind": "mti_net", "tasks": [{"name": "depth", "channels": 1}], "scales": []}, "scales"),
        ({"kind": "mti_net", "tasks": [{"name": "depth", "channels": 1}], "fpm_softmax": "channel"}, "fpm_softmax"),
        ({"kind": "pad_net", "tasks": [{"name": "depth", "channels": 1}] * 2}, "tasks"),
        ({"kind": "pad_net", "tasks": [{"name": "flow", "channels": 2}]}, "name"),
        ({"kind": "pad_net", "tasks": [{"name": "depth", "channels": 1}], "channels": 30}, "channels"),
        ({"kind": "shared_encoder", "tasks": [{"name": "depth", "channels": 0}]}, "channels"),
        (
            {
                "kind": "mti_net",
                "tasks": [{"name": "depth", "channels": 1}],
                "auxiliary_tasks": [{"name": "depth", "channels": 1}],
            },
            "auxiliary_tasks",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(values: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        config_from_dict(values)

"""Networks with batch norms per task: what is shared, what is not, which convolutions take part."""

import pytest
import torch
from torch import nn

from models.backbones import BackboneConfig
from models.build import build, config_from_dict, config_to_dict
from models.mti_net import MTINetConfig
from models.pad_net import PADNetConfig
from models.shared_encoder import SharedEncoderConfig
from models.task_batch_norm import (
    TaskBatchNorm2d,
    TaskBatchNormConfig,
    TaskBatchNormNetwork,
    connection_layers,
    multiply_batch_norm,
)
from models.tasks import TaskName, tasks_of

TASKS: tuple[TaskName, ...] = ("segmentation", "depth", "normals")
SMALL = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))


def network(
    kind: type[SharedEncoderConfig] | type[PADNetConfig] | type[MTINetConfig] = SharedEncoderConfig, **fields: object
) -> TaskBatchNormNetwork:
    torch.manual_seed(0)
    inner = kind(backbone=SMALL, tasks=tasks_of(TASKS, 5), **fields)  # type: ignore[arg-type]
    built = build(TaskBatchNormConfig(network=inner))
    assert isinstance(built, TaskBatchNormNetwork)
    return built


def image(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_equal_norms_answer_like_the_network_itself() -> None:
    wrapped = network().eval()
    torch.manual_seed(0)
    plain = build(wrapped.config.network).eval()
    ours, theirs = wrapped(image()), plain(image())
    assert list(ours.final) == list(theirs.final)
    assert all(torch.equal(ours.final[task], theirs.final[task]) for task in ours.final)


@torch.no_grad()
def test_a_task_answered_alone_has_its_own_norms() -> None:
    wrapped = network().eval()
    before = wrapped(image()).final
    norm = next(module for module in wrapped.modules() if isinstance(module, TaskBatchNorm2d))
    norm.of("depth").bias.add_(1.0)
    after = wrapped(image()).final
    assert [task for task in TASKS if not torch.equal(before[task], after[task])] == ["depth"]
    with wrapped.answering("depth"):
        alone = wrapped(image()).final
    assert list(alone) == ["depth"]
    assert torch.equal(alone["depth"], after["depth"])
    with pytest.raises(ValueError, match="edges"), wrapped.answering("edges"):
        pass


def test_a_pass_of_a_task_reaches_and_changes_nothing_of_the_others() -> None:
    wrapped = network().train()
    buffers = {name: buffer.clone() for name, buffer in wrapped.named_buffers()}
    with wrapped.answering("depth"):
        wrapped(image()).final["depth"].sum().backward()
    others = [f".{task}." for task in TASKS if task != "depth"]
    for name, parameter in wrapped.named_parameters():
        assert (parameter.grad is None) == any(other in name for other in others)
    for name, buffer in wrapped.named_buffers():
        if name.endswith("running_mean"):
            assert torch.equal(buffer, buffers[name]) == any(other in name for other in others)


@pytest.mark.parametrize("kind", [PADNetConfig, MTINetConfig])
def test_auxiliary_tasks_pass_through_norms_of_their_own(kind: type[PADNetConfig] | type[MTINetConfig]) -> None:
    fields = {"channels": 16} if kind is PADNetConfig else {"scales": (0, 1)}
    wrapped = network(kind, auxiliary_tasks=tasks_of(("edges",), 5), **fields).train()
    with wrapped.answering("edges"):
        outputs = wrapped(image())
    assert not outputs.final
    assert {entry.task for entry in outputs.intermediate} == {"edges"}
    with wrapped.answering("depth"):
        outputs = wrapped(image())
    assert list(outputs.final) == ["depth"]
    assert {entry.task for entry in outputs.intermediate} == {"depth"}
    together = wrapped(image())
    assert list(together.final) == list(TASKS)
    assert {entry.task for entry in together.intermediate} == {*TASKS, "edges"}
    assert not wrapped.eval()(image()).intermediate


def test_convolutions_before_norms_take_part_and_heads_do_not() -> None:
    wrapped = network().train()
    state = {name: value.clone() for name, value in wrapped.state_dict().items()}
    layers = connection_layers(wrapped)
    banks = [module for module in wrapped.modules() if isinstance(module, TaskBatchNorm2d)]
    assert {id(layer.norm) for layer in layers} == {id(bank) for bank in banks}
    assert not any(layer.name.startswith("heads") for layer in layers)
    for layer in layers:
        assert wrapped.network.get_submodule(layer.name) is layer.convolution
        assert layer.convolution.out_channels == layer.norm.of("depth").num_features
    assert wrapped.training
    assert all(torch.equal(value, state[name]) for name, value in wrapped.state_dict().items())


def test_configurations_survive_json_and_networks_without_norms_are_refused() -> None:
    config = network(MTINetConfig, scales=(0, 1)).config
    assert config_from_dict(config_to_dict(config)) == config
    with pytest.raises(ValueError, match="BatchNorm2d"):
        multiply_batch_norm(nn.Sequential(nn.Conv2d(3, 3, 1), nn.LayerNorm(3)), TASKS)

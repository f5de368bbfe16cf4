"""The MT-CP network: what it answers, its switches, that everything in it learns, and that it exports."""

import io
import logging
import warnings
from contextlib import redirect_stdout
from dataclasses import replace

import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones import BackboneConfig
from models.build import build, config_from_dict, config_to_dict
from models.mt_cp import MtCpConfig
from models.tasks import TaskOutputs, tasks_of
from tests.helpers.tiny_networks import TINY_MASK2FORMER

INDOOR = tasks_of(("segmentation", "depth", "normals"), classes=5)
PEOPLE = tasks_of(("segmentation", "parts", "saliency"), classes=5)
TINY = MtCpConfig(
    backbone=BackboneConfig(embedding_size=8, hidden_sizes=(8, 12, 16, 24), depths=(1, 1, 1, 1)),
    tasks=INDOOR,
    channels=16,
)


def network(config: MtCpConfig = TINY) -> nn.Module:
    torch.manual_seed(0)
    return build(config)


def total(outputs: TaskOutputs) -> Tensor:
    maps = [*outputs.final.values(), *(item.map_BOhw for item in outputs.intermediate)]
    return torch.stack([(feat * torch.linspace(-1, 1, feat.shape[-1])).mean() for feat in maps]).sum()


@pytest.mark.parametrize("tasks", [INDOOR, PEOPLE, tasks_of(("depth", "edges"), classes=5)])
def test_answers_every_task_at_the_size_of_the_image(tasks: tuple) -> None:
    outputs = network(replace(TINY, tasks=tasks)).eval()(torch.rand(2, 3, 64, 96))
    assert list(outputs.final) == [task.name for task in tasks]
    assert [tuple(feat.shape) for feat in outputs.final.values()] == [(2, task.channels, 64, 96) for task in tasks]
    assert outputs.intermediate == ()


def test_training_answers_two_refinements_per_task() -> None:
    outputs = network().train()(torch.rand(2, 3, 64, 96))
    found = [(item.task, item.level, tuple(item.map_BOhw.shape)) for item in outputs.intermediate]
    expected = []
    for task in INDOOR:
        expected += [(task.name, 2, (2, task.channels, 4, 6)), (task.name, 1, (2, task.channels, 8, 12))]
    assert found == expected


def test_initial_predictions_on_request() -> None:
    outputs = network(replace(TINY, supervise_initial=True)).train()(torch.rand(2, 3, 64, 64))
    assert [item.level for item in outputs.intermediate] == [2, 1, 0] * 3
    assert outputs.intermediate[2].map_BOhw.shape == (2, 5, 16, 16)


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"coherence_fusion": False},
        {"trace_back": False},
        {"coherence_fusion": False, "trace_back": False},
        {"supervise_initial": True, "pooled_keys": 4},
    ],
)
def test_gradient_reaches_every_weight(switches: dict) -> None:
    model = network(replace(TINY, **switches)).train()
    total(model(torch.rand(2, 3, 64, 64))).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
    still = [name for name, weight in model.named_parameters() if not weight.grad.abs().sum() > 0]
    # At this width a channel gate has one hidden unit, which may start dead; a bias cancels in the norm behind it.
    assert [name for name in still if name.endswith("weight") and ".channel." not in name] == []


def test_switches_take_out_what_they_name() -> None:
    plain = network(replace(TINY, coherence_fusion=False, trace_back=False))
    assert not any(name.startswith(("fusions", "trace_backs", "intermediate_heads")) for name in plain.state_dict())
    assert plain.train()(torch.rand(2, 3, 64, 64)).intermediate == ()


def test_fusion_couples_the_tasks_and_only_fusion_does() -> None:
    for coupled in (True, False):
        model = network(replace(TINY, coherence_fusion=coupled)).train()
        model(torch.rand(2, 3, 64, 64)).final["depth"].square().mean().backward()
        reached = {
            name for name, decoder in model.decoders.items() if any(w.grad is not None for w in decoder.parameters())
        }
        assert reached == ({"segmentation", "depth", "normals"} if coupled else {"depth"})


def test_one_batch_can_be_learned() -> None:
    model = network(replace(TINY, tasks=INDOOR[:2])).train()
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 4, 4, generator=generator).repeat_interleave(8, 2).repeat_interleave(8, 3)
    label, depth = (image.sum(dim=1) * 1.6).long(), 1 + 3 * image[:, :1]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        outputs = model(image)
        loss = F.cross_entropy(outputs.final["segmentation"], label) + F.l1_loss(outputs.final["depth"], depth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_mask2former_takes_the_backbone_s_place() -> None:
    config = replace(TINY, mask2former=TINY_MASK2FORMER)
    assert config_from_dict(config_to_dict(config)) == config
    outputs = network(config).eval()(torch.rand(1, 3, 64, 64))
    assert outputs.final["segmentation"].shape == (1, 5, 64, 64)


def test_configuration_survives_json() -> None:
    assert config_from_dict(config_to_dict(TINY)) == TINY
    assert config_to_dict(TINY)["kind"] == "mt_cp"


def test_mixed_precision_answers_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network().train()(torch.rand(2, 3, 64, 64))
    assert {feat.dtype for feat in outputs.final.values()} == {torch.float32}
    assert {item.map_BOhw.dtype for item in outputs.intermediate} == {torch.float32}


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("channels", {"channels": 24}),
        ("coherence_fusion", {"tasks": INDOOR[:1]}),
        ("supervise_initial", {"supervise_initial": True, "trace_back": False}),
        ("pooled_keys", {"pooled_keys": 3}),
        ("enlargement", {"enlargement": 0}),
        ("tasks", {"tasks": ()}),
    ],
)
def test_wrong_configurations_are_refused(field: str, values: dict) -> None:
    with pytest.raises(ValueError, match=f"^{field}"):
        replace(TINY, **values)


class _Maps(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model(image).final.values())


@pytest.mark.full
def test_exports_with_free_sizes_and_answers_alike() -> None:
    model = network(replace(TINY, tasks=INDOOR[:2], pooled_keys=4)).train()
    with torch.no_grad():
        for _ in range(4):
            model(torch.rand(2, 3, 64, 64))
    maps = _Maps(model.eval())
    axes = {
        0: torch.export.Dim("batch", min=1, max=64),
        2: 32 * torch.export.Dim("rows", min=2, max=64),
        3: 32 * torch.export.Dim("columns", min=2, max=64),
    }
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            maps,
            kwargs={"image": torch.rand(2, 3, 64, 96)},
            dynamo=True,
            opset_version=18,
            dynamic_shapes={"image": axes},
            verbose=False,
        )
    assert program is not None
    operators = {node.op_type for node in program.model_proto.graph.node}
    assert operators.isdisjoint({"GridSample", "Loop", "If", "Scan", "ScatterND"})
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for shape in ((2, 3, 64, 96), (1, 3, 160, 64)):
        image = torch.rand(shape)
        with torch.no_grad():
            expected = maps(image)
        for found, wanted in zip(session.run(None, {"image": image.numpy()}), expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-4, atol=1e-5)

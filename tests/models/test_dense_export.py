"""The dense networks as ONNX graphs: exported once, they answer as PyTorch does for any batch and size."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from models.backbones import BackboneConfig
from models.build import DenseTasksConfig, build
from models.mti_net import MTINetConfig
from models.pad_net import PADNetConfig
from models.shared_encoder import SharedEncoderConfig
from models.task_batch_norm import TaskBatchNormConfig
from models.tasks import tasks_of

TINY = BackboneConfig(name="hrnet", embedding_size=8, hidden_sizes=(6, 8, 10, 12), depths=(1, 1, 1, 1))
PYRAMID = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 12, 16), depths=(1, 1, 1, 1), fpn_channels=6)
TASKS = tasks_of(("segmentation", "depth"), classes=4)
HELP = tasks_of(("edges",), classes=4)


class FinalMaps(nn.Module):
    """A network's final maps alone, as a tuple."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(image).final.values())


@pytest.mark.full
@pytest.mark.parametrize(
    "config",
    [
        SharedEncoderConfig(backbone=PYRAMID, tasks=TASKS),
        PADNetConfig(backbone=TINY, tasks=TASKS, auxiliary_tasks=HELP, channels=16),
        MTINetConfig(backbone=TINY, tasks=TASKS, auxiliary_tasks=HELP),
        MTINetConfig(backbone=TINY, tasks=TASKS, fpm_softmax="adjacent", scales=(0, 2)),
        TaskBatchNormConfig(network=SharedEncoderConfig(backbone=PYRAMID, tasks=TASKS)),
    ],
    ids=["shared_encoder", "pad_net", "mti_net", "mti_net_adjacent", "task_batch_norm"],
)
@pytest.mark.filterwarnings("ignore")
def test_an_exported_network_answers_as_pytorch_does(config: DenseTasksConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build(config).train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(4, 3, 64, 64))
    maps = FinalMaps(network).eval()
    path = tmp_path / "network.onnx"
    rows, columns = (32 * torch.export.Dim(name, min=2, max=64) for name in ("rows", "columns"))
    torch.onnx.export(
        maps,
        (torch.rand(2, 3, 96, 160),),
        str(path),
        dynamo=True,
        opset_version=18,
        input_names=["image"],
        output_names=[task.name for task in TASKS],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64), 2: rows, 3: columns},),
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 64, 96), (2, 3, 128, 64)):
        image = torch.rand(shape)
        with torch.no_grad():
            expected = maps(image)
        found = session.run(None, {"image": image.numpy()})
        for answer, wanted in zip(found, expected, strict=True):
            scale = max(1.0, float(wanted.abs().max()))
            np.testing.assert_allclose(answer, wanted.numpy(), rtol=0, atol=2e-5 * scale)

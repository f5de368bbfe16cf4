"""What the dense network promises: sizes, units, its untrained answer, and that all tasks can be learned."""

import pytest
import torch
import torch.nn.functional as F

from models.backbones import BackboneConfig, build_backbone
from models.deployed import DeployedPerceive, deploy, to_unit_range
from models.multitask_baseline import MultiTaskBaseline, MultiTaskBaselineConfig
from training.losses.dense import depth_loss, normal_loss, segmentation_loss

TINY = MultiTaskBaselineConfig(
    backbone=BackboneConfig(embedding_size=8, hidden_sizes=(8, 12, 16, 24), depths=(1, 1, 1, 1)),
    decoder_channels=16,
    head_channels=12,
    classes=4,
)


def tiny() -> MultiTaskBaseline:
    torch.manual_seed(0)
    return MultiTaskBaseline(TINY, build_backbone(TINY.backbone))


def test_answers_are_half_size_positive_and_unit() -> None:
    depth, segmentation, normals = tiny().eval()(torch.rand(2, 3, 64, 96))
    assert depth.shape == (2, 32, 48)
    assert segmentation.shape == (2, 4, 32, 48)
    assert normals.shape == (2, 3, 32, 48)
    torch.testing.assert_close(depth, torch.full_like(depth, 2.5), atol=0.5, rtol=0)
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(2, 32, 48))
    assert (normals[:, 2] < -0.9).all()


def test_deployed_network_reads_bytes_and_names_its_outputs() -> None:
    network = tiny().eval()
    image = torch.randint(0, 256, (2, 32, 64, 3), dtype=torch.uint8)
    deployed = deploy(network)
    assert isinstance(deployed, DeployedPerceive)
    outputs = deployed(image)
    assert [task.name for task in deployed.tasks] == ["depth", "segmentation", "normals"]
    expected = network(image.permute(0, 3, 1, 2).float() / 255)
    for found, wanted in zip(outputs, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert to_unit_range(image).max() <= 1


@pytest.mark.parametrize("shape", [(1, 3, 48, 64), (1, 1, 64, 64), (3, 64, 64)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="image"):
        tiny()(torch.rand(shape))


def test_mixed_precision_answers_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        prediction = tiny()(torch.rand(1, 3, 64, 64))
    assert {value.dtype for value in prediction} == {torch.float32}


def test_one_batch_can_be_learned() -> None:
    network = tiny().train()
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 32, 32, generator=generator)
    depth = 1 + 4 * torch.rand(2, 16, 16, generator=generator)
    label = torch.randint(0, 4, (2, 16, 16), generator=generator)
    normals = F.normalize(
        torch.randn(2, 3, 16, 16, generator=generator) - torch.tensor([0, 0, 3.0])[:, None, None], dim=1
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    history = []
    for _ in range(60):
        prediction = network(image)
        losses = torch.stack(
            (
                depth_loss(prediction.depth_BHW, depth),
                segmentation_loss(prediction.segmentation_BCHW, label),
                normal_loss(prediction.normals_B3HW, normals),
            )
        )
        history.append(losses.detach())
        optimiser.zero_grad()
        losses.sum().backward()
        optimiser.step()
    assert (history[-1] < 0.75 * history[0]).all(), (history[0], history[-1])

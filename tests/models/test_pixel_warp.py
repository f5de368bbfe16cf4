"""What the warp network promises: sizes, ranges, unbounded input sizes, and that a shift can be learned."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from models.deployed import deploy
from models.pixel_warp import PixelWarp, PixelWarpConfig, convex_upsample
from tests.helpers.tiny_networks import learn_one_shift

TINY = PixelWarpConfig(
    iterations=3,
    encoder_channels=(8, 12, 16),
    feature_channels=24,
    hidden_channels=16,
    context_channels=12,
    motion_channels=16,
)


def tiny() -> PixelWarp:
    torch.manual_seed(0)
    return PixelWarp(TINY)


def test_training_answers_every_iterate_and_evaluation_none() -> None:
    network, target, reference = tiny(), torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96)
    training = network.train()(target, reference)
    assert [flow.shape for flow in training.iterates] == [(2, 2, 64, 96)] * 3
    assert training.iterates[-1] is training.flow_B2HW
    evaluation = network.eval()(target, reference, 2)
    assert evaluation.iterates == []
    assert 0 <= evaluation.importance_B1HW.min() <= evaluation.importance_B1HW.max() <= 30
    assert 0 <= evaluation.confidence_B1HW.min() <= evaluation.confidence_B1HW.max() <= 1


def test_wrong_inputs_are_refused() -> None:
    network = tiny()
    with pytest.raises(ValueError, match="target"):
        network(torch.rand(1, 3, 60, 96), torch.rand(1, 3, 64, 96))
    with pytest.raises(ValueError, match="reference"):
        network(torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 104))
    with pytest.raises(ValueError, match="iterations"):
        network(torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 96), 0)
    with pytest.raises(ValueError, match="64"):
        network(torch.rand(1, 3, 32, 96), torch.rand(1, 3, 32, 96))


def test_convex_upsampling_keeps_constants_and_stays_in_range() -> None:
    logits = torch.randn(1, 9 * 16, 5, 6)
    constant = torch.full((1, 3, 5, 6), 7.0)
    torch.testing.assert_close(convex_upsample(constant, logits, 4), torch.full((1, 3, 20, 24), 7.0))
    value = torch.rand(1, 2, 5, 6)
    fine = convex_upsample(value, logits, 4)
    assert value.min() <= fine.min() <= fine.max() <= value.max()
    centre = torch.zeros(1, 9, 16, 5, 6)
    centre[:, 4] = 50.0
    nearest = convex_upsample(value, centre.flatten(1, 2), 4)
    torch.testing.assert_close(nearest, value.repeat_interleave(4, 2).repeat_interleave(4, 3))


def test_one_shift_can_be_learned() -> None:
    history, _ = learn_one_shift(tiny().train())
    assert history[-1] < 0.3 * history[0], history[:: len(history) // 5]
    assert any(after < before for before, after in pairwise(history))


@pytest.mark.filterwarnings("ignore")
def test_exported_graph_is_small_scatter_free_and_exact_at_other_sizes(tmp_path: Path) -> None:
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    network = deploy(tiny())
    example = tuple(torch.randint(0, 256, (2, 96, 128, 3), dtype=torch.uint8) for _ in range(2))
    path, axes = tmp_path / "pwm.onnx", {0: "batch", 1: "height", 2: "width"}
    torch.onnx.export(
        network,
        example,
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["target", "reference"],
        output_names=["flow", "importance", "confidence"],
        dynamic_axes={"target": axes, "reference": axes},
    )
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert not {name for name in operators if name.startswith("Scatter") or name in ("GridSample", "Loop", "If")}
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch, height, width in ((1, 64, 160), (3, 128, 96)):
        pair = [torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8) for _ in range(2)]
        expected = network(*pair)
        found = session.run(None, {"target": pair[0].numpy(), "reference": pair[1].numpy()})
        for ours, theirs in zip(expected, found, strict=True):
            np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-3)

"""The second network of flow: exact matching of distinct features, the promises of the first, and its graph."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export.contracts import contract_of
from export.samples import samples
from export.to_onnx import export_graph
from export.verify import verify_graph
from models.build import build, config_from_dict, config_to_dict
from models.deployed import deploy
from models.global_matching import (
    GlobalMatching,
    GlobalMatchingConfig,
    expected_flow,
    local_correlation,
    position_code,
    propagate,
)
from service.manifest import SizeSpec
from tests.helpers.tiny_networks import learn_one_shift

TINY = GlobalMatchingConfig(
    encoder_channels=(8, 12, 16),
    feature_channels=24,
    fine_channels=16,
    attention_blocks=1,
    hidden_channels=16,
    context_channels=12,
    motion_channels=16,
)


def tiny() -> GlobalMatching:
    torch.manual_seed(0)
    return GlobalMatching(TINY)


def distinct(height: int, width: int) -> torch.Tensor:
    """One feature for each pixel, orthogonal to the others and long."""
    return 20 * torch.eye(height * width).reshape(1, height * width, height, width)


def test_distinct_features_are_matched_exactly() -> None:
    wide = distinct(4, 9)
    for dx in (0, 1, 3):
        target, reference = wide[..., dx : dx + 6], wide[..., :6]
        flow = expected_flow((target.flatten(2).transpose(1, 2) @ reference.flatten(2)).reshape(1, 24, 4, 6))
        inside = flow[..., : 6 - dx]
        torch.testing.assert_close(inside[:, 0], torch.full_like(inside[:, 0], float(dx)))
        torch.testing.assert_close(inside[:, 1], torch.zeros_like(inside[:, 1]), atol=1e-5, rtol=0)


def test_propagation_keeps_a_constant_and_copies_from_what_resembles() -> None:
    features = torch.rand(1, 5, 4, 6)
    constant = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 4, 6)
    torch.testing.assert_close(propagate(constant, features, features), constant)
    halves = torch.zeros(1, 2, 4, 6)
    halves[:, 0, :, :3], halves[:, 1, :, 3:] = 20.0, 20.0
    flow = torch.zeros(1, 2, 4, 6)
    flow[:, 0, :, :3] = 6.0
    flow[:, 0, 0, 0] = 0.0  # one pixel in twelve did not match; its surface did
    assert propagate(flow, halves, halves)[0, 0, 0, 0] == pytest.approx(5.5)
    assert propagate(flow, halves, halves)[0, 0, 0, 5] == pytest.approx(0.0, abs=1e-4)


def test_local_correlation_peaks_where_the_flow_is_off() -> None:
    keys = distinct(8, 8)[:, :, 1:7, 1:7]
    queries = keys.roll((-2, 1), dims=(2, 3))  # query p is key p + (-1, 2)
    flow = torch.zeros(1, 2, 6, 6)
    flow[:, 0], flow[:, 1] = 1.0, 1.0
    window = local_correlation(queries, keys, flow, 2).reshape(1, 5, 5, 6, 6)
    # What is left is (-1, 2) - (1, 1) = (-2, 1): row 1 below, column 2 left of the centre.
    assert window[0, :, :, 2, 2].argmax() == (2 + 1) * 5 + (2 - 2)
    assert window[0, :, :, 2, 2].max() == pytest.approx(400 / 64)


def test_no_two_places_have_one_code() -> None:
    code = position_code(torch.zeros(1, 24, 7, 9)).flatten(2)[0].T
    gaps = torch.cdist(code, code) + 10 * torch.eye(63)
    assert gaps.min() > 0.1


def test_training_answers_every_iterate_and_evaluation_none() -> None:
    network, target, reference = tiny(), torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96)
    training = network.train()(target, reference)
    # The match, its propagation, three coarse refinements, two fine ones.
    assert [flow.shape for flow in training.iterates] == [(2, 2, 64, 96)] * 7
    assert training.iterates[-1] is training.flow_B2HW
    assert training.correlation_BQhw is not None
    assert training.correlation_BQhw.shape == (2, 24, 4, 6)
    evaluation = network.eval()(target, reference, 1)
    assert evaluation.iterates == []
    assert 0 <= evaluation.importance_B1HW.min() <= evaluation.importance_B1HW.max() <= 30
    assert 0 <= evaluation.confidence_B1HW.min() <= evaluation.confidence_B1HW.max() <= 1


def test_mixed_precision_answers_flow_in_full_precision() -> None:
    network = tiny().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = network(torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 96))
    assert {flow.dtype for flow in prediction.iterates} == {torch.float32}
    sum(flow.sum() for flow in prediction.iterates).backward()
    assert torch.isfinite(prediction.flow_B2HW).all()


def test_wrong_inputs_and_configurations_are_refused() -> None:
    network = tiny()
    with pytest.raises(ValueError, match="multiples of 16"):
        network(torch.rand(1, 3, 72, 96), torch.rand(1, 3, 72, 96))
    with pytest.raises(ValueError, match="reference"):
        network(torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 112))
    with pytest.raises(ValueError, match="iterations"):
        network(torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 96), 0)
    with pytest.raises(ValueError, match="feature_channels"):
        GlobalMatchingConfig(feature_channels=30)
    assert config_from_dict(config_to_dict(TINY)) == TINY
    assert isinstance(build(TINY), GlobalMatching)


def test_one_shift_can_be_learned() -> None:
    history, error = learn_one_shift(tiny().train())
    assert history[-1] < 0.3 * history[0], history[:: len(history) // 5]
    assert error.mean() < 1.0


@pytest.mark.full
def test_the_graph_answers_what_pytorch_does_without_scatter(tmp_path: Path) -> None:
    torch.manual_seed(0)
    deployed = deploy(GlobalMatching(replace(TINY, coarse_steps=1, fine_steps=2, radius=1)))
    contract = contract_of(deployed)
    assert contract.graph == "pwm"
    path = tmp_path / "pwm.onnx"
    export_graph(deployed, contract, path, half=False)
    size = SizeSpec(longest_side=128, multiple=contract.multiple, smallest_side=contract.smallest_side)
    report = verify_graph(path, contract, deployed, None, samples(contract, size))  # scatter is forbidden there
    assert report["outputs"]["flow"]["max_abs_error"] < 1e-3

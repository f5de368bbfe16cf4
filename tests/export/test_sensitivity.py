"""The search for layers to leave in float."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.errors import Int8BudgetError, QuantisationError
from export.quantise import Quantiser
from export.sensitivity import fewest_in_float, measure
from export.verify import call_of


@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_the_fewest_are_found_with_few_trials(count: int) -> None:
    for needed in range(count):
        tried: list[int] = []

        def within(number: int, needed: int = needed, tried: list[int] = tried) -> bool:
            tried.append(number)
            return number >= needed

        assert fewest_in_float(count, within) == needed
        assert len(tried) <= 2 * count.bit_length() + 1


def test_what_is_answered_was_measured_even_where_losses_jump() -> None:
    passing = {3, 8, 9, 11}
    tried: list[int] = []

    def within(number: int) -> bool:
        tried.append(number)
        return number in passing

    assert fewest_in_float(12, within) in passing & set(tried)
    assert fewest_in_float(12, within, least=9) == 9


def test_no_choice_within_the_budget() -> None:
    with pytest.raises(Int8BudgetError, match="none among 5 layers"):
        fewest_in_float(5, lambda number: False)


@pytest.fixture
def two_layers(tmp_path: Path) -> Path:
    """Two convolutions of equal cost on an image each; one's weights span five orders of magnitude in a kernel."""
    rng = np.random.default_rng(0)
    easy = rng.uniform(0.5, 1.0, (8, 3, 3, 3)).astype(np.float32)
    hard = (10.0 ** rng.uniform(-5, 0, (8, 3, 3, 3)) * rng.choice((-1, 1), (8, 3, 3, 3))).astype(np.float32)
    hard[:, 0, 0, 0] = 40.0
    nodes = [
        helper.make_node("Conv", ["image", "easy"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["other", "hard"], ["b"], pads=[1, 1, 1, 1]),
    ]
    images = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 16, 16]) for name in ("image", "other")]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 8, 16, 16]) for name in ("a", "b")]
    weights = [numpy_helper.from_array(easy, "easy"), numpy_helper.from_array(hard, "hard")]
    graph = helper.make_graph(nodes, "two", images, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path = tmp_path / "two.onnx"
    onnx.save(model, path)
    return path


def test_the_layer_that_suffers_most_comes_first(two_layers: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    shape = (2, 3, 16, 16)
    feeds = [{name: rng.uniform(0, 1, shape).astype(np.float32) for name in ("image", "other")} for _ in range(4)]
    # Where the large weight looks, the image is dark: the small weights decide, and 8 bits cannot hold them.
    for feed in feeds:
        feed["other"][:, 0] *= 1e-3
    call = call_of(two_layers)
    quantiser = Quantiser(two_layers, feeds, tmp_path)
    assert [layer.macs for layer in quantiser.layers] == [16 * 16 * 8 * 27] * 2
    found = measure(quantiser, call_of, feeds, [call(feed) for feed in feeds], tmp_path, lambda line: None)
    assert [one.layer.name for one in found] == ["hard", "easy"]
    assert found[0].noise["b"] > 100 * found[1].noise["a"] > 0
    assert found[0].noise["a"] == 0 == found[1].noise["b"]


def test_a_graph_without_layers_or_that_is_no_graph(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    path = tmp_path / "relu.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    feeds = [{"x": np.zeros((1, 2), np.float32)}]
    with pytest.raises(QuantisationError, match="found none"):
        Quantiser(path, feeds, tmp_path)
    path.write_bytes(b"not a graph")
    with pytest.raises(QuantisationError, match=r"relu\.onnx: expected a graph"):
        Quantiser(path, feeds, tmp_path)

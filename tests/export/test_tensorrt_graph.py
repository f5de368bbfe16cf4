"""The graphs that engines are built from: which tensors become short, which stay, and what is refused."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.engines.errors import EnginePrecisionError, ForeignGraphError
from export.engines.stray import check_strays, in_float32, relative_error, strays
from export.engines.symmetric_int8 import symmetric_int8
from export.engines.typed_graph import LEADS, read_graph, typed_graph
from export.samples import Sample

WEIGHTS = Path(__file__).parents[2] / "weights"
RELEASED = [WEIGHTS / "perceive-rooms/perceive.onnx", *sorted((WEIGHTS / "stitch-pairs").glob("*.onnx"))]
DELICATE = {"Range", "Softmax", "InstanceNormalization", "LayerNormalization", "Exp", "Log", "Sqrt", "ReduceL2", "Div"}
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def model_of(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], opset: int = 18) -> onnx.ModelProto:
    """A graph from `x` float32 [N, 4, H, W] to `y` float32."""
    x, y = (helper.make_tensor_value_info(name, FLOAT, ["N", 4, "H", "W"]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(v, k) for k, v in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def residual(scale: float = 1.0) -> onnx.ModelProto:
    """x + Conv(BatchNorm(Conv(x))), both convolutions with one zero bias."""
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(4, 4, 1, 1)).astype(np.float32) for name in ("first", "second")}
    weights |= {"bias": np.zeros(4, np.float32), "gain": np.full(4, scale, np.float32)}
    weights |= {"shift": rng.normal(size=4).astype(np.float32), "mean": np.ones(4, np.float32)}
    weights["variance"] = np.full(4, 7e6, np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "first", "bias"], ["a"], name="one"),
        helper.make_node("BatchNormalization", ["a", "gain", "shift", "mean", "variance"], ["b"], name="norm"),
        helper.make_node("Relu", ["b"], ["c"], name="relu"),
        helper.make_node("Conv", ["c", "second", "bias"], ["d"], name="two"),
        helper.make_node("Add", ["x", "d"], ["y"], name="sum"),
    ]
    return model_of(nodes, weights)


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every tensor, as ONNX itself infers it from inputs and weights alone."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(copy, strict_mode=True).graph
    values = (*graph.input, *graph.output, *graph.value_info)
    known = {value.name: value.type.tensor_type.elem_type for value in values}
    return known | {tensor.name: tensor.data_type for tensor in graph.initializer}


def signature(model: onnx.ModelProto) -> list[tuple[str, int]]:
    return [(value.name, value.type.tensor_type.elem_type) for value in (*model.graph.input, *model.graph.output)]


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_released_graphs_multiply_in_float16_and_keep_what_is_delicate(path: Path) -> None:
    original = read_graph(path)
    typed = typed_graph(original, "float16")
    onnx.checker.check_model(typed, full_check=True)
    types = types_of(typed)
    assert signature(typed) == signature(original)
    reads = {
        (node.op_type, types[name]) for node in typed.graph.node for name in node.input if types.get(name) in (1, 10)
    }
    assert {op for op, _ in reads} & LEADS
    assert not {(op, kind) for op, kind in reads if op in LEADS and kind != HALF}
    assert not {(op, kind) for op, kind in reads if op in DELICATE and kind != FLOAT}
    images = {value.name for value in typed.graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8}
    touched = {node.op_type for node in typed.graph.node if set(node.input) & images}
    assert touched <= {"Cast", "Shape"}


def test_a_sum_with_a_float32_tensor_stays_float32_and_a_chain_does_not() -> None:
    typed = typed_graph(residual(), "float16")
    types = types_of(typed)
    kinds = {node.op_type: types[node.input[0]] for node in typed.graph.node if node.op_type != "Cast"}
    assert kinds == {"Conv": HALF, "Relu": HALF, "Add": FLOAT}


def test_norms_are_merged_before_anything_is_rounded() -> None:
    """The norm's variance of 7e6 has no float16, and its bias is shared with the other convolution."""
    typed = typed_graph(residual(), "float16")
    assert "BatchNormalization" not in {node.op_type for node in typed.graph.node}
    x = np.random.default_rng(1).normal(size=(2, 4, 5, 6)).astype(np.float32)
    errors = strays(residual(), typed, [Sample(name="noise", inputs={"x": x})])
    assert 0 < errors["y"] < 1e-3


@pytest.mark.parametrize("pattern", ["two", "t*", "Conv"])
def test_named_nodes_are_kept_in_float32(pattern: str) -> None:
    typed = typed_graph(residual(), "float16", [pattern])
    types = types_of(typed)
    kinds = [types[node.input[1]] for node in typed.graph.node if node.op_type == "Conv"]
    assert kinds == ([FLOAT, FLOAT] if pattern == "Conv" else [HALF, FLOAT])


def test_a_weight_that_overflows_is_refused_in_float16_and_taken_in_bfloat16() -> None:
    model = residual(scale=3e8)
    with pytest.raises(ForeignGraphError, match="expected weights that float16 can hold, found"):
        typed_graph(model, "float16")
    typed_graph(model, "bfloat16")


def test_rounding_really_happens_where_the_graph_is_short() -> None:
    """In float32, the short graph gives float16's numbers: 2049 is not among them."""
    weights = {"w": np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)}
    typed = typed_graph(model_of([helper.make_node("Conv", ["x", "w"], ["y"], name="copy")], weights), "float16")
    session = onnxruntime.InferenceSession(in_float32(typed).SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.full((1, 4, 1, 1), 2049, np.float32)
    assert (session.run(None, {"x": x})[0] == 2048).all()


def test_a_graph_that_strays_too_far_is_refused() -> None:
    check_strays({"depth": 0.009}, "float16", "here")
    check_strays({"depth": 0.2}, "int8", "here")
    for worst in (0.011, float("nan")):
        with pytest.raises(EnginePrecisionError, match=r"expected depth in float16 within 0\.01 of its largest value"):
            check_strays({"depth": worst}, "float16", "here")


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        ([1.0, 2.5], [1.0, 2.0], 0.25),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 1.0], [0.0, 0.0], np.inf),
        ([np.nan, 2.0], [1.0, 2.0], np.inf),
        ([np.inf, 2.0], [np.inf, 2.0], np.inf),
    ],
)
def test_the_error_of_an_output(found: list[float], expected: list[float], error: float) -> None:
    assert relative_error(np.float32(found), np.float32(expected)) == error


def test_one_value_that_is_no_number_is_refused() -> None:
    plain, root = (model_of([helper.make_node(kind, ["x"], ["y"])], {}) for kind in ("Identity", "Sqrt"))
    x = np.ones((1, 4, 2, 2), np.float32)
    x[0, 0, 0, 0] = -1
    cases = [Sample(name="negative", inputs={"x": x}), Sample(name="ones", inputs={"x": np.ones_like(x)})]
    errors = strays(plain, root, cases)
    with pytest.raises(EnginePrecisionError, match=r"expected y in int8 within .*, found inf"):
        check_strays(errors, "int8", "here")


def scatter(opset: int) -> onnx.ModelProto:
    weights = {"i": np.zeros((1, 4, 1, 1), np.int64), "u": np.ones((1, 4, 1, 1), np.float32)}
    return model_of([helper.make_node("ScatterElements", ["x", "i", "u"], ["y"], name="add", axis=1)], weights, opset)


def grid_sample(opset: int) -> onnx.ModelProto:
    weights = {"grid": np.zeros((1, 2, 2, 2), np.float32)}
    return model_of([helper.make_node("GridSample", ["x", "grid"], ["y"], name="look")], weights, opset)


def foreign(opset: int) -> onnx.ModelProto:
    model = model_of([helper.make_node("Relu", ["x"], ["y"], name="relu")], {}, opset)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


@pytest.mark.parametrize(
    ("make", "opset", "message"),
    [
        (scatter, 18, "node 'add' is a ScatterElements"),
        (grid_sample, 20, "node 'look' is a GridSample of opset 20"),
        (foreign, 18, r"domains \['com.microsoft'\]"),
    ],
)
def test_graphs_that_tensorrt_gets_wrong_are_refused(make, opset: int, message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    onnx.save(make(opset), tmp_path / "g.onnx")
    with pytest.raises(ForeignGraphError, match=message):
        read_graph(tmp_path / "g.onnx")
    if make is grid_sample:
        onnx.save(make(16), tmp_path / "g.onnx")
        read_graph(tmp_path / "g.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model", RELEASED[-1].read_bytes()[:5000]])
def test_files_that_are_no_model_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(content)
    with pytest.raises(ForeignGraphError, match="expected a valid ONNX file"):
        read_graph(tmp_path / "g.onnx")


def quantised(zero: int, kind: type = np.uint8) -> onnx.ModelProto:
    """Conv with an activation of scale 0.1 and zero point `zero`, an 8-bit weight and a 32-bit bias."""
    weights = {
        "s": np.float32(0.1), "z": kind(zero), "w": np.full((4, 4, 1, 1), 2, np.int8), "ws": np.float32(0.5),
        "wz": np.int8(0), "b": np.full(4, 30, np.int32), "bs": np.float32(0.05), "bz": np.int32(0),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], name="q"),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], name="dq"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], name="wdq"),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bd"], name="bdq"),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["y"], name="conv"),
    ]
    return model_of(nodes, {name: np.asarray(value) for name, value in weights.items()})


def answer(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.mark.parametrize(("zero", "reach"), [(0, 255), (100, 155), (200, 200)])
def test_int8_ranges_are_centred_and_biases_become_floats(zero: int, reach: int) -> None:
    model = symmetric_int8(quantised(zero))
    onnx.checker.check_model(model, full_check=True)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert values["s"] == pytest.approx(0.1 * reach / 127)
    assert values["z"].dtype == np.int8
    assert values["z"] == 0
    assert values["bd"] == pytest.approx(1.5)
    assert (values["w"] == 2).all()
    assert [node.name for node in model.graph.node if node.op_type != "Relu"] == ["q", "dq", "wdq", "conv"]
    x = np.random.default_rng(0).uniform(-40, 40, (1, 4, 8, 8)).astype(np.float32)
    x = np.clip(x, -0.1 * max(zero, 100), 0.1 * (255 - zero))
    was, now = (answer(m, x) for m in (quantised(zero), model))
    assert np.abs(was - now).max() <= 4 * (0.05 + values["s"] / 2) + 1e-4


def test_int8_that_is_symmetric_already_stays_as_it_is() -> None:
    values = {t.name: numpy_helper.to_array(t) for t in symmetric_int8(quantised(0, np.int8)).graph.initializer}
    assert values["s"] == np.float32(0.1)


def test_a_float_graph_is_not_taken_for_int8() -> None:
    with pytest.raises(ForeignGraphError, match="expected QuantizeLinear and DequantizeLinear nodes, found none"):
        symmetric_int8(residual())

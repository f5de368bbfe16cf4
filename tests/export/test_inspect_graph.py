"""What `export inspect` tells of bundles and of foreign files."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.__main__ import main
from export.errors import CorruptGraphError
from export.inspect_graph import inspect_bundle, inspect_file
from service.bundle import load_bundle


def test_a_bundle(int8_bundle: Path) -> None:
    held = inspect_bundle(load_bundle(int8_bundle))
    plain, quantised = held["files"]["perceive.onnx"], held["files"]["perceive.int8.onnx"]
    assert plain["inputs"] == [{"name": "image", "dtype": "uint8", "shape": ["N", "H", "W", 3]}]
    assert plain["counted_at"] == {"image": [1, 96, 128, 3]}
    assert plain["macs"] == quantised["macs"] > 1e6
    assert plain["weights"]["float16"]["bytes"] == 2 * plain["weights"]["float16"]["values"]
    assert plain["quantised"] == {"QuantizeLinear": 0, "DequantizeLinear": 0}
    assert quantised["quantised"]["QuantizeLinear"] > 0
    assert quantised["weights"]["int8"]["bytes"] == quantised["weights"]["int8"]["values"]
    assert held["quality"] == {"perceive": {}}


def test_the_released_warp_has_no_scatter_and_no_unsafe_grid_sample(stitch_bundle: Path) -> None:
    held = inspect_bundle(load_bundle(stitch_bundle))["files"]["pwm.onnx"]
    assert held["scatter"] == []
    assert held["grid_sample"]["safe"] is True


def test_a_foreign_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GridSample at opset 20 and a scatter, in a graph that no manifest describes."""
    nodes = [
        helper.make_node("GridSample", ["x", "grid"], ["a"], mode="linear"),
        helper.make_node("ScatterND", ["a", "places", "values"], ["y"]),
    ]
    places = numpy_helper.from_array(np.zeros((1, 4), np.int64), "places")
    values = numpy_helper.from_array(np.zeros(1, np.float32), "values")
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 8]),
        helper.make_tensor_value_info("grid", TensorProto.FLOAT, ["batch", "rows", 8, 2]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1, "rows", 8])
    graph = helper.make_graph(nodes, "g", inputs, [output], [places, values])
    path = tmp_path / "foreign.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    held = inspect_file(path)
    assert held["grid_sample"] == {"nodes": 1, "opset": 20, "safe": False}
    assert held["scatter"] == ["ScatterND"]
    assert held["macs"] == 0
    assert held["counted_at"]["grid"] == [1, 64, 8, 2]
    assert main(["inspect", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["opset"] == {"ai.onnx": 20}


def test_a_file_that_is_not_onnx(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cat.onnx"
    path.write_bytes(b"\xff\xd8\xff\xe0 a photograph")
    assert main(["inspect", str(path)]) == 1
    assert capsys.readouterr().err.startswith("CorruptGraphError: cat.onnx: expected a valid ONNX file")


def test_an_input_that_is_no_tensor_is_told_by_its_kind(tmp_path: Path) -> None:
    several = helper.make_tensor_sequence_value_info("several", TensorProto.FLOAT, None)
    count = helper.make_tensor_value_info("count", TensorProto.INT64, [])
    graph = helper.make_graph([helper.make_node("SequenceLength", ["several"], ["count"])], "g", [several], [count])
    path = tmp_path / "several.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    held = inspect_file(path)
    assert held["inputs"] == [{"name": "several", "kind": "sequence"}]
    assert held["outputs"] == [{"name": "count", "dtype": "int64", "shape": []}]
    assert held["macs"] is None
    assert held["counted_at"] == {}


def test_weights_in_a_file_of_their_own(tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 64]) for name in "xy")
    weight = numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path / "beside.onnx"
    onnx.save(model, path, save_as_external_data=True, location="beside.data", size_threshold=0)
    held = inspect_file(path)
    assert held["macs"] == 64 * 64
    assert held["weights"] == {"float": {"values": 4096, "bytes": 16384}}
    (tmp_path / "beside.data").unlink()
    with pytest.raises(CorruptGraphError, match=r"beside\.onnx: expected a valid ONNX file, found"):
        inspect_file(path)

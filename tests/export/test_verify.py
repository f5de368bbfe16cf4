"""Every stage of verification refuses what it is there for, with its own error."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.contracts import Contract, Tolerance
from export.errors import (
    CorruptGraphError,
    LoadError,
    OperatorSetError,
    ShapeError,
    StructureError,
    TensorAxesError,
    TensorNameError,
    TensorTypeError,
    UnsupportedOperatorError,
    ValueMismatchError,
)
from export.samples import samples
from export.source import Source
from export.to_onnx import round_weights
from export.verify import check_structure, verify_graph
from service.manifest import SizeSpec
from tests.helpers.bundles import TINY_PERCEIVE, TINY_PIXEL_WARP, tiny_source

SIZE = SizeSpec(longest_side=64, multiple=32, smallest_side=32)


@pytest.fixture
def graph(perceive_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(perceive_bundle / "perceive.onnx", tmp_path))


@pytest.fixture(scope="module")
def source() -> Source:
    return tiny_source(TINY_PERCEIVE)


def edit(path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())


def run(path: Path, source: Source, contract: Contract | None = None) -> dict[str, object]:
    contract = contract or source.contract
    return verify_graph(path, contract, round_weights(source.deployed), source.deployed, samples(contract, SIZE))


def test_a_good_graph_passes_with_small_errors(graph: Path, source: Source) -> None:
    report = run(graph, source)
    assert report["passed"] is True
    assert len(report["samples"]) == 5
    for figures in report["outputs"].values():  # type: ignore[attr-defined]
        assert figures["max_abs_error"] < 1e-5
        assert figures["tolerance_of_largest"] == 1e-4
        assert 0 < figures["max_abs_change_by_rounding"] < 0.1


def test_samples_cover_batches_sizes_and_both_kinds_of_images(source: Source) -> None:
    cases = list(samples(source.contract, SIZE))
    shapes = {case.inputs["image"].shape for case in cases}
    assert {shape[0] for shape in shapes} == {1, 3}
    assert len({shape[1:3] for shape in shapes}) >= 3
    assert {case.name.partition(",")[0] for case in cases} == {"random", "generated"}
    again = list(samples(source.contract, SIZE))
    assert all(np.array_equal(a.inputs["image"], b.inputs["image"]) for a, b in zip(cases, again, strict=True))


def rename_output(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == "depth":
                node.output[index] = "distance"
    model.graph.output[0].name = "distance"


def fix_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def change_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


STRUCTURES: dict[str, tuple[Callable[[onnx.ModelProto], None], type[StructureError], str]] = {
    "name": (rename_output, TensorNameError, "distance"),
    "static batch": (fix_batch, TensorAxesError, "the input image with axes"),
    "type": (change_type, TensorTypeError, "in uint8, found float"),
    "opset": (lambda model: setattr(model.opset_import[0], "version", 20), OperatorSetError, "expected opset"),
    "domain": (
        lambda model: model.opset_import.append(helper.make_opsetid("com.microsoft", 1)),
        OperatorSetError,
        "com.microsoft",
    ),
}


@pytest.mark.parametrize("case", STRUCTURES)
def test_structure(graph: Path, source: Source, case: str) -> None:
    change, error, problem = STRUCTURES[case]
    edit(graph, change)
    with pytest.raises(error, match=problem):
        check_structure(graph, source.contract)


def test_a_corrupt_file_is_a_structure_error(graph: Path, source: Source) -> None:
    graph.write_bytes(graph.read_bytes()[:1000])
    with pytest.raises(CorruptGraphError, match="valid ONNX"):
        run(graph, source)


def test_scatter_is_refused_in_the_warp(stitch_bundle: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(stitch_bundle / "pwm.onnx", tmp_path))
    contract = tiny_source(TINY_PIXEL_WARP).contract
    check_structure(path, contract)

    def add_scatter(model: onnx.ModelProto) -> None:
        index = numpy_helper.from_array(np.zeros((1, 2, 1, 1), np.int64), "scatter_index")
        value = numpy_helper.from_array(np.zeros((1, 2, 1, 1), np.float32), "scatter_value")
        model.graph.initializer.extend([index, value])
        inputs = ["flow", "scatter_index", "scatter_value"]
        model.graph.node.append(helper.make_node("ScatterElements", inputs, ["unused"], reduction="add"))

    edit(path, add_scatter)
    with pytest.raises(OperatorSetError, match="ScatterElements"):
        check_structure(path, contract)


def test_a_graph_that_the_runtime_rejects(graph: Path, source: Source) -> None:
    edit(graph, lambda model: model.graph.node.append(helper.make_node("And", ["depth", "depth"], ["never"])))
    with pytest.raises(LoadError, match=r"perceive\.onnx"):
        run(graph, source)


def test_an_operation_that_the_runtime_lacks(graph: Path, source: Source) -> None:
    # ONNX knows convolutions in float64; ONNX Runtime implements them for float32.
    def add(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1, 1, 1)), "double"))
        model.graph.node.append(helper.make_node("Conv", ["double", "double"], ["never"]))

    edit(graph, add)
    with pytest.raises(UnsupportedOperatorError, match=r"perceive\.onnx: ONNX Runtime lacks"):
        run(graph, source)


def test_values_that_are_not_finite(graph: Path, source: Source) -> None:
    def poison(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.name.endswith("normals.predict.bias"))
        tensor.CopyFrom(numpy_helper.from_array(np.full(tensor.dims, np.nan, np.float32), tensor.name))

    edit(graph, poison)
    with pytest.raises(ShapeError, match="finite normals"):
        run(graph, source)


def test_a_changed_weight_is_found(graph: Path, source: Source) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.name.endswith("depth.predict.bias"))
        assert tensor.data_type == TensorProto.FLOAT
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(0.01), tensor.name))

    edit(graph, change)
    with pytest.raises(ValueMismatchError, match="depth: expected"):
        run(graph, source)


def test_a_share_of_the_largest_value_is_judged_too(graph: Path, source: Source) -> None:
    loose = {name: Tolerance(absolute=1.0, of_largest=1e-12) for name in source.contract.tolerances}
    with pytest.raises(ValueMismatchError, match="of the largest value"):
        run(graph, source, replace(source.contract, tolerances=loose))


def test_a_zero_tolerance_is_taken_at_its_word(graph: Path, source: Source) -> None:
    strict = {name: Tolerance(absolute=0.0) for name in source.contract.tolerances}
    with pytest.raises(ValueMismatchError):
        run(graph, source, replace(source.contract, tolerances=strict))

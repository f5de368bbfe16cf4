"""What an exported file holds."""

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from export.contracts import stitched_image_contract
from export.errors import TracingError
from export.to_onnx import SMALLEST_HALVED, export_graph, halve_initialisers, round_weights
from tests.helpers.bundles import TINY_PERCEIVE, tiny_source


def graphs(*bundles: Path) -> list[Path]:
    return [path for bundle in bundles for path in sorted(bundle.glob("*.onnx"))]


def test_large_weights_are_stored_in_half_precision(perceive_bundle: Path, stitch_bundle: Path) -> None:
    for path in graphs(perceive_bundle, stitch_bundle):
        tensors = onnx.load(path).graph.initializer
        large = {t.name: t.data_type for t in tensors if np.prod(t.dims) >= SMALLEST_HALVED}
        assert set(large.values()) == {TensorProto.FLOAT16}, path.name
        names = {t.name for t in tensors}
        assert len(names) == len(tensors)


def test_files_tell_nothing_of_the_machine_that_wrote_them(perceive_bundle: Path, stitch_bundle: Path) -> None:
    for path in graphs(perceive_bundle, stitch_bundle):
        content = path.read_bytes()
        assert not re.search(rb"\.py\b|site-packages|File \"", content), path.name
        assert str(Path.cwd()).encode() not in content


def test_the_runtime_folds_every_stored_cast(perceive_bundle: Path, stitch_bundle: Path, tmp_path: Path) -> None:
    for path in graphs(perceive_bundle, stitch_bundle):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(tmp_path / path.name)
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        loaded = onnx.load(tmp_path / path.name).graph
        assert all(tensor.data_type != TensorProto.FLOAT16 for tensor in loaded.initializer), path.name


def test_only_exact_values_are_halved() -> None:
    exact = np.arange(SMALLEST_HALVED, dtype=np.float32)
    inexact = exact + np.float32(1e-4)
    small = np.ones(3, np.float32)
    tensors = [numpy_helper.from_array(v, n) for n, v in (("exact", exact), ("inexact", inexact), ("small", small))]
    nodes = [helper.make_node("Sum", ["exact", "inexact"], ["sum"])]
    output = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [SMALLEST_HALVED])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [], [output], tensors), opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    )
    assert halve_initialisers(model) == 1
    onnx.checker.check_model(model, full_check=True)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert types == {"exact_float16": TensorProto.FLOAT16, "inexact": TensorProto.FLOAT, "small": TensorProto.FLOAT}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {})[0], exact + inexact)


def test_rounding_copies_and_refuses_overflow() -> None:
    network = nn.Linear(64, 64)
    before = network.weight.clone()
    rounded = round_weights(network)
    assert torch.equal(network.weight, before)
    assert torch.equal(rounded.weight, before.half().float())
    assert torch.equal(rounded.bias, network.bias)
    with torch.no_grad():
        network.weight[0, 0] = 1e6
    with pytest.raises(ValueError, match="weight: expected finite weights below 65504"):
        round_weights(network)


def test_a_file_of_another_opset_is_not_written(
    perceive_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exporter writes the opset that it prefers where it cannot convert, and says nothing."""
    model = onnx.load(perceive_bundle / "perceive.onnx")
    model.opset_import[0].version = 19
    monkeypatch.setattr("export.to_onnx._traced", lambda deployed, contract: model)
    with pytest.raises(TracingError, match=r"perceive\.onnx: expected opset 18, found 19"):
        export_graph(nn.Identity(), tiny_source(TINY_PERCEIVE).contract, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


class Eigenvalues(nn.Module):
    """Something that PyTorch computes and ONNX has no operation for."""

    def forward(self, canvas: torch.Tensor, feather: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.linalg.eigvalsh(feather @ feather.transpose(2, 3)), canvas


def test_an_operation_that_onnx_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(TracingError, match=r"sigmo\.onnx: expected operations that ONNX has, found: .*eigh"):
        export_graph(Eigenvalues(), stitched_image_contract(), tmp_path / "sigmo.onnx")
    assert not (tmp_path / "sigmo.onnx").exists()

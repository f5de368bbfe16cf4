"""Stages that an ONNX file must pass before it is published, each with its own error.

1. `StructureError`: tensor names, types and axes, opset, and operations that a runtime is known to get wrong.
2. `LoadError`: ONNX Runtime opens the file.
3. `ShapeError`: every sample gives outputs of the promised shapes, all finite.
4. `ValueMismatchError`: every output value agrees with PyTorch within the contract's tolerance.
5. `TaskMetricError`: the metrics of every task on generated frames are within the budget (`export.task_stage`).

`export.errors` draws the tree of these.

Legend: a the graph's value, b PyTorch's.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import nn

from export.contracts import OPSET, Contract
from export.errors import (
    CorruptGraphError,
    LoadError,
    OperatorSetError,
    ShapeError,
    TensorAxesError,
    TensorNameError,
    TensorTypeError,
    UnsupportedOperatorError,
    ValueMismatchError,
)
from export.reference import probe
from export.samples import Sample
from export.task_metrics import Call
from service.bundle import file_sha256
from service.manifest import TensorSpec

ONNX_DTYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}


def verify_graph(
    path: Path, contract: Contract, stored: nn.Module, original: nn.Module | None, cases: Iterable[Sample]
) -> dict[str, Any]:
    """Run all stages and answer the file's entry for verify.json.

    stored: the PyTorch module with the weights as the file stores them; it decides. original: the one with unrounded
    weights; the difference to it is reported, not judged. Raises a VerifyError of the first stage that fails.
    """
    check_structure(path, contract)
    session = open_session(path)
    outputs: dict[str, dict[str, float]] = {
        spec.name: {"max_abs_error": 0.0, "max_abs_value": 0.0} for spec in contract.outputs
    }
    names, reference = [], []
    for sample in cases:
        names.append(sample.name)
        found = run_graph(session, contract, sample)
        expected = run_module(stored, contract, sample)
        reference.append(probe(sample, expected))
        unrounded = None if original is None else run_module(original, contract, sample)
        for name, figures in outputs.items():
            compare(f"{path.name}, {sample.name}", name, found[name], expected[name], contract)
            _grow(figures, "max_abs_error", np.abs(found[name] - expected[name]))
            _grow(figures, "max_abs_value", np.abs(expected[name]))
            if unrounded is not None:
                _grow(figures, "max_abs_change_by_rounding", np.abs(found[name] - unrounded[name]))
                mean = float(np.abs(found[name] - unrounded[name]).mean())
                figures["mean_abs_change_by_rounding"] = max(figures.get("mean_abs_change_by_rounding", 0.0), mean)
    for name, figures in outputs.items():
        tolerance = contract.tolerances[name]
        figures["tolerance_absolute"], figures["tolerance_relative"] = tolerance.absolute, tolerance.relative
        figures["tolerance_of_largest"] = tolerance.of_largest
    return {
        "passed": True,
        "sha256": file_sha256(path),
        "samples": names,
        "outputs": outputs,
        "reference": reference,
    }


def check_structure(path: Path, contract: Contract) -> None:
    """Stage 1, without running anything."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # onnx raises many kinds, protobuf's among them
        raise CorruptGraphError(f"{path.name}: expected a valid ONNX file, found: {error}") from error
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    if opsets != {"ai.onnx": OPSET}:
        raise OperatorSetError(f"{path.name}: expected opset {OPSET} of ai.onnx alone, found {opsets}")
    operations = {node.op_type for node in model.graph.node}
    forbidden = sorted(operations & set(contract.forbidden))
    if forbidden:
        raise OperatorSetError(f"{path.name}: expected none of {contract.forbidden}, found {forbidden}")
    for kind, values, specs in (
        ("input", model.graph.input, contract.inputs),
        ("output", model.graph.output, contract.outputs),
    ):
        names, promised = [value.name for value in values], [spec.name for spec in specs]
        if names != promised:
            raise TensorNameError(f"{path.name}: expected the {kind}s {promised}, found {names}")
        for value, spec in zip(values, specs, strict=True):
            dtype, axes = value.type.tensor_type.elem_type, _axes(value)
            if dtype != ONNX_DTYPES[spec.dtype]:
                word = TensorProto.DataType.Name(dtype).lower()
                raise TensorTypeError(f"{path.name}: expected the {kind} {spec.name} in {spec.dtype}, found {word}")
            if axes != spec.shape:
                raise TensorAxesError(
                    f"{path.name}: expected the {kind} {spec.name} with axes {spec.shape}, found {axes}"
                )


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Stage 2: the file in ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no common base class for its errors
        if type(error).__name__ == "NotImplemented" or "is not a registered function/op" in str(error):
            raise UnsupportedOperatorError(f"{path.name}: ONNX Runtime lacks an operation of it: {error}") from error
        raise LoadError(f"{path.name}: expected ONNX Runtime to open it, found: {error}") from error


def run_graph(
    session: onnxruntime.InferenceSession, contract: Contract, sample: Sample
) -> dict[str, NDArray[np.float32]]:
    """Stage 3: the outputs of one sample by name, of the promised shapes and finite."""
    names = [spec.name for spec in contract.outputs]
    try:
        values = dict(zip(names, session.run(names, sample.inputs), strict=True))
    except Exception as error:
        raise ShapeError(f"{sample.name}: expected an answer, found: {error}") from error
    sizes = _sizes(contract.inputs[0], sample.inputs[contract.inputs[0].name].shape)
    for spec in contract.outputs:
        expected = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape)
        value = values[spec.name]
        if value.shape != expected or value.dtype != np.dtype(spec.dtype):
            raise ShapeError(f"{sample.name}: expected {spec.name} {expected}, found {value.dtype} {value.shape}")
        if not np.isfinite(value).all():
            raise ShapeError(f"{sample.name}: expected finite {spec.name}, found {(~np.isfinite(value)).sum()} others")
    return values


def changes(path: Path, reference: Path, contract: Contract, cases: Iterable[Sample]) -> dict[str, dict[str, float]]:
    """How far the outputs of a file lie from those of the float file `reference`, by output: reported, not judged.

    Raises a LoadError or ShapeError where stages 2 and 3 fail.
    """
    session, other = open_session(path), open_session(reference)
    outputs: dict[str, dict[str, float]] = {spec.name: {} for spec in contract.outputs}
    for sample in cases:
        found, expected = run_graph(session, contract, sample), run_graph(other, contract, sample)
        for name, figures in outputs.items():
            change = np.abs(found[name] - expected[name])
            _grow(figures, "max_abs_change", change)
            figures["mean_abs_change"] = max(figures.get("mean_abs_change", 0.0), float(change.mean()))
            _grow(figures, "max_abs_value", np.abs(expected[name]))
    return outputs


def call_of(path: Path) -> Call:
    """A graph on the CPU as a function of arrays by tensor name. Raises LoadError."""
    session = open_session(path)
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def run_module(module: nn.Module, contract: Contract, sample: Sample) -> dict[str, NDArray[np.float32]]:
    """PyTorch's answer to one sample, by name."""
    with torch.no_grad():
        values = module(**{name: torch.from_numpy(value) for name, value in sample.inputs.items()})
    return {spec.name: value.numpy() for spec, value in zip(contract.outputs, values, strict=True)}


def compare(
    place: str, name: str, found: NDArray[np.float32], expected: NDArray[np.float32], contract: Contract
) -> None:
    """Stage 4 for one output: ValueMismatchError unless its tolerance holds everywhere."""
    tolerance = contract.tolerances[name]
    error = np.abs(found - expected)
    beyond = error - tolerance.absolute - tolerance.relative * np.abs(expected)
    if not (beyond <= 0).all():
        raise ValueMismatchError(
            f"{place}, {name}: expected |error| <= {tolerance.absolute:g} + {tolerance.relative:g} * |value|, "
            f"found {float(error.max()):g} at worst and {float((beyond > 0).mean()):.2%} of the values outside"
        )
    bound = tolerance.of_largest * float(np.abs(expected).max())
    if error.max() > bound:
        raise ValueMismatchError(
            f"{place}, {name}: expected |error| <= {tolerance.of_largest:g} of the largest value, which is {bound:g}, "
            f"found {float(error.max()):g}"
        )


def _grow(figures: dict[str, float], key: str, values: NDArray[np.float32]) -> None:
    figures[key] = max(figures.get(key, 0.0), float(values.max()))


def _axes(value: onnx.ValueInfoProto) -> tuple[int | str, ...]:
    return tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _sizes(spec: TensorSpec, shape: tuple[int, ...]) -> dict[str, int]:
    """Numbers for the named axes, halves included."""
    sizes = {axis: size for axis, size in zip(spec.shape, shape, strict=True) if isinstance(axis, str)}
    return sizes | {f"{axis}/2": size // 2 for axis, size in sizes.items()}

"""A deployed network as one ONNX file: dynamic batch and size, fixed tensor names, weights stored in half precision.

Half precision concerns storage alone. `round_weights` rounds the network first, so that what PyTorch computes and what
the file holds are the same numbers; `halve_initialisers` then stores, followed by a Cast to float32, every large tensor
that float16 represents exactly. ONNX Runtime folds these casts when it loads the file, so a call costs the same.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import onnx_ir
import onnxscript.optimizer
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes import common as common_passes
from torch import Tensor, nn

from export.contracts import OPSET, Contract
from export.errors import TracingError
from service.manifest import TensorSpec

SMALLEST_HALVED = 1024
"""Tensors of fewer elements (biases, batch norm) keep float32: they save nothing."""
EXAMPLE_MULTIPLES = {"N": 2, "H": 3, "W": 5}

Module = TypeVar("Module", bound=nn.Module)


def round_weights(network: Module) -> Module:
    """A copy of `network` whose large float32 tensors went through float16. Raises ValueError when one overflows."""
    rounded = copy.deepcopy(network)
    with torch.no_grad():
        for name, tensor in (*rounded.named_parameters(), *rounded.named_buffers()):
            if tensor.dtype != torch.float32 or tensor.numel() < SMALLEST_HALVED:
                continue
            half = tensor.half()
            if not torch.isfinite(half).all():
                largest = float(tensor.abs().max())
                raise ValueError(f"{name}: expected finite weights below 65504 for float16, found {largest:g}")
            tensor.copy_(half.float())
    return rounded


def export_graph(deployed: nn.Module, contract: Contract, path: Path, half: bool = True) -> None:
    """Write `deployed` to `path` under the names of `contract`, its rounded weights in float16 where `half`.

    Raises TracingError for a network with an operation that ONNX lacks, at this opset or at all.
    """
    model = _traced(deployed.eval(), contract)
    written = next(entry.version for entry in model.opset_import if not entry.domain)
    if written != OPSET:
        raise TracingError(f"{contract.file}: expected opset {OPSET}, found {written}")
    _name_axes(model.graph.input, contract.inputs)
    _name_axes(model.graph.output, contract.outputs)
    _forget_origin(model)
    if half:
        halve_initialisers(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def halve_initialisers(model: onnx.ModelProto) -> int:
    """Store every large float32 initialiser that is exact in float16 as such, with a Cast; answers how many."""
    graph, casts = model.graph, []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST_HALVED:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_float16"))
        casts.append(helper.make_node("Cast", [f"{name}_float16"], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(casts + nodes)
    kept = [info for info in graph.value_info if info.name not in {cast.output[0] for cast in casts}]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    return len(casts)


def weight_precision(path: Path) -> str:
    """ "float16" when most bytes of the file's initialisers are stored so, else "float32"."""
    half = full = 0
    for tensor in onnx.load(path).graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            half += int(np.prod(tensor.dims)) * 2
        elif tensor.data_type == TensorProto.FLOAT:
            full += int(np.prod(tensor.dims)) * 4
    return "float16" if half > full else "float32"


def _traced(deployed: nn.Module, contract: Contract) -> onnx.ModelProto:
    axes = {
        "N": torch.export.Dim("batch", min=1, max=64),
        "H": contract.multiple * torch.export.Dim("rows", min=2, max=256),
        "W": contract.multiple * torch.export.Dim("columns", min=2, max=256),
    }
    dynamic = {
        spec.name: {index: axes[axis] for index, axis in enumerate(spec.shape) if isinstance(axis, str)}
        for spec in contract.inputs
    }
    example = {spec.name: _example(spec, contract.multiple) for spec in contract.inputs}
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                deployed,
                kwargs=example,
                dynamo=True,
                opset_version=OPSET,
                input_names=[spec.name for spec in contract.inputs],
                output_names=[spec.name for spec in contract.outputs],
                dynamic_shapes=dynamic,
                external_data=False,
                optimize=False,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # the exporter wraps every error in advice and its own trace
            cause = cause.__cause__
        reason = str(cause).strip().partition("\n")[0]
        raise TracingError(f"{contract.file}: expected operations that ONNX has, found: {reason}") from error
    finally:
        exporter_log.setLevel(level)
    assert program is not None
    _simplify(program.model)
    return program.model_proto


def _simplify(model: onnx_ir.Model) -> None:
    """Fold constants and drop what is unused or repeated, but leave batch norm beside its convolution.

    The exporter's own optimiser merges the two, which changes the weights after they were rounded; ONNX Runtime merges
    them anyway when it loads the file.
    """
    onnxscript.optimizer.inline(model)
    onnxscript.optimizer.fold_constants_ir(model)
    for step in (
        common_passes.CommonSubexpressionEliminationPass(),
        common_passes.RemoveUnusedNodesPass(),
        common_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common_passes.DeduplicateInitializersPass(),
    ):
        step(model)


def _example(spec: TensorSpec, multiple: int) -> Tensor:
    shape = [
        axis if isinstance(axis, int) else EXAMPLE_MULTIPLES[axis] * (1 if axis == "N" else multiple)
        for axis in spec.shape
    ]
    return torch.full(shape, 127, dtype=torch.uint8) if spec.dtype == "uint8" else torch.full(shape, 0.5)


def _name_axes(values: object, specs: tuple[TensorSpec, ...]) -> None:
    for value, spec in zip(values, specs, strict=True):  # type: ignore[call-overload]
        for dim, axis in zip(value.type.tensor_type.shape.dim, spec.shape, strict=True):
            if isinstance(axis, str):
                dim.dim_param = axis


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drop stack traces and other notes of the exporter: they hold paths of the exporting machine and weigh much."""
    del model.metadata_props[:]
    model.graph.doc_string = ""
    del model.graph.metadata_props[:]
    for item in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]

"""An ONNX graph whose tensor types are the precision of its engine.

TensorRT since version 11 takes every type from the graph and chooses none itself. So a float16 engine is a graph with
float16 tensors. `typed_graph` casts what profits and keeps in float32 what would suffer: coordinates, sums, quotients,
exponentials and norms. The rule is that of automatic mixed precision: matrix products run in the short type; what is
safe follows, where all that it reads is short already; everything else computes in float32.

Inputs and outputs keep their types. Two things that TensorRT asks for are done on the way: 8-bit images become float
before anything else touches them, and weights that are stored in float16 become plain tensors again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper
from onnx_ir.passes import common as common_passes
from onnxscript import rewriter
from onnxscript.rewriter.rules import common as rules

from export.contracts import LAST_GRID_SAMPLE_OPSET, SCATTER
from export.engines.errors import ForeignGraphError

PRECISIONS = ("float32", "float16", "bfloat16", "int8")
SHORT_TYPES = {"float16": ir.DataType.FLOAT16, "bfloat16": ir.DataType.BFLOAT16}
LEADS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operations that always compute in the short type."""
FOLLOWS = frozenset(
    {
        *("Relu", "LeakyRelu", "PRelu", "Elu", "Gelu", "Erf", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Clip"),
        *("Add", "Sub", "Mul", "Neg", "Abs", "Max", "Min", "Where"),
        *("Concat", "Split", "Slice", "Gather", "Pad", "Expand", "Tile", "Identity"),
        *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "DepthToSpace", "SpaceToDepth"),
        *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize"),
    }
)
"""Operations that compute in the short type where every tensor that they read is in it."""
FLOAT32_INPUTS = {"Resize": (1, 2)}
"""Inputs that ONNX wants in float32 whatever the others are: a Resize's region and scales."""


def read_graph(path: Path) -> onnx.ModelProto:
    """The model of a file. Raises ForeignGraphError when it is damaged, or has an operation that engines get wrong."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # onnx raises many kinds, protobuf's among them
        raise ForeignGraphError(
            f"{path}: expected a valid ONNX file, found: {error}. Export or copy the bundle again."
        ) from error
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    strangers = sorted({entry.domain for entry in model.opset_import} - {"", "ai.onnx"})
    if strangers:
        raise ForeignGraphError(f"{path}: expected operations of ai.onnx alone, found the domains {strangers}")
    for node in model.graph.node:
        if node.op_type in SCATTER:
            raise ForeignGraphError(
                f"{path}: node {node.name!r} is a {node.op_type}, which TensorRT computes differently. "
                "Keep it outside the graph, as the stitching pipeline does with its splatting."
            )
        if node.op_type == "GridSample" and opset > LAST_GRID_SAMPLE_OPSET:
            raise ForeignGraphError(
                f"{path}: node {node.name!r} is a GridSample of opset {opset}, which TensorRT reads as nearest. "
                f"Export at opset {LAST_GRID_SAMPLE_OPSET} or earlier."
            )
    return model


def typed_graph(model: onnx.ModelProto, precision: str, keep: Sequence[str] = ()) -> onnx.ModelProto:
    """A copy of `model` for TensorRT, its tensors typed for `precision`, its inputs and outputs as they were.

    precision: "float16" and "bfloat16" cast what may be short; "float32" and "int8" leave the types that are there.
    keep: patterns of node names or operations, in the style of file names, that stay in float32.
    Raises ValueError for another precision, ForeignGraphError for a tensor of unknown type or a weight that overflows.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, found {precision!r}")
    graph = ir.from_proto(_inferred(_float_images(model)))
    _plain_weights(graph)
    if precision in SHORT_TYPES:
        graph = _merge_batch_norms(graph)
        _Caster(graph.graph, SHORT_TYPES[precision], keep).run()
        common_passes.IdentityEliminationPass()(graph)
    common_passes.RemoveUnusedNodesPass()(graph)
    return ir.to_proto(graph)


def _float_images(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put a Cast to float32 behind every 8-bit input. TensorRT moves such tensors in and out, and does no more."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    images = [value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8]
    for node in graph.node:
        if node.op_type not in ("Shape", "Size"):
            node.input[:] = [f"{name}_float" if name in images else name for name in node.input]
    casts = [helper.make_node("Cast", [n], [f"{n}_float"], name=f"{n}_to_float", to=TensorProto.FLOAT) for n in images]
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return copy


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the type of every tensor written down."""
    del model.graph.value_info[:]
    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        raise ForeignGraphError(f"expected a graph whose types agree, found: {error}") from error


def _plain_weights(model: ir.Model) -> None:
    """Turn every weight that is stored in one type and cast to another into a tensor of the other."""
    graph = model.graph
    for node in list(graph):
        if node.op_type != "Cast" or node.inputs[0] is None or not node.inputs[0].is_initializer():
            continue
        stored, cast = node.inputs[0], node.outputs[0]
        if stored.const_value is None or cast.is_graph_output():
            continue
        wanted = ir.DataType(node.attributes["to"].as_int())
        plain = _constant(graph, f"{cast.name}_plain", stored.const_value.numpy(), wanted)
        cast.replace_all_uses_with(plain)
        graph.remove(node, safe=True)
    common_passes.RemoveUnusedNodesPass()(model)


def _merge_batch_norms(model: ir.Model) -> ir.Model:
    """Batch norms multiplied into their convolutions in float32, before anything is rounded.

    The rules spare weights that two nodes read, such as one zero bias for many, so every node gets its own.
    """
    for node in model.graph:
        for index, value in enumerate(node.inputs):
            if node.op_type in LEADS and value is not None and value.is_initializer() and len(value.uses()) > 1:
                assert value.const_value is not None
                assert value.dtype is not None
                own = _constant(model.graph, f"{value.name}_{node.name}", value.const_value.numpy(), value.dtype)
                node.replace_input_with(index, own)
    merged = rewriter.rewrite(
        model,
        pattern_rewrite_rules=[
            rules.fuse_batchnorm_into_conv_rule,
            rules.fuse_batchnorm_into_conv_transpose_rule,
            rules.fuse_batchnorm_into_gemm_rule,
        ],
    )
    return ir.from_proto(_inferred(ir.to_proto(merged)))


class _Caster:
    """One walk over a graph in the order of computation."""

    def __init__(self, graph: ir.Graph, short: ir.DataType, keep: Sequence[str]) -> None:
        self.graph = graph
        self.short = short
        self.keep = tuple(keep)
        self.twins: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def run(self) -> None:
        for index, output in enumerate(list(self.graph.outputs)):
            self._guard(index, output)
        for node in list(self.graph):
            self._visit(node)

    def _guard(self, index: int, output: ir.Value) -> None:
        """End the graph in a Cast to the output's own type, so that its name and type stay."""
        name, kind = output.name, output.dtype
        assert kind is not None
        output.name = f"{name}_inner"
        last = ir.node("Cast", [output], {"to": kind}, name=f"{name}_to_output")
        last.outputs[0].name, last.outputs[0].type, last.outputs[0].shape = name, output.type, output.shape
        self.graph.append(last)
        self.graph.outputs[index] = last.outputs[0]

    def _visit(self, node: ir.Node) -> None:
        reads = list(self._floats(node))
        if self._goes_short(node, [value for _, value in reads]):
            for index, value in reads:
                node.replace_input_with(index, self._as(value, self.short, node))
            for output in node.outputs:
                if output.dtype == ir.DataType.FLOAT:
                    output.type = ir.TensorType(self.short)
        elif node.op_type != "Cast":
            for index, read in enumerate(node.inputs):
                if read is not None and read.dtype == self.short:
                    node.replace_input_with(index, self._as(read, ir.DataType.FLOAT, node))

    def _floats(self, node: ir.Node) -> Iterator[tuple[int, ir.Value]]:
        for index, value in enumerate(node.inputs):
            if value is None or index in FLOAT32_INPUTS.get(node.op_type, ()):
                continue
            if value.dtype is None:
                raise ForeignGraphError(
                    f"node {node.name!r} ({node.op_type}): the type of {value.name!r} cannot be told"
                )
            if value.dtype in (ir.DataType.FLOAT, self.short):
                yield index, value

    def _goes_short(self, node: ir.Node, reads: list[ir.Value]) -> bool:
        if any(fnmatchcase(node.name or "", pattern) or node.op_type == pattern for pattern in self.keep):
            return False
        if node.op_type in LEADS:
            return True
        computed = [value for value in reads if not value.is_initializer()]
        return node.op_type in FOLLOWS and bool(computed) and all(value.dtype == self.short for value in computed)

    def _as(self, value: ir.Value, kind: ir.DataType, before: ir.Node) -> ir.Value:
        """`value` in the type `kind`: itself, a constant, or a Cast put in front of its first reader."""
        if value.dtype == kind:
            return value
        if (value, kind) not in self.twins:
            name = f"{value.name}_{kind.name.lower()}"
            if value.is_initializer() and value.const_value is not None:
                self.twins[value, kind] = _constant(self.graph, name, value.const_value.numpy(), kind)
            else:
                cast = ir.node("Cast", [value], {"to": kind}, name=f"{name}_cast")
                cast.outputs[0].name, cast.outputs[0].type = name, ir.TensorType(kind)
                cast.outputs[0].shape = value.shape
                self.graph.insert_before(before, cast)
                self.twins[value, kind] = cast.outputs[0]
        return self.twins[value, kind]


def _constant(graph: ir.Graph, name: str, values: np.ndarray, kind: ir.DataType) -> ir.Value:
    with np.errstate(over="ignore"):
        cast = values.astype(kind.numpy())
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(cast.astype(np.float32)).all():
        raise ForeignGraphError(
            f"{name}: expected weights that {kind.name.lower()} can hold, found {float(np.abs(values).max()):g}. "
            "Keep its node in float32, or choose bfloat16."
        )
    value = ir.Value(name=name, const_value=ir.Tensor(cast, name=name))
    value.type, value.shape = ir.TensorType(kind), ir.Shape(cast.shape)
    graph.register_initializer(value)
    return value

"""Q/DQ pairs as TensorRT takes them: signed 8 bits around zero, and biases in float.

ONNX Runtime multiplies unsigned activations by signed weights fastest and shifts them by a zero point; TensorRT knows
no zero point. The calibrated range [-z s, (255 - z) s] of an activation is kept and centred: its new scale is the
larger end of the range divided by 127. Weights are symmetric already and stay bit for bit.

A range that begins at zero also does the work of a ReLU, which ONNX Runtime's tools then leave out; here it comes back.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from export.engines.errors import ForeignGraphError

LARGEST = 127
PAIRS = ("QuantizeLinear", "DequantizeLinear")


def symmetric_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a quantised model for TensorRT. Raises ForeignGraphError without a pair, or with a shifted weight."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    pairs = [node for node in graph.node if node.op_type in PAIRS]
    if not pairs:
        raise ForeignGraphError("expected QuantizeLinear and DequantizeLinear nodes, found none. Run: export int8")
    originals = {name: numpy_helper.to_array(tensor) for name, tensor in constants.items()}
    centred: set[str] = set()
    for node in pairs:
        if len(node.input) < 3 or any(name not in constants for name in node.input[1:3]):
            raise ForeignGraphError(f"node {node.name!r}: expected a scale and a zero point that are constants")
        if node.input[0] in constants:
            _fold_bias(graph, node, constants)
            continue
        scale, zero = (originals[name] for name in node.input[1:3])
        if node.op_type == "QuantizeLinear" and np.all(zero == np.iinfo(zero.dtype).min):
            _put_relu_before(graph, node)
        if node.input[1] not in centred:
            _centre(node, scale, zero, constants)
            centred.add(node.input[1])
    return copy


def quantised_bytes(model: onnx.ModelProto) -> int:
    """Bytes of all 8-bit weights of a model."""
    return sum(int(np.prod(t.dims)) for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and t.dims)


def _fold_bias(graph: onnx.GraphProto, node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> None:
    """Replace the DequantizeLinear of a 32-bit bias by its values; leave that of an 8-bit weight."""
    values, scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input)
    if np.any(zero):
        raise ForeignGraphError(f"node {node.name!r}: expected a weight around zero, found the zero point {zero.max()}")
    if values.dtype == np.int8:
        return
    if values.ndim != 1:
        raise ForeignGraphError(f"node {node.name!r}: expected an 8-bit weight or a bias, found {values.dtype}")
    bias = numpy_helper.from_array((values * scale).astype(np.float32), node.output[0])
    graph.initializer.append(bias)
    graph.node.remove(node)


def _put_relu_before(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    name = f"{node.output[0]}_positive"
    relu = onnx.helper.make_node("Relu", [node.input[0]], [name], name=f"{node.name}_relu")
    graph.node.insert(next(index for index, other in enumerate(graph.node) if other is node or other == node), relu)
    node.input[0] = name


def _centre(node: onnx.NodeProto, scale: np.ndarray, zero: np.ndarray, constants: dict[str, onnx.TensorProto]) -> None:
    """Make an activation's scale and zero point, which its two nodes share, symmetric."""
    limits = np.iinfo(zero.dtype)
    reach = np.maximum(zero.astype(np.int64) - limits.min, limits.max - zero.astype(np.int64))
    if zero.dtype == np.int8 and not np.any(zero):
        return
    centred = (scale * reach / LARGEST).astype(np.float32)
    constants[node.input[1]].CopyFrom(numpy_helper.from_array(centred, node.input[1]))
    constants[node.input[2]].CopyFrom(numpy_helper.from_array(np.zeros_like(zero, dtype=np.int8), node.input[2]))

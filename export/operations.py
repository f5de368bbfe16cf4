"""Multiply-accumulates of an ONNX graph, node by node, from the shapes that tensors take in a real call.

Shape inference cannot follow sizes that the graph computes; running it once with every operand as an output can.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray

CONVOLUTIONS = ("Conv", "ConvTranspose")
PRODUCTS = ("MatMul", "Gemm")
COUNTED = CONVOLUTIONS + PRODUCTS


def multiply_accumulates(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Multiply-accumulates of every convolution and matrix product of one call with `inputs`, by the node's name.

    Biases and element-wise work are not counted. Nodes need names that differ; see `with_names`. Raises whatever
    ONNX Runtime raises for inputs that do not fit.
    """
    nodes = [node for node in model.graph.node if node.op_type in COUNTED]
    if not nodes:
        return {}
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    wanted = {name for node in nodes for name in (*node.input[:2], node.output[0])} - set(shapes) - set(inputs)
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    present = {value.name for value in probed.graph.output}
    probed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted - present))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(probed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = sorted(wanted)
    found = session.run(names, dict(inputs))
    shapes |= {name: value.shape for name, value in zip(names, found, strict=True)}
    shapes |= {name: value.shape for name, value in inputs.items()}
    return {node.name: _count(node, shapes) for node in nodes}


def with_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model; nodes without a name of their own get one made of their operation and place."""
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{index}"
        seen.add(node.name)
    return model


def _count(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    first, second, result = (shapes[name] for name in (node.input[0], node.input[1], node.output[0]))
    if node.op_type == "Conv":
        return math.prod(result) * math.prod(second[1:])  # a kernel is outputs x inputs / groups x rows x columns
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(second[1:])
    turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(result) * (first[0] if turned else first[-1])

"""How far a short type takes a graph from float32, told on the CPU before anything is built.

ONNX Runtime computes few operations in float16 on a CPU and none in bfloat16. So the typed graph runs in float32, every
tensor that is short in it rounded to the short type and back: what a GPU does that adds up products in float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.engines.errors import EnginePrecisionError
from export.samples import Sample

SHORT = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
LARGEST_ERROR = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 1e-1, "int8": 2.5e-1}
"""Largest |a - b| of an output over its largest |b|. INT8 is judged by task metrics when its file is written; here only
what is broken is refused."""


def strays(original: onnx.ModelProto, typed: onnx.ModelProto, cases: Iterable[Sample]) -> dict[str, float]:
    """By output: the largest |a - b| over the largest |b|, a of `typed`, b of `original`, over all cases."""
    reference, rounded = _session(original), _session(in_float32(typed))
    names = [output.name for output in reference.get_outputs()]
    worst = dict.fromkeys(names, 0.0)
    for case in cases:
        expected, found = reference.run(names, case.inputs), rounded.run(names, case.inputs)
        for name, b, a in zip(names, expected, found, strict=True):
            worst[name] = max(worst[name], relative_error(a, b))
    return worst


def relative_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest |a - b| over the largest |b|, a of `found`, b of `expected`; 0 where all are 0.

    Infinite where a value is not finite, or where only b is 0 everywhere.
    """
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return math.inf
    error, largest = float(np.abs(found - expected).max()), float(np.abs(expected).max())
    if largest == 0:
        return 0.0 if error == 0 else math.inf
    return error / largest


def check_strays(worst: dict[str, float], precision: str, place: str, limit: float | None = None) -> None:
    """Raise EnginePrecisionError when an output strays further than `limit`, by default LARGEST_ERROR's."""
    limit = LARGEST_ERROR[precision] if limit is None else limit
    for name, error in worst.items():
        if not error <= limit:
            raise EnginePrecisionError(
                f"{place}: expected {name} in {precision} within {limit:g} of its largest value, found {error:.3g}. "
                "Keep the operations that need it in float32 with --keep, or allow more with --max-error"
            )


def in_float32(typed: onnx.ModelProto) -> onnx.ModelProto:
    """`typed` with every short tensor replaced by a float32 one that went through the short type."""
    model = onnx.ModelProto()
    model.CopyFrom(typed)
    graph = model.graph
    short = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    short = {name: kind for name, kind in short.items() if kind in SHORT}
    for tensor in graph.initializer:
        if tensor.data_type in SHORT:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    nodes = []
    for node in graph.node:
        nodes.append(node)
        if node.op_type == "Cast" and node.attribute[0].i in SHORT:
            node.attribute[0].i = TensorProto.FLOAT
        for index, name in enumerate(node.output):
            if name in short:
                node.output[index] = f"{name}_exact"
                nodes.append(helper.make_node("Cast", [f"{name}_exact"], [f"{name}_short"], to=short[name]))
                nodes.append(helper.make_node("Cast", [f"{name}_short"], [name], to=TensorProto.FLOAT))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return model


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

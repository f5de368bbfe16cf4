"""What an ONNX file or a bundle holds, without running more than one call on the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from export.contracts import LAST_GRID_SAMPLE_OPSET, SCATTER
from export.errors import CorruptGraphError
from export.operations import multiply_accumulates, with_names
from service.bundle import Bundle, file_sha256
from service.preprocess import model_size

LANDSCAPE = (4, 3)
"""Width to height of the frame whose operations are counted."""
DYNAMIC = 64
"""Size of a dynamic axis when a file that no manifest describes is counted; batches are 1."""


def inspect_bundle(bundle: Bundle) -> dict[str, Any]:
    """The manifest, and what every file of it holds."""
    manifest = bundle.manifest
    files = {}
    for name, graph in manifest.graphs.items():
        width, height = model_size(*LANDSCAPE, graph.size)
        sizes = {"N": 1, "H": height, "W": width}
        for file in (graph.file, *graph.variants.values()):
            files[file] = {"graph": name, **inspect_file(bundle.folder / file, sizes)}
    return {
        "name": manifest.name,
        "kind": manifest.kind,
        "version": manifest.version,
        "sha256": bundle.sha256,
        "licence": manifest.licence,
        "tasks": sorted(manifest.tasks),
        "files": files,
        "provenance": manifest.provenance,
        "quality": manifest.quality,
    }


def inspect_file(path: Path, sizes: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Opset, operations, tensors, precision, sizes and multiply-accumulates of any ONNX file.

    sizes: numbers for named axes; others count as 1 for a leading axis and 64 elsewhere. macs is None where the file
    does not run at these sizes, or takes more than tensors. Raises CorruptGraphError for a file that is not ONNX,
    OSError for a missing one.
    """
    size = path.stat().st_size
    try:
        model = onnx.load(path)
        onnx.checker.check_model(str(path))  # by its path, or weights beside the file are not found
    except Exception as error:  # onnx raises many kinds, protobuf's among them
        raise CorruptGraphError(f"{path.name}: expected a valid ONNX file, found: {error}") from error
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    operations = Counter(node.op_type for node in model.graph.node)
    inputs = [_tensor(value) for value in model.graph.input]
    feeds = {tensor["name"]: _zeros(tensor, sizes or {}) for tensor in inputs if "shape" in tensor}
    return {
        "bytes": size,
        "sha256": file_sha256(path),
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "opset": opsets,
        "nodes": len(model.graph.node),
        "operations": dict(operations.most_common()),
        "inputs": inputs,
        "outputs": [_tensor(value) for value in model.graph.output],
        "weights": _weights(model),
        "quantised": {kind: operations[kind] for kind in ("QuantizeLinear", "DequantizeLinear")},
        "macs": _macs(model, feeds) if len(feeds) == len(inputs) else None,
        "counted_at": {name: list(values.shape) for name, values in feeds.items()},
        "grid_sample": _grid_sample(operations["GridSample"], opsets.get("ai.onnx", 0)),
        "scatter": sorted(set(operations) & set(SCATTER)),
    }


def _tensor(value: onnx.ValueInfoProto) -> dict[str, Any]:
    """Type and axes of a tensor; of anything else, for instance a sequence, the kind alone."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return {"name": value.name, "kind": kind.removesuffix("_type") if kind else "unknown"}
    tensor = value.type.tensor_type
    shape = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
    return {"name": value.name, "dtype": TensorProto.DataType.Name(tensor.elem_type).lower(), "shape": shape}


def _weights(model: onnx.ModelProto) -> dict[str, dict[str, int]]:
    """Values and bytes of the constants by element type."""
    found: dict[str, dict[str, int]] = {}
    for tensor in model.graph.initializer:
        entry = found.setdefault(TensorProto.DataType.Name(tensor.data_type).lower(), {"values": 0, "bytes": 0})
        count = int(np.prod(tensor.dims))
        entry["values"] += count
        entry["bytes"] += count * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return found


def _zeros(tensor: Mapping[str, Any], sizes: Mapping[str, int]) -> NDArray[Any]:
    named = [axis if isinstance(axis, int) else sizes.get(axis, DYNAMIC if place else 1)
             for place, axis in enumerate(tensor["shape"])]  # fmt: skip
    dtype = onnx.helper.tensor_dtype_to_np_dtype(TensorProto.DataType.Value(tensor["dtype"].upper()))
    return np.zeros([size or DYNAMIC for size in named], dtype)


def _macs(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> int | None:
    try:
        return sum(multiply_accumulates(with_names(model), feeds).values())
    except Exception:  # a foreign graph may need other sizes, or operations that this runtime lacks
        return None


def _grid_sample(count: int, opset: int) -> dict[str, Any]:
    return {"nodes": count, "opset": opset, "safe": count == 0 or opset <= LAST_GRID_SAMPLE_OPSET}

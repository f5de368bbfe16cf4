"""Static INT8 quantisation of a graph with ONNX Runtime's tools: 8-bit activations and weights, by Q/DQ pairs.

Activations are unsigned and weights signed (U8S8), per output channel: what x86 processors with VNNI multiply fastest.
Convolutions and matrix products are chosen layer by layer; layers share a weight, so that the iterations of a recurrent
network stay alike. Ranges are the least and largest values over the calibration frames, gathered once.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from export.errors import QuantisationError
from export.operations import COUNTED, multiply_accumulates, with_names

Feeds = Sequence[Mapping[str, NDArray[Any]]]
QUANTISED_WITH = ("Relu",)
"""Operations that carry no weight and are merged into the layer before them when both are in 8 bits."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Nodes that multiply by the same weight, or one product of two activations. macs: of one frame."""

    name: str
    nodes: tuple[str, ...]
    macs: int


class Quantiser:
    """A float graph, prepared and calibrated once, that can be written with any of its layers in INT8."""

    def __init__(self, source: Path, calibration: Feeds, folder: Path) -> None:
        """folder: for temporary files. Raises QuantisationError when the graph cannot be prepared."""
        self._prepared, self._ranges = folder / "prepared.onnx", folder / "ranges.json"
        self._calibration = calibration
        try:
            quant_pre_process(source, self._prepared, skip_symbolic_shape=True)
            model = with_names(onnx.load(self._prepared))
            onnx.save(model, self._prepared)
        except Exception as error:  # of onnx, of protobuf and of ONNX Runtime, without a common base class
            raise QuantisationError(f"{source.name}: expected a graph to quantise, found: {error}") from error
        self.layers = layers_of(model, calibration[0])
        if not self.layers:
            raise QuantisationError(f"{source.name}: expected convolutions or matrix products, found none")
        self._merged = [node.name for node in model.graph.node if node.op_type in QUANTISED_WITH]

    def write(self, path: Path, layers: Collection[Layer]) -> None:
        """Write the graph with `layers` in INT8 and everything else in float.

        Raises QuantisationError when the tools fail, ValueError without a layer.
        """
        if not layers:
            raise ValueError("layers: expected at least one to quantise, found none")
        nodes = [node for layer in layers for node in layer.nodes]
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # the tools advise the preparation that was made
        try:
            quantize_static(
                self._prepared,
                path,
                _Frames(self._calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=[*COUNTED, *QUANTISED_WITH],
                nodes_to_quantize=nodes + self._merged,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                calibration_cache_path=self._ranges,
            )
        except Exception as error:  # as above
            raise QuantisationError(f"{path.name}: expected INT8, found: {error}") from error
        finally:
            root.setLevel(level)


def layers_of(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> tuple[Layer, ...]:
    """The layers of a model in its order; nodes that share a constant operand are one layer."""
    constants = {tensor.name for tensor in model.graph.initializer}
    macs = multiply_accumulates(model, inputs)
    frames = next(iter(inputs.values())).shape[0]
    nodes: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.op_type in COUNTED:
            shared = next((name for name in node.input[:2] if name in constants), node.name)
            nodes.setdefault(shared, []).append(node.name)
    return tuple(
        Layer(name=name, nodes=tuple(members), macs=sum(macs[member] for member in members) // frames)
        for name, members in nodes.items()
    )


class _Frames(CalibrationDataReader):
    def __init__(self, feeds: Feeds) -> None:
        self._left = iter(feeds)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        feed = next(self._left, None)
        return None if feed is None else dict(feed)


def clear_notes(path: Path) -> None:
    """Make a quantised file fit to publish: drop notes, and imports of domains that no node uses."""
    model = onnx.load(path)
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used | {""}]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    del model.metadata_props[:]
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))

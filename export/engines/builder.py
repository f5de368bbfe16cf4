"""A typed ONNX graph to the bytes of an engine, by the Python interface that both TensorRT libraries share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from export.engines.errors import BuildError, ForeignGraphError, NoGpuError, TensorRTOperatorError
from export.engines.gpu import AMPERE_PLUS, find_gpu
from export.engines.library import Library, messages
from export.engines.profiles import Profile
from service.manifest import GraphSpec

CURRENT = "current"
LAYER_TYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
"""TensorRT's names of the types that have a longer one here; the others are written in small letters."""


@dataclass(frozen=True, kw_only=True)
class BuiltEngine:
    """An engine that has not been written yet.

    layers: how many layers of the network give which type, by the layer's kind, for instance
    {"convolution": {"float16": 41}}. inputs, outputs: the type of each tensor by name.
    timing_cache: what the library measured, to start the next build from; empty where it measures nothing.
    """

    data: bytes
    layers: dict[str, dict[str, int]]
    inputs: dict[str, str]
    outputs: dict[str, str]
    timing_cache: bytes


def targets_of(library: Library) -> tuple[str, ...]:
    """Every target that `library` builds for."""
    if library.needs_gpu:
        return (CURRENT, AMPERE_PLUS)
    names = sorted(library.module.ComputeCapability.__members__, key=lambda name: (len(name), name))
    return (CURRENT, *(name.lower() for name in names if name.startswith("SM")))


def resolve_target(library: Library, target: str) -> str:
    """`target` as a record keeps it: "current" becomes the compute capability of this machine's GPU, such as "sm89".

    Raises ValueError for a target that the library does not have, NoGpuError where a GPU is needed and missing.
    """
    known = targets_of(library)
    if target not in known:
        raise ValueError(f"target: expected one of {', '.join(known)} for {library.name}, found {target!r}")
    gpu = find_gpu()
    if gpu is None and (library.needs_gpu or target == CURRENT):
        others = "" if library.needs_gpu else f", or name a target: {', '.join(known[1:])}"
        raise NoGpuError(
            f"{library.name} builds for the target {target} on the GPU itself, and PyTorch sees none here. "
            f"Build on the machine that will run the engine{others}"
        )
    if target == CURRENT:
        assert gpu is not None
        return gpu.target
    return target


def build_engine(
    library: Library,
    model: onnx.ModelProto,
    graph: GraphSpec,
    profiles: Sequence[Profile],
    target: str,
    timing_cache: bytes = b"",
) -> BuiltEngine:
    """Compile `model`, typed as it is to run, for `target` (one that `resolve_target` answered, or "current").

    Raises TensorRTOperatorError naming the first node that TensorRT refuses, ForeignGraphError for a file that it does
    not read, BuildError with TensorRT's own words when it makes no engine.
    """
    trt = library.module
    with messages(library) as (logger, said):
        builder = trt.Builder(logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(model.SerializeToString()):
            raise _parse_error(parser)
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # or the inspector has nothing to say
        _aim(library, config, target)
        for profile in profiles:
            _add_profile(builder, config, profile, graph)
        if library.needs_gpu:  # TensorRT for RTX measures on the card, when the engine is loaded
            config.set_timing_cache(config.create_timing_cache(timing_cache), False)
        layers, inputs, outputs = _layers(network), _types(network, "input"), _types(network, "output")
        data = builder.build_serialized_network(network, config)
        if data is None:
            raise BuildError(f"{library.name} {library.version} made no engine for {target}: {_last(said)}")
        measured = bytes(config.get_timing_cache().serialize()) if library.needs_gpu else b""
        return BuiltEngine(data=bytes(data), layers=layers, inputs=inputs, outputs=outputs, timing_cache=measured)


def _aim(library: Library, config: Any, target: str) -> None:
    trt = library.module
    if not library.needs_gpu:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.__members__[target.upper()], 0)
    elif target == AMPERE_PLUS:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS


def _add_profile(builder: Any, config: Any, profile: Profile, graph: GraphSpec) -> None:
    made = builder.create_optimization_profile()
    for name, (least, usual, most) in profile.shapes(graph).items():
        made.set_shape(name, least, usual, most)
    if config.add_optimization_profile(made) < 0:
        raise BuildError(f"TensorRT refuses the profile {profile.to_dict()}")


def _parse_error(parser: Any) -> ForeignGraphError | TensorRTOperatorError:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    for error in errors:
        if error.node_operator():
            reason = " ".join(error.desc().split())[:400]
            return TensorRTOperatorError(
                f"TensorRT refuses node {error.node_name()!r}, a {error.node_operator()}: {reason}. "
                "Serve this graph with ONNX Runtime, or write the network without that operation"
            )
    return ForeignGraphError(f"TensorRT does not read the graph: {_last([error.desc() for error in errors])}")


def _layers(network: Any) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        output = layer.get_output(0)
        if output is not None:
            counts.setdefault(layer.type.name.lower(), Counter())[_type_name(output.dtype)] += 1
    return {kind: dict(counter) for kind, counter in sorted(counts.items())}


def _types(network: Any, side: str) -> dict[str, str]:
    tensors = (getattr(network, f"get_{side}")(index) for index in range(getattr(network, f"num_{side}s")))
    return {tensor.name: _type_name(tensor.dtype) for tensor in tensors}


def _type_name(dtype: Any) -> str:
    return LAYER_TYPES.get(dtype.name, dtype.name.lower())


def _last(said: Sequence[str]) -> str:
    return " ".join(said[-1].split())[:600] if said else "it gave no reason"

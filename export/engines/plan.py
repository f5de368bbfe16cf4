"""What precision an engine really has, read from the engine itself.

On a GPU the engine is loaded and TensorRT's inspector says every layer's types. Without one, nothing can be loaded. But
an engine of TensorRT for RTX is finished only on the card, so it still holds its program as text, constants with size
and type among it: that is counted. Neither format is documented in full, so a change of either is reported as "not
told", never as a pass.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from export.engines.errors import EnginePrecisionError

CONSTANT = re.compile(rb"tensor=\{[^{}]*const_payload_size=(\d+) (?:[^{}]|\{[^{}]*\})*?type=([a-z0-9]+) \}")
ACCELERATOR = re.compile(rb"accelerators=\{(sm\d+) \}")
PLAN_TYPES = {"float": "float32", "half": "float16", "bf16": "bfloat16", "int8": "int8"}
INSPECTED_TYPES = {
    "FP32": "float32", "Float": "float32", "FP16": "float16", "Half": "float16",
    "BF16": "bfloat16", "BFloat16": "bfloat16", "Int8": "int8", "INT8": "int8",
}  # fmt: skip
ENOUGH = 0.9
"""Share of the weights' bytes that has the wanted type; biases and constants of sums stay in float32."""


def plan_weights(data: bytes) -> dict[str, int]:
    """Bytes of constants by type in an engine of TensorRT for RTX; empty when the engine does not tell."""
    sizes: Counter[str] = Counter()
    for found in CONSTANT.finditer(data):
        kind = found.group(2).decode()
        sizes[PLAN_TYPES.get(kind, kind)] += int(found.group(1))
    return dict(sizes)


def plan_target(data: bytes) -> str | None:
    """The compute capability that an engine of TensorRT for RTX was compiled for, such as "sm89"; None if not told."""
    found = ACCELERATOR.search(data)
    return found.group(1).decode() if found else None


def check_precision(sizes: Mapping[str, int], precision: str, place: str, quantised: int = 1) -> None:
    """Raise EnginePrecisionError unless the weights, bytes by type, have the type `precision`.

    quantised: bytes of weights that are INT8 in the graph; others may stay in float there, so shares tell nothing.
    """
    known = {kind: size for kind, size in sizes.items() if kind in PLAN_TYPES.values()}
    whole = quantised if precision == "int8" else max(1, sum(known.values()))
    if known.get(precision, 0) < ENOUGH * whole:
        raise EnginePrecisionError(f"{place}: expected an engine of {precision}, found weights of {known} bytes")


def inspected_types(information: str) -> dict[str, dict[str, int]]:
    """From the inspector's JSON: how many layers read and write which type, by "inputs" and "outputs"."""
    layers: list[Any] = json.loads(information).get("Layers", [])
    counts: dict[str, Counter[str]] = {"inputs": Counter(), "outputs": Counter()}
    for layer in layers:
        if not isinstance(layer, dict):  # names alone: the engine was built without details
            continue
        for side, counter in counts.items():
            for tensor in layer.get(side.capitalize(), []):
                words = re.findall(r"\w+", str(tensor.get("Format/Datatype", "")))
                counter.update({INSPECTED_TYPES[word] for word in words if word in INSPECTED_TYPES})
    return {side: dict(counter) for side, counter in counts.items()}

"""PyTorch's own answers at a few places, kept in verify.json, to check a bundle where its checkpoint is not.

A probe holds the sum of the sample's inputs (sha256), hence notices when the samples are no longer the same, and of
every output the values at places spread evenly over it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.samples import Sample

PLACES = 16


def probe(sample: Sample, outputs: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    """What verify.json keeps of PyTorch's answer to a sample."""
    return {
        "inputs_sha256": inputs_sha256(sample),
        "outputs": {name: [float(value) for value in at_places(values)] for name, values in outputs.items()},
    }


def at_places(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values at PLACES positions spread over the flattened output, the first and the last among them."""
    flat = values.reshape(-1)
    return flat[np.linspace(0, flat.size - 1, PLACES).round().astype(np.int64)]


def inputs_sha256(sample: Sample) -> str:
    """Hexadecimal sha256 of a sample's tensors in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(sample.inputs):
        digest.update(np.ascontiguousarray(sample.inputs[name]).tobytes())
    return digest.hexdigest()

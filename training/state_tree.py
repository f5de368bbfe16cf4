"""Nested training state as named tensors plus JSON, without pickle.

`pack` splits a tree of dicts, lists, tuples, numbers, strings, None and tensors into a flat dict of tensors (for
safetensors) and a JSON skeleton that refers to them; `unpack` puts them together again. Dictionary keys may be strings
or integers (optimisers number their parameters), so dictionaries are written as lists of pairs.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def pack(tree: Any) -> tuple[dict[str, Tensor], Any]:
    """Returns (tensors by name, JSON-able skeleton). Raises ValueError for a value that neither can hold."""
    tensors: dict[str, Tensor] = {}
    return tensors, _pack(tree, "", tensors)


def unpack(skeleton: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that `pack` was given. Raises ValueError when the skeleton names a tensor that is not there."""
    if not isinstance(skeleton, dict):
        return skeleton
    ((kind, value),) = skeleton.items()
    if kind == "tensor":
        if value not in tensors:
            raise ValueError(f"training state: expected tensor {value!r}, found none of that name")
        return tensors[value]
    if kind == "dict":
        return {key: unpack(entry, tensors) for key, entry in value}
    if kind == "list":
        return [unpack(entry, tensors) for entry in value]
    if kind == "tuple":
        return tuple(unpack(entry, tensors) for entry in value)
    raise ValueError(f"training state: expected tensor, dict, list or tuple, found {kind!r}")


def _pack(tree: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        name = path or "value"
        tensors[name] = tree.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(tree, Mapping):
        for key in tree:
            if not isinstance(key, (str, int)):
                raise ValueError(f"training state at {path!r}: expected keys str or int, found {type(key).__name__}")
        return {"dict": [[key, _pack(value, f"{path}/{key}", tensors)] for key, value in tree.items()]}
    if isinstance(tree, (list, tuple)):
        kind = "tuple" if isinstance(tree, tuple) else "list"
        return {kind: [_pack(value, f"{path}/{index}", tensors) for index, value in enumerate(tree)]}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    raise ValueError(f"training state at {path!r}: expected tensors and JSON values, found {type(tree).__name__}")


def restore_layout(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor` in the memory layout, dtype and device of `like` when shapes agree, else unchanged.

    Files hold contiguous tensors; a resumed run must go on in the layout (channels_last) of the uninterrupted one,
    because vectorised kernels round differently in different layouts.
    """
    if tensor.shape != like.shape:
        return tensor
    return torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)

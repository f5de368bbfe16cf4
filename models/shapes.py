"""What the networks ask of the sizes they receive, and where they leave automatic mixed precision."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def require_image(name: str, tensor: Tensor, channels: int, multiple: int) -> None:
    """Raise ValueError unless `tensor` is [B, channels, H, W] with H and W positive multiples of `multiple`.

    Silent while a graph is being exported: sizes are symbols then, and the manifest carries the rule.
    """
    if torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
        return
    if tensor.ndim != 4 or tensor.shape[1] != channels:
        raise ValueError(f"{name}: expected shape [B, {channels}, H, W], found {list(tensor.shape)}")
    if not tensor.is_floating_point():
        raise ValueError(f"{name}: expected a floating point tensor, found {tensor.dtype}")
    height, width = tensor.shape[-2:]
    if min(height, width) < multiple or height % multiple or width % multiple:
        raise ValueError(f"{name}: expected height and width multiples of {multiple}, found {height} x {width}")


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """A context that switches autocast off on the tensor's device; does nothing where it is off, or on "meta"."""
    device_type = tensor.device.type
    if device_type != "meta" and torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()

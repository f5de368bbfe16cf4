"""The GPU of this machine, as far as engines care."""

from __future__ import annotations

from dataclasses import dataclass

import torch

AMPERE_PLUS = "ampere_plus"
"""A target of TensorRT: an engine for every GPU from Ampere on, slower than one for a single model."""
AMPERE = (8, 0)


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """The first CUDA device: its name and its compute capability, for instance (8, 9)."""

    name: str
    capability: tuple[int, int]

    @property
    def target(self) -> str:
        """The compute capability as a target is called, for instance "sm89"."""
        return f"sm{self.capability[0]}{self.capability[1]}"


def find_gpu() -> Gpu | None:
    """What PyTorch finds; None without a GPU, without a driver, and with a PyTorch built for the CPU alone."""
    if not torch.cuda.is_available():
        return None
    return Gpu(name=torch.cuda.get_device_name(0), capability=torch.cuda.get_device_capability(0))

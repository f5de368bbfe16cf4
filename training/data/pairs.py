"""Pairs."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from training.data.photometrics import PhotometricConfig


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    height: int = 192
    width: int = 256
    antialias: bool = True
    photometrics: PhotometricConfig = field(default_factory=PhotometricConfig)


class Pairs(NamedTuple):
    target_B3HW: Tensor
    reference_B3HW: Tensor
    region_BHW: Tensor
    stitched_B3hw: Tensor
    seen_Bhw: Tensor


def render_pairs(seeds: Sequence[int], config: PairConfig | None = None, device: torch.device | str = "cpu") -> Pairs:
    raise NotImplementedError

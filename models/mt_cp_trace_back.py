"""Trace-back of MT-CP: fused features, refined level by level against the task's own encoder.

After the WACV 2025 paper of MT-CP, as its released code has it: fused features are reduced to the coarsest level first
and return to the finest through one spatial refinement module per level.

Shapes: B batch, C channels of fused features, E channels of an encoder level, h and w of a level.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.blocks import resize_like
from models.mt_cp_fusion import Cbam


def _project(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU())


class SpatialRefinement(nn.Module):
    """One step: traced features and an encoder level, both gated, to prediction features and traced features.

    With `trace` False the second projection is left out and the joined features stand in its place: the last step of
    a chain has nobody to hand them to.
    """

    def __init__(self, traced: int, level: int, prediction: int, trace: bool = True) -> None:
        super().__init__()
        self.gate_traced = Cbam(traced)
        self.gate_level = Cbam(level)
        self.predict = _project(traced + level, prediction)
        self.trace = _project(traced + level, level) if trace else nn.Identity()

    def forward(self, traced_BChw: Tensor, level_BEhw: Tensor) -> tuple[Tensor, Tensor]:
        """Traced features of any size and a level, to prediction features and traced ones, both of the level's size."""
        resized = resize_like(self.gate_traced(traced_BChw), level_BEhw)
        joined = torch.cat((resized, self.gate_level(level_BEhw)), dim=1)
        return self.predict(joined), self.trace(joined)


class TraceBack(nn.Module):
    """The chain of one task: a spatial refinement module per encoder level, coarsest first."""

    def __init__(self, channels: int, levels: Sequence[int]) -> None:
        super().__init__()
        refinements, traced = [], channels
        for index, level in reversed(list(enumerate(levels))):
            refinements.append(SpatialRefinement(traced, level, channels, trace=index > 0))
            traced = level
        self.refinements = nn.ModuleList(refinements)

    def forward(self, fused_BChw: Tensor, levels: Sequence[Tensor]) -> list[Tensor]:
        """Fused features and encoder levels, finest first, to prediction features of C channels, coarsest first."""
        predictions, traced = [], fused_BChw
        for refinement, level in zip(self.refinements, reversed(levels), strict=True):
            prediction, traced = refinement(traced, level)
            predictions.append(prediction)
        return predictions

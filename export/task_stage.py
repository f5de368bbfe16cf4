"""Stage 5 of verification: what a graph loses in every task metric on generated frames, against the float graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from export.errors import TaskMetricError
from export.task_metrics import relative_losses


def judged(
    file: str, reference: Mapping[str, float], found: Mapping[str, float], budget: float, frames: int
) -> dict[str, Any]:
    """The entry of verify.json. Raises TaskMetricError when a metric lost more than `budget` of its reference, or is no
    number any more."""
    losses = relative_losses(reference, found)
    worst = max(losses, key=lambda name: math.inf if math.isnan(losses[name]) else losses[name])
    if not losses[worst] <= budget:
        raise TaskMetricError(
            f"{file}: expected every metric on {frames} generated frames within {budget:.2%} of the float graph's, "
            f"found {worst} {found[worst]:.4g} instead of {reference[worst]:.4g}, {losses[worst]:.2%} worse"
        )
    return {
        "frames": frames,
        "budget": budget,
        "worst": worst,
        "metrics": {
            name: {"reference": value, "found": found[name], "relative_loss": losses[name]}
            for name, value in reference.items()
        },
    }

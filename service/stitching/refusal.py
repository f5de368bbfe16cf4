"""When a warp is good enough to be shown, and how the service says no.

A picture is answered only if there is evidence that the photographs show one scene (a believed homography, or a flow
that returns and agrees), if enough of the target is seen in both, and if the warp neither folds nor explodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.errors import DegenerateFlow, LowOverlap
from service.stitching.geometry import Floats

OVERLAP_HINT = "Take photographs that share at least a quarter of their content, with visible texture."
FLOW_HINT = "Move less between the photographs, or keep near objects out of the overlap."


@dataclass(frozen=True, kw_only=True)
class RefusalOptions:
    """Thresholds. Shares are of the target's pixels, correlations as in `service.stitching.agreement`.

    smallest_overlap: visible overlap (specification section 7.4). smallest_returning: share of the pixels that land in
    the reference and come back. agreement: mean correlation asked for with a believed homography, and
    agreement_alone without one. textured: share of pixels that correlation needs to say anything.
    folds: share of pixels where the warp turns inside out, outside of the depth edges that real scenes have.
    """

    smallest_overlap: float = 0.08
    smallest_returning: float = 0.25
    agreement: float = 0.2
    returning_alone: float = 0.5
    agreement_alone: float = 0.5
    textured: float = 0.01
    folds: float = 0.12
    largest_stretch: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a warp scored. `returning`: share of the pixels that land in the reference and come back; `overlap`: visible
    share of all; `agreement`, `textured`: correlation and where it was measured."""

    aligned: bool
    returning: float
    overlap: float
    agreement: float
    textured: float


def lacking(evidence: Evidence, options: RefusalOptions) -> str | None:
    """What is missing for a joint picture, as the end of a sentence, or None."""
    if evidence.overlap < options.smallest_overlap:
        return f"only {evidence.overlap:.1%} of the target is visible in the reference"
    if evidence.textured < options.textured:
        return "the overlap has too little texture to be sure of anything"
    returning = options.smallest_returning if evidence.aligned else options.returning_alone
    if evidence.returning < returning:
        return f"only {evidence.returning:.0%} of the overlap is found again on the way back"
    agreement = options.agreement if evidence.aligned else options.agreement_alone
    if evidence.agreement < agreement:
        return f"what should match does not look alike (correlation {evidence.agreement:.2f})"
    return None


def is_degenerate(landed_hw2: Floats, source_hw2: Floats, options: RefusalOptions) -> bool:
    """True if the warp folds over a larger area than depth edges explain, explodes, or is not finite.

    landed_hw2, source_hw2: corresponding points on a regular grid of the target, full pixels.
    """
    if not np.isfinite(landed_hw2).all():
        return True
    area = _cell_area(landed_hw2) / np.maximum(_cell_area(source_hw2), 1e-9)
    typical = float(np.median(area))
    if typical <= 0 or (area <= 0).mean() > options.folds:
        return True
    return bool((area > options.largest_stretch * typical).mean() > 0.02)


def low_overlap(which: str, reason: str) -> LowOverlap:
    return LowOverlap(f"{which}: {reason}.", OVERLAP_HINT)


def degenerate_flow(which: str) -> DegenerateFlow:
    return DegenerateFlow(f"{which}: the warp folds or explodes, so any picture would be distorted.", FLOW_HINT)


def _cell_area(points_hw2: Floats) -> Floats:
    """Signed area of the grid's cells, from two steps so that single-pixel noise does not count."""
    right = points_hw2[:-2, 2:] - points_hw2[:-2, :-2]
    down = points_hw2[2:, :-2] - points_hw2[:-2, :-2]
    return (right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]).astype(np.float32)

"""What the operator of a stitcher chooses, and what a request's profile makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from service.stitching.canvas import CanvasOptions
from service.stitching.composition import CompositionOptions
from service.stitching.pair import PairOptions
from service.stitching.sharpening import SharpeningOptions

PROFILES = ("default", "fast")
FAST_FEATURES, FAST_FEATURES_SIDE = 1200, 600
FAST_SHARPENING_SIDE = 640
SMALLEST_FLOW_SIDE = 128


@dataclass(frozen=True, kw_only=True)
class StitchSettings:
    """What the operator chooses. `calibration_folder` None keeps calibrations in memory only."""

    pair: PairOptions = field(default_factory=PairOptions)
    canvas: CanvasOptions = field(default_factory=CanvasOptions)
    sharpening: SharpeningOptions = field(default_factory=SharpeningOptions)
    composition: CompositionOptions = field(default_factory=CompositionOptions)
    calibration_folder: Path | None = None
    calibrations_in_memory: int = 16

    def for_profile(self, profile: str) -> StitchSettings:
        """These settings for one of PROFILES.

        `fast`: fewer features, a smaller image for the network, no backward pass and no depth; the flow sharpened at
        640 px without the pass at full detail; the seam found on fewer pixels.
        """
        if profile != "fast":
            return self
        pair, flow = self.pair, self.pair.flow
        return replace(
            self,
            pair=replace(
                pair,
                flow=replace(flow, longest_side=max(flow.longest_side * 2 // 3, SMALLEST_FLOW_SIDE), backward=False),
                alignment=replace(pair.alignment, long_side=FAST_FEATURES_SIDE, features=FAST_FEATURES),
                parallax=replace(pair.parallax, enabled=False),
            ),
            sharpening=replace(self.sharpening, longest_side=FAST_SHARPENING_SIDE, detail=False),
            composition=replace(self.composition, longest_side=self.composition.longest_side * 3 // 4),
        )

"""The stitching pipeline: photographs in, one panorama and everything that is known about it out.

    stitcher = open_stitcher(load_bundle("weights/stitch-pairs"))
    result = stitcher.stitch([reference, target], StitchOptions())

Convention: images are RGB uint8 [H,W,3]; flow is target to reference in pixels; canvas pixel = reference pixel +
offset. Legend: H, W canvas or image size; 2 = (dx, dy); 3 = RGB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.bundle import Bundle
from service.errors import InvalidField, TooManyPixels
from service.runtime import Graph, RuntimeOptions, open_graph
from service.stitching.calibration import check_id
from service.stitching.homography_panorama import homography_panorama
from service.stitching.pair import Depth
from service.stitching.planning import Planner
from service.stitching.rendering import render
from service.stitching.result import COMPOSE_MODES, MOST_IMAGES, StitchOptions, StitchResult
from service.stitching.settings import PROFILES, StitchSettings

Image = NDArray[np.uint8]
LONGEST_SIDE = 32_766
"""Of a photograph, in pixels: what OpenCV's remap reads."""


class Stitcher:
    """Stitches with two graphs. Safe to call from several threads at once."""

    def __init__(
        self,
        graphs: Mapping[str, Graph],
        settings: StitchSettings | None = None,
        depth: Depth | None = None,
        modes: Sequence[str] = COMPOSE_MODES[:1],
        bundle: Bundle | None = None,
    ) -> None:
        """graphs: `pwm` and `sigmo`, open. modes: ways to compose that `sigmo` supports; "generate" needs its output
        `image`. bundle: where the graphs are from, if from one. depth: monocular depth of a photograph, for what the
        reference does not show; without it the overlap's motion is continued.
        """
        self._graphs = dict(graphs)
        self._settings = settings or StitchSettings()
        self._modes = tuple(modes)
        self._bundle = bundle
        self._planner = Planner(self._graphs["pwm"], self._settings, depth)

    @property
    def bundle(self) -> Bundle:
        """The bundle whose graphs these are. Raises ValueError for a stitcher made from open graphs."""
        if self._bundle is None:
            raise ValueError("bundle: expected a stitcher made from a bundle, found one made from open graphs")
        return self._bundle

    @property
    def provider(self) -> str:
        """The provider that really runs the flow network."""
        return self._graphs["pwm"].provider

    def stitch(self, images: Sequence[Image], options: StitchOptions) -> StitchResult:
        """One panorama from 2 to 16 photographs, the first being the reference of a pair.

        Raises InvalidField, TooManyPixels, LowOverlap, DegenerateFlow, CanvasTooLarge, CalibrationMismatch and
        BundleFailed.
        """
        self._check(images, options)
        seconds: dict[str, float] = {}
        plan, reused = self._planner.plan(images, options, seconds)
        composition = self._settings.for_profile(options.profile).composition
        return render(self._graphs["sigmo"], images, plan, options, composition, seconds, reused)

    def with_homographies(self, result: StitchResult, reference_HW3: Image) -> Image:
        """What plain homographies make of the same photographs, on the canvas of `result`: RGB uint8 [H,W,3].

        Exposure and composition are those of `stitch`; what a homography throws off that canvas is cut. Raises
        BundleFailed.
        """
        return homography_panorama(self._graphs["sigmo"], result, reference_HW3, self._settings.composition)

    def check(self, options: StitchOptions) -> None:
        """Raise InvalidField for what no photographs can be stitched with: unknown names, ways the bundle lacks."""
        if options.profile not in PROFILES:
            raise InvalidField(f"profile: expected default or fast, found {options.profile!r}.", "Leave it out.")
        if options.compose not in COMPOSE_MODES:
            raise InvalidField(f"compose: expected compose or generate, found {options.compose!r}.", "Leave it out.")
        if options.compose not in self._modes:
            name = self._bundle.manifest.name if self._bundle else "in use"
            raise InvalidField(
                f"compose: the bundle {name} cannot {options.compose}.",
                f"This bundle supports: {', '.join(self._modes)}.",
            )
        if options.calibration_id is not None:
            check_id(options.calibration_id)

    def _check(self, images: Sequence[Image], options: StitchOptions) -> None:
        if not 2 <= len(images) <= MOST_IMAGES:
            raise InvalidField(f"images: expected 2 to {MOST_IMAGES}, found {len(images)}.", "Send fewer or more.")
        self.check(options)
        for image in images:
            if max(image.shape[:2]) > LONGEST_SIDE:
                raise TooManyPixels(
                    f"A photograph of {image.shape[1]} x {image.shape[0]} pixels: a side has at most {LONGEST_SIDE}.",
                    "Send a smaller one.",
                )
        index = options.reference_index
        if index is not None and not 0 <= index < len(images):
            raise InvalidField(
                f"reference_index: expected 0 to {len(images) - 1}, found {index}.",
                "It counts the uploaded images from zero.",
            )


def open_stitcher(
    bundle: Bundle,
    runtime: RuntimeOptions | None = None,
    settings: StitchSettings | None = None,
    depth: Depth | None = None,
) -> Stitcher:
    """The stitcher of a bundle; `depth` as for `Stitcher`. Raises BundleFailed if one of its graphs cannot run."""
    settings, runtime = settings or StitchSettings(), runtime or RuntimeOptions()
    size = bundle.manifest.graphs["pwm"].size
    flow = replace(
        settings.pair.flow,
        longest_side=size.longest_side,
        multiple=size.multiple,
        smallest_side=size.smallest_side,
        fixed=size.fixed,
    )
    graphs = {
        name: open_graph(bundle.graph_path(name, runtime.precision), runtime, spec)
        for name, spec in bundle.manifest.graphs.items()
    }
    outputs = {output.name for output in bundle.manifest.graphs["sigmo"].outputs}
    modes = COMPOSE_MODES if "image" in outputs else COMPOSE_MODES[:1]
    settings = replace(settings, pair=replace(settings.pair, flow=flow))
    return Stitcher(graphs, settings, depth, modes, bundle)

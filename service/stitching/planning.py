"""Where every photograph goes: from the photographs to warps, one canvas and the ways back, or from a calibration.

Convention: images are RGB uint8 [H,W,3]; flow is target to reference in pixels; canvas pixel = reference pixel +
offset.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.errors import CalibrationMismatch
from service.runtime import Graph
from service.stitching.alignment import find_features
from service.stitching.calibration import Memory, Rig, calibration_key, check_rig, load_rig, save_rig
from service.stitching.canvas import Canvas, lay_out
from service.stitching.geometry import size_of
from service.stitching.pair import Depth, estimate_pair
from service.stitching.pair_warp import PairWarp, measure_agreement
from service.stitching.report import timed
from service.stitching.result import StitchOptions
from service.stitching.settings import StitchSettings
from service.stitching.several import central_image, compose_warps, link_strengths, spanning_tree, walk
from service.stitching.sharpening import sharpen
from service.stitching.warp import Gather, make_gather, with_correction

logger = logging.getLogger("polyview")

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Geometry ready to use: the rig, and per further image (near to far) its warp to the reference and its gather."""

    rig: Rig
    canvas: Canvas
    warps: Mapping[int, PairWarp]
    gathers: Mapping[int, Gather]


class Planner:
    """Makes plans with the flow network's graph `pwm`, and remembers those that are calibrations."""

    def __init__(self, flow: Graph, settings: StitchSettings, depth: Depth | None) -> None:
        self._flow = flow
        self._settings = settings
        self._depth = depth
        self._memory: Memory[Plan] = Memory(settings.calibrations_in_memory)

    def plan(self, images: Sequence[Image], options: StitchOptions, seconds: dict[str, float]) -> tuple[Plan, bool]:
        """The plan for the photographs, and whether it comes from a calibration. `seconds` gains those of each stage.

        Raises LowOverlap, DegenerateFlow, CanvasTooLarge, CalibrationMismatch and BundleFailed.
        """
        sizes = tuple(size_of(image) for image in images)
        name, folder = options.calibration_id, self._settings.calibration_folder
        if name is None:
            return self._made(images, sizes, options, seconds), False
        key = calibration_key(name, options.calibration_owner, options.profile)
        plan = self._memory.get(key)
        if plan is None and folder is not None and (rig := load_rig(folder, key)) is not None:
            check_rig(rig, name, sizes, options.reference_index)
            plan = self._assemble(rig, seconds)
            self._memory.put(key, plan)
        if plan is not None:
            check_rig(plan.rig, name, sizes, options.reference_index)
            with timed(seconds, "calibration"):
                self._check_fit(plan.rig, name, images)
            return plan, True
        plan = self._made(images, sizes, options, seconds)
        self._memory.put(key, plan)
        if folder is not None:
            try:
                save_rig(folder, key, plan.rig)
            except OSError as error:  # the pair itself is done
                logger.warning("calibration %s is kept in memory only: %s", key, error)
        return plan, False

    def _check_fit(self, rig: Rig, name: str, images: Sequence[Image]) -> None:
        """Raise CalibrationMismatch for photographs that do not look alike where the rig lays them over each other."""
        least = self._settings.pair.refusal
        for child, parent, warp in rig.links:
            found = measure_agreement(warp, images[child], images[parent])
            if found.textured >= least.textured and found.mean < least.agreement:
                raise CalibrationMismatch(
                    f"{name}: under this calibration photographs {child} and {parent} do not show the same things "
                    f"(correlation {found.mean:.2f}).",
                    "Check the order of the photographs and that the rig has not moved, or choose another "
                    "calibration_id.",
                )

    def _made(
        self,
        images: Sequence[Image],
        sizes: tuple[tuple[int, int], ...],
        options: StitchOptions,
        seconds: dict[str, float],
    ) -> Plan:
        """A plan from the photographs, sharpened along the links that end at the reference."""
        plan = self._assemble(self._estimate(images, sizes, options, seconds), seconds)
        sharpening, root = self._settings.for_profile(options.profile).sharpening, plan.rig.reference_index
        gathers, warps, links = dict(plan.gathers), dict(plan.warps), list(plan.rig.links)
        with timed(seconds, "sharpening"):
            for number, (child, parent, warp) in enumerate(links):
                if parent == root and warp.method.startswith("pixel_warp") and sharpening.enabled:
                    correction = sharpen(gathers[child], images[child], images[root], sharpening)
                    warps[child] = dataclasses.replace(warp, correction_hw2=correction)
                    links[number] = (child, parent, warps[child])
                    gathers[child] = with_correction(gathers[child], correction, sizes[root])
        return dataclasses.replace(
            plan, rig=dataclasses.replace(plan.rig, links=tuple(links)), warps=warps, gathers=gathers
        )

    def _estimate(
        self,
        images: Sequence[Image],
        sizes: tuple[tuple[int, int], ...],
        options: StitchOptions,
        seconds: dict[str, float],
    ) -> Rig:
        pair = self._settings.for_profile(options.profile).pair
        with timed(seconds, "features"):
            features = [find_features(image, pair.alignment) for image in images]
        if len(images) == 2:
            root = options.reference_index or 0
            links = [(1 - root, root)]
        else:
            with timed(seconds, "matching"):
                tree = spanning_tree(len(images), link_strengths(features, pair.alignment))
            root = central_image(tree) if options.reference_index is None else options.reference_index
            links = walk(tree, root)
        warps = []
        with timed(seconds, "flow"):
            for child, parent in links:
                which = "The two photographs" if len(images) == 2 else f"Image {child} and image {parent}"
                warps.append(
                    (
                        child,
                        parent,
                        estimate_pair(
                            self._flow,
                            images[child],
                            images[parent],
                            features[child],
                            features[parent],
                            pair,
                            which,
                            self._depth,
                        ),
                    )
                )
        return Rig(sizes=sizes, reference_index=root, links=tuple(warps))

    def _assemble(self, rig: Rig, seconds: dict[str, float]) -> Plan:
        with timed(seconds, "warp"):
            warps: dict[int, PairWarp] = {}
            for child, parent, warp in rig.links:
                warps[child] = warp if parent == rig.reference_index else compose_warps(warp, warps[parent])
            canvas = lay_out(
                rig.sizes[rig.reference_index], [warp.landed() for warp in warps.values()], self._settings.canvas
            )
            gathers = {
                index: make_gather(warp.homography_33, warp.residual_hw2, warp.weight_hw, warp.size_t, canvas)
                for index, warp in warps.items()
            }
            for index, warp in warps.items():
                if warp.correction_hw2 is not None:
                    gathers[index] = with_correction(gathers[index], warp.correction_hw2, warp.size_r)
        return Plan(rig=rig, canvas=canvas, warps=warps, gathers=gathers)

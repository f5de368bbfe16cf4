"""The stitching pipeline: photographs in, one panorama and everything that is known about it out.

    stitcher = Stitcher(load_bundle("weights/stitch-pairs"))
    result = stitcher.stitch([reference, target], StitchOptions())

Convention: images are RGB uint8 [H,W,3]; flow is target to reference in pixels; canvas pixel = reference pixel +
offset. Legend: H, W canvas or image size; 2 = (dx, dy); 3 = RGB.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.bundle import Bundle
from service.errors import CalibrationMismatch, InvalidField, TooManyPixels
from service.runtime import Graph, RuntimeOptions, open_graph
from service.stitching.alignment import find_features
from service.stitching.calibration import Memory, Rig, calibration_key, check_id, check_rig, load_rig, save_rig
from service.stitching.canvas import Canvas, lay_out
from service.stitching.composition import blend
from service.stitching.exposure import apply_gain
from service.stitching.homography_panorama import homography_panorama
from service.stitching.pair import Depth, estimate_pair
from service.stitching.pair_warp import PairWarp, measure_agreement, measure_gain
from service.stitching.report import build_report, describe_image
from service.stitching.result import StitchOptions, StitchResult, WarpedImage
from service.stitching.settings import PROFILES, StitchSettings
from service.stitching.several import central_image, compose_warps, link_strengths, spanning_tree, walk
from service.stitching.sharpening import sharpen
from service.stitching.warp import Gather, gather_image, make_gather, with_correction

logger = logging.getLogger("polyview")

Image = NDArray[np.uint8]
COMPOSE_MODES = ("compose", "generate")
MOST_IMAGES = 16
LONGEST_SIDE = 32_766
"""Of a photograph, in pixels: what OpenCV's remap reads."""


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Geometry ready to use: the rig, and per further image (near to far) its warp to the reference and its gather."""

    rig: Rig
    canvas: Canvas
    warps: Mapping[int, PairWarp]
    gathers: Mapping[int, Gather]


class Stitcher:
    """Stitches with the graphs of one bundle. Safe to call from several threads at once."""

    def __init__(
        self,
        bundle: Bundle,
        runtime: RuntimeOptions | None = None,
        settings: StitchSettings | None = None,
        depth: Depth | None = None,
    ) -> None:
        """Open the graphs `pwm` and `sigmo`. Raises BundleFailed if one cannot run.

        depth: monocular depth of a photograph, for what the reference does not show; without it the overlap's motion
        is continued.
        """
        settings = settings or StitchSettings()
        size = bundle.manifest.graphs["pwm"].size
        flow = dataclasses.replace(
            settings.pair.flow,
            longest_side=size.longest_side,
            multiple=size.multiple,
            smallest_side=size.smallest_side,
            fixed=size.fixed,
        )
        settings = dataclasses.replace(settings, pair=dataclasses.replace(settings.pair, flow=flow))
        runtime = runtime or RuntimeOptions()
        graphs = {
            name: open_graph(bundle.graph_path(name, runtime.precision), runtime, spec)
            for name, spec in bundle.manifest.graphs.items()
        }
        outputs = {output.name for output in bundle.manifest.graphs["sigmo"].outputs}
        modes = COMPOSE_MODES if "image" in outputs else COMPOSE_MODES[:1]
        self._set_up(graphs, bundle, modes, settings, depth)

    @classmethod
    def from_graphs(
        cls,
        graphs: Mapping[str, Graph],
        settings: StitchSettings | None = None,
        depth: Depth | None = None,
        modes: Sequence[str] = COMPOSE_MODES[:1],
    ) -> Stitcher:
        """A stitcher without a bundle, on graphs `pwm` and `sigmo` that are open already.

        modes: ways to compose that `sigmo` supports; "generate" needs its output `image`.
        """
        stitcher = cls.__new__(cls)
        stitcher._set_up(graphs, None, modes, settings or StitchSettings(), depth)
        return stitcher

    def _set_up(
        self,
        graphs: Mapping[str, Graph],
        bundle: Bundle | None,
        modes: Sequence[str],
        settings: StitchSettings,
        depth: Depth | None,
    ) -> None:
        self._graphs = dict(graphs)
        self._depth = depth
        self._bundle = bundle
        self._modes = tuple(modes)
        self._settings = settings
        self._memory: Memory[_Plan] = Memory(settings.calibrations_in_memory)

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
        plan, reused = self._plan(images, options, seconds)
        return self._render(images, plan, reused, options, seconds)

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

    # ------------------------------------------------------------------------------------------------- geometry

    def _plan(self, images: Sequence[Image], options: StitchOptions, seconds: dict[str, float]) -> tuple[_Plan, bool]:
        sizes = tuple((image.shape[1], image.shape[0]) for image in images)
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
            with _timed(seconds, "calibration"):
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
    ) -> _Plan:
        """A plan from the photographs, sharpened along the links that end at the reference."""
        plan = self._assemble(self._estimate(images, sizes, options, seconds), seconds)
        sharpening, root = self._settings.for_profile(options.profile).sharpening, plan.rig.reference_index
        gathers, warps, links = dict(plan.gathers), dict(plan.warps), list(plan.rig.links)
        with _timed(seconds, "sharpening"):
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
        with _timed(seconds, "features"):
            features = [find_features(image, pair.alignment) for image in images]
        if len(images) == 2:
            root = options.reference_index or 0
            links = [(1 - root, root)]
        else:
            with _timed(seconds, "matching"):
                tree = spanning_tree(len(images), link_strengths(features, pair.alignment))
            root = central_image(tree) if options.reference_index is None else options.reference_index
            links = walk(tree, root)
        warps = []
        with _timed(seconds, "flow"):
            for child, parent in links:
                which = "The two photographs" if len(images) == 2 else f"Image {child} and image {parent}"
                warps.append(
                    (
                        child,
                        parent,
                        estimate_pair(
                            self._graphs["pwm"],
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

    def _assemble(self, rig: Rig, seconds: dict[str, float]) -> _Plan:
        with _timed(seconds, "warp"):
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
        return _Plan(rig=rig, canvas=canvas, warps=warps, gathers=gathers)

    # --------------------------------------------------------------------------------------------------- colours

    def _render(
        self, images: Sequence[Image], plan: _Plan, reused: bool, options: StitchOptions, seconds: dict[str, float]
    ) -> StitchResult:
        root = plan.rig.reference_index
        (x, y), (width, height) = plan.canvas.offset, plan.canvas.size
        panorama = np.zeros((height, width, 3), np.uint8)
        union = np.zeros((height, width), np.bool_)
        inner = (slice(y, y + images[root].shape[0]), slice(x, x + images[root].shape[1]))
        panorama[inner], union[inner] = images[root], True
        reference_mask = union.copy()
        holes, seams = np.zeros_like(union), np.zeros_like(union)
        gains: dict[int, NDArray[np.float32]] = {root: np.ones(3, np.float32)}
        clipped: dict[int, float] = {}
        composition = self._settings.for_profile(options.profile).composition
        adjusted: dict[int, Image] = {}
        for child, parent, link in plan.rig.links:
            with _timed(seconds, "exposure"):
                gains[child] = gains[parent] * measure_gain(link, images[child], images[parent])
                adjusted[child], clipped[child] = apply_gain(images[child], gains[child])
            with _timed(seconds, "gather"):
                warped, valid = gather_image(plan.gathers[child], adjusted[child])
            with _timed(seconds, "composition"):
                if link.method == "identical" and not (valid & ~union).any():
                    continue
                made = blend(
                    self._graphs["sigmo"],
                    panorama,
                    union,
                    warped,
                    valid,
                    composition,
                    generated=options.compose == "generate",
                )
                panorama, holes = made.panorama_HW3, made.holes_HW
                seams |= made.seam_HW
                union |= valid
        window = _bounding_box(union)
        crop = (slice(window[1], window[1] + window[3]), slice(window[0], window[0] + window[2]))
        warped_images = tuple(
            WarpedImage(
                index=child,
                warp=plan.warps[child],
                gather=plan.gathers[child],
                image_HW3=adjusted[child],
                window=window,
            )
            for child, _, _ in plan.rig.links
        )
        offset = (x - window[0], y - window[1])
        entries = [
            describe_image(child, parent, link, plan.warps[child], gains[child], clipped[child])
            for child, parent, link in plan.rig.links
        ]
        calibration = None if options.calibration_id is None else "reused" if reused else "stored"
        report = build_report(entries, options, root, offset, (window[2], window[3]), calibration, seconds)
        indexed = len(images) > 2 if options.indexed is None else options.indexed
        return StitchResult(
            panorama_HW3=np.ascontiguousarray(panorama[crop]),
            union_HW=union[crop],
            reference_mask_HW=reference_mask[crop],
            hole_mask_HW=holes[crop],
            seam_mask_HW=seams[crop],
            warped=warped_images,
            offset=offset,
            overlap=report["overlap"],
            indexed=indexed,
            report=report,
        )


def _bounding_box(mask_HW: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(x, y, width, height) of a mask's true pixels."""
    columns, rows = np.flatnonzero(mask_HW.any(0)), np.flatnonzero(mask_HW.any(1))
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started

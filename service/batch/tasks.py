"""The two things a batch can do: stitch pairs, and perceive photographs.

Legend: H, W height and width; 3 = RGB.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from service.batch.items import Item
from service.batch.steps import NoTimings
from service.batch.storage import Patience, read_url
from service.errors import TooManyPixels
from service.image_codecs import Photo, read_photo
from service.panorama_maps import panorama_maps
from service.perceive import DenseMaps, PerceivePipeline, answer_size
from service.perceive_answer import ENCODERS, PREVIEW_SIDE, encode_npz
from service.perceive_request import check_focal, read_resolution, read_tasks
from service.registry import Registry, check_bundles, load_registry
from service.settings import Settings, read_settings
from service.stitching.answer import encode_flow, encode_image, encode_mask
from service.stitching.pipeline import Stitcher
from service.stitching.result import StitchOptions, StitchResult

STITCH_COLUMNS: dict[str, type] = {
    "offset_x": int, "offset_y": int, "canvas_width": int, "canvas_height": int, "overlap": float, "method": str,
    "agreement": float, "gain_red": float, "gain_green": float, "gain_blue": float, "clipped": float,
    "flow_mean_px": float, "flow_max_px": float, "residual_mean_px": float,
}  # fmt: skip
PERCEIVE_COLUMNS: dict[str, type] = {
    "width": int, "height": int, "focal_px": float, "focal_source": str, "depth_min_m": float, "depth_median_m": float,
    "depth_max_m": float,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StitchTask:
    """format: png, jpeg or webp of the panorama. masks, warped, flow, maps: further files, as in the service's zip.

    `maps` are the dense maps of the panorama (perceive.npz). The other fields are those of POST /v1/stitch.
    """

    format: str = "png"
    profile: str = "default"
    compose: str = "compose"
    masks: bool = False
    warped: bool = False
    flow: bool = False
    maps: bool = False
    model: str | None = None
    patience: Patience = field(default_factory=Patience)

    inputs: ClassVar[tuple[str, ...]] = ("reference", "target")
    columns: ClassVar[Mapping[str, type]] = STITCH_COLUMNS

    @property
    def options(self) -> StitchOptions:
        return StitchOptions(profile=self.profile, compose=self.compose)

    def open(self) -> StitchSteps:
        # With the depth of a perceive bundle, as the endpoint has it.
        settings = _settings("stitch", "perceive")
        registry = load_registry(settings)
        perceive = registry.perceive(None) if self.maps else None
        stitcher = registry.stitch(self.model)
        stitcher.check(self.options)
        return StitchSteps(self, stitcher, perceive, settings)

    def describe(self) -> dict[str, Any]:
        return _describe("stitch", self, _settings("stitch", "perceive"))


class StitchSteps:
    """A stitch task with its models loaded."""

    def __init__(
        self, task: StitchTask, stitcher: Stitcher, perceive: PerceivePipeline | None, settings: Settings
    ) -> None:
        self._task = task
        self._stitcher = stitcher
        self._perceive = perceive
        self._limits = settings.limits

    def read(self, item: Item) -> list[Photo]:
        names = StitchTask.inputs
        return [
            read_photo(read_url(url, self._task.patience), self._limits, name=name)
            for name, url in zip(names, item.inputs, strict=True)
        ]

    def compute(self, read: list[Photo]) -> tuple[StitchResult, DenseMaps | None]:
        result = self._stitcher.stitch([photo.rgb_HW3 for photo in read], self._task.options)
        return result, None if self._perceive is None else panorama_maps(self._perceive, result, read[0])

    def facts(self, computed: tuple[StitchResult, DenseMaps | None]) -> dict[str, Any]:
        report = computed[0].report
        return {
            "offset_x": report["offset"][0],
            "offset_y": report["offset"][1],
            "canvas_width": report["canvas"][0],
            "canvas_height": report["canvas"][1],
            "overlap": report["overlap"],
            "method": report["method"],
            "agreement": report["flow"].get("agreement"),
            **dict(zip(("gain_red", "gain_green", "gain_blue"), report["gain"], strict=True)),
            "clipped": report["clipped"],
            "flow_mean_px": report["flow"]["mean_px"],
            "flow_max_px": report["flow"]["max_px"],
            "residual_mean_px": report["flow"]["residual_mean_px"],
        }

    def files(self, computed: tuple[StitchResult, DenseMaps | None]) -> Iterator[tuple[str, bytes | memoryview]]:
        result, maps = computed
        task, (target,) = self._task, result.warped
        yield f"panorama.{task.format}", encode_image(result.panorama_HW3, task.format)
        if task.masks:
            yield "reference_mask.png", encode_mask(result.reference_mask_HW)
            yield "hole_mask.png", encode_mask(result.hole_mask_HW)
        if task.masks or task.warped:
            colours, valid = target.render()
            if task.masks:
                yield "target_mask.png", encode_mask(valid)
            if task.warped:
                yield "warped_target.png", encode_image(colours, "png")
        if task.flow:
            yield "flow.npz", encode_flow(target.flow())
        if maps is not None and self._perceive is not None:
            yield "perceive.npz", encode_npz(maps, result.panorama_HW3, self._perceive.manifest, NoTimings()).content


@dataclass(frozen=True, kw_only=True)
class PerceiveTask:
    """The fields of POST /v1/perceive. format: npz, png (a file per task, preview, meta.json) or preview."""

    format: str = "npz"
    tasks: str | None = None
    resolution: str = "native"
    focal_px: float | None = None
    model: str | None = None
    patience: Patience = field(default_factory=Patience)

    inputs: ClassVar[tuple[str, ...]] = ("image",)
    columns: ClassVar[Mapping[str, type]] = PERCEIVE_COLUMNS

    def open(self) -> PerceiveSteps:
        settings = _settings("perceive")
        return PerceiveSteps(self, load_registry(settings), settings)

    def describe(self) -> dict[str, Any]:
        return _describe("perceive", self, _settings("perceive"))


class PerceiveSteps:
    """A perceive task with its model loaded."""

    def __init__(self, task: PerceiveTask, registry: Registry, settings: Settings) -> None:
        self._task = task
        self._pipeline = registry.perceive(task.model)
        self._limits = settings.limits
        self._resolution = read_resolution(task.resolution)
        check_focal(task.focal_px)
        self._tasks = read_tasks(task.tasks, self._pipeline.tasks, self._pipeline.name)

    def read(self, item: Item) -> tuple[Photo, float | None]:
        enough = max(self._pipeline.enough_pixels, PREVIEW_SIDE)
        data = read_url(item.inputs[0], self._task.patience)
        return read_photo(data, self._limits, enough=enough), item.focal_px

    def compute(self, read: tuple[Photo, float | None]) -> tuple[DenseMaps, NDArray[np.uint8]]:
        photo, focal_px = read
        width, height = answer_size(photo.size, self._resolution, (1, 1))
        if width * height > self._limits.max_pixels:
            raise TooManyPixels(f"resolution: maps of {width} x {height} are over the limit.", "Ask for less.")
        requested = self._task.focal_px if focal_px is None else focal_px
        focal = self._pipeline.focal(photo.size, requested, photo.focal_px)
        maps = self._pipeline.predict(photo.rgb_HW3, *focal, self._tasks, self._resolution, size=photo.size)
        return maps, photo.rgb_HW3

    def facts(self, computed: tuple[DenseMaps, NDArray[np.uint8]]) -> dict[str, Any]:
        meta, depth = computed[0].meta, computed[0].by_task.get("depth")
        facts = {"width": meta["size"][0], "height": meta["size"][1]}
        facts |= {name: meta[name] for name in ("focal_px", "focal_source")}
        if depth is not None:
            spread = {"depth_min_m": depth.min(), "depth_median_m": np.median(depth), "depth_max_m": depth.max()}
            facts |= {name: round(float(value), 4) for name, value in spread.items()}
        return facts

    def files(self, computed: tuple[DenseMaps, NDArray[np.uint8]]) -> Iterator[tuple[str, bytes | memoryview]]:
        answer = ENCODERS[self._task.format](*computed, self._pipeline.manifest, NoTimings())
        if answer.media_type != "application/zip":
            yield answer.filename, answer.content
            return
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            for name in archive.namelist():
                yield name, archive.read(name)


def _settings(*kinds: str) -> Settings:
    """The service's settings with the bundles of these kinds alone, and without stored calibrations."""
    settings = read_settings()
    folders = tuple(bundle.folder for bundle in check_bundles(settings) if bundle.manifest.kind in kinds)
    return dataclasses.replace(settings, bundles=folders, calibrations=None)


def _describe(kind: str, task: Any, settings: Settings) -> dict[str, Any]:
    """The model by name also where it is the default; bundles as (kind, name, sha256), in the order within a kind."""
    options = {f.name: getattr(task, f.name) for f in dataclasses.fields(task) if f.name != "patience"}
    bundles = [[bundle.manifest.kind, bundle.manifest.name, bundle.sha256] for bundle in check_bundles(settings)]
    default = next((name for of_kind, name, _ in bundles if of_kind == kind), None)
    options |= {"model": task.model or default, "precision": settings.runtime.precision}
    return {"kind": kind, "options": options, "bundles": sorted(bundles, key=lambda bundle: bundle[0])}

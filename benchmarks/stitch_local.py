"""The service's stitching in this process, for settings that a request cannot choose."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.stitch_items import StitchItem
from benchmarks.stitched import RefusalError, Stitched
from service.bundle import load_bundle
from service.errors import PolyviewError
from service.perceive import PerceivePipeline
from service.registry import depth_of
from service.runtime import Graph, RuntimeOptions
from service.stitching import pipeline
from service.stitching.pipeline import Stitcher
from service.stitching.result import StitchOptions
from service.stitching.settings import StitchSettings

ROOT = Path(__file__).resolve().parent.parent
STITCH, PERCEIVE = ROOT / "weights" / "stitch-pairs", ROOT / "weights" / "perceive-rooms"


def open_stitcher(
    settings: StitchSettings | None = None,
    bundle: Path = STITCH,
    perceive: Path | None = PERCEIVE,
    runtime: RuntimeOptions | None = None,
) -> Stitcher:
    """A stitcher on a bundle, with the depth of a perceive bundle where there is one."""
    runtime = runtime or RuntimeOptions()
    depth = None
    if perceive is not None and (perceive / "manifest.json").exists():
        depth = depth_of(PerceivePipeline(load_bundle(perceive), runtime))
    return pipeline.open_stitcher(load_bundle(bundle), runtime, settings, depth)


def without_fallback(settings: StitchSettings | None = None) -> StitchSettings:
    """The settings with the pixel-wise warp answered or refused, never replaced by a homography."""
    settings = settings or StitchSettings()
    return dataclasses.replace(settings, pair=dataclasses.replace(settings.pair, fallback=False))


class Unmoved:
    """A warp network whose flow is zero: what is left is the service's own matching and search."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    @property
    def provider(self) -> str:
        return self._graph.provider

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = self._graph.run(inputs)
        return outputs | {"flow": np.zeros_like(outputs["flow"])}


def without_network(stitcher: Stitcher) -> Stitcher:
    """The same stitcher, its warp network's flow set to zero from now on."""
    stitcher._planner._flow = Unmoved(stitcher._planner._flow)
    return stitcher


def local_method(stitcher: Stitcher, options: StitchOptions | None = None) -> Callable[[StitchItem], Stitched]:
    """A method of the stitching benchmark; its time is the stitching and the rendering of the warped target."""
    chosen = options or StitchOptions()

    def stitch(item: StitchItem) -> Stitched:
        begun = time.perf_counter()
        try:
            result = stitcher.stitch([item.reference, item.target], chosen)
        except PolyviewError as refusal:
            raise RefusalError(f"{refusal.status} {refusal.code}", time.perf_counter() - begun) from refusal
        image = result.warped[0]
        colours, valid = image.render()
        seconds = time.perf_counter() - begun
        return Stitched(
            panorama_HW3=result.panorama_HW3, warped_target_HW3=colours, target_mask_HW=valid,
            reference_mask_HW=result.reference_mask_HW, offset=result.offset, flow_HW2=image.flow(), seconds=seconds,
            report=result.report,
        )  # fmt: skip

    return stitch

"""The loaded bundles, by kind and name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.bundle import Bundle, BundleError, load_bundle
from service.errors import BundleFailed, UnknownModel
from service.perceive import PerceivePipeline
from service.runtime import Graph
from service.settings import Settings
from service.stitching.canvas import CanvasOptions
from service.stitching.pair import Depth
from service.stitching.pipeline import Stitcher, open_stitcher
from service.stitching.settings import StitchSettings


class Loaded(Protocol):
    """What both kinds of pipeline have in common."""

    @property
    def bundle(self) -> Bundle: ...

    @property
    def provider(self) -> str: ...


T = TypeVar("T")


class Registry:
    """Pipelines in the order of POLYVIEW_BUNDLES; the first of its kind is the default.

    precision: the one that they were opened with, for the listing.
    """

    def __init__(
        self, perceive: Mapping[str, PerceivePipeline], stitch: Mapping[str, Stitcher], precision: str = "fp32"
    ) -> None:
        self._perceive = perceive
        self._stitch = stitch
        self._precision = precision

    def perceive(self, name: str | None) -> PerceivePipeline:
        """Raises UnknownModel."""
        return _choose(self._perceive, name, "perceive")

    def stitch(self, name: str | None) -> Stitcher:
        """Raises UnknownModel."""
        return _choose(self._stitch, name, "stitch")

    def listing(self) -> dict[str, Any]:
        """The answer of GET /v1/models."""
        loaded: list[Loaded] = [*self._perceive.values(), *self._stitch.values()]
        return {"models": [_describe(pipeline, self._precision) for pipeline in loaded]}


def check_bundles(settings: Settings) -> list[Bundle]:
    """Every configured bundle, checked. Raises BundleError, also when two of one kind share a name.

    A precision that no bundle has is refused too; where some have it, the others run as they are.
    """
    bundles: list[Bundle] = []
    for folder in settings.bundles:
        bundle = load_bundle(folder)
        for other in bundles:
            if (bundle.manifest.kind, bundle.manifest.name) == (other.manifest.kind, other.manifest.name):
                problem = f"{other.folder} has the same kind and name, {bundle.manifest.name}"
                raise BundleError(folder, "manifest.json", problem, "leave one out of POLYVIEW_BUNDLES")
        bundles.append(bundle)
    wanted = settings.runtime.precision
    graphs = [graph for bundle in bundles for graph in bundle.manifest.graphs.values()]
    if wanted != "fp32" and bundles and not any(wanted in graph.variants for graph in graphs):
        problem = f"POLYVIEW_PRECISION={wanted}, but no graph of any bundle has that precision"
        remedy = f"add it with python -m export {wanted} <bundle> --out <bundle>, or set POLYVIEW_PRECISION=fp32"
        raise BundleError(bundles[0].folder, "manifest.json", problem, remedy)
    return bundles


def load_registry(settings: Settings, graph_of: Callable[[Bundle], Graph] | None = None) -> Registry:
    """Check and load every configured bundle. Raises BundleError, or BundleFailed where a graph does not load.

    graph_of: the network of a perceive bundle, where it is not to be opened here.
    """
    stitching = StitchSettings(
        canvas=CanvasOptions(pixel_limit=settings.max_canvas_pixels), calibration_folder=settings.calibrations
    )
    bundles = check_bundles(settings)
    perceive = {
        bundle.manifest.name: PerceivePipeline(bundle, settings.runtime, graph_of and graph_of(bundle))
        for bundle in bundles
        if bundle.manifest.kind == "perceive"
    }
    # The first one that knows depth also helps to place what the reference of a panorama does not show.
    depth = next((depth_of(pipeline) for pipeline in perceive.values() if "depth" in pipeline.tasks), None)
    stitch = {
        bundle.manifest.name: open_stitcher(bundle, settings.runtime, stitching, depth)
        for bundle in bundles
        if bundle.manifest.kind == "stitch"
    }
    return Registry(perceive, stitch, settings.runtime.precision)


def depth_of(pipeline: PerceivePipeline) -> Depth:
    """Monocular depth at the network's own size, for stitching, which can do without when it fails."""

    def depth(rgb_HW3: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        try:
            return pipeline.predict(rgb_HW3, tasks=("depth",), resolution="model").by_task["depth"]
        except BundleFailed:
            return None

    return depth


def _choose(pipelines: Mapping[str, T], name: str | None, kind: str) -> T:
    if not pipelines:
        raise UnknownModel(f"No bundle of kind {kind} is loaded.", "Add one to POLYVIEW_BUNDLES and start again.")
    if name is None:
        return next(iter(pipelines.values()))
    if name not in pipelines:
        raise UnknownModel(f"model: {name[:80]!r} is not loaded.", f"Loaded for {kind}: {', '.join(pipelines)}.")
    return pipelines[name]


def _describe(pipeline: Loaded, precision: str) -> dict[str, Any]:
    manifest = pipeline.bundle.manifest
    return {
        "name": manifest.name,
        "kind": manifest.kind,
        "version": manifest.version,
        "tasks": manifest.tasks,
        "precision": manifest.precision_in_use(precision),
        "provider": pipeline.provider,
        "sha256": pipeline.bundle.sha256,
    }

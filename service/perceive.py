"""One photograph to its dense maps (metric depth, segmentation, normals, ...), from one network pass.

Convention: camera frame x right, y down, z forward; depth is z in metres; normals are unit vectors towards the camera.
Focal lengths are in pixels of the oriented upload, whatever size the maps have.
Legend: H, W size of the answer's maps; h, w of the graph's; 3 = RGB or normal components.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import Bundle
from service.manifest import CLASS_TASKS, TASKS
from service.postprocess import resize_depth, resize_normals, resize_probability, resize_segmentation
from service.preprocess import model_size, to_model_image
from service.runtime import Graph, RuntimeOptions, open_graph
from service.timing import Stopwatch

# A photograph decoded at reduced size is softer than one that is shrunk from all of its pixels. Reduced to less than
# three times what the network sees, depth differs by several per cent; above, by a few tenths (benchmarks/codecs.py).
OVERSAMPLING = 3


@dataclass(frozen=True, kw_only=True)
class DenseMaps:
    """The maps asked for, by task, in the order of TASKS.

    depth: float32 [H,W] metres, finite, > 0. segmentation, parts: uint8 [H,W] class ids. normals: float32 [H,W,3] unit
    vectors. saliency, edges: float32 [H,W] in [0, 1].
    meta: {model, size: [w, h] of the oriented upload, focal_px, focal_source, classes}, with parts also part_classes.
    """

    by_task: dict[str, NDArray[Any]]
    meta: dict[str, Any] = field(default_factory=dict)


class PerceivePipeline:
    """A perceive bundle that is loaded and answers. Safe to call from several threads at once."""

    def __init__(self, bundle: Bundle, runtime: RuntimeOptions, graph: Graph | None = None) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.name = bundle.manifest.name
        self.tasks = tuple(task for task in TASKS if task in bundle.manifest.tasks)
        self._spec = bundle.manifest.graphs["perceive"]
        self._graph = graph or open_graph(bundle.graph_path("perceive", runtime.precision), runtime, self._spec)

    @property
    def provider(self) -> str:
        return self._graph.provider

    @property
    def enough_pixels(self) -> int:
        """Pixels along the longer side of a photograph beyond which decoding more of them hardly changes the maps."""
        return OVERSAMPLING * self._spec.size.longest_side

    def focal(self, size: tuple[int, int], requested: float | None, exif: float | None) -> tuple[float, str]:
        """(focal length in pixels, where it came from): the request, else EXIF, else the default field of view.

        The default is the field of view along the longer side, so that turning the camera does not change depth.
        """
        if requested is not None:
            return requested, "request"
        if exif is not None:
            return exif, "exif"
        fov_deg = self.manifest.default_fov_deg or 60.0
        return max(size) / 2 / math.tan(math.radians(fov_deg) / 2), "default"

    def predict(
        self,
        rgb_HW3: NDArray[np.uint8],
        focal_px: float | None = None,
        focal_source: str = "default",
        tasks: Sequence[str] = TASKS,
        resolution: str | int = "native",
        *,
        size: tuple[int, int] | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> DenseMaps:
        """Maps of one image.

        rgb_HW3: uint8; may be a reduced copy of an upload whose (width, height) is `size`.
        focal_px: in pixels of `size`; None takes the default field of view.
        resolution: `native` (maps of `size`), `model` (the graph's own maps), or the longest side in pixels.

        Tasks that the bundle does not have are left out. Raises BundleFailed if the graph fails.
        """
        watch = stopwatch or Stopwatch()
        width, height = size or (rgb_HW3.shape[1], rgb_HW3.shape[0])
        if focal_px is None:
            focal_px, focal_source = self.focal((width, height), None, None)
        with watch.stage("preprocess"):
            net_size = model_size(width, height, self._spec.size)
            image_1HW3 = to_model_image(rgb_HW3, net_size)[None]
        with watch.stage("network"):
            outputs = self._graph.run({self._spec.inputs[0].name: image_1HW3})
        with watch.stage("postprocess"):
            stride = self._spec.output_stride
            maps_size = answer_size((width, height), resolution, (net_size[0] // stride, net_size[1] // stride))
            ratio = self.manifest.canonical_focal_ratio
            scale = 1.0 if ratio is None else self._depth_scale(focal_px, ratio, (width, height), net_size)
            wanted = [task for task in self.tasks if task in tasks]
            maps = {task: _at_size(task, outputs[task][0], maps_size, scale) for task in wanted}
        meta = {
            "model": self.name,
            "size": [width, height],
            "focal_px": round(float(focal_px), 4),
            "focal_source": focal_source,
            "classes": list(self.manifest.classes),
        }
        if "parts" in self.tasks:
            meta["part_classes"] = list(self.manifest.classes_of("parts"))
        return DenseMaps(by_task=maps, meta=meta)

    def _depth_scale(self, focal_px: float, ratio: float, size: tuple[int, int], net_size: tuple[int, int]) -> float:
        """Real depth over canonical depth for a photograph of `size`, whose focal length is in its own pixels.

        The canonical focal length is a share of the longer side, so that turning the camera does not change depth. A
        graph of one fixed size sees photographs of another shape stretched: there the geometric mean of both axes
        stands for the focal length.
        """
        if self._spec.size.fixed is None:
            return focal_px / (ratio * max(size))
        stretched = focal_px * math.sqrt(net_size[0] / size[0] * net_size[1] / size[1])
        return stretched / (ratio * max(net_size))


def _at_size(task: str, values: NDArray[np.float32], size: tuple[int, int], depth_scale: float) -> NDArray[Any]:
    """One of the graph's maps as the answer has it. depth_scale: real depth / the graph's."""
    if task == "depth":
        return resize_depth(values, depth_scale, size)
    if task == "normals":
        return resize_normals(values, size)
    if task in CLASS_TASKS:
        return resize_segmentation(values, size)
    return resize_probability(values, size)


def answer_size(size: tuple[int, int], resolution: str | int, graph_size: tuple[int, int]) -> tuple[int, int]:
    """(W, H) of the maps for an upload of `size` (width, height)."""
    if resolution == "native":
        return size
    if resolution == "model":
        return graph_size
    scale = int(resolution) / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

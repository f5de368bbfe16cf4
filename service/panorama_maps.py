"""Dense maps of a panorama.

Legend: H, W height and width of the canvas.
"""

from __future__ import annotations

from service.image_codecs import Photo
from service.perceive import DenseMaps, PerceivePipeline
from service.stitching.result import StitchResult
from service.timing import Stopwatch


def panorama_maps(
    pipeline: PerceivePipeline, result: StitchResult, reference: Photo, stopwatch: Stopwatch | None = None
) -> DenseMaps:
    """The maps of a panorama at canvas size, 0 outside of it.

    The canvas has the scale of the reference, so the reference's focal length holds for it.
    """
    focal_px, focal_source = pipeline.focal(reference.size, None, reference.focal_px)
    maps = pipeline.predict(result.panorama_HW3, focal_px, focal_source, stopwatch=stopwatch)
    outside = ~(result.union_HW | result.hole_mask_HW)
    for values in maps.by_task.values():
        values[outside] = 0
    return maps

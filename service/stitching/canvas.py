"""The panorama's frame: large enough for the reference and the warped images, and not absurdly large.

Specification: the box of the reference's frame and of the 0.5 to 99.5 percentiles of where pixels land, clipped to
3W x 3H of the reference, plus a margin.

Convention: canvas pixel = reference pixel + offset. Legend: N points, 2 = (x, y).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.errors import CanvasTooLarge
from service.stitching.geometry import Floats, Size

HINT = "Use images that overlap more, a reference nearer to the middle of the scene, or smaller images."


@dataclass(frozen=True, kw_only=True)
class CanvasOptions:
    """`largest`: canvas side ÷ reference side for a pair; every further image allows one more."""

    margin: int = 8
    percentile: float = 0.5
    largest: int = 3
    outside_share: float = 0.05
    pixel_limit: int = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """`offset` (x, y) >= 0 and `size` (width, height), whole pixels."""

    offset: Size
    size: Size


def lay_out(reference: Size, landings: Sequence[Floats], options: CanvasOptions) -> Canvas:
    """The canvas for a reference of (width, height) and, per further image, where its pixels land, float32 [...,2].

    Raises CanvasTooLarge if more than `outside_share` of one image would be cut off, or if the canvas has more than
    `pixel_limit` pixels.
    """
    frame = np.array(reference)
    sides = options.largest + max(len(landings) - 1, 0)
    low, high = np.zeros(2), frame - 1.0
    for points in landings:
        flat_N2 = points.reshape(-1, 2)
        low = np.minimum(low, np.percentile(flat_N2, options.percentile, axis=0))
        high = np.maximum(high, np.percentile(flat_N2, 100 - options.percentile, axis=0))
    low = np.maximum(low, -(sides - 1.0) * frame)
    high = np.minimum(np.minimum(high, sides * frame - 1.0), low + sides * frame - 1.0)
    for points in landings:
        lost = float(((points < low - options.margin) | (points > high + options.margin)).any(-1).mean())
        if lost > options.outside_share:
            raise CanvasTooLarge(
                f"{lost:.0%} of the warped target would lie outside {sides}W x {sides}H of the reference; "
                f"at most {options.outside_share:.0%} may.",
                HINT,
            )
    first = np.floor(low).astype(int) - options.margin
    last = np.ceil(high).astype(int) + options.margin
    width, height = (int(side) for side in last - first + 1)
    if width * height > options.pixel_limit:
        raise CanvasTooLarge(
            f"The panorama would have {width} x {height} pixels; the limit is {options.pixel_limit}.", HINT
        )
    return Canvas(offset=(int(-first[0]), int(-first[1])), size=(width, height))

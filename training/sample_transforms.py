"""Geometry of one sample, image and labels together: flip, warp, resize, crop, pad.

Arrays by name as in `training.readers.reader`, all of one size H x W. Nothing is changed in place.
Convention: pixel centres are integers; resizing keeps the outer borders of the picture (half-pixel); angles turn
counter-clockwise as seen, in degrees; normals are x right, y down. Labels are never mixed: 255 means ignored in
segmentation, parts, saliency and edges, 0 in depth, the zero vector in normals.
"""

from typing import Literal

import cv2
import numpy as np

from training.readers.files import IGNORE, Array, lengths
from training.readers.reader import Arrays, DepthUnit

Interpolation = Literal["nearest", "linear", "cubic"]
CLASS_MAPS = ("segmentation", "parts", "saliency", "edges")
_FLAGS: dict[Interpolation, int] = {
    "nearest": cv2.INTER_NEAREST_EXACT,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
}


def size_of(sample: Arrays) -> tuple[int, int]:
    """Height and width."""
    height, width = sample["image"].shape[:2]
    return height, width


def flip(sample: Arrays) -> Arrays:
    """Left and right exchanged; n_x changes its sign."""
    flipped = {name: np.ascontiguousarray(value[:, ::-1]) for name, value in sample.items()}
    if "normals" in flipped:
        flipped["normals"] = flipped["normals"] * np.array([-1, 1, 1], np.float32)
    return flipped


def resize(
    sample: Arrays,
    size: tuple[int, int],
    *,
    image: Interpolation = "cubic",
    normals: Interpolation = "cubic",
    depth_unit: DepthUnit = "metres",
) -> Arrays:
    """Image and labels at another size, the aspect ratio not kept. Labels are nearest, but for the normals.

    A disparity is multiplied by the factor of the width; metres and inverse depth stay.
    """
    if size == size_of(sample):
        return sample
    factor = size[1] / size_of(sample)[1]
    resized = {}
    for name, value in sample.items():
        if name == "image":
            resized[name] = cv2.resize(value, size[::-1], interpolation=_FLAGS[image]).clip(0, 1)
        elif name == "normals" and normals != "nearest":
            smooth = cv2.resize(value, size[::-1], interpolation=_FLAGS[normals])
            resized[name] = _renormalised(smooth, cv2.resize(_seen(value), size[::-1], interpolation=_FLAGS["nearest"]))
        else:
            resized[name] = cv2.resize(value, size[::-1], interpolation=_FLAGS["nearest"])
    if depth_unit == "disparity" and "depth" in resized:
        resized["depth"] = resized["depth"] * np.float32(factor)
    return resized


def warp(
    sample: Arrays,
    scale: float,
    angle: float,
    *,
    normals: Interpolation = "cubic",
    depth_unit: DepthUnit = "metres",
    fill: int = IGNORE,
) -> Arrays:
    """Zoomed by `scale` and turned by `angle` about the centre of the picture, at the same size.

    Depth is divided by the scale (a disparity or inverse depth is multiplied), (n_x, n_y) are turned by the angle.
    Uncovered pixels are black, invalid in depth and normals, and `fill` in the class maps.
    """
    if scale == 1 and angle == 0:
        return sample
    height, width = size_of(sample)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)

    def warped(value: Array, flag: int, border: int) -> Array:
        return cv2.warpAffine(value, matrix, (width, height), flags=flag, borderValue=(border,) * 3)

    result = {}
    for name, value in sample.items():
        if name == "image":
            result[name] = warped(value, cv2.INTER_CUBIC, 0).clip(0, 1)
        elif name == "normals":
            seen = warped(_seen(value), cv2.INTER_NEAREST, 0)
            flag = cv2.INTER_NEAREST if normals == "nearest" else _FLAGS[normals]
            result[name] = turned(_renormalised(warped(value, flag, 0), seen), angle)
        else:
            result[name] = warped(value, cv2.INTER_NEAREST, fill if name in CLASS_MAPS else 0)
    if "depth" in result:
        result["depth"] = scaled_depth(result["depth"], scale, depth_unit)
    return result


def scaled_depth(depth_HW: Array, scale: float, unit: DepthUnit) -> Array:
    """Depth of a picture zoomed by `scale`: things look nearer by that factor."""
    return depth_HW * np.float32(1 / scale if unit == "metres" else scale)


def turned(normals_HW3: Array, angle: float) -> Array:
    """Normals of a picture turned by `angle` degrees counter-clockwise as seen."""
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    matrix = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float32)
    return normals_HW3 @ matrix.T


def crop(sample: Arrays, top: int, left: int, size: tuple[int, int]) -> Arrays:
    """The window of at most `size` whose corner is (top, left)."""
    return {name: value[top : top + size[0], left : left + size[1]] for name, value in sample.items()}


def pad(sample: Arrays, size: tuple[int, int], colour: tuple[float, float, float]) -> Arrays:
    """Padded on all sides to at least `size`, the sample in the middle: `colour` in the image, ignored in labels."""
    height, width = size_of(sample)
    down, right = max(size[0] - height, 0), max(size[1] - width, 0)
    if not (down or right):
        return sample
    top, left = down // 2, right // 2
    padded = {}
    for name, value in sample.items():
        shape = (height + down, width + right, *value.shape[2:])
        filled = np.full(shape, IGNORE if name in CLASS_MAPS else 0, value.dtype)
        if name == "image":
            filled[:] = np.asarray(colour, value.dtype)
        filled[top : top + height, left : left + width] = value
        padded[name] = filled
    return padded


def _seen(normals_HW3: Array) -> Array:
    return (lengths(normals_HW3) > 0).astype(np.uint8)


def _renormalised(normals_HW3: Array, seen_HW: Array) -> Array:
    """Unit length where seen; a mixture that cancels to nothing becomes invalid."""
    length = lengths(normals_HW3)[..., None]
    valid = (seen_HW[..., None] > 0) & (length > 1e-3)
    return np.divide(normals_HW3, length, out=np.zeros_like(normals_HW3), where=valid)

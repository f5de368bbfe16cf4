"""Names and colours of classes, as the manifest carries them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

Colour = tuple[int, int, int]
LabelSet = tuple[tuple[str, ...], tuple[Colour, ...]]

NYU13: dict[str, Colour] = {
    "bed": (219, 112, 147),
    "books": (247, 205, 70),
    "ceiling": (176, 200, 232),
    "chair": (238, 125, 49),
    "floor": (140, 98, 68),
    "furniture": (60, 148, 104),
    "objects": (214, 48, 62),
    "picture": (158, 98, 204),
    "sofa": (38, 112, 198),
    "table": (158, 196, 60),
    "tv": (42, 46, 66),
    "wall": (226, 216, 196),
    "window": (72, 209, 214),
}
"""The default label set (Couprie et al., ICLR 2013), in the order of the class ids."""

CITYSCAPES19 = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
PASCAL21 = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining table",
    "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor",
)  # fmt: skip
"""The classes of PASCAL VOC with background, as PASCAL-Context's multi-task labels number them."""
NYUD40 = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture", "counter",
    "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes", "ceiling", "books",
    "refrigerator", "television", "paper", "towel", "shower curtain", "box", "whiteboard", "person", "night stand",
    "toilet", "sink", "lamp", "bathtub", "bag", "other structure", "other furniture", "other prop",
)  # fmt: skip
"""The classes of NYUD-v2 (Gupta et al., CVPR 2013), from 0."""
NAMES_BY_COUNT = {len(names): names for names in (tuple(NYU13), CITYSCAPES19, PASCAL21, NYUD40)}

PARTS: dict[str, Colour] = {
    "background": (38, 42, 54),
    "head": (236, 92, 92),
    "torso": (244, 178, 66),
    "upper arm": (120, 200, 90),
    "lower arm": (48, 158, 128),
    "upper leg": (72, 140, 226),
    "lower leg": (146, 96, 208),
}
"""Human parts in the order of the class ids; left and right are one class."""


def label_set(count: int, own: Sequence[str] = ()) -> LabelSet:
    """Names and RGB colours (0..255) for `count` classes: `own` ones, else those of a public label set of that size,
    else numbers.

    13 is NYU-13, 19 Cityscapes, 21 PASCAL VOC with background, 40 NYUD-v2. Raises ValueError outside 1 to 255, and for
    own names that are not `count` different ones.
    """
    if not 1 <= count <= 255:
        raise ValueError(f"count: expected 1 to 255 classes, found {count}")
    if own:
        if len(own) != count:
            raise ValueError(f"classes: expected {count} names, one for each class of the network, found {len(own)}")
        if twice := sorted({name for name in own if own.count(name) > 1}):
            raise ValueError(f"classes: expected different names, found {twice[0]!r} twice")
        return tuple(own), tuple(_spread(index) for index in range(count))
    names = NAMES_BY_COUNT.get(count) or tuple(f"class {index}" for index in range(count))
    if names == tuple(NYU13):
        return names, tuple(NYU13.values())
    return names, tuple(_spread(index) for index in range(count))


def part_labels() -> LabelSet:
    """Names and RGB colours (0..255) of the human parts."""
    return tuple(PARTS), tuple(PARTS.values())


def _spread(index: int) -> Colour:
    """Golden-ratio steps through the hues, with three alternating levels of saturation and value."""
    hue = (index * 0.618034) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.6, 0.85, 0.45)[index % 3], (0.95, 0.75, 0.85)[index // 3 % 3])
    return round(red * 255), round(green * 255), round(blue * 255)

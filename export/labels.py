"""Names and colours of segmentation classes, as the manifest carries them."""

from __future__ import annotations

import colorsys

Colour = tuple[int, int, int]

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


def label_set(count: int) -> tuple[tuple[str, ...], tuple[Colour, ...]]:
    """Names and RGB colours (0..255) for `count` classes: NYU-13 for 13, numbered names and spread hues otherwise."""
    if not 1 <= count <= 255:
        raise ValueError(f"count: expected 1 to 255 classes, found {count}")
    if count == len(NYU13):
        return tuple(NYU13), tuple(NYU13.values())
    return tuple(f"class_{index}" for index in range(count)), tuple(_spread(index) for index in range(count))


def _spread(index: int) -> Colour:
    """Golden-ratio steps through the hues, with three alternating levels of saturation and value."""
    hue = (index * 0.618034) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.6, 0.85, 0.45)[index % 3], (0.95, 0.75, 0.85)[index // 3 % 3])
    return round(red * 255), round(green * 255), round(blue * 255)

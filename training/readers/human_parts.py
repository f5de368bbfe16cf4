"""Human parts of PASCAL-Part: `anno.objects[k]` = (class name, class id, mask, parts[] = (name, mask)).

Seven classes: 0 background, 1 head, 2 torso and neck, 3 upper arms, 4 lower arms and hands, 5 upper legs, 6 lower legs
and feet. All persons of an image are united; where parts overlap, the later one counts.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from training.readers.files import IGNORE, Array, DamagedFile, read_matlab

PERSON = 15
NAMES = ("background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")
_SIDES = {
    "ear": 1, "eye": 1, "ebrow": 1, "uarm": 3, "larm": 4, "hand": 4, "uleg": 5, "lleg": 6, "foot": 6,
}  # fmt: skip
CLASS_OF_PART = {"hair": 1, "head": 1, "mouth": 1, "nose": 1, "torso": 2, "neck": 2} | {
    side + part: number for part, number in _SIDES.items() for side in "lr"
}


def read_human_parts(path: Path, size: Callable[[], tuple[int, int]]) -> Array:
    """uint8 [H, W]; 255 everywhere when no person of the image has parts. Raises DamagedFile.

    size: height and width of the image, asked for only when the file lists no object.
    """
    anno = read_matlab(path, "anno")
    try:
        objects = anno.reshape(-1)[0]["objects"].reshape(-1)
        return _united(objects) if len(objects) else np.full(size(), IGNORE, np.uint8)
    except KeyError as error:
        raise DamagedFile("wrong", path, f"expected a human part, found {error}") from error
    except (IndexError, ValueError, TypeError, AttributeError) as error:
        raise DamagedFile("wrong", path, f"expected anno.objects with masks and parts, found: {error}") from error


def _united(objects: Array) -> Array:
    parts_HW: Array | None = None
    size = None
    for thing in objects:
        _, number, mask, parts = (thing[k] for k in range(4))
        size = mask.shape if size is None else size
        if int(number.reshape(-1)[0]) != PERSON:
            continue
        for part in parts.reshape(-1):
            name, part_mask = str(part[0].reshape(-1)[0]), part[1].astype(bool)
            parts_HW = np.zeros(size, np.uint8) if parts_HW is None else parts_HW
            parts_HW[part_mask] = CLASS_OF_PART[name]
    if parts_HW is not None:
        return parts_HW
    assert size is not None  # there is an object
    return np.full(size, IGNORE, np.uint8)

"""Boundaries of a label map, one pixel wide: thin(|Laplacian| > 0), the edge labels of PASCAL-Context."""

import cv2
import numpy as np

from training.readers.files import Array


def label_edges(labels_HW: Array) -> Array:
    """uint8 0/1 [H, W] from whole numbers [H, W]."""
    laplacian = cv2.Laplacian(labels_HW.astype(np.float64), cv2.CV_64F)
    return thin(np.abs(laplacian) > 0).astype(np.uint8)


def thin(mask_HW: Array) -> Array:
    """The skeleton of a mask, bool [H, W].

    Guo and Hall, "Parallel thinning with two-subiteration algorithms", Communications of the ACM 1989, algorithm A1:
    a pixel goes when it joins one component, has two or three neighbour pairs, and lies on the side of its turn.
    """
    mask = np.pad(mask_HW.astype(bool), 1)
    while True:
        before = int(mask.sum())
        for first in (True, False):
            mask[1:-1, 1:-1] &= ~_removable(mask, first)
        if int(mask.sum()) == before:
            return mask[1:-1, 1:-1].copy()


def _removable(mask: Array, first: bool) -> Array:
    def seen(dy: int, dx: int) -> Array:
        return mask[1 + dy : mask.shape[0] - 1 + dy, 1 + dx : mask.shape[1] - 1 + dx]

    north, northeast, east, southeast = seen(-1, 0), seen(-1, 1), seen(0, 1), seen(1, 1)
    south, southwest, west, northwest = seen(1, 0), seen(1, -1), seen(0, -1), seen(-1, -1)
    components = (
        (~north & (northeast | east)).astype(np.uint8)
        + (~east & (southeast | south))
        + (~south & (southwest | west))
        + (~west & (northwest | north))
    )
    one_way = (northwest | north).astype(np.uint8) + (northeast | east) + (southeast | south) + (southwest | west)
    other_way = (north | northeast).astype(np.uint8) + (east | southeast) + (south | southwest) + (west | northwest)
    pairs = np.minimum(one_way, other_way)
    side = ((north | northeast | ~southeast) & east) if first else ((south | southwest | ~northwest) & west)
    return (components == 1) & (pairs >= 2) & (pairs <= 3) & ~side

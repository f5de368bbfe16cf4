"""More than two photographs: who is joined to whom, and flows along the way to the reference.

The maximum spanning tree of the pairs, weighted by feature inliers, joins each photograph through its best neighbour.
Flows are composed along the tree, f_k0(p) = f_kj(p) + f_j0(p + f_kj(p)); beyond photograph j its homography continues
f_j0.

Convention: as in `service.stitching.pair`. Legend: h, w network size; 2 = (x, y); 33 = matrix.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from service.errors import LowOverlap
from service.stitching.alignment import AlignmentOptions, Features, align
from service.stitching.geometry import apply_homography, inverted, reduced_grid, resize_matrix, sample, vector
from service.stitching.pair_warp import PairWarp
from service.stitching.refusal import OVERLAP_HINT

FADE_SHARE = 0.05


def link_strengths(features: Sequence[Features], options: AlignmentOptions) -> dict[tuple[int, int], int]:
    """Inliers of every pair (i, j), i < j, that a believed homography joins."""
    strengths = {}
    for i in range(len(features)):
        for j in range(i + 1, len(features)):
            alignment = align(features[i], features[j], options)
            if alignment.homography_33 is not None:
                strengths[i, j] = alignment.inliers
    return strengths


def spanning_tree(count: int, strengths: Mapping[tuple[int, int], float]) -> dict[int, list[int]]:
    """Neighbours of each of `count` images in the maximum spanning tree (Kruskal); ties go to the lower indices.

    Raises LowOverlap naming the indices outside the largest connected group.
    """
    group = list(range(count))
    neighbours: dict[int, list[int]] = {index: [] for index in range(count)}
    for i, j in sorted(strengths, key=lambda pair: (-strengths[pair], pair)):
        if group[i] != group[j]:
            neighbours[i].append(j)
            neighbours[j].append(i)
            group = [group[i] if label == group[j] else label for label in group]
    largest = max(set(group), key=lambda label: (group.count(label), -label))
    lonely = [index for index in range(count) if group[index] != largest]
    if lonely:
        names = ", ".join(map(str, lonely))
        raise LowOverlap(f"No link from image {names} to the other images was found.", OVERLAP_HINT)
    return neighbours


def central_image(neighbours: Mapping[int, Sequence[int]]) -> int:
    """The image from which the farthest one is the fewest steps away, then with the fewest steps in all."""

    def steps(root: int) -> tuple[int, int, int]:
        depths = {root: 0}
        for child, parent in walk(neighbours, root):
            depths[child] = depths[parent] + 1
        return max(depths.values()), sum(depths.values()), root

    return min(neighbours, key=steps)


def walk(neighbours: Mapping[int, Sequence[int]], root: int) -> list[tuple[int, int]]:
    """(child, parent) pairs of the tree from near the root to far."""
    order: list[tuple[int, int]] = []
    seen, queue = {root}, [root]
    while queue:
        parent = queue.pop(0)
        for child in sorted(neighbours[parent]):
            if child not in seen:
                seen.add(child)
                order.append((child, parent))
                queue.append(child)
    return order


def compose_warps(first: PairWarp, second: PairWarp) -> PairWarp:
    """The warp k -> 0 from `first` = k -> j and `second` = j -> 0. Visibility, overlap and method stay the first's."""
    through = first.landed()
    width, height = second.size_t
    residual = sample(second.residual_hw2, apply_homography(resize_matrix(second.size_t, second.net), through))
    beyond = through - np.clip(through, vector(0, 0), vector(width - 1, height - 1))
    # Beyond the photograph its residual fades out and leaves the homography.
    residual *= np.exp(-np.linalg.norm(beyond, axis=-1) / (FADE_SHARE * np.hypot(width, height)))[..., None]
    landed = apply_homography(second.homography_33, through + residual)
    homography = second.homography_33 @ first.homography_33
    grid = reduced_grid(first.size_t, first.net)
    composed = apply_homography(inverted(homography), landed) - grid
    return dataclasses.replace(
        first,
        homography_33=homography / homography[2, 2],
        residual_hw2=composed,
        size_r=second.size_r,
        correction_hw2=None,
    )

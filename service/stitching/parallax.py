"""Where the reference does not look, monocular depth says how far each pixel moves along its epipolar line.

In homogeneous pixels q ~ H p + k(p) e: a homography of the scene's dominant plane, the epipole e, and the height k(p)
of the pixel's point over that plane, divided by its depth (plane and parallax; Irani and Anandan, ECCV 1996; Hartley
and Zisserman, 2004, section 13.3). k is an affine function of inverse depth plus one of the pixel, so that
q ~ P (x, y, 1, d) with one 3x4 matrix P and any affine inverse depth d. P is fitted to the overlap's flow and to the
feature matches, close to (H | 0), which needs neither focal lengths nor the depth's scale. Where depth does not explain
them better than a homography, it is not used.

Convention: depth is of the target, positive, in any unit. Legend: h, w network size; N pixels; 2 = (x, y) or (dx, dy).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.stitching.extension import ExtensionOptions, extend_residual
from service.stitching.geometry import Floats, Matrix, Size, apply_homography, inverted, reduced_grid

Doubles = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ParallaxOptions:
    """How far P may leave (H | 0), and when it is believed.

    `plane`, `epipole`: standard deviations of P's changes, in coordinates where the longer side is 1. `noise`: that of
    a matched pixel, same unit; neighbours err together, so that all of them weigh like `independent` ones.
    `features`: weight of all feature matches together, against all pixels of the flow; they reach surfaces that the
    flow has lost. `crowd`: matches this near, same unit, share one weight, since most lie on the best textured surface.
    `needed`: depth must lower the mean error at least to this share of a homography's. `farthest`: no pixel moves more
    than this share of the longer side from where the homography puts it. `samples`, `most_matches`: so many pixels and
    matches are looked at.
    """

    enabled: bool = True
    plane: float = 0.05
    epipole: float = 0.3
    noise: float = 0.004
    independent: float = 200.0
    features: float = 0.3
    crowd: float = 0.1
    needed: float = 0.95
    farthest: float = 0.3
    rounds: int = 8
    samples: int = 4000
    most_matches: int = 1000


def extend_by_depth(
    homography_33: Matrix,
    residual_hw2: Floats,
    trust_hw: Floats,
    depth: Floats,
    matches_N4: Floats,
    size_t: Size,
    size_r: Size,
    options: ParallaxOptions,
    extension: ExtensionOptions,
) -> Floats | None:
    """The residual [h,w,2] (full target pixels), kept where `trust_hw` is 1, elsewhere by depth; None where depth
    does not help.

    homography_33 maps the target of size_t (width, height) to the reference of size_r; depth [...] of any size;
    matches_N4: (x, y) in the target and (x, y) in the reference, full pixels, N may be 0.
    """
    height, width = trust_hw.shape
    trusted_N = np.flatnonzero(trust_hw.ravel() > 0.5)
    if len(trusted_N) < 200 or not np.isfinite(depth).all() or depth.min() <= 0:
        return None
    trusted_N = _thinned(trusted_N, options.samples)
    matches_N4 = _thinned(matches_N4, options.most_matches)
    to_unit_t, to_unit_r = _unit(size_t, max(size_t)), _unit(size_r, max(size_t))
    grid_hw2 = reduced_grid(size_t, (width, height))
    plane_N3 = np.ones((height * width, 3))
    plane_N3[:, :2] = apply_homography(to_unit_t, grid_hw2).reshape(-1, 2)
    inverse_N = 1 / cv2.resize(depth.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR).ravel()
    inverse_N = (inverse_N / np.median(inverse_N[trusted_N])).astype(np.float64)
    # What a plane explains of the inverse depth is left to the homography.
    explained, *_ = np.linalg.lstsq(plane_N3[trusted_N], inverse_N[trusted_N], rcond=None)
    space_N4 = np.column_stack([plane_N3, inverse_N - plane_N3 @ explained])
    unit_33 = to_unit_r @ homography_33 @ inverted(to_unit_t)
    unit_33 = unit_33 / unit_33[2, 2]
    landed = apply_homography(homography_33, grid_hw2 + residual_hw2)
    wanted_N2 = apply_homography(to_unit_r, landed).reshape(-1, 2)[trusted_N]
    column_N, row_N = (
        ((matches_N4[:, axis] + 0.5) * (side / size_t[axis])).astype(int).clip(0, side - 1)
        for axis, side in enumerate((width, height))
    )
    features_N4 = space_N4[row_N * width + column_N]
    features_N4[:, :2] = apply_homography(to_unit_t, matches_N4[:, :2])
    weight_N = np.full(len(trusted_N), 1 / len(trusted_N))
    data = _Data(
        space_NK=np.vstack([space_N4[trusted_N], features_N4]),
        wanted_N2=np.vstack([wanted_N2, apply_homography(to_unit_r, matches_N4[:, 2:])]).astype(np.float64),
        weight_N=np.append(weight_N, options.features * _spread_weights(features_N4[:, :2], options.crowd)),
    )
    plane = data.without_depth()
    flat_33 = _fit(plane, unit_33, options)
    deep_34 = _fit(data, np.column_stack([unit_33, np.zeros(3)]), options)
    error_flat, error_deep = _mean_error(flat_33, plane), _mean_error(deep_34, data)
    if not error_deep < options.needed * error_flat:
        return None
    mapped_N3 = space_N4 @ deep_34.T
    if not np.isfinite(mapped_N3).all() or mapped_N3[:, 2].min() < 0.1:
        return None
    there = (mapped_N3[:, :2] / mapped_N3[:, 2:]).reshape(height, width, 2)
    guess_hw2 = apply_homography(inverted(homography_33) @ inverted(to_unit_r), there) - grid_hw2
    if np.linalg.norm(guess_hw2, axis=-1).max() > options.farthest * max(size_t):
        return None
    return (guess_hw2 + extend_residual(residual_hw2 - guess_hw2, trust_hw, extension)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class _Data:
    """Points in space, K = 3 or 4 homogeneous coordinates each, where they are wanted, and how much each counts."""

    space_NK: Doubles
    wanted_N2: Doubles
    weight_N: Doubles

    def without_depth(self) -> _Data:
        return replace(self, space_NK=self.space_NK[:, :3])


def _thinned(values: NDArray[Any], most: int) -> NDArray[Any]:
    """At most so many of the values, evenly spread."""
    return values[:: max(1, -(-len(values) // most))]


def _spread_weights(points_N2: Doubles, crowd: float) -> Doubles:
    """Weights [N] that sum to 1, each one over the number of points about as near as `crowd`."""
    if not len(points_N2):
        return np.zeros(0)
    square_NN = np.square(points_N2[:, None] - points_N2).sum(2)
    weight_N = 1 / np.exp(-square_NN / (2 * crowd**2)).sum(1)
    return np.asarray(weight_N / weight_N.sum(), np.float64)


def _fit(data: _Data, start_3K: Doubles, options: ParallaxOptions) -> Doubles:
    """The 3xK matrix near `start_3K` that maps space to where it is wanted: Gauss-Newton with a Gaussian prior, and
    weights that forgive outliers (Geman-McClure) on the scale of the median error."""
    count = data.space_NK.shape[1]
    spread = np.tile([*[options.plane] * 3, *[options.epipole] * (count - 3)], 3)
    matrix, zero = start_3K, np.zeros_like(data.space_NK)
    for _ in range(options.rounds):
        at_N2, depth_N1 = _mapped(matrix, data)
        error = at_N2 - data.wanted_N2
        length = np.linalg.norm(error, axis=1)
        weight = data.weight_N / (1 + (length / max(1.5 * float(np.median(length)), options.noise)) ** 2)
        weight = np.sqrt(weight / weight.sum() * options.independent) / options.noise
        scaled = data.space_NK / depth_N1 * weight[:, None]
        rows_x = np.hstack([scaled, zero, -at_N2[:, :1] * scaled])
        rows_y = np.hstack([zero, scaled, -at_N2[:, 1:] * scaled])
        system = rows_x.T @ rows_x + rows_y.T @ rows_y + np.diag(1 / spread**2)
        right = -(rows_x.T @ (error[:, 0] * weight) + rows_y.T @ (error[:, 1] * weight))
        right += (start_3K - matrix).ravel() / spread**2
        matrix = matrix + np.linalg.solve(system, right).reshape(3, count)
    return matrix


def _mean_error(matrix_3K: Doubles, data: _Data) -> float:
    """Mean distance, each at most 4 % of the longer side."""
    length = np.linalg.norm(_mapped(matrix_3K, data)[0] - data.wanted_N2, axis=1)
    return float(np.average(np.minimum(length, 0.04), weights=data.weight_N))


def _mapped(matrix_3K: Doubles, data: _Data) -> tuple[Doubles, Doubles]:
    """Where the matrix maps the points, [N,2], and their last homogeneous coordinate [N,1], never 0."""
    mapped_N3 = data.space_NK @ matrix_3K.T
    depth_N1 = np.where(np.abs(mapped_N3[:, 2:]) < 1e-3, 1e-3, mapped_N3[:, 2:])
    return mapped_N3[:, :2] / depth_N1, depth_N1


def _unit(size: Size, longest: int) -> Matrix:
    """Pixels to coordinates with the image's middle at 0 and `longest` pixels at 1."""
    return np.array(
        [[1 / longest, 0, -(size[0] - 1) / 2 / longest], [0, 1 / longest, -(size[1] - 1) / 2 / longest], [0, 0, 1]]
    )

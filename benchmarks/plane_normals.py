"""Reference normals from measured depth: a robust plane through every pixel's neighbourhood.

A plane n.X = d seen through a pinhole has inverse depth 1/z = (n/d) . ((x-cx)/fx, (y-cy)/fy, 1), which is linear in the
pixel. So a plane is fitted to inverse depth by iteratively reweighted least squares (Tukey's biweight, scale from the
median absolute residual), and its normal is read off the coefficients.

Convention: x right, y down, z forward; normals point towards the camera (n_z < 0). Legend: h, w grid of centres;
K samples in a window.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.real_data import FARTHEST


@dataclass(frozen=True, kw_only=True)
class PlaneFit:
    """Settings of the fit; sizes in pixels of a 480x640 photograph."""

    window: int = 21
    stride: int = 4
    sample_step: int = 2
    iterations: int = 4
    least_share: float = 0.6
    """Least share of the window's samples that must support the plane."""
    worst_residual: float = 0.01
    """Largest root mean square residual of those samples, relative to the inverse depth."""


def plane_normals(
    depth_HW: np.ndarray, intrinsics: tuple[float, float, float, float], fit: PlaneFit | None = None
) -> np.ndarray:
    """Normals on every `stride`-th pixel.

    Args:
        depth_HW: metres, values outside (0.1, 10) m are unknown.
        intrinsics: fx, fy, cx, cy in pixels.
        fit: settings; the defaults when None.

    Returns:
        float32 [ceil(H/stride), ceil(W/stride), 3] unit normals towards the camera; NaN at holes and depth edges.
    """
    fit = fit or PlaneFit()
    fx, fy, cx, cy = intrinsics
    known = (depth_HW > 0.1) & (depth_HW < FARTHEST - 0.01)
    inverse = np.where(known, 1.0 / np.where(known, depth_HW, 1.0), np.nan)
    radius = fit.window // 2
    padded = np.pad(inverse, radius, constant_values=np.nan)
    offsets = np.arange(-radius, radius + 1, fit.sample_step)
    dx_K, dy_K = (a.ravel() for a in np.meshgrid(offsets, offsets))
    basis_K3 = np.stack([dx_K / radius, dy_K / radius, np.ones(dx_K.size)], axis=1)
    out = np.full((len(range(0, depth_HW.shape[0], fit.stride)), len(range(0, depth_HW.shape[1], fit.stride)), 3),
                  np.nan, np.float32)  # fmt: skip
    xs_w = np.arange(0, depth_HW.shape[1], fit.stride)
    for row, y in enumerate(range(0, depth_HW.shape[0], fit.stride)):
        centre_w = inverse[y, xs_w]
        sample_wK = padded[y + radius + dy_K[None], xs_w[:, None] + radius + dx_K[None]]
        plane_w3, good_w = _fit_row(sample_wK, centre_w, basis_K3, fit)
        a_w, b_w = plane_w3[:, 0] / radius, plane_w3[:, 1] / radius
        c_w = plane_w3[:, 2] - a_w * (xs_w - cx) - b_w * (y - cy)
        normal_w3 = -np.stack([a_w * fx, b_w * fy, c_w], axis=-1)
        normal_w3 /= np.maximum(np.linalg.norm(normal_w3, axis=-1, keepdims=True), 1e-12)
        out[row] = np.where(good_w[:, None], normal_w3, np.nan)
    return out


def _fit_row(
    sample_wK: np.ndarray, centre_w: np.ndarray, basis_K3: np.ndarray, fit: PlaneFit
) -> tuple[np.ndarray, np.ndarray]:
    """Plane coefficients [w,3] in window units (dx/radius, dy/radius, 1), and which of them can be trusted."""
    present_wK = np.isfinite(sample_wK)
    value_wK = np.nan_to_num(sample_wK)
    centre_w = np.nan_to_num(centre_w)
    near_wK = present_wK & (np.abs(value_wK - centre_w[:, None]) < 0.1 * centre_w[:, None])
    weight_wK = near_wK.astype(np.float64)
    outer_K33 = basis_K3[:, :, None] * basis_K3[:, None, :]
    plane_w3 = np.zeros((len(centre_w), 3))
    residual_wK = np.zeros_like(value_wK)
    cut_w1 = np.zeros((len(centre_w), 1))
    for _ in range(fit.iterations):
        normal_w33 = np.tensordot(weight_wK, outer_K33, axes=1) + 1e-9 * np.eye(3)
        right_w3 = (weight_wK * value_wK) @ basis_K3
        plane_w3 = np.linalg.solve(normal_w33, right_w3[..., None])[..., 0]
        residual_wK = np.abs(value_wK - plane_w3 @ basis_K3.T)
        spread_w = np.median(np.where(near_wK, residual_wK, residual_wK.max(initial=0.0)), axis=1)
        cut_w1 = np.maximum(4.685 * 1.4826 * spread_w, 0.005 * centre_w)[:, None]
        cut_w1 = np.maximum(cut_w1, 1e-9)
        weight_wK = np.where(near_wK, np.clip(1 - (residual_wK / cut_w1) ** 2, 0, None) ** 2, 0.0)
    support_wK = near_wK & (residual_wK < cut_w1)
    count_w = support_wK.sum(axis=1)
    rms_w = np.sqrt((np.where(support_wK, residual_wK, 0.0) ** 2).sum(axis=1) / np.maximum(count_w, 1))
    enough_w = count_w >= fit.least_share * sample_wK.shape[1]
    good_w = (centre_w > 0) & enough_w & (rms_w < fit.worst_residual * np.maximum(centre_w, 1e-9))
    return plane_w3, good_w

"""Scores of dense maps image by image: the rows that tables and intervals are made of."""

from dataclasses import dataclass, field

import numpy as np

from benchmarks.dense_scores import (
    DenseMaps,
    abs_rel,
    affine_in_inverse_depth,
    angle_degrees,
    angle_histogram,
    confusion,
    delta1,
    depth_sums,
    disparity_agreement,
    mean_angle,
    mean_iou,
    median_scaled,
    pixel_accuracy,
)
from benchmarks.plane_normals import PlaneFit, plane_normals
from benchmarks.real_data import Photograph

MODES = ("metric", "median scale", "affine in inverse depth")
Rows = dict[str, list[np.ndarray]]


@dataclass
class Board:
    """Per-image rows of one method, by set (and alignment)."""

    depth: dict[str, Rows] = field(default_factory=dict)
    normal: Rows = field(default_factory=dict)
    label: Rows = field(default_factory=dict)
    disparity: dict[str, tuple[float, float]] = field(default_factory=dict)
    images: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, photo: Photograph, maps: DenseMaps, normal_hw3: np.ndarray | None, stride: int) -> None:
        """Scores one photograph's maps against whatever was measured for it."""
        values: dict[str, float] = {}
        if maps.depth_HW is not None and photo.depth_HW is not None and photo.valid_HW is not None:
            predicted, measured = maps.depth_HW[photo.valid_HW], photo.depth_HW[photo.valid_HW]
            aligned = (predicted, median_scaled(predicted, measured), affine_in_inverse_depth(predicted, measured))
            for mode, p in zip(MODES, aligned, strict=True):
                sums = depth_sums(p, measured)
                self.depth.setdefault(mode, {}).setdefault(photo.dataset, []).append(sums)
                values[f"absRel {mode}"], values[f"delta1 {mode}"] = abs_rel(sums[None]), delta1(sums[None])
        if maps.depth_HW is not None and photo.disparity_HW is not None:
            self.disparity[photo.name] = disparity_agreement(maps.depth_HW, photo.disparity_HW)
        if maps.normal_HW3 is not None and normal_hw3 is not None:
            known = np.isfinite(normal_hw3[..., 0])
            row = angle_histogram(angle_degrees(maps.normal_HW3[::stride, ::stride][known], normal_hw3[known]))
            self.normal.setdefault(photo.dataset, []).append(row)
            values["normal mean"] = mean_angle(row[None])
        if maps.label_HW is not None and photo.label_HW is not None:
            counts = confusion(maps.label_HW, photo.label_HW)
            self.label.setdefault(photo.dataset, []).append(counts)
            values["mIoU"], values["accuracy"] = mean_iou(counts), pixel_accuracy(counts)
        if values:
            self.images[f"{photo.dataset}/{photo.name}"] = values


def reference_normals(photo: Photograph, fit: PlaneFit) -> np.ndarray | None:
    """Normals given with the photograph, else fitted to its depth, on the fit's grid; None without either."""
    if photo.normal_HW3 is not None:
        return photo.normal_HW3[:: fit.stride, :: fit.stride]
    if photo.depth_HW is not None and photo.intrinsics is not None:
        return plane_normals(photo.depth_HW, photo.intrinsics, fit)
    return None

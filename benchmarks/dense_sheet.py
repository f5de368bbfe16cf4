"""A contact sheet: photograph, predicted and measured depth, normals and labels, side by side."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.dense_scores import DenseMaps
from benchmarks.real_data import NYU13

CELL = (200, 150)  # width, height in pixels
HUES = np.linspace(0, 180, len(NYU13), endpoint=False)


class SheetRow(NamedTuple):
    """One photograph with predicted and measured maps of its size, and a line of text."""

    rgb_HW3: np.ndarray
    predicted: DenseMaps
    measured: DenseMaps
    text: str


def write_sheet(path: Path, rows: list[SheetRow]) -> None:
    """Writes the rows as PNG; columns: photograph, then prediction | measurement of depth, normals, labels."""
    strips = [_strip(row) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(strips), cv2.COLOR_RGB2BGR))


def _strip(row: SheetRow) -> np.ndarray:
    limits = _depth_limits(row)
    cells = [row.rgb_HW3]
    for maps in (row.predicted, row.measured):
        cells.append(depth_colours(maps.depth_HW, limits) if maps.depth_HW is not None else _empty())
    for maps in (row.predicted, row.measured):
        cells.append(normal_colours(maps.normal_HW3) if maps.normal_HW3 is not None else _empty())
    for maps in (row.predicted, row.measured):
        cells.append(label_colours(maps.label_HW) if maps.label_HW is not None else _empty())
    strip = np.concatenate([cv2.resize(c, CELL, interpolation=cv2.INTER_AREA) for c in cells], axis=1)
    bar = np.full((18, strip.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, row.text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([bar, strip])


def _depth_limits(row: SheetRow) -> tuple[float, float]:
    depths = [m.depth_HW[m.depth_HW > 0] for m in (row.measured, row.predicted) if m.depth_HW is not None]
    low, high = np.percentile(depths[0], [2, 98]) if depths and depths[0].size else (0.5, 5.0)
    return float(low), max(float(high), float(low) + 1e-3)


def _empty() -> np.ndarray:
    return np.full((CELL[1], CELL[0], 3), 230, np.uint8)


def depth_colours(depth_HW: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Inverse depth in colours, near is bright; unknown depth is black."""
    near, far = 1 / limits[0], 1 / limits[1]
    level = (1 / np.maximum(depth_HW, 1e-6) - far) / (near - far)
    colour = cv2.applyColorMap((np.clip(level, 0, 1) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.where(depth_HW[..., None] > 0, cv2.cvtColor(colour, cv2.COLOR_BGR2RGB), 0).astype(np.uint8)


def normal_colours(normal_HW3: np.ndarray) -> np.ndarray:
    """(n + 1) / 2 as RGB; unknown normals are black."""
    colour = np.clip((np.nan_to_num(normal_HW3) + 1) * 127.5, 0, 255)
    return np.where(np.isfinite(normal_HW3[..., :1]), colour, 0).astype(np.uint8)


def label_colours(label_HW: np.ndarray) -> np.ndarray:
    """One hue a class; anything else is black."""
    hsv = np.stack([HUES, np.full(13, 170), np.full(13, 230)], axis=-1).astype(np.uint8)[None]
    table = np.zeros((256, 3), np.uint8)
    table[: len(NYU13)] = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]
    return np.asarray(table[label_HW])

"""Synthetic photographs with known geometry, and graphs that answer without a network.

Convention: pixel centres are integers; flow is target to reference. Legend: H, W size; 2 = (dx, dy); 3 = RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from service.stitching.geometry import Matrix, apply_homography, reduced_grid

Image = NDArray[np.uint8]


def translation(x: float, y: float) -> Matrix:
    """3x3 matrix that adds (x, y)."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def texture(width: int, height: int, seed: int = 0) -> Image:
    """Noise at several scales, 40..200: features everywhere, and room for a gain without clipping."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cell, strength in ((4, 1.0), (10, 1.5), (32, 2.0)):
        coarse = rng.random((height // cell + 3, width // cell + 3, 3)).astype(np.float32)
        large = cv2.resize(coarse, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
        total += strength * large[:height, :width]
    low, high = np.percentile(total, [1, 99])
    return np.clip(40 + 160 * (total - low) / (high - low), 40, 200).astype(np.uint8)


class Feather:
    """SIGMo untrained: the feather it is given, and no correction."""

    provider = "none"

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"alpha": inputs["feather"], "delta": np.zeros_like(inputs["canvas"][:, :3])}


class Vivid(Feather):
    """SIGMo that corrects wherever it may: delta = 0.5 everywhere."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"alpha": inputs["feather"], "delta": np.full_like(inputs["canvas"][:, :3], 0.5)}


class Residual:
    """PWM that answers a given residual for each item of the batch: a function of the item's (width, height)."""

    provider = "none"

    def __init__(self, *answers: Callable[[int, int], np.ndarray]) -> None:
        self._answers = answers
        self.calls = 0

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls += 1
        count, height, width, _ = inputs["target"].shape
        flows = [self._answers[item % len(self._answers)](width, height) for item in range(count)]
        ones = np.ones((count, 1, height, width), np.float32)
        return {
            "flow": np.stack(flows).transpose(0, 3, 1, 2).astype(np.float32),
            "importance": 0 * ones,
            "confidence": 0.9 * ones,
        }


def nothing(width: int, height: int) -> np.ndarray:
    """The residual of a perfect homography."""
    return np.zeros((height, width, 2), np.float32)


def oracle(homography_33: Matrix, flow_HW2: np.ndarray) -> Callable[[int, int], np.ndarray]:
    """The true residual r = H^-1(p + f(p)) - p in network pixels, from the true flow at full size."""
    full = (flow_HW2.shape[1], flow_HW2.shape[0])

    def answer(width: int, height: int) -> np.ndarray:
        grid = reduced_grid(full, (width, height))
        flow = cv2.remap(flow_HW2, grid, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        residual = apply_homography(np.linalg.inv(homography_33), grid + flow) - grid
        return residual * np.float32([width / full[0], height / full[1]])

    return answer


class TwoPlanes:
    """A background, and a near square in front of it that moves `parallax` px further between the photographs."""

    def __init__(self, width: int = 320, height: int = 256, shift: int = 112, parallax: int = 16) -> None:
        wide = texture(width + shift, height, seed=1)
        near = texture(72, 90, seed=2)
        top, left = 80, 200
        self.target = wide[:, :width].copy()
        self.target[top : top + 90, left : left + 72] = near
        self.reference = wide[:, shift:].copy()
        seen_at = left - shift - parallax
        self.reference[top : top + 90, seen_at : seen_at + 72] = near
        self.flow = np.full((height, width, 2), (-shift, 0), np.float32)
        self.flow[top : top + 90, left : left + 72, 0] = -shift - parallax
        self.back = np.full((height, width, 2), (shift, 0), np.float32)
        self.back[top : top + 90, seen_at : seen_at + 72, 0] = shift + parallax


def psnr(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> float:
    difference = first[where].astype(np.float64) - second[where]
    return float(-10 * np.log10(max((difference**2).mean() / 255**2, 1e-12)))

"""What lens and hand do to linear light before it reaches the sensor: defocus, hand shake, vignetting.

All act on colour alone. Shake is centred, so that it blurs edges about their true place.

Shape suffixes: H, W image size; 3 colour channels; K points of a path.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.draw import Draw

Path = tuple[tuple[float, float], ...]

_PATH_POINTS = 9
_DEFOCUS_LEVELS = (0.5, 1.0, 2.0)
_VISIBLE = 0.2


def gaussian_blur(image_3HW: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with a standard deviation in pixels, edges repeated.

    Sums of shifted views: on a CPU several times faster than a convolution with three channels.
    """
    reach = max(2, math.ceil(2.5 * sigma))
    weights = [math.exp(-0.5 * (tap / sigma) ** 2) for tap in range(reach + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    padded = F.pad(image_3HW[None], (reach,) * 4, mode="replicate")[0]
    for axis in (1, 2):
        size = padded.shape[axis] - 2 * reach
        result = padded.narrow(axis, reach, size) * (weights[0] / total)
        for tap in range(1, reach + 1):
            for start in (reach - tap, reach + tap):
                result.add_(padded.narrow(axis, start, size), alpha=weights[tap] / total)
        padded = result
    return padded


def sample_shake(draw: Draw, length: float) -> Path:
    """A short curved path of the picture over the sensor, (x, y) in pixels, `length` end to end, centred on 0."""
    heading, bend = draw.uniform(0, 2 * math.pi), draw.normal(0, 1.2)
    x, y = [0.0], [0.0]
    for number in range(_PATH_POINTS - 1):
        angle = heading + bend * number / (_PATH_POINTS - 1) + draw.normal(0, 0.3)
        x.append(x[-1] + math.cos(angle) * length / (_PATH_POINTS - 1))
        y.append(y[-1] + math.sin(angle) * length / (_PATH_POINTS - 1))
    middle_x, middle_y = sum(x) / _PATH_POINTS, sum(y) / _PATH_POINTS
    return tuple((a - middle_x, b - middle_y) for a, b in zip(x, y, strict=True))


def shaken(image_3HW: Tensor, path: Path) -> Tensor:
    """The mean of the picture over a path of shifts (x, y) in pixels, bilinear, edges repeated."""
    weights: dict[tuple[int, int], float] = {}
    for x, y in path:
        x0, y0 = math.floor(x), math.floor(y)
        for dx, wx in ((0, 1 - (x - x0)), (1, x - x0)):
            for dy, wy in ((0, 1 - (y - y0)), (1, y - y0)):
                if wx * wy > 1e-4:
                    key = (x0 + dx, y0 + dy)
                    weights[key] = weights.get(key, 0.0) + wx * wy
    total = sum(weights.values())
    reach = max(max(abs(x), abs(y)) for x, y in weights)
    height, width = image_3HW.shape[1:]
    padded = F.pad(image_3HW[None], (reach,) * 4, mode="replicate")[0] if reach else image_3HW
    result = torch.zeros_like(image_3HW)
    for (x, y), weight in weights.items():
        part = padded[:, reach - y : reach - y + height, reach - x : reach - x + width]
        result.add_(part, alpha=weight / total)
    return result


def defocused(image_3HW: Tensor, depth_HW: Tensor, strength: float, focus: float) -> Tensor:
    """Blur by the thin lens: the disc's diameter is strength * |1 / z - 1 / focus| pixels.

    depth_HW and `focus` in metres; strength = focal length in pixels times the aperture's diameter in metres. Colours
    are mixed from a few Gaussian blurs by each pixel's own depth (a disc of diameter d has a deviation of d / 4), so
    sharp things stay sharp and nothing is spread over them. Deviations end at 2 pixels; below 0.2 everywhere the
    picture is left alone.
    """
    sigma_HW = (1 / depth_HW.clamp(min=0.05) - 1 / focus).abs() * (strength / 4)
    highest = float(sigma_HW.max())
    if highest < _VISIBLE:
        return image_3HW
    result, below, lower = image_3HW, 0.0, image_3HW
    for level in _DEFOCUS_LEVELS:
        upper = gaussian_blur(image_3HW, level)
        result = torch.where(
            sigma_HW > below, torch.lerp(lower, upper, ((sigma_HW - below) / (level - below)).clamp(0, 1)), result
        )
        below, lower = level, upper
        if highest <= level:
            break
    return result


def vignetted(image_3HW: Tensor, strength: float) -> Tensor:
    """Darker corners: the corner loses the share `strength`, the middle of the frame nothing."""
    height, width = image_3HW.shape[1:]
    y = torch.linspace(-1, 1, height, device=image_3HW.device)[:, None]
    x = torch.linspace(-1, 1, width, device=image_3HW.device)[None, :]
    return image_3HW * (1 - strength * 0.5 * (x * x + y * y))

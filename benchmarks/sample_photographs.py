"""Photographs that may be sent anywhere, for timing: scikit-image's, else a generated texture.

`coffee` is by Pikolo Espresso Bar, released by its photographer (CC0), as scikit-image's documentation says.
"""

from typing import NamedTuple

import cv2
import numpy as np

SIZE = (640, 480)  # width, height in pixels


class Pair(NamedTuple):
    """Two overlapping views, uint8 RGB of the same size."""

    reference_HW3: np.ndarray
    target_HW3: np.ndarray


def photograph(width: int = SIZE[0], height: int = SIZE[1]) -> np.ndarray:
    """One uint8 RGB photograph of the size asked for."""
    try:
        from skimage import data

        image = np.asarray(data.coffee())
    except ImportError:
        image = texture(400, 600)
    return np.asarray(
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if width < 600 else cv2.INTER_CUBIC)
    )


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth random colours on several scales with fine grain, uint8 RGB."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cell in (64, 32, 16, 8, 4):
        coarse = random.uniform(-1, 1, (height // cell + 2, width // cell + 2, 3))
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * cell**0.5
    low, high = np.percentile(total, [1, 99])
    return np.clip(255 * (total - low) / (high - low), 0, 255).astype(np.uint8)


def overlapping_pair(width: int = SIZE[0], height: int = SIZE[1], share: float = 0.6) -> Pair:
    """Two crops of one photograph that overlap by about `share`, the target through a mild homography."""
    wide = photograph(round(width * (2 - share)), height)
    reference, crop = wide[:, -width:], wide[:, :width]
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    taken = corners + np.array([[12, 9], [-10, 6], [-7, -12], [9, -8]], np.float32)
    tilted = cv2.warpPerspective(
        crop, cv2.getPerspectiveTransform(taken, corners), (width, height), flags=cv2.INTER_CUBIC
    )
    return Pair(np.ascontiguousarray(reference), np.asarray(tilted))


def jpeg(rgb_HW3: np.ndarray, quality: int = 92) -> bytes:
    """JPEG bytes of an RGB image."""
    done, code = cv2.imencode(".jpg", cv2.cvtColor(rgb_HW3, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError("rgb_HW3: expected an image that can be written as JPEG")
    return bytes(code.tobytes())

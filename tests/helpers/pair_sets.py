"""Tiny sets of pairs on disk in the layouts of UDIS-D and Middlebury 2014, with known geometry."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.helpers.pairs import textured

FOCAL, OFFSET, BASELINE = 700.0, 12.0, 100.0


def write_udis(root: Path, counts: tuple[int, int] = (3, 2), size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """Pairs of a plane: the target is the reference moved by the homography that is answered (target to reference)."""
    width, height = size
    to_reference = np.array([[1.02, 0.01, 60.0], [-0.01, 0.99, 6.0], [1e-5, 0.0, 1.0]])
    for split, count in zip(("training", "testing"), counts, strict=True):
        for side in ("input1", "input2"):
            (root / split / side).mkdir(parents=True)
        for number in range(count):
            world = textured(width, height, number + 10 * len(split))
            target = cv2.warpPerspective(world, to_reference, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
            for side, image in (("input1", world), ("input2", target)):
                Image.fromarray(image).save(root / split / side / f"{number:06d}.jpg", quality=95)
    return to_reference


def plane_disparity(width: int, height: int) -> np.ndarray:
    """Of a slanted plane, float32 [height, width]: d = 14 + 0.02 x + 0.01 y."""
    y, x = np.mgrid[:height, :width]
    return (14 + 0.02 * x + 0.01 * y).astype(np.float32)


def smooth_world(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Colours of the right photograph at any place, float64 [..., 3] in [0, 1]; a pixel changes them by little."""
    waves = [np.sin(x / a + p) * np.cos(y / b - p) for a, b, p in ((9, 13, 0.0), (15, 8, 1.0), (11, 17, 2.0))]
    return 0.5 + 0.3 * np.stack(waves, axis=-1)


def write_stereo(root: Path, scenes: int = 2, size: tuple[int, int] = (200, 120), disparity: str = "disp0.pfm") -> None:
    """Scenes of one slanted plane; rows of the disparity below the fourth last are unknown."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float64)
    d = plane_disparity(width, height)
    for number in range(scenes):
        folder = root / f"Scene{number}"
        folder.mkdir(parents=True)
        for name, image in (("im0.png", smooth_world(x - d, y)), ("im1.png", smooth_world(x, y))):
            Image.fromarray((image * 255 + 0.5).astype(np.uint8)).save(folder / name)
        stored = d.copy()
        stored[-4:] = np.inf
        header = f"Pf\n{width} {height}\n-0.003922\n".encode()
        (folder / disparity).write_bytes(header + stored[::-1].astype("<f4").tobytes())
        camera = f"[{FOCAL} 0 {width / 2}; 0 {FOCAL} {height / 2}; 0 0 1]"
        lines = [f"cam0={camera}", f"cam1={camera}", f"doffs={OFFSET}", f"baseline={BASELINE}", f"width={width}"]
        (folder / "calib.txt").write_text("\n".join(lines) + "\n")

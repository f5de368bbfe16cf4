"""Folders of small pairs of photographs that overlap."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tests.helpers.pictures import encoded


def textured(width: int, height: int, seed: int) -> np.ndarray:
    """Detail at several scales, so that features are found: uint8 RGB [height, width, 3]."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(
            rng.integers(0, 256, (height // cell, width // cell, 3), dtype=np.uint8),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        for cell in (4, 12, 40)
    ]
    return np.mean(layers, axis=0).astype(np.uint8)


def write_pairs(folder: Path, count: int) -> None:
    """`count` folders pair-0, pair-1, ... with reference.png and target.png, 200 x 160, which share 130 columns."""
    for number in range(count):
        world = textured(270, 160, number)
        pair = folder / f"pair-{number}"
        pair.mkdir(parents=True)
        (pair / "reference.png").write_bytes(encoded(world[:, :200]))
        (pair / "target.png").write_bytes(encoded(world[:, 70:]))

"""Ranges, histograms and shares of invalid pixels over samples of a data set."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.readers.files import IGNORE
from training.readers.human_parts import NAMES as PART_NAMES
from training.readers.reader import Arrays

BINARY = ("saliency", "edges")


class Statistics:
    """Sums over samples; `report` gives JSON values. Shares are of pixels."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._class_names = {"segmentation": tuple(class_names), "parts": PART_NAMES}
        self._count = 0
        self._sizes: dict[str, int] = {}
        self._pixels: dict[str, int] = {}
        self._invalid: dict[str, int] = {}
        self._ranges: dict[str, tuple[float, float]] = {}
        self._codes: dict[str, np.ndarray[Any, Any]] = {}
        self._normal_sum = np.zeros(3)
        self._facing = 0
        self._with_parts = 0

    def add(self, arrays: Arrays) -> None:
        """Counts one sample; arrays as a reader gives them, at their own sizes."""
        self._count += 1
        height, width = arrays["image"].shape[:2]
        size = f"{height}x{width}"
        self._sizes[size] = self._sizes.get(size, 0) + 1
        for name, value in arrays.items():
            if name == "image":
                self._extend(name, value)
            elif name == "depth":
                self._count_valid(name, value > 0)
                self._extend(name, value[value > 0])
            elif name == "normals":
                valid = (value != 0).any(axis=2)
                self._count_valid(name, valid)
                self._normal_sum += value[valid].sum(axis=0, dtype=np.float64)
                self._facing += int((value[valid][:, 2] < 0).sum())
            else:
                self._count_valid(name, value != IGNORE)
                codes = np.bincount(value.reshape(-1), minlength=IGNORE + 1)
                self._codes[name] = self._codes.get(name, np.zeros(IGNORE + 1, np.int64)) + codes
        if "parts" in arrays:
            self._with_parts += bool((arrays["parts"] != IGNORE).any())

    def report(self) -> dict[str, Any]:
        """samples_measured, image_sizes, ranges, invalid_share, class_share, part_share, positive_share, normals."""
        result: dict[str, Any] = {
            "samples_measured": self._count,
            "image_sizes": dict(sorted(self._sizes.items(), key=lambda item: -item[1])),
            "ranges": {name: [round(low, 4), round(high, 4)] for name, (low, high) in self._ranges.items()},
            "invalid_share": {
                name: round(self._invalid[name] / max(pixels, 1), 4) for name, pixels in self._pixels.items()
            },
        }
        for name, key in (("segmentation", "class_share"), ("parts", "part_share")):
            if name in self._codes:
                result[key] = self._shares(name)
        if any(name in self._codes for name in BINARY):
            result["positive_share"] = {
                name: round(int(codes[1]) / max(int(codes[:IGNORE].sum()), 1), 4)
                for name, codes in self._codes.items()
                if name in BINARY
            }
        if "parts" in self._codes:
            result["samples_with_parts"] = self._with_parts
        if "normals" in self._pixels:
            valid = max(self._pixels["normals"] - self._invalid["normals"], 1)
            result["normals"] = {
                "mean": [round(float(value), 4) for value in self._normal_sum / valid],
                "share_of_negative_z": round(self._facing / valid, 4),
            }
        return result

    def _shares(self, name: str) -> dict[str, float]:
        names, codes = self._class_names[name], self._codes[name]
        labelled = max(int(codes[:IGNORE].sum()), 1)
        return {label: round(int(codes[number]) / labelled, 5) for number, label in enumerate(names)}

    def _count_valid(self, name: str, valid: np.ndarray[Any, Any]) -> None:
        self._pixels[name] = self._pixels.get(name, 0) + valid.size
        self._invalid[name] = self._invalid.get(name, 0) + valid.size - int(valid.sum())

    def _extend(self, name: str, values: np.ndarray[Any, Any]) -> None:
        if values.size:
            low, high = self._ranges.get(name, (np.inf, -np.inf))
            self._ranges[name] = min(low, float(values.min())), max(high, float(values.max()))

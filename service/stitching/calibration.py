"""Warps kept by `calibration_id`: for a fixed rig the geometry is worked out once.

The latest ones stay in memory ready to use; the pair warps themselves are also written to a folder, one .npz each,
without pickle, through a temporary file, fsync and rename.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from service.errors import CalibrationMismatch, InvalidField
from service.stitching.geometry import Size
from service.stitching.pair_warp import PairWarp

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
VERSION = 2
ARRAYS = ("homography_33", "residual_hw2", "visible_hw", "weight_hw")
OPTIONAL_ARRAYS = ("correction_hw2",)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Rig:
    """What is kept: sizes (width, height) by upload index, the reference, and (child, parent, warp) near to far."""

    sizes: tuple[Size, ...]
    reference_index: int
    links: tuple[tuple[int, int, PairWarp], ...]


def check_id(calibration_id: str) -> None:
    """Raise InvalidField unless the id is 1 to 64 of A-Z a-z 0-9 _ -."""
    if not ID_PATTERN.fullmatch(calibration_id):
        raise InvalidField(
            f"calibration_id: expected 1 to 64 of A-Z a-z 0-9 _ -, found {calibration_id[:80]!r}.",
            "Choose a plain name for the rig, for instance rig-1.",
        )


def calibration_key(calibration_id: str, owner: str | None, profile: str) -> str:
    """Where a calibration is kept, and its file's name without the suffix: owner/id, and .fast for that profile.

    Neither ids nor owners contain a dot or a slash.
    """
    key = calibration_id if owner is None else f"{owner}/{calibration_id}"
    return key if profile == "default" else f"{key}.{profile}"


def check_rig(rig: Rig, calibration_id: str, sizes: tuple[Size, ...], reference_index: int | None) -> None:
    """Raise CalibrationMismatch unless the rig was calibrated for such images."""
    hint = "Send images as at the first use, or choose another calibration_id."
    if rig.sizes != sizes:
        found = ", ".join(f"{w}x{h}" for w, h in sizes)
        stored = ", ".join(f"{w}x{h}" for w, h in rig.sizes)
        raise CalibrationMismatch(f"{calibration_id}: calibrated for images of {stored}, found {found}.", hint)
    if reference_index is not None and reference_index != rig.reference_index:
        raise CalibrationMismatch(
            f"{calibration_id}: calibrated for reference {rig.reference_index}, found {reference_index}.", hint
        )


class Memory(Generic[T]):
    """The most recently used values by id, at most `capacity`. Safe to share between threads."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> T | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: str, value: T) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._capacity:
                self._values.popitem(last=False)


def save_rig(folder: Path, key: str, rig: Rig) -> None:
    """Write a rig; a kill at any moment leaves the previous file or the new one. Raises OSError."""
    path = folder / f"{key}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = {
        "version": VERSION,
        "sizes": rig.sizes,
        "reference_index": rig.reference_index,
        "links": [
            {
                "child": child,
                "parent": parent,
                "size_t": warp.size_t,
                "size_r": warp.size_r,
                "method": warp.method,
                "overlap": warp.overlap,
                "statistics": warp.statistics,
            }
            for child, parent, warp in rig.links
        ],
    }
    arrays = {
        f"{name}_{number}": getattr(warp, name)
        for number, (_, _, warp) in enumerate(rig.links)
        for name in (*ARRAYS, *OPTIONAL_ARRAYS)
        if getattr(warp, name) is not None
    }
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, meta=np.array(json.dumps(meta)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_rig(folder: Path, key: str) -> Rig | None:
    """Read a rig; None if there is none, or if the file is not one of ours (it is then calibrated anew)."""
    path = folder / f"{key}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            meta = json.loads(str(data["meta"]))
            if meta["version"] != VERSION:
                return None
            links = []
            for number, link in enumerate(meta["links"]):
                warp = PairWarp(
                    **{name: data[f"{name}_{number}"] for name in ARRAYS},
                    **{name: data[key] for name in OPTIONAL_ARRAYS if (key := f"{name}_{number}") in data},
                    size_t=_size(link["size_t"]),
                    size_r=_size(link["size_r"]),
                    method=link["method"],
                    overlap=link["overlap"],
                    statistics=link["statistics"],
                )
                links.append((int(link["child"]), int(link["parent"]), warp))
            return Rig(
                sizes=tuple(_size(size) for size in meta["sizes"]),
                reference_index=meta["reference_index"],
                links=tuple(links),
            )
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def _size(pair: list[int]) -> Size:
    return int(pair[0]), int(pair[1])

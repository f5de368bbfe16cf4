"""Rectified stereo photographs with ground-truth disparity, in the layout of Middlebury 2014.

One folder per scene: im0.png (left), im1.png (right), disp0.pfm (disparity of the left photograph in pixels, infinite
where unknown; disp0GT.pfm in the benchmark's packages) and calib.txt (Scharstein et al., "High-Resolution Stereo
Datasets with Subpixel-Accurate Ground Truth", GCPR 2014). Every fifth scene validates.

Convention: left pixel (x, y) is right pixel (x - d, y).
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.readers.files import Array, DamagedFile, read_colour
from training.readers.reader import Split

LEFT, RIGHT, CALIBRATION = "im0.png", "im1.png", "calib.txt"
DISPARITIES = ("disp0.pfm", "disp0GT.pfm")
VALIDATION_EVERY = 5


class StereoScene(NamedTuple):
    """left, right: float32 [H, W, 3] in [0, 1]. disparity: float32 [H, W] in pixels, NaN where unknown.

    offset: pixels that are added to a disparity before it is inverted; nearness: inverse depth, in 1/m, of one pixel of
    disparity. So 1 / z = nearness * (d + offset).
    """

    left_HW3: Array
    right_HW3: Array
    disparity_HW: Array
    offset: float
    nearness: float


def is_stereo_scenes(root: Path) -> bool:
    """Whether a folder below `root` holds one of the files of a scene."""
    return any(next(root.glob(f"*/{name}"), None) for name in (LEFT, CALIBRATION, *DISPARITIES))


class StereoScenesReader:
    """See the module. Nothing is ever written below `root`."""

    dataset = "middlebury"
    layout = "stereo scenes"
    why = f"{LEFT}, {RIGHT}, {DISPARITIES[0]}, {CALIBRATION} in the folder of each scene"

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, split: Split) -> tuple[str, ...]:
        """The scenes of a split, in order. Raises DamagedFile for fewer than two scenes: one trains, one validates."""
        marks = (LEFT, CALIBRATION, *DISPARITIES)
        scenes = sorted(
            path.name for path in self.root.iterdir() if path.is_dir() and any((path / mark).exists() for mark in marks)
        )
        if len(scenes) < 2:
            raise DamagedFile("list", self.root, f"expected at least two scenes ({self.why}), found {scenes or 'none'}")
        held_out = set(scenes[::VALIDATION_EVERY])
        return tuple(scene for scene in scenes if (scene in held_out) == (split == "validation"))

    def paths(self, split: Split, name: str) -> tuple[Path, Path, Path, Path]:
        """Left, right, disparity and calibration of a scene, whether they exist or not."""
        folder = self.root / name
        found = next((folder / disparity for disparity in DISPARITIES if (folder / disparity).is_file()), None)
        return folder / LEFT, folder / RIGHT, found or folder / DISPARITIES[0], folder / CALIBRATION

    def load(self, split: Split, name: str) -> StereoScene:
        """A scene at its own size. Raises DamagedFile."""
        left_path, right_path, disparity_path, calibration_path = self.paths(split, name)
        left, right = read_colour(left_path), read_colour(right_path)
        disparity = read_pfm(disparity_path)
        for path, array in ((right_path, right), (disparity_path, disparity)):
            if array.shape[:2] != left.shape[:2]:
                height, width = left.shape[:2]
                detail = f"expected the size of {LEFT}, {height}x{width}, found {array.shape[0]}x{array.shape[1]}"
                raise DamagedFile("size", path, detail)
        focal, offset, baseline = read_calibration(calibration_path)
        disparity = np.where(np.isfinite(disparity) & (disparity > 0), disparity, np.float32(np.nan))
        return StereoScene(left, right, disparity, offset, 1000.0 / (baseline * focal))


def read_pfm(path: Path) -> Array:
    """A grey PFM: float32 [H, W], rows from the top.

    Only the sign of the header's scale counts (byte order). Middlebury's files carry 1/255 there, which is for display:
    OpenCV's decoder multiplies by it.
    """
    if not path.is_file():
        raise DamagedFile("missing", path, "expected a file, found none")
    content = path.read_bytes()
    header = re.match(rb"(P[fF])\s+(\d+)\s+(\d+)\s+(-?[0-9.eE+-]+)\s", content)
    if header is None or header[1] != b"Pf":
        found = content[:20]
        raise DamagedFile("unreadable", path, f"expected a grey PFM ('Pf', width, height, scale), found {found!r}")
    width, height = int(header[2]), int(header[3])
    data = content[header.end() :]
    if len(data) != 4 * width * height:
        raise DamagedFile("unreadable", path, f"expected {4 * width * height} bytes of pixels, found {len(data)}")
    order = "<f4" if header[4].startswith(b"-") else ">f4"
    return np.frombuffer(data, order).reshape(height, width)[::-1].astype(np.float32)


def read_calibration(path: Path) -> tuple[float, float, float]:
    """Focal length in pixels, disparity offset in pixels and baseline in millimetres of a calib.txt."""
    if not path.is_file():
        raise DamagedFile("missing", path, "expected a file, found none")
    entries = dict(line.split("=", 1) for line in path.read_text(errors="replace").splitlines() if "=" in line)
    values = {}
    for key, pattern in (("cam0", r"\[\s*([0-9.eE+-]+)"), ("doffs", "([0-9.eE+-]+)"), ("baseline", "([0-9.eE+-]+)")):
        match = re.match(pattern, entries.get(key, "").strip())
        try:
            values[key] = float(match[1]) if match else float("nan")
        except ValueError:
            values[key] = float("nan")
    wrong = [key for key in ("cam0", "baseline") if not 0 < values[key] < float("inf")]
    wrong += [] if abs(values["doffs"]) < float("inf") else ["doffs"]
    if wrong:
        raise DamagedFile("wrong", path, f"expected numbers for {', '.join(wrong)}, found {sorted(entries)}")
    return values["cam0"], values["doffs"], values["baseline"]

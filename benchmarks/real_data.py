"""Readers of the photographs with measured depth, labels or disparity used for evaluation.

Layouts (each folder has a `manifest.json`; a missing folder is skipped):
- `nyuv2/`: `<id>_rgb.{png,jpg}`, `<id>_depth{1000,5000}.png` (uint16, metres = v / divisor, 0 unknown),
  `<id>_segm40.png` (NYU-40 index - 1, 255 unlabelled), `<id>_normal.png`, `class13Mapping.mat` (NYU-40 to NYU-13).
- `sevenscenes_kitchen/`: `<frame>.color.jpg`, `<frame>.depth_rgb.png` (uint16 millimetres, 0 unknown).
- `middlebury/<scene>/`: `left.png`, `disp_left.png` (disparity = v / disp_scale, 0 unknown) or `disp_left.npz`.

Convention: x right, y down, z forward; depth is z in metres; pixel centres are integers; labels 0..12 are NYU-13,
255 is ignored. Legend: H, W image size.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NYU13 = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv", "wall",
    "window",
)  # fmt: skip
IGNORE = 255
FARTHEST = 10.0  # metres: at and beyond this a structured-light reading is clipped, not measured


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """One photograph with whatever was measured for it; absent measurements are None."""

    dataset: str
    name: str
    path: Path
    intrinsics: tuple[float, float, float, float] | None = None
    """fx, fy, cx, cy in pixels."""
    focal_px: float | None = None
    depth_HW: np.ndarray | None = None
    """float32 metres, 0 = unknown."""
    label_HW: np.ndarray | None = None
    """uint8 NYU-13, 255 = ignore."""
    normal_HW3: np.ndarray | None = None
    """float32 unit normals towards the camera, NaN = unknown."""
    disparity_HW: np.ndarray | None = None
    """float32 pixels up to an unknown offset, NaN = unknown."""

    def rgb_HW3(self) -> np.ndarray:
        """The photograph as uint8 RGB."""
        with Image.open(self.path) as image:
            return np.asarray(image.convert("RGB"))

    @property
    def valid_HW(self) -> np.ndarray | None:
        """Pixels whose depth was measured and lies below the sensor's limit."""
        if self.depth_HW is None:
            return None
        return (self.depth_HW > 1e-3) & (self.depth_HW < FARTHEST - 0.01)


def read_array(path: Path) -> np.ndarray:
    """Any PNG or JPEG as the array that is stored, without conversion."""
    with Image.open(path) as image:
        return np.asarray(image)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ValueError when the file holds something else."""
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        raise ValueError(f"{path.name}: expected a JSON object, found {type(content).__name__}")
    return content


def nyu40_to_nyu13(mat_path: Path) -> np.ndarray:
    """Lookup table uint8 [256] from stored NYU-40 indices (0..39) to NYU-13 (0..12); the rest is 255."""
    from scipy.io import loadmat

    mapping = loadmat(str(mat_path))["classMapping13"][0, 0]
    labels = np.asarray(mapping["labels13"]).ravel()
    table = np.full(256, IGNORE, np.uint8)
    table[: labels.size] = labels - 1
    return table


def read_nyu(root: Path) -> Iterator[Photograph]:
    """Photographs of `root` in the nyuv2 layout."""
    manifest = read_json(root / "manifest.json")
    intrinsics = {str(f["id"]).split("/")[-1]: f["K"] for f in manifest["frames"] if "K" in f}
    usual = next(iter(intrinsics.values()), None)
    mapping = root / "class13Mapping.mat"
    table = nyu40_to_nyu13(mapping) if mapping.exists() else None
    for path in sorted(root.glob("*_rgb.*")):
        name = path.name.split("_rgb.")[0]
        camera = intrinsics.get(name, usual)
        depth = label = normal = None
        for divisor in (1000, 5000):
            depth_path = root / f"{name}_depth{divisor}.png"
            if depth_path.exists():
                depth = read_array(depth_path).astype(np.float32) / divisor
        label_path, normal_path = root / f"{name}_segm40.png", root / f"{name}_normal.png"
        if table is not None and label_path.exists():
            label = table[read_array(label_path)]
        if normal_path.exists():
            normal = decode_nyu_normals(read_array(normal_path))
        yield Photograph(
            dataset="nyuv2", name=name, path=path, depth_HW=depth, label_HW=label, normal_HW3=normal,
            intrinsics=None if camera is None else (camera[0], camera[1], camera[2], camera[3]),
            focal_px=None if camera is None else float(camera[0]),
        )  # fmt: skip


def decode_nyu_normals(code_HW3: np.ndarray) -> np.ndarray:
    """8-bit codes g = v / 127.5 - 1 with camera normal (g_R, -g_B, g_G); short vectors become NaN."""
    g = code_HW3[..., :3].astype(np.float32) / 127.5 - 1
    normal = np.stack([g[..., 0], -g[..., 2], g[..., 1]], axis=-1)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.where(length < 0.8, np.nan, normal / np.maximum(length, 1e-9)).astype(np.float32)


def read_seven_scenes(root: Path) -> Iterator[Photograph]:
    """Frames of `root` in the 7-Scenes layout with depth registered to the colour camera."""
    fx, fy, cx, cy = read_json(root / "manifest.json")["intrinsics_color"]
    for path in sorted(root.glob("*.color.jpg")):
        name = path.name.removesuffix(".color.jpg")
        depth_path = root / f"{name}.depth_rgb.png"
        if depth_path.exists():
            depth = read_array(depth_path).astype(np.float32) / 1000
            yield Photograph(
                dataset="sevenscenes", name=name, path=path, intrinsics=(fx, fy, cx, cy), focal_px=float(fx),
                depth_HW=depth,
            )  # fmt: skip


def read_disparity(folder: Path, side: str, scale: float | str) -> np.ndarray | None:
    """Disparity float32 px of one side (`left` or `right`) of a stereo pair, NaN unknown; None without a file."""
    array_path, image_path = folder / f"disp_{side}.npz", folder / f"disp_{side}.png"
    if array_path.exists():
        with np.load(array_path) as archive:
            disparity = archive["arr_0"].astype(np.float32)
        return np.where(np.isfinite(disparity), disparity, np.nan)
    if image_path.exists():
        code = read_array(image_path).astype(np.float32)
        return np.where(code > 0, code / float(scale), np.nan).astype(np.float32)
    return None


def read_middlebury(root: Path) -> Iterator[Photograph]:
    """Left photographs of stereo scenes; metric depth only where the manifest has the calibration."""
    manifest = read_json(root / "manifest.json")
    for entry in manifest["pairs"]:
        name, folder = entry["pair"], root / entry["pair"]
        if not (folder / "left.png").exists():
            continue
        disparity = read_disparity(folder, "left", entry["disp_scale"])
        camera = manifest.get("intrinsics", {}).get(name)
        if camera is None or disparity is None:
            yield Photograph(dataset="middlebury", name=name, path=folder / "left.png", disparity_HW=disparity)
            continue
        f = float(camera["f"])
        depth = f * camera["baseline_m"] / (np.nan_to_num(disparity) + camera["doffs"])
        yield Photograph(
            dataset="middlebury", name=name, path=folder / "left.png", focal_px=f,
            intrinsics=(f, f, float(camera["cx"]), float(camera["cy"])),
            depth_HW=np.where(np.isfinite(disparity), depth, 0).astype(np.float32),
        )  # fmt: skip


def read_photographs(data: Path, limit: int | None = None) -> list[Photograph]:
    """All photographs under `data`, at most `limit` of each data set.

    Raises:
        ValueError: no data set was found there.
    """
    readers = {"nyuv2": read_nyu, "sevenscenes_kitchen": read_seven_scenes, "middlebury": read_middlebury}
    found: list[Photograph] = []
    for folder, reader in readers.items():
        if (data / folder / "manifest.json").exists():
            found += list(reader(data / folder))[:limit]
    if not found:
        raise ValueError(f"data: expected {', '.join(readers)} with manifest.json under {data}, found none")
    return found

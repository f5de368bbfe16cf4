"""Cityscapes as it is distributed: leftImg8bit, gtFine and disparity, each {split}/{city}/<id>_<kind>.png.

Segmentation has the 19 classes of the benchmark, or the seven groups of the multi-task literature (MTAN, CVPR 2019)
without the classes that the benchmark ignores. "depth" is the disparity in pixels of the full width, (v - 1) / 256 of
the stored v, 0 = invalid; the sky (raw id 23), whose disparity is not measured, is invalid as well.
"""

from pathlib import Path

import numpy as np

from training.readers.files import IGNORE, Array, DamagedFile, as_classes, as_map, read_codes, read_colour
from training.readers.reader import Reader, Split

CLASSES_19 = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
RAW_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CLASSES_7 = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
GROUP_OF_19 = (0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 6, 6, 6, 6, 6, 6)
SKY = 23
RAW_COUNT = 34
NO_PLATE = 255
"""What the raw id -1 (licence plate) becomes in 8 bits."""

FOLDERS = {"image": "leftImg8bit", "segmentation": "gtFine", "depth": "disparity"}
ENDINGS = {"image": "leftImg8bit", "segmentation": "gtFine_labelIds", "depth": "disparity"}
FOLDER_OF_SPLIT = {"train": "train", "validation": "val"}


def is_cityscapes(root: Path) -> bool:
    """Whether the folders are those of Cityscapes."""
    return (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir()


class CityscapesReader(Reader):
    """See the module. classes: 19 or 7."""

    dataset = "cityscapes"
    layout = "raw"
    depth_unit = "disparity"

    def __init__(self, root: Path, classes: int = 19) -> None:
        super().__init__(root)
        if classes not in (7, 19):
            raise ValueError(f"classes: expected 7 or 19 for Cityscapes, found {classes}")
        present = [folder for folder in FOLDERS.values() if (root / folder).is_dir()]
        self.why = "folders " + ", ".join(present)
        self.tasks = tuple(field for field, folder in FOLDERS.items() if field != "image" and folder in present)
        self.class_names = CLASSES_19 if classes == 19 else CLASSES_7
        self._table = np.full(256, IGNORE, np.uint8)
        self._table[list(RAW_IDS)] = np.arange(19) if classes == 19 else GROUP_OF_19

    def names(self, split: Split) -> tuple[str, ...]:
        folder = self.root / "leftImg8bit" / FOLDER_OF_SPLIT[split]
        ending = f"_{ENDINGS['image']}.png"
        names = sorted(f"{path.parent.name}/{path.name.removesuffix(ending)}" for path in folder.glob(f"*/*{ending}"))
        if not names:
            raise DamagedFile("list", folder, f"expected pictures <city>/*{ending}, found none")
        return tuple(names)

    def paths(self, split: Split, name: str, field: str) -> tuple[Path, ...]:
        path = self.root / FOLDERS[field] / FOLDER_OF_SPLIT[split] / f"{name}_{ENDINGS[field]}.png"
        return (path, *self.paths(split, name, "segmentation")) if field == "depth" else (path,)

    def load(self, split: Split, name: str, field: str) -> Array:
        path = self.paths(split, name, field)[0]
        if field == "image":
            return read_colour(path)
        if field == "segmentation":
            return as_classes(self._raw_ids(path), path, self._table)
        codes = as_map(read_codes(path), path, "iu")
        if codes.dtype.itemsize < 2:
            raise DamagedFile("wrong", path, f"expected 16-bit disparity, found {codes.dtype}")
        disparity = np.where(codes > 1, (codes.astype(np.float32) - 1) / 256, np.float32(0))
        labels = self.paths(split, name, "segmentation")[0]
        sky = self._raw_ids(labels) == SKY
        if sky.shape != disparity.shape:
            raise DamagedFile("size", path, f"expected the size of its labels, {sky.shape}, found {disparity.shape}")
        disparity[sky] = 0
        return disparity

    def _raw_ids(self, path: Path) -> Array:
        codes = as_map(read_codes(path), path, "iu")
        if ((codes >= RAW_COUNT) & (codes != NO_PLATE)).any():
            high = int(codes[codes != NO_PLATE].max())
            raise DamagedFile("wrong", path, f"expected label ids 0..{RAW_COUNT - 1}, found {high}")
        return codes

"""The arrays of the MTAN line of work: {train,val}/{image,label...,depth,normal}/<number>.npy.

NYUv2 (288 x 384) has the folders image, label, depth in metres, normal; Cityscapes (128 x 256 or 256 x 512) has image,
label or label_2, label_7, label_19, and inverse depth. Labels are whole numbers, -1 = void; depth 0 and zero normals
are invalid. Numbers on these sets are not comparable with those of the 40-class protocol.
"""

from pathlib import Path

import numpy as np

from training.readers.cityscapes import CLASSES_7, CLASSES_19
from training.readers.files import Array, DamagedFile, as_classes, as_depth, as_floats, as_vectors, read_array
from training.readers.reader import Reader, Split

NYU_13 = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv", "wall",
    "window",
)  # fmt: skip
CLASS_NAMES = {2: ("background", "foreground"), 7: CLASSES_7, 13: NYU_13, 19: CLASSES_19}
FOLDER_OF_SPLIT = {"train": "train", "validation": "val"}
IMAGE_TOLERANCE = 0.01


def is_mtan(root: Path) -> bool:
    """Whether the folders are those of the MTAN arrays."""
    return any(next((root / split / "image").glob("*.npy"), None) for split in FOLDER_OF_SPLIT.values())


class MtanReader(Reader):
    """See the module. classes: which of several label folders to read; needed only where there are several, and for
    a set of seven or nineteen classes in the folder `label` of Cityscapes (7 unless said)."""

    dataset = "mtan"

    def __init__(self, root: Path, classes: int | None = None) -> None:
        super().__init__(root)
        first = next(iter(path for path in (root / "train", root / "val") if (path / "image").is_dir()), None)
        if first is None:
            raise ValueError(f"{root}: expected MTAN arrays in train/image and val/image, found neither")
        folders = {path.name for path in first.iterdir() if path.is_dir()}
        indoor = "normal" in folders
        self.layout = "nyuv2" if indoor else "cityscapes"
        self.depth_unit = "metres" if indoor else "inverse"
        self.why = f"{'a' if indoor else 'no'} folder normal beside " + ", ".join(sorted(folders - {"normal"}))
        self._folders = {"image": "image", "depth": "depth"} | ({"normals": "normal"} if indoor else {})
        count = self._choose_labels(folders, classes, 13 if indoor else 7)
        self.class_names = CLASS_NAMES.get(count, tuple(str(number) for number in range(count)))
        order = ("segmentation", "depth", "normals")
        self.tasks = tuple(task for task in order if self._folders.get(task) in folders)

    def _choose_labels(self, folders: set[str], classes: int | None, usual: int) -> int:
        numbered = sorted(int(name[6:]) for name in folders if name.startswith("label_") and name[6:].isdigit())
        if classes in numbered or ("label" not in folders and len(numbered) == 1 and classes is None):
            count = classes if classes is not None else numbered[0]
            self._folders["segmentation"] = f"label_{count}"
            return count
        if "label" not in folders and numbered:
            given = "no choice" if classes is None else str(classes)
            raise ValueError(f"classes: expected one of {numbered}, the label folders of {self.root}, found {given}")
        self._folders["segmentation"] = "label"
        return classes or usual

    def names(self, split: Split) -> tuple[str, ...]:
        folder = self.root / FOLDER_OF_SPLIT[split] / "image"
        numbers = sorted((path.stem for path in folder.glob("*.npy")), key=lambda stem: (len(stem), stem))
        if not numbers:
            raise DamagedFile("list", folder, "expected arrays <number>.npy, found none")
        return tuple(numbers)

    def paths(self, split: Split, name: str, field: str) -> tuple[Path, ...]:
        return (self.root / FOLDER_OF_SPLIT[split] / self._folders[field] / f"{name}.npy",)

    def load(self, split: Split, name: str, field: str) -> Array:
        (path,) = self.paths(split, name, field)
        array = read_array(path)
        if field == "image":
            return _image(array, path)
        if field == "depth":
            return as_depth(array, path)
        if field == "normals":
            return as_vectors(array, path)
        return as_classes(array, path, np.concatenate([[255], np.arange(len(self.class_names))]), first=-1)


def _image(array: Array, path: Path) -> Array:
    array = as_floats(array, path)
    low, high = float(array.min()), float(array.max())
    if not (low >= -IMAGE_TOLERANCE and high <= 1 + IMAGE_TOLERANCE):
        raise DamagedFile("wrong", path, f"expected values in [0, 1], found {low:g}..{high:g}")
    return array.astype(np.float32).clip(0, 1)

"""PASCAL-Context with five labels, as released for multi-task learning (PASCAL_MT, PASCALContext).

Segmentation: the 20 classes of PASCAL VOC and background, from semseg/VOC12, else from semseg/pascal-context. Edges:
boundaries of the 459-class LabelMap, thinned to one pixel and cached. Normals and saliency were distilled from other
networks; normals count only on the classes of `context_classes`. Human parts: see `human_parts`.
"""

from pathlib import Path

import numpy as np

from training.readers.cache import DEFAULT_CACHE, LabelCache
from training.readers.context_classes import CONTEXT_CLASSES, NORMALS_CLASSES
from training.readers.files import (
    IGNORE,
    Array,
    DamagedFile,
    as_classes,
    as_map,
    as_numbers,
    read_coded_normals,
    read_codes,
    read_colour,
    read_matlab,
    read_names,
)
from training.readers.human_parts import read_human_parts
from training.readers.label_edges import label_edges
from training.readers.reader import Reader, Split

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining table",
    "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor",
)  # fmt: skip
LISTS = {"train": "ImageSets/Context/train.txt", "validation": "ImageSets/Context/val.txt"}
LABEL_MAPS = "pascal-context/trainval"
FOLDERS = {
    "segmentation": "semseg",
    "parts": "human_parts",
    "saliency": "sal_distill",
    "normals": "normals_distill",
    "edges": LABEL_MAPS,
}
_TABLE = np.full(256, IGNORE, np.uint8)
_TABLE[: len(CLASSES)] = np.arange(len(CLASSES))
_TRUSTED = np.isin(np.arange(CONTEXT_CLASSES + 1), list(NORMALS_CLASSES))


def is_pascal_context(root: Path) -> bool:
    """Whether the folders are those of PASCAL-Context."""
    return (root / "JPEGImages").is_dir() and (root / "ImageSets" / "Context").is_dir()


class PascalContextReader(Reader):
    """See the module. cache: folder for derived labels, outside the data folder."""

    dataset = "pascal_context"
    layout = "pascal_mt"
    class_names = CLASSES

    def __init__(self, root: Path, cache: Path = DEFAULT_CACHE) -> None:
        super().__init__(root)
        self._edges = LabelCache(cache, root, "pascal-context-edges")
        present = {task for task, folder in FOLDERS.items() if (root / folder).is_dir()}
        if not (root / LABEL_MAPS).is_dir():
            present.discard("normals")
        self.tasks = tuple(task for task in FOLDERS if task in present)
        self.why = "folders JPEGImages, ImageSets/Context, " + ", ".join(FOLDERS[task] for task in self.tasks)

    def names(self, split: Split) -> tuple[str, ...]:
        return read_names(self.root / LISTS[split])

    def paths(self, split: Split, name: str, field: str) -> tuple[Path, ...]:
        root = self.root
        label_map = root / LABEL_MAPS / f"{name}.mat"
        if field == "image":
            return (root / "JPEGImages" / f"{name}.jpg",)
        if field == "segmentation":
            choices = [root / "semseg" / folder / f"{name}.png" for folder in ("VOC12", "pascal-context")]
            return (next((path for path in choices if path.is_file()), choices[0]),)
        if field == "parts":
            return (root / "human_parts" / f"{name}.mat",)
        if field == "edges":
            return (label_map,)
        png = root / FOLDERS[field] / f"{name}.png"
        return (png, label_map) if field == "normals" else (png,)

    def load(self, split: Split, name: str, field: str) -> Array:
        path, *others = self.paths(split, name, field)
        if field == "image":
            return read_colour(path)
        if field == "segmentation":
            return _classes(path)
        if field == "parts":
            return read_human_parts(path, lambda: self.load(split, name, "image").shape[:2])
        if field == "saliency":
            return (as_map(read_codes(path), path) > 127).astype(np.uint8)
        if field == "edges":
            return self._edges.get(path, lambda: label_edges(_label_map(path)))
        normals, trusted = read_coded_normals(path), _TRUSTED[_label_map(others[0])]
        if trusted.shape != normals.shape[:2]:
            found = f"expected the size of its LabelMap, {trusted.shape}, found {normals.shape[:2]}"
            raise DamagedFile("size", path, found)
        return normals * trusted[..., None]


def _classes(path: Path) -> Array:
    codes = as_map(read_codes(path), path, "iu")
    stray = (codes >= len(CLASSES)) & (codes != IGNORE)
    if stray.any():
        raise DamagedFile("wrong", path, f"expected 0..20 or 255, found {int(codes[stray].max())}")
    return as_classes(codes, path, _TABLE)


def _label_map(path: Path) -> Array:
    return as_numbers(read_matlab(path, "LabelMap"), path, 0, CONTEXT_CLASSES)

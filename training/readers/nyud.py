"""NYUD-v2 in the three layouts that its multi-task releases use; which one is found by the endings of the files.

All share the folders images, edge, segmentation, normals, depth and the id lists gt_sets/{train,val}.txt:

    vandenhende  images .jpg  edge .npy 0/1    segmentation .png  normals .npy in [-1, 1]  depth .npy   (MTI-Net, MT-CP)
    atrc         images .png  edge .png 0/255  segmentation .png  normals .png, coded      depth .npy   (ATRC, InvPT)
    astmt        images .jpg  edge .png 0/255  segmentation .mat  normals .jpg, coded      depth .mat   (ASTMT)

Segmentation is stored as 0 = void, 1..40; read as 255 = void, 0..39. Depth is in metres, 0 = invalid.
"""

from pathlib import Path

import numpy as np

from training.readers.files import (
    IGNORE,
    Array,
    as_classes,
    as_depth,
    as_map,
    as_vectors,
    read_array,
    read_coded_normals,
    read_codes,
    read_colour,
    read_matlab,
    read_names,
)
from training.readers.reader import Reader, Split, endings

CLASSES = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture", "counter",
    "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes", "ceiling", "books",
    "refrigerator", "television", "paper", "towel", "shower curtain", "box", "whiteboard", "person", "night stand",
    "toilet", "sink", "lamp", "bathtub", "bag", "other structure", "other furniture", "other prop",
)  # fmt: skip

FOLDERS = {
    "image": "images",
    "segmentation": "segmentation",
    "depth": "depth",
    "normals": "normals",
    "edges": "edge",
}
LAYOUTS = {
    "vandenhende": {"image": "jpg", "segmentation": "png", "depth": "npy", "normals": "npy", "edges": "npy"},
    "atrc": {"image": "png", "segmentation": "png", "depth": "npy", "normals": "png", "edges": "png"},
    "astmt": {"image": "jpg", "segmentation": "mat", "depth": "mat", "normals": "jpg", "edges": "png"},
}
LISTS = {"train": "gt_sets/train.txt", "validation": "gt_sets/val.txt"}
_TABLE = np.concatenate([[IGNORE], np.arange(len(CLASSES))])


def is_nyud(root: Path) -> bool:
    """Whether the folders are those of an NYUD-v2 release."""
    return (root / "images").is_dir() and (root / "segmentation").is_dir() and (root / "gt_sets").is_dir()


def detect_layout(root: Path) -> tuple[str, str]:
    """The layout that most folders agree with, and what told so.

    Raises ValueError naming the endings found when no layout, or more than one, fits best.
    """
    found = {field: next(iter(endings(root / folder)), None) for field, folder in FOLDERS.items()}
    why = ", ".join(f"{FOLDERS[field]} .{ending}" for field, ending in found.items() if ending)
    scores = {
        layout: sum(found[field] == ending for field, ending in expected.items())
        for layout, expected in LAYOUTS.items()
    }
    best = max(scores.values())
    fitting = [layout for layout, score in scores.items() if score == best]
    if best == 0 or len(fitting) > 1:
        raise ValueError(f"{root}: expected one of the NYUD-v2 layouts {list(LAYOUTS)}, found {why or 'no files'}")
    return fitting[0], why


class NyudReader(Reader):
    """See the module. Raises ValueError for a folder in none of the layouts."""

    dataset = "nyud"
    class_names = CLASSES

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.layout, self.why = detect_layout(root)
        self.tasks = tuple(task for task in FOLDERS if task != "image" and (root / FOLDERS[task]).is_dir())

    def names(self, split: Split) -> tuple[str, ...]:
        return read_names(self.root / LISTS[split])

    def paths(self, split: Split, name: str, field: str) -> tuple[Path, ...]:
        return (self.root / FOLDERS[field] / f"{name}.{LAYOUTS[self.layout][field]}",)

    def load(self, split: Split, name: str, field: str) -> Array:
        (path,) = self.paths(split, name, field)
        if field == "image":
            return read_colour(path)
        matlab = path.suffix == ".mat"
        if field == "segmentation":
            return as_classes(read_matlab(path, "segmentation") if matlab else read_codes(path), path, _TABLE)
        if field == "depth":
            return as_depth(read_matlab(path, "depth") if matlab else read_array(path), path)
        if field == "normals":
            return as_vectors(read_array(path), path) if path.suffix == ".npy" else read_coded_normals(path)
        if path.suffix == ".npy":
            return (as_map(read_array(path), path) > 0.5).astype(np.uint8)
        return (read_codes(path) > 127).astype(np.uint8)

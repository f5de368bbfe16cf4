"""What every reader of a public data set offers: ids per split, the files behind a label, decoded labels.

Arrays of a sample, by name, all of the image's size H x W: "image" float32 [H, W, 3] in [0, 1]; "segmentation",
"parts", "saliency", "edges" uint8 [H, W], 255 = ignore; "depth" float32 [H, W], 0 = invalid; "normals" float32
[H, W, 3], the zero vector = invalid.
Convention: normals are kept in the frame of the data set, x right and y down as the rotation of the published
pipelines supposes; `normal_signs` turns them into another frame.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from training.readers.files import Array, DamagedFile

Arrays = dict[str, Array]
Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")
DepthUnit = Literal["metres", "disparity", "inverse"]

ASPECT_TOLERANCE = 0.02


class Reader(ABC):
    """One data set on disk, in one layout. Nothing is ever written below `root`.

    layout, why: which layout was found and what told so. tasks: labels that the folder holds. class_names: of the
    segmentation. depth_unit: "metres", "disparity" (pixels of the image's width) or "inverse" (unknown scale).
    normal_signs: factors of (n_x, n_y, n_z) that `read` applies.
    """

    dataset: str
    layout: str
    why: str
    tasks: tuple[str, ...]
    class_names: tuple[str, ...]
    depth_unit: DepthUnit = "metres"
    normal_signs: tuple[int, int, int] = (1, 1, 1)

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def names(self, split: Split) -> tuple[str, ...]:
        """Text ids of a split, in a stable order. Raises DamagedFile for a missing or empty list."""

    @abstractmethod
    def paths(self, split: Split, name: str, field: str) -> tuple[Path, ...]:
        """The files that "image" or a task of this sample is made from, whether they exist or not."""

    @abstractmethod
    def load(self, split: Split, name: str, field: str) -> Array:
        """One array of a sample at its own size. Raises DamagedFile."""

    def read(self, split: Split, name: str, tasks: Sequence[str]) -> Arrays:
        """The image and the labels of `tasks`, all at the image's size.

        Raises DamagedFile for a file that is missing or damaged. A label of another size but of the image's shape is
        resized (nearest; a disparity then counts the image's pixels); any other difference is damage.
        """
        arrays = {"image": self.load(split, name, "image")}
        size = arrays["image"].shape[:2]
        for task in tasks:
            label = self.load(split, name, task)
            if label.shape[:2] != size:
                resized = self._resized(label, size, self.paths(split, name, task)[0])
                scaled = task == "depth" and self.depth_unit == "disparity"
                label = resized * np.float32(size[1] / label.shape[1]) if scaled else resized
            arrays[task] = label
        if "normals" in arrays and self.normal_signs != (1, 1, 1):
            arrays["normals"] = arrays["normals"] * np.asarray(self.normal_signs, np.float32)
        return arrays

    def _resized(self, label: Array, size: tuple[int, ...], path: Path) -> Array:
        height, width = label.shape[:2]
        if label.size == 0 or abs(width * size[0] / (height * size[1]) - 1) > ASPECT_TOLERANCE:
            found = f"expected the size of its image, {size[0]}x{size[1]}, found {height}x{width}"
            raise DamagedFile("size", path, found)
        return cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def require_tasks(wanted: Sequence[str], reader: Reader) -> None:
    """Raises ValueError naming the labels that a recipe asks for and the folder lacks."""
    lacking = [task for task in wanted if task not in reader.tasks]
    if lacking:
        raise ValueError(
            f"tasks: expected labels that {reader.root} holds, {list(reader.tasks)} ({reader.layout}), found {lacking}"
        )


def endings(folder: Path) -> Mapping[str, int]:
    """How many files with each ending (lower case, without dot) a folder holds, most frequent first."""
    counts: dict[str, int] = {}
    if folder.is_dir():
        for entry in folder.iterdir():
            ending = entry.suffix.lower().lstrip(".")
            if ending and not entry.name.startswith("."):
                counts[ending] = counts.get(ending, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

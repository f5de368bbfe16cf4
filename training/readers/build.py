"""Opens a data set on disk, by name or by what its folder holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from training.readers.cache import DEFAULT_CACHE
from training.readers.cityscapes import CityscapesReader, is_cityscapes
from training.readers.mtan import MtanReader, is_mtan
from training.readers.nyud import NyudReader, is_nyud
from training.readers.pascal_context import PascalContextReader, is_pascal_context
from training.readers.reader import Reader

DatasetName = Literal["nyud", "pascal_context", "cityscapes", "mtan"]
DATASETS: tuple[DatasetName, ...] = get_args(DatasetName)

MARKS: dict[DatasetName, tuple[Callable[[Path], bool], str]] = {
    "nyud": (is_nyud, "images, segmentation, gt_sets"),
    "pascal_context": (is_pascal_context, "JPEGImages, ImageSets/Context"),
    "cityscapes": (is_cityscapes, "leftImg8bit, gtFine"),
    "mtan": (is_mtan, "train/image/*.npy or val/image/*.npy"),
}


def open_reader(
    dataset: DatasetName | Literal["auto"], root: Path, *, classes: int | None = None, cache: Path = DEFAULT_CACHE
) -> Reader:
    """The reader of `root`; "auto" tells the data set by its folders.

    classes: size of the label set where the data offer several (Cityscapes 19 or 7, MTAN arrays); None for the usual.
    Raises ValueError when the folder is not there or holds something else.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: expected the folder of a data set, found none")
    found = [name for name, (matches, _) in MARKS.items() if matches(root)]
    if dataset == "auto":
        if len(found) != 1:
            known = "; ".join(f"{name}: {marks}" for name, (_, marks) in MARKS.items())
            held = ", ".join(sorted(path.name for path in root.iterdir())[:20]) or "nothing"
            raise ValueError(f"{root}: expected the folders of one data set ({known}), found {found or held}")
        dataset = found[0]
    elif dataset not in found:
        held = ", ".join(sorted(path.name for path in root.iterdir())[:20]) or "nothing"
        raise ValueError(f"{root}: expected {dataset} ({MARKS[dataset][1]}), found {held}")
    if dataset in ("nyud", "pascal_context"):
        usual = 40 if dataset == "nyud" else 21
        if classes not in (None, usual):
            raise ValueError(f"classes: expected {usual} for {dataset}, found {classes}")
        return NyudReader(root) if dataset == "nyud" else PascalContextReader(root, cache)
    if dataset == "cityscapes":
        return CityscapesReader(root, classes or 19)
    return MtanReader(root, classes)

"""Folders of photographs in pairs, in the layout of UDIS-D: {training,testing}/{input1,input2}/<name>.jpg.

Photographs of one name belong together; input1 is the reference, input2 the target, as in UDIS (Nie et al., TIP 2021).
There is no ground truth.
"""

from pathlib import Path

from training.readers.files import Array, DamagedFile, read_colour
from training.readers.reader import Split

FOLDER_OF_SPLIT = {"train": "training", "validation": "testing"}
REFERENCES, TARGETS = "input1", "input2"
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def is_user_pairs(root: Path) -> bool:
    """Whether the folders are those of UDIS-D."""
    return any((root / split / side).is_dir() for split in FOLDER_OF_SPLIT.values() for side in (REFERENCES, TARGETS))


class UserPairsReader:
    """See the module. Nothing is ever written below `root`."""

    dataset = "udis"
    layout = "folders of pairs"
    why = "input1 and input2 below training or testing"

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[tuple[Split, str], dict[str, Path]] = {}

    def names(self, split: Split) -> tuple[str, ...]:
        """Names of a split's pairs in order, those with one photograph alone included. Raises DamagedFile if none."""
        names = sorted(set(self._found(split, REFERENCES)) | set(self._found(split, TARGETS)))
        if not names:
            folder = self.root / FOLDER_OF_SPLIT[split]
            detail = f"expected photographs in {REFERENCES} and {TARGETS} ({', '.join(ENDINGS)}), found none"
            raise DamagedFile("list", folder, detail)
        return tuple(names)

    def paths(self, split: Split, name: str) -> tuple[Path, Path]:
        """Reference and target, whether they exist or not."""
        folder = self.root / FOLDER_OF_SPLIT[split]
        reference, target = (
            self._found(split, side).get(name, folder / side / f"{name}.jpg") for side in (REFERENCES, TARGETS)
        )
        return reference, target

    def load(self, split: Split, name: str) -> tuple[Array, Array]:
        """Reference and target, float32 [H, W, 3] in [0, 1], each at its own size and as EXIF turns it. Raises
        DamagedFile."""
        reference, target = self.paths(split, name)
        return read_colour(reference, oriented=True), read_colour(target, oriented=True)

    def _found(self, split: Split, side: str) -> dict[str, Path]:
        """Files by name; listed once, since folders of ten thousand photographs take long to list."""
        if (split, side) not in self._files:
            folder = self.root / FOLDER_OF_SPLIT[split] / side
            entries = folder.iterdir() if folder.is_dir() else iter(())
            self._files[split, side] = {
                path.stem: path for path in entries if path.suffix.lower() in ENDINGS and not path.name.startswith(".")
            }
        return self._files[split, side]

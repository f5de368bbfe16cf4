"""Reading single label files of public data sets, with errors that name the file and what is wrong with it.

Nothing is ever unpickled: arrays are read with pickling forbidden.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

Array = np.ndarray[Any, np.dtype[Any]]
Damage = Literal["missing", "unreadable", "wrong", "list", "size"]

IGNORE = 255
SHORTEST_CODED_NORMAL, LONGEST_CODED_NORMAL = 0.1, 1.5


class DamagedFile(ValueError):
    """A file that is absent or not what its layout promises.

    kind: "missing", "unreadable" (truncated, not of its format), "wrong" (shape, dtype, key or values), "list" (an id
    list without ids) or "size" (another size than its image).
    """

    def __init__(self, kind: Damage, path: Path, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.kind, self.path, self.detail = kind, path, detail


def read_colour(path: Path, oriented: bool = False) -> Array:
    """A photograph: float32 [H, W, 3] in [0, 1], sRGB; grey ones of 16 bits keep their range.

    oriented: turned as EXIF says. Label maps lie in the grid that is stored, so their photographs are not turned.
    """
    picture = _decoded(path, oriented)
    if picture.mode.startswith("I"):
        grey_HW = (np.asarray(picture, np.float32) / 65535).clip(0, 1)
        return np.repeat(grey_HW[..., None], 3, axis=2)
    return np.asarray(picture.convert("RGB"), np.float32) / 255


def read_codes(path: Path) -> Array:
    """A picture of whole numbers (grey, 16 bit or palette indices): integers [H, W].

    A colour picture whose three channels agree counts as grey.
    """
    codes = np.asarray(_decoded(path))
    if codes.ndim == 3 and codes.shape[2] == 3 and np.ptp(codes, axis=2).max(initial=0) == 0:
        codes = codes[..., 0]
    if codes.ndim != 2:
        raise DamagedFile("wrong", path, f"expected one channel, found an array of shape {codes.shape}")
    return codes.astype(np.uint8) if codes.dtype == np.bool_ else codes


def read_coded_normals(path: Path) -> Array:
    """Normals from an 8-bit picture, n = 2 v / 255 - 1: float32 [H, W, 3], of unit length or zero where invalid.

    Eight bits cannot hold the zero vector, so codes shorter than 0.1 or longer than 1.5 are taken as invalid.
    """
    codes = np.asarray(_decoded(path))
    if codes.ndim != 3 or codes.shape[2] != 3 or codes.dtype != np.uint8:
        raise DamagedFile("wrong", path, f"expected 8-bit colour, found {codes.dtype} of shape {codes.shape}")
    normals = codes.astype(np.float32) * np.float32(2 / 255) - 1
    return unit_normals(normals, SHORTEST_CODED_NORMAL, LONGEST_CODED_NORMAL)


def read_array(path: Path) -> Array:
    """A NumPy file of numbers."""
    _require(path)
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:  # the parser meets arbitrary bytes, and sizes beyond any memory
        raise DamagedFile("unreadable", path, f"expected a NumPy array, found: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise DamagedFile("wrong", path, f"expected an array of numbers, found {getattr(array, 'dtype', type(array))}")
    return array


def read_matlab(path: Path, key: str) -> Array:
    """The variable `key` of a MATLAB file (version 7 or older)."""
    from scipy.io import loadmat  # only some layouts need it, and it takes long to import

    _require(path)
    try:
        content = loadmat(path)
    except Exception as error:  # the parser meets arbitrary bytes and fails in arbitrary ways
        raise DamagedFile("unreadable", path, f"expected a MATLAB file, found: {error}") from error
    if key not in content:
        names = sorted(name for name in content if not name.startswith("__"))
        raise DamagedFile("wrong", path, f"expected the variable {key!r}, found {names}")
    return np.asarray(content[key])


def as_map(array: Array, path: Path, kinds: str = "biuf") -> Array:
    """[H, W] from [H, W] or [H, W, 1]; `kinds` are the dtype kinds of NumPy that are accepted."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 or array.dtype.kind not in kinds or array.size == 0:
        expected = "whole numbers" if kinds == "biu" else "numbers"
        raise DamagedFile("wrong", path, f"expected {expected} [H, W], found {array.dtype} of shape {array.shape}")
    return array


def as_vectors(array: Array, path: Path) -> Array:
    """Floats [H, W, 3] as unit normals, zero where invalid (zero or not finite)."""
    return unit_normals(as_floats(array, path).astype(np.float32), SHORTEST_CODED_NORMAL, float("inf"))


def as_floats(array: Array, path: Path) -> Array:
    """Floats [H, W, 3] as they are."""
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype.kind != "f" or array.size == 0:
        raise DamagedFile("wrong", path, f"expected floats [H, W, 3], found {array.dtype} of shape {array.shape}")
    return array


def unit_normals(normals_HW3: Array, shortest: float, longest: float) -> Array:
    """Vectors of unit length; zero where the length is not finite or outside [shortest, longest]."""
    length = lengths(normals_HW3)[..., None]
    valid = np.isfinite(length) & (length >= shortest) & (length <= longest)
    return np.divide(normals_HW3, length, out=np.zeros_like(normals_HW3, np.float32), where=valid)


def lengths(normals_HW3: Array) -> Array:
    """[H, W]; several times faster than np.linalg.norm along an axis of three."""
    return np.sqrt(np.einsum("hwc,hwc->hw", normals_HW3, normals_HW3))


def as_depth(array: Array, path: Path) -> Array:
    """float32 [H, W], 0 where invalid (not finite or not positive)."""
    depth = as_map(array, path).astype(np.float32)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def as_classes(codes: Array, path: Path, table: Sequence[int] | Array, first: int = 0) -> Array:
    """uint8 [H, W]: table[code - first], for codes from `first` to as many as the table has; others are an error."""
    lookup = np.asarray(table, np.uint8)
    return lookup[as_numbers(codes, path, first, first + len(lookup) - 1) - first]


def as_numbers(codes: Array, path: Path, first: int, last: int) -> Array:
    """int64 [H, W]: class numbers from `first` to `last`; others, fractions and what is not finite are an error."""
    codes = as_map(codes, path)
    if codes.dtype.kind == "f":
        if not np.isfinite(codes).all():
            raise DamagedFile("wrong", path, "expected whole numbers, found values that are not finite")
        if not np.array_equal(codes, np.round(codes)):
            raise DamagedFile("wrong", path, "expected whole numbers, found fractions")
    low, high = int(codes.min()), int(codes.max())
    if low < first or high > last:
        raise DamagedFile("wrong", path, f"expected class numbers {first}..{last}, found {low}..{high}")
    return codes.astype(np.int64)


def read_names(path: Path) -> tuple[str, ...]:
    """The ids of a split, one a line."""
    _require(path)
    try:
        names = tuple(line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedFile("unreadable", path, f"expected one id a line, found: {error}") from error
    if not names:
        raise DamagedFile("list", path, "expected one id a line, found none")
    return names


def _require(path: Path) -> None:
    if not path.is_file():
        raise DamagedFile("missing", path, "expected a file, found none")


def _decoded(path: Path, oriented: bool = False) -> Image.Image:
    _require(path)
    try:
        with Image.open(path) as picture:
            picture.verify()  # checksums up to the end of the file, which decoding alone does not look at
        with Image.open(path) as picture:
            picture.load()
            return ImageOps.exif_transpose(picture) if oriented else picture.copy()
    except Exception as error:  # the decoders meet arbitrary bytes and fail in arbitrary ways
        raise DamagedFile("unreadable", path, f"expected a picture, found: {error}") from error

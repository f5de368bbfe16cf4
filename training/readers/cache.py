"""Label maps that are costly to derive, kept as PNG outside the data folder.

An entry is named by the size and the time of change of its source, so a changed source is derived anew; a damaged
entry is derived anew as well. Writes are atomic (temporary file, fsync, rename).
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from training.readers.files import Array, DamagedFile, read_codes

DEFAULT_CACHE = Path("artifacts/cache")


class LabelCache:
    """Derived maps of one kind for one data folder, in `cache/<kind>-<digest of the folder's path>/`.

    Raises ValueError when `cache` lies inside the data folder, which is never written to.
    """

    def __init__(self, cache: Path, root: Path, kind: str) -> None:
        if cache.resolve().is_relative_to(root.resolve()):
            raise ValueError(f"cache: expected a folder outside the data folder {root}, found {cache}")
        digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
        self.folder = cache / f"{kind}-{digest}"

    def get(self, source: Path, derive: Callable[[], Array]) -> Array:
        """The uint8 map [H, W] derived from `source`, from the cache where it is there."""
        if not source.is_file():
            return derive()  # it alone knows what to say about the missing file
        status = source.stat()
        path = self.folder / f"{source.stem}.{status.st_size}.{status.st_mtime_ns}.png"
        try:
            if path.is_file():
                return read_codes(path).astype(np.uint8)
        except DamagedFile:
            pass
        derived = derive()
        self._write(path, derived)
        return derived

    def _write(self, path: Path, content: Array) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                Image.fromarray(content).save(file, format="PNG")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

"""What a batch is made of: items, the rows of the manifest that are none, and the names under which results lie."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

LONGEST_ID = 200


@dataclass(frozen=True)
class Item:
    """One pair or one photograph.

    inputs: absolute paths or URLs; (reference, target) of a pair, (image,) of a photograph.
    focal_px: of the photograph, in pixels of the oriented image; None where the manifest does not say.
    """

    id: str
    inputs: tuple[str, ...]
    focal_px: float | None = None

    @property
    def folder(self) -> str:
        """Where its outputs lie below items/. One level, so that no id can lie inside another's folder."""
        return file_name(self.id)

    @cached_property
    def key(self) -> str:
        """The name of its row. It changes with the inputs: an id that now means other files is not done yet."""
        text = "\0".join([*self.inputs, repr(self.focal_px)])
        return f"{self.folder}.{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"


@dataclass(frozen=True)
class Refused:
    """A row or a folder that cannot become an item, and why. It stands in the report as failed."""

    id: str
    code: str
    message: str
    inputs: tuple[str, ...] = ()


Entry = Item | Refused


def file_name(item_id: str) -> str:
    """An id as one file name: letters, digits and -_.~ stay, everything else is %XX. Different ids stay different."""
    name = quote(item_id, safe="")
    return name.replace(".", "%2E", 1) if name.startswith(".") else name


def folder_of(key: str) -> str:
    """The `folder` of the item that has this `key`."""
    return key.rsplit(".", 2)[0]


def without_bad_ids(entries: list[Entry]) -> list[Entry]:
    """The same entries, with items whose id is unusable, or was used before, refused."""
    seen: set[str] = set()
    checked: list[Entry] = []
    for entry in entries:
        if not _is_utf8(entry):
            found = ascii([entry.id, *entry.inputs])
            entry = Refused(ascii(entry.id), "invalid_id", f"The id, or the path of an input, is not UTF-8: {found}.")
        elif isinstance(entry, Item):
            if not entry.id or len(file_name(entry.id)) > LONGEST_ID:
                problem = "is empty" if not entry.id else f"takes more than {LONGEST_ID} bytes as a file name"
                entry = Refused(entry.id, "invalid_id", f"The id {problem}.", entry.inputs)
            elif entry.id in seen:
                entry = Refused(entry.id, "duplicate_id", "An earlier row has the same id.", entry.inputs)
            else:
                seen.add(entry.id)
        checked.append(entry)
    return checked


def _is_utf8(entry: Entry) -> bool:
    """Whether the report can hold it: names of files may be any bytes, and JSON may have halves of characters."""
    texts = [entry.id, *entry.inputs, entry.message if isinstance(entry, Refused) else ""]
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True

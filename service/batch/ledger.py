"""What is finished: one row per item, written after all of its outputs.

    items/<id>/…              outputs
    rows/done/<key>           row of an item whose outputs are all there
    rows/failed/<key>         row of an item that failed; removed when a later try succeeds

An item counts by its row alone, so a kill at any moment loses no finished item and counts no half-written one, on
stores without rename too. Rows are listed, not read, to know what is left: that is one request per thousand rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from service.batch.items import Item, folder_of
from service.batch.storage import Store

DONE, FAILED = "rows/done", "rows/failed"
Row = dict[str, Any]


def outdated(keys: set[str], items: Sequence[Item]) -> set[str]:
    """Of the keys of rows, those of ids that have a row of other inputs: whose outputs are there, no row can say."""
    current = {item.folder: item.key for item in items}
    folders = {folder for key in keys if current.get(folder := folder_of(key), key) != key}
    return {key for key in keys if folder_of(key) in folders}


class Ledger:
    """Rows of a batch in its store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def sweep(self) -> None:
        """Remove what a killed run left half-written among the rows."""
        for folder in (DONE, FAILED):
            self._store.sweep(folder)

    def done(self) -> set[str]:
        """Keys of the items that are done."""
        return self._store.names(DONE)

    def failed(self) -> set[str]:
        """Keys of the items whose last try failed, and some that are done since."""
        return self._store.names(FAILED)

    def record(self, item: Item, row: Row) -> None:
        """Make an item count. Raises ItemError where the row cannot be written; the item then does not count."""
        data = json.dumps(row, allow_nan=False, ensure_ascii=False).encode()
        if row["status"] == "ok":
            self._store.write(f"{DONE}/{item.key}", data)
            self._store.remove(f"{FAILED}/{item.key}")
        else:
            self._store.write(f"{FAILED}/{item.key}", data)

    def forget(self, keys: Iterable[str]) -> None:
        """Remove the rows of items, which have then to be done again."""
        for key in keys:
            for folder in (DONE, FAILED):
                self._store.remove(f"{folder}/{key}")

    def rows(self, folder: str, items: Sequence[Item]) -> list[Row | None]:
        """The rows of items; None for one that is missing or damaged, as a store without atomic writes may leave it.

        Raises ItemError where the store does not answer.
        """
        found = self._store.read_many([f"{folder}/{item.key}" for item in items])
        return [_parse(data, item) for data, item in zip(found, items, strict=True)]


def _parse(data: bytes | None, item: Item) -> Row | None:
    try:
        row = json.loads(data or b"")
    except ValueError:
        return None
    return row if isinstance(row, dict) and row.get("id") == item.id and "status" in row else None

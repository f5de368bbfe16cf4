"""The report: one row per item, in the order of the input, as JSONL or Parquet.

It is put together from the rows of the ledger, a chunk at a time, so its size does not matter for memory.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from service.batch.inputs import parquet_library
from service.batch.items import Entry, Item, Refused
from service.batch.ledger import DONE, FAILED, Ledger, Row
from service.batch.pipeline import refused_row
from service.batch.steps import Task, report_columns
from service.batch.storage import Store

FORMATS = ("jsonl", "parquet")
ROWS_AT_ONCE = 512


@dataclass(kw_only=True)
class Tally:
    """What a report holds. `left`: neither done nor failed. `damaged`: rows that cannot be read, to be done again."""

    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    left: int = 0
    damaged: list[Item] = field(default_factory=list)


def write_report(
    store: Store, task: Task, entries: Sequence[Entry], unrecorded: Mapping[str, Row], form: str
) -> tuple[str, Tally]:
    """Write report.jsonl or report.parquet; its name and what it holds.

    unrecorded: rows by key that could not be written to the ledger. Raises ItemError where the report cannot be written
    or the ledger not be read, BatchError where Parquet is asked for without pyarrow.
    """
    tally = Tally()
    columns = report_columns(task)
    rows = _rows(store, task, entries, unrecorded, tally)
    name = f"report.{form}"
    with store.writing(name) as file:
        (_write_parquet if form == "parquet" else _write_jsonl)(file, rows, columns)
    return name, tally


def _rows(
    store: Store, task: Task, entries: Sequence[Entry], unrecorded: Mapping[str, Row], tally: Tally
) -> Iterator[Row]:
    ledger = Ledger(store)
    done, failed = ledger.done(), ledger.failed()
    for chunk in _chunks(entries):
        items = [entry for entry in chunk if isinstance(entry, Item)]
        found: dict[str, Row | None] = {}
        for folder, keys in ((FAILED, failed - done), (DONE, done)):
            listed = [item for item in items if item.key in keys]
            found |= {item.key: row for item, row in zip(listed, ledger.rows(folder, listed), strict=True)}
        for entry in chunk:
            row = refused_row(entry, task.inputs) if isinstance(entry, Refused) else found.get(entry.key)
            if row is None and isinstance(entry, Item):
                if entry.key in found:
                    tally.damaged.append(entry)
                    continue
                row = unrecorded.get(entry.key)
            if row is None:
                tally.left += 1
                continue
            if row["status"] == "ok":
                tally.done += 1
            else:
                tally.failed[row["code"]] += 1
            yield row


def _chunks(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), ROWS_AT_ONCE):
        yield entries[start : start + ROWS_AT_ONCE]


def _write_jsonl(file: IO[bytes], rows: Iterable[Row], columns: Mapping[str, type]) -> None:
    for row in rows:
        file.write(json.dumps({name: row.get(name) for name in columns}, ensure_ascii=False).encode() + b"\n")


def _write_parquet(file: IO[bytes], rows: Iterable[Row], columns: Mapping[str, type]) -> None:
    parquet = parquet_library()
    import pyarrow

    types: dict[type, Any] = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with parquet.ParquetWriter(file, schema) as writer:
        group: list[Row] = []
        for row in rows:
            group.append({name: row.get(name) for name in columns})
            if len(group) == ROWS_AT_ONCE:
                writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
                group = []
        writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))

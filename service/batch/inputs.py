"""Where the items come from: a folder, a manifest, or a glob pattern, on the local disk or in a store.

Pairs            a folder (or pattern) with one folder per pair that holds reference.* and target.*
                 a folder with two folders of equally named files: reference/ and target/, or input1/ and input2/
                 a manifest with the columns id, reference, target
Photographs      a folder, with those below it; a pattern
                 a manifest with the column image, and where known id and focal_px

Manifests are CSV, JSONL (.jsonl, .ndjson) or Parquet; other columns are ignored. Relative paths in one start at its
own folder. What is wrong with one row is recorded for that row; only a source that cannot be read at all is refused.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

import fsspec

from service.batch.failures import BatchError, ItemError
from service.batch.items import Entry, Item, Refused, without_bad_ids
from service.batch.storage import Patience, absolute, open_url, read_url

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
MANIFEST_ENDINGS = {".csv", ".jsonl", ".ndjson", ".parquet"}
SIDES = (("reference", "target"), ("input1", "input2"))
PAIR_HELP = (
    "expected a folder per pair with reference.* and target.*, or two folders reference/ and target/ (input1/ and "
    "input2/) with equally named files"
)
PHOTO_HELP = f"expected files that end in {', '.join(sorted(IMAGE_ENDINGS))}"


def read_entries(source: str, inputs: tuple[str, ...], outputs: str | None = None) -> list[Entry]:
    """Every item of a source, in a fixed order, with what had to be refused in its place.

    inputs: (reference, target) for pairs, (image,) for photographs. outputs: folder of the batch's own pictures, which
    are left out where it lies in the source. Raises BatchError.
    """
    source = absolute(source)
    is_manifest = PurePosixPath(source).suffix.lower() in MANIFEST_ENDINGS
    if is_manifest:
        entries = list(_from_manifest(source, inputs))
    else:
        entries = list(_from_files(source, len(inputs) == 2, outputs))
    if not entries:
        if is_manifest:
            raise BatchError(f"{source}: nothing found; the manifest has no rows")
        raise BatchError(f"{source}: nothing found; {PAIR_HELP if len(inputs) == 2 else PHOTO_HELP}")
    return without_bad_ids(entries)


# ------------------------------------------------------------------------------------------------------------- files


def _from_files(source: str, pairs: bool, outputs: str | None) -> Iterator[Entry]:
    fs, path = open_url(source)
    try:
        if fs.isdir(path):
            root, files = path, fs.find(path)
        elif any(sign in path for sign in "*?["):
            root = path[: min(path.index(sign) for sign in "*?[" if sign in path)].rpartition("/")[0]
            matches = fs.glob(path)
            folders = [match for match in matches if pairs and fs.isdir(match)]
            files = [match for match in matches if match not in set(folders)]
            files += [file for folder in folders for file in fs.ls(folder, detail=False)]
        else:
            raise BatchError(f"{source}: expected a folder, a .csv, .jsonl or .parquet manifest, or a glob pattern")
    except BatchError:
        raise
    except Exception as error:  # file systems raise exceptions of their own libraries
        raise BatchError(f"{source}: cannot be listed: {error}") from error
    files = sorted({file for file in files if PurePosixPath(file).suffix.lower() in IMAGE_ENDINGS})
    if outputs is not None:
        files = _outside(fs, files, outputs)
    yield from (_pairs if pairs else _photographs)(fs, root.rstrip("/"), files)


def _outside(fs: fsspec.AbstractFileSystem, files: list[str], folder: str) -> list[str]:
    """The files that do not lie below a folder, by whatever path."""
    other, path = open_url(folder)
    if type(other) is not type(fs):
        return files
    real = os.path.realpath if "file" in fs.protocol else str
    path = f"{real(path)}/"
    parents = {file.rpartition("/")[0] for file in files}
    inside = {parent for parent in parents if f"{real(parent)}/".startswith(path)}
    return [file for file in files if file.rpartition("/")[0] not in inside]


def _photographs(fs: fsspec.AbstractFileSystem, root: str, files: list[str]) -> Iterator[Entry]:
    for file in files:
        yield Item(_relative(file, root), (_url(fs, file),))


def _pairs(fs: fsspec.AbstractFileSystem, root: str, files: list[str]) -> Iterator[Entry]:
    by_folder: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        by_folder[file.rpartition("/")[0]][PurePosixPath(file).stem].append(file)
    for names in SIDES:
        if {_relative(folder, root) for folder in by_folder} == set(names):
            sides = {name: by_folder[f"{root}/{name}"] for name in names}
            for stem in sorted({stem for side in sides.values() for stem in side}):
                yield _pair(fs, stem, {name: sides[name].get(stem, []) for name in names})
            return
    for folder in sorted(by_folder):
        found = {name: by_folder[folder].get(name, []) for name in SIDES[0]}
        if any(found.values()):
            yield _pair(fs, _relative(folder, root) or PurePosixPath(folder).name, found)


def _pair(fs: fsspec.AbstractFileSystem, item_id: str, sides: dict[str, list[str]]) -> Entry:
    for name, files in sides.items():
        if not files:
            return Refused(item_id, "missing_file", f"There is no {name} for this pair.")
        if len(files) > 1:
            return Refused(item_id, "invalid_row", f"There is more than one {name}: {', '.join(files)}.")
    return Item(item_id, tuple(_url(fs, files[0]) for files in sides.values()))


def _relative(path: str, root: str) -> str:
    return path.removeprefix(root).strip("/")


def _url(fs: fsspec.AbstractFileSystem, path: str) -> str:
    return path if "file" in fs.protocol else str(fs.unstrip_protocol(path))


# ---------------------------------------------------------------------------------------------------------- manifests


def _from_manifest(source: str, inputs: tuple[str, ...]) -> Iterator[Entry]:
    try:
        data = read_url(source, Patience())
    except ItemError as error:
        raise BatchError(error.message) from error
    ending = PurePosixPath(source).suffix.lower()
    needed = inputs if len(inputs) == 1 else ("id", *inputs)
    rows = {".csv": _csv_rows, ".parquet": _parquet_rows}.get(ending, _json_rows)(data, source, needed)
    base = source.rpartition("/")[0]
    for number, row in rows:
        yield _entry(row, number, inputs, needed, base)


def _csv_rows(data: bytes, source: str, needed: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        header = list(reader.fieldnames or ())
        if len(set(header)) != len(header):
            raise BatchError(f"{source}: a column stands twice in the header: {', '.join(header)}")
        _check_columns(header, needed, source)
        for row in reader:
            problem = "more fields than the header" if None in row else "fewer fields than the header"
            yield f"line {reader.line_num}", problem if None in row or None in row.values() else row
    except (UnicodeDecodeError, csv.Error) as error:
        raise BatchError(f"{source}: not a CSV file in UTF-8: {error}") from error


def _json_rows(data: bytes, source: str, needed: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except ValueError as error:
                yield f"line {number}", f"no JSON: {error}"


def _parquet_rows(data: bytes, source: str, needed: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    parquet = parquet_library()
    try:
        table = parquet.ParquetFile(io.BytesIO(data))
        _check_columns(table.schema_arrow.names, needed, source)
        rows: Iterable[Any] = (row for batch in table.iter_batches() for row in batch.to_pylist())
        yield from ((f"row {number}", row) for number, row in enumerate(rows, 1))
    except (OSError, ValueError) as error:  # pyarrow's own are ValueErrors
        raise BatchError(f"{source}: not a Parquet file: {error}") from error


def _check_columns(found: list[str], needed: tuple[str, ...], source: str) -> None:
    if missing := [column for column in needed if column not in found]:
        raise BatchError(
            f"{source}: no column {', '.join(missing)}; expected {', '.join(needed)}, found {', '.join(found)}"
        )


def parquet_library() -> Any:
    """pyarrow.parquet. Raises BatchError where it is not installed."""
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise BatchError("Parquet needs pyarrow: pip install -r requirements/batch.txt, or use JSONL") from error
    return parquet


def _entry(row: Any, number: str, inputs: tuple[str, ...], needed: tuple[str, ...], base: str) -> Entry:
    """One row of a manifest. `row` is text where the reader already knows what is wrong with it."""
    name = f"{number} of the manifest"
    if not isinstance(row, dict):
        problem = row if isinstance(row, str) else f"expected an object, found {type(row).__name__}"
        return Refused(name, "invalid_row", f"{number}: {problem}.")
    if isinstance(row.get("id"), int) and not isinstance(row["id"], bool):
        row = {**row, "id": str(row["id"])}
    name = row["id"] if isinstance(row.get("id"), str) and row["id"] else name
    for column in needed:
        if not isinstance(row.get(column), str) or not row[column].strip():
            found = "nothing" if row.get(column) in (None, "") else repr(row[column])[:80]
            return Refused(name, "invalid_row", f"{number}: {column}: expected text, found {found}.")
    focal_px = None
    if len(inputs) == 1 and row.get("focal_px") not in (None, ""):
        try:
            focal_px = float(row["focal_px"])
        except (TypeError, ValueError):
            focal_px = math.nan
        if not 1.0 <= focal_px <= 1e6:
            return Refused(
                name, "invalid_row", f"{number}: focal_px: expected 1 to 1000000, found {row['focal_px']!r}."
            )
    item_id = row.get("id") or row[inputs[0]]
    if not isinstance(item_id, str):
        return Refused(name, "invalid_row", f"{number}: id: expected text, found {item_id!r}.")
    return Item(item_id, tuple(_resolved(row[column], base) for column in inputs), focal_px)


def _resolved(path: str, base: str) -> str:
    return path if "://" in path or "::" in path or path.startswith("/") else f"{base}/{path}"

"""The upload of a job: which items a zip holds, and what is refused before anything is unpacked.

Nothing is ever unpacked to a path that the archive names: members are read one at a time from the stored zip, and the
ids of items name folders only inside the zip that is answered.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from service.errors import BadArchive, PolyviewError
from service.jobs.settings import JobSettings

KINDS = ("stitch", "perceive")
MANIFEST = "manifest.csv"
REPORT = "report.jsonl"
MANIFEST_COLUMNS = ["id", "reference", "target"]
MOST_MANIFEST_BYTES = 4_000_000
MOST_NAME_LENGTH = 240
# Every name that `zipfile` reads costs memory, so the size of its list is looked at before.
MOST_DIRECTORY_BYTES = 32_000_000
END_OF_DIRECTORY = b"PK\x05\x06"
ZIP64_LOCATOR = b"PK\x06\x07"
BAD_NAME = re.compile(r"^[A-Za-z]:|[\\\x00-\x1f\x7f]")
LAYOUT = {
    "perceive": "Put images into the zip, in folders or not.",
    "stitch": "Put a folder per pair into the zip, with reference.* and target.* in it, or a manifest.csv.",
}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One unit of work. `files`: the member of the archive for each file field of the endpoint."""

    id: str
    files: dict[str, str]


def pack(files: Sequence[IO[bytes]], names: Sequence[str], target: IO[bytes]) -> None:
    """Write uploaded files as the zip that they could have been sent as. Raises BadArchive for a name given twice."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file, name in zip(files, names, strict=True):
            if name in archive.NameToInfo:
                raise _bad(f"{_shown(name)} was sent twice.", "Give every file a name of its own.")
            with archive.open(zipfile.ZipInfo(check_name(name)), "w", force_zip64=True) as member:
                shutil.copyfileobj(file, member, 1 << 20)


def read_items(file: IO[bytes], kind: str, settings: JobSettings, most_file_bytes: int) -> list[Item]:
    """The items of a zip, in its order. Raises BadArchive."""
    _check_directory_size(file)
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, settings, most_file_bytes)
            if kind == "perceive":
                items = [Item(id=name, files={"image": name}) for name in members]
            elif MANIFEST in members:
                items = _listed_pairs(_manifest(archive, members[MANIFEST]), members)
            else:
                items = _folder_pairs(members)
    except PolyviewError:
        raise
    except Exception as error:  # zipfile meets damaged archives with many exceptions
        raise _bad("archive: it is not a zip file, or is damaged.", "Send one whole zip file.") from error
    if not items:
        raise _bad("archive: there is nothing to do in it.", LAYOUT[kind])
    if len(items) > settings.most_items:
        raise _bad(f"archive: {len(items)} items; at most {settings.most_items} make a job.", "Send several jobs.")
    _check_ids([item.id for item in items])
    return items


def check_name(name: str) -> str:
    """The name, if it stays inside of whatever folder it is unpacked to. Raises BadArchive."""
    parts = name.split("/")
    if BAD_NAME.search(name) or not all(parts) or {".", ".."} & set(parts):
        raise _bad(f"archive: the path {_shown(name)} is not allowed.", "Use relative paths with / and without ..")
    if len(name) > MOST_NAME_LENGTH:
        raise _bad(f"archive: the path {_shown(name)} is too long.", f"Use at most {MOST_NAME_LENGTH} characters.")
    return name


def _check_directory_size(file: IO[bytes]) -> None:
    end = file.seek(0, io.SEEK_END)
    start = max(0, end - 65_536 - 42)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    place = tail.rfind(END_OF_DIRECTORY)
    if place < 0 or place + 16 > len(tail):
        raise _bad("archive: it is not a zip file, or is cut off.", "Send one whole zip file.")
    if tail[max(0, place - 20) : place].startswith(ZIP64_LOCATOR):
        raise _bad("archive: it is a zip of more than 65,535 files or 4 GB.", "Send several jobs.")
    if int.from_bytes(tail[place + 12 : place + 16], "little") > MOST_DIRECTORY_BYTES:
        raise _bad("archive: its list of files is too long.", "Send several jobs.")


def _members(archive: zipfile.ZipFile, settings: JobSettings, most_file_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """Files that matter by name: no folders, and nothing that macOS or an editor hides."""
    members: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for info in archive.infolist():
        # `zipfile` cuts names at a null byte; what was really written is what is judged.
        name = check_name((info.orig_filename or info.filename).removesuffix("/"))
        if info.is_dir():
            continue
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _bad(f"archive: {_shown(name)} is a link.", "Put the file itself into the archive.")
        if info.flag_bits & 1:
            raise _bad(f"archive: {_shown(name)} is encrypted.", "Send it without a password.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _bad(f"archive: {_shown(name)} is compressed in a way that is not read.", "Use plain zip.")
        if info.file_size > most_file_bytes:
            raise _bad(
                f"archive: {_shown(name)} unpacks to more than {most_file_bytes / 1e6:g} MB.", "Send smaller files."
            )
        total += info.file_size
        if total > settings.most_bytes:
            raise _bad(f"archive: it unpacks to more than {settings.most_bytes / 1e6:g} MB.", "Send several jobs.")
        if any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")):
            continue
        if name in members:
            raise _bad(f"archive: {_shown(name)} is in it twice.", "Give every file a name of its own.")
        members[name] = info
    return members


def _manifest(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    if info.file_size > MOST_MANIFEST_BYTES:
        raise _bad(f"{MANIFEST}: larger than {MOST_MANIFEST_BYTES / 1e6:g} MB.", "Send several jobs.")
    try:
        return archive.read(info).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(f"{MANIFEST}: it is not UTF-8 text.", f"Its first line is {','.join(MANIFEST_COLUMNS)}") from error


def _listed_pairs(text: str, members: dict[str, zipfile.ZipInfo]) -> list[Item]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as error:
        raise _bad(f"{MANIFEST}: {error}.", "Write comma-separated values.") from error
    head = [cell.strip() for cell in rows[0]] if rows else []
    if head != MANIFEST_COLUMNS:
        raise _bad(f"{MANIFEST}: expected the first line {','.join(MANIFEST_COLUMNS)}.", LAYOUT["stitch"])
    items = []
    for number, row in enumerate(rows[1:], 2):
        cells = [cell.strip() for cell in row]
        if len(cells) != len(MANIFEST_COLUMNS):
            raise _bad(f"{MANIFEST}: row {number} has {len(cells)} values instead of 3.", "id,reference,target")
        for cell in cells[1:]:
            if cell not in members:
                raise _bad(f"{MANIFEST}: row {number}: {_shown(cell)} is not in the archive.", "Check its spelling.")
        items.append(Item(id=check_name(cells[0]), files={"reference": cells[1], "target": cells[2]}))
    return items


def _folder_pairs(members: dict[str, zipfile.ZipInfo]) -> list[Item]:
    folders: dict[str, dict[str, str]] = {}
    for name in members:
        folder, _, base = name.rpartition("/")
        field = base.partition(".")[0]
        if field not in ("reference", "target"):
            continue
        if not folder:
            raise _bad(f"archive: {_shown(name)} is in no folder.", LAYOUT["stitch"])
        if field in folders.setdefault(folder, {}):
            raise _bad(f"archive: {_shown(folder)} has more than one {field}.", LAYOUT["stitch"])
        folders[folder][field] = name
    for folder, files in folders.items():
        for field in ("reference", "target"):
            if field not in files:
                raise _bad(f"archive: {_shown(folder)} has no {field}.", LAYOUT["stitch"])
    return [Item(id=folder, files=files) for folder, files in folders.items()]


def _check_ids(ids: Sequence[str]) -> None:
    """Every id becomes a folder of the result, so none may stand twice, lie inside of another or be the report."""
    known: set[str] = set()
    for id in ids:
        if id in known:
            raise _bad(f"archive: the id {_shown(id)} stands for two items.", "Give every item an id of its own.")
        known.add(id)
    for id in ids:
        parts = id.split("/")
        if parts[0].casefold() == REPORT:  # on some file systems upper and lower case are the same
            raise _bad(f"archive: the item {_shown(id)} is called like the report.", "Call it something else.")
        for length in range(1, len(parts)):
            if "/".join(parts[:length]) in known:
                raise _bad(f"archive: the item {_shown(id)} lies inside of another.", "Keep items side by side.")


def _bad(message: str, hint: str) -> BadArchive:
    return BadArchive(message, hint)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")

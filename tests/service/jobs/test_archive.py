"""What a job's zip may hold, and what is refused before anything of it is unpacked."""

import io
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from service.errors import BadArchive
from service.jobs.archive import Item, check_name, pack, read_items
from service.jobs.settings import JobSettings

SETTINGS = JobSettings(most_items=5, most_bytes=2_000_000)
Members = dict[str | zipfile.ZipInfo, bytes]


def zipped(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def items(data: bytes, kind: str = "perceive", settings: JobSettings = SETTINGS) -> list[Item]:
    return read_items(io.BytesIO(data), kind, settings, most_file_bytes=1_000_000)


def info(name: str, **attributes: Any) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    for attribute, value in attributes.items():
        setattr(entry, attribute, value)
    return entry


def with_raw_name(written: bytes, wanted: bytes) -> bytes:
    """A zip whose member has a name that `zipfile` itself would not write."""
    assert len(written) == len(wanted)
    return zipped({written.decode(): b"x"}).replace(written, wanted)


def test_images_anywhere_are_items_named_by_their_path() -> None:
    data = zipped({"a.jpg": b"1", "rooms/": b"", "rooms/b c.png": b"2", "__MACOSX/a.jpg": b"", ".DS_Store": b""})
    assert items(data) == [
        Item(id="a.jpg", files={"image": "a.jpg"}),
        Item(id="rooms/b c.png", files={"image": "rooms/b c.png"}),
    ]


def test_folders_are_pairs() -> None:
    data = zipped({"x/1/reference.jpg": b"", "x/1/target.PNG": b"", "x/1/notes.txt": b"", "readme.md": b""})
    expected = {"reference": "x/1/reference.jpg", "target": "x/1/target.PNG"}
    assert items(data, "stitch") == [Item(id="x/1", files=expected)]


def test_a_manifest_names_pairs_and_may_use_a_file_twice() -> None:
    table = "\ufeffid,reference,target\r\nfirst,a.jpg,b.jpg\r\n\r\nsecond , b.jpg, c/d.jpg\r\n".encode()
    data = zipped({"manifest.csv": table, "a.jpg": b"", "b.jpg": b"", "c/d.jpg": b""})
    assert items(data, "stitch") == [
        Item(id="first", files={"reference": "a.jpg", "target": "b.jpg"}),
        Item(id="second", files={"reference": "b.jpg", "target": "c/d.jpg"}),
    ]


PAIR: Members = {"1/reference.jpg": b"", "1/target.jpg": b""}


def manifest(text: str) -> bytes:
    return zipped({"manifest.csv": text.encode("latin-1"), "a.jpg": b"", "b.jpg": b""})


HEAD = "id,reference,target\n"
PLAIN_ENTRY = b"PK\x01\x02\x14\x03\x14\0\0\0"
BAD: dict[str, tuple[str, bytes]] = {
    "not a zip": ("perceive", b"GIF89a"),
    "empty": ("perceive", b""),
    "no items": ("perceive", zipped({})),
    "only folders": ("perceive", zipped({"a/": b""})),
    "cut off": ("perceive", zipped({"a.jpg": b"x" * 1000})[:-30]),
    "up": ("perceive", zipped({"../a.jpg": b""})),
    "up in the middle": ("perceive", zipped({"a/../../b.jpg": b""})),
    "absolute": ("perceive", zipped({"/etc/passwd": b""})),
    "here": ("perceive", zipped({"./a.jpg": b""})),
    "empty part": ("perceive", zipped({"a//b.jpg": b""})),
    "drive": ("perceive", zipped({"C:a.jpg": b""})),
    "backslash": ("perceive", with_raw_name(b"a_b_c.jpg", b"a\\..\\.jpg")),
    "null byte": ("perceive", with_raw_name(b"a.jpg_..", b"a.jpg\0..")),
    "newline": ("perceive", zipped({"a\n.jpg": b""})),
    "long name": ("perceive", zipped({"a" * 300: b""})),
    "escape by a folder": ("perceive", zipped({"../": b"", "a.jpg": b""})),
    "link": ("perceive", zipped({info("a.jpg", external_attr=(stat.S_IFLNK | 0o777) << 16): b"/etc/passwd"})),
    "encrypted": ("perceive", zipped({"a.jpg": b"x"}).replace(PLAIN_ENTRY, PLAIN_ENTRY[:-2] + b"\1\0")),
    "strange compression": ("perceive", zipped({"a.jpg": b"x" * 1000}, zipfile.ZIP_BZIP2)),
    "one file unpacks to too much": ("perceive", zipped({"a.bmp": b"\0" * 1_100_000}, zipfile.ZIP_DEFLATED)),
    "all unpack to too much": (
        "perceive",
        zipped({f"{i}.bmp": b"\0" * 900_000 for i in range(3)}, zipfile.ZIP_DEFLATED),
    ),
    "too many": ("perceive", zipped({f"{i}.jpg": b"" for i in range(6)})),
    "named like the report": ("perceive", zipped({"a.jpg": b"", "report.jsonl": b""})),
    "named like the report to a file system without case": ("perceive", zipped({"Report.JSONL": b""})),
    "inside of the report": ("perceive", zipped({"report.jsonl/a.jpg": b""})),
    "pair named like the report": ("stitch", manifest(HEAD + "report.jsonl,a.jpg,b.jpg\n")),
    "item inside of another": ("perceive", zipped({"a": b"", "a/b": b""})),
    "pair without target": ("stitch", zipped({**PAIR, "2/reference.jpg": b""})),
    "pair without reference": ("stitch", zipped({**PAIR, "2/target.jpg": b""})),
    "two references": ("stitch", zipped({**PAIR, "1/reference.png": b""})),
    "pair in no folder": ("stitch", zipped({"reference.jpg": b"", "target.jpg": b""})),
    "pair inside of another": ("stitch", zipped({**PAIR, "1/2/reference.jpg": b"", "1/2/target.jpg": b""})),
    "no pairs": ("stitch", zipped({"a.jpg": b""})),
    "manifest without a head": ("stitch", manifest("1,a.jpg,b.jpg\n")),
    "manifest that is empty": ("stitch", manifest("")),
    "manifest with a short row": ("stitch", manifest(HEAD + "1,a.jpg\n")),
    "manifest with a file that is not there": ("stitch", manifest(HEAD + "1,a.jpg,c.jpg\n")),
    "manifest with an id twice": ("stitch", manifest(HEAD + "1,a.jpg,b.jpg\n1,b.jpg,a.jpg\n")),
    "manifest with an id that leaves": ("stitch", manifest(HEAD + "../1,a.jpg,b.jpg\n")),
    "manifest with an empty id": ("stitch", manifest(HEAD + ",a.jpg,b.jpg\n")),
    "manifest that is not UTF-8": ("stitch", manifest(HEAD + "\xe9,a.jpg,b.jpg\n")),
    "manifest with an open quote": ("stitch", manifest(HEAD + '"1,a.jpg,b.jpg\n')),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_refused(case: str) -> None:
    kind, data = BAD[case]
    with pytest.raises(BadArchive) as refused:
        items(data, kind)
    assert refused.value.message
    assert refused.value.hint


def test_a_long_list_of_files_is_refused_before_it_is_read() -> None:
    """The end record claims a list of 4 GB, which `zipfile` would try to read."""
    data = bytearray(zipped({"a.jpg": b""}))
    place = data.rfind(b"PK\x05\x06")
    data[place + 12 : place + 16] = struct.pack("<I", 0xFFFFFFF0)
    with pytest.raises(BadArchive, match="too long"):
        items(bytes(data))
    locator = b"PK\x06\x07" + b"\0" * 16
    with pytest.raises(BadArchive, match="65,535"):
        items(bytes(data[:place]) + locator + bytes(data[place:]))


def test_a_declared_size_that_lies_cannot_unpack_to_more(tmp_path: Path) -> None:
    """1 byte is declared and a megabyte follows: reading stops, and the checksum gives the lie away."""
    data = zipped({"a.bmp": b"\0" * 1_000_000}, zipfile.ZIP_DEFLATED)
    lying = data.replace(struct.pack("<I", 1_000_000), struct.pack("<I", 1))
    assert len(items(lying)) == 1
    with zipfile.ZipFile(io.BytesIO(lying)) as archive, pytest.raises(zipfile.BadZipFile):
        archive.read("a.bmp")


def test_files_one_by_one_are_the_zip_they_could_have_been() -> None:
    target = io.BytesIO()
    names = ["1/reference.jpg", "1/target.jpg"]
    pack([io.BytesIO(b"left"), io.BytesIO(b"right")], names, target)
    assert items(target.getvalue(), "stitch") == [
        Item(id="1", files=dict(zip(("reference", "target"), names, strict=True)))
    ]
    with zipfile.ZipFile(target) as archive:
        assert archive.read("1/target.jpg") == b"right"
    for names in (["a.jpg", "a.jpg"], ["a.jpg", "../b.jpg"], ["a.jpg", ""]):
        with pytest.raises(BadArchive):
            pack([io.BytesIO(), io.BytesIO()], names, io.BytesIO())


def test_the_report_s_name_is_free_inside_of_a_folder() -> None:
    assert [item.id for item in items(zipped({"rooms/report.jsonl": b""}))] == ["rooms/report.jsonl"]


@pytest.mark.parametrize("name", ["a", "a.b/c d/é-ü.jpg", "...", "a/..b/c.."])
def test_names_that_stay_inside(name: str) -> None:
    assert check_name(name) == name

"""Folders, manifests and patterns as items; what is wrong with one row stays with that row."""

import csv
import json
import os
from pathlib import Path

import fsspec
import pyarrow.parquet
import pytest

from service.batch.failures import BatchError
from service.batch.inputs import read_entries
from service.batch.items import Item, Refused, file_name

PAIR, PHOTO = ("reference", "target"), ("image",)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def items(entries: list) -> dict[str, tuple[str, ...]]:
    return {entry.id: entry.inputs for entry in entries if isinstance(entry, Item)}


def refused(entries: list) -> dict[str, str]:
    return {entry.id: entry.code for entry in entries if isinstance(entry, Refused)}


def test_a_folder_per_pair(tmp_path: Path) -> None:
    touch(tmp_path, "day/a/reference.png", "day/a/target.JPG", "b/reference.jpg", "b/target.jpg", "b/note.txt")
    touch(tmp_path, "half/target.png", "twice/reference.png", "twice/reference.jpg", "twice/target.png")
    entries = read_entries(str(tmp_path), PAIR)
    assert items(entries) == {
        "b": (f"{tmp_path}/b/reference.jpg", f"{tmp_path}/b/target.jpg"),
        "day/a": (f"{tmp_path}/day/a/reference.png", f"{tmp_path}/day/a/target.JPG"),
    }
    assert refused(entries) == {"half": "missing_file", "twice": "invalid_row"}


@pytest.mark.parametrize("sides", [("reference", "target"), ("input1", "input2")])
def test_two_folders_of_equal_names(tmp_path: Path, sides: tuple[str, str]) -> None:
    first, second = sides
    touch(tmp_path, f"{first}/1.png", f"{second}/1.jpg", f"{first}/2.png", f"{second}/3.png")
    entries = read_entries(str(tmp_path), PAIR)
    assert items(entries) == {"1": (f"{tmp_path}/{first}/1.png", f"{tmp_path}/{second}/1.jpg")}
    assert refused(entries) == {"2": "missing_file", "3": "missing_file"}


def test_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "in/mon/a/reference.png", "in/mon/a/target.png", "in/tue/b/reference.png", "in/tue/b/target.png")
    monkeypatch.chdir(tmp_path)  # relative sources become absolute
    assert set(items(read_entries("in/*/*", PAIR))) == {"mon/a", "tue/b"}
    assert set(items(read_entries("in/mon/*", PAIR))) == {"a"}
    assert set(items(read_entries("in/**/*.png", PAIR))) == {"mon/a", "tue/b"}
    photographs = items(read_entries("in/*/a/*.png", PHOTO))
    assert photographs["mon/a/target.png"] == (f"{tmp_path}/in/mon/a/target.png",)
    assert set(items(read_entries("in/tue", PHOTO))) == {"b/reference.png", "b/target.png"}


def test_a_folder_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "in [a]/reference/1.png", "in [a]/target/1.png", "in a/reference/2.png", "in a/target/2.png")
    assert set(items(read_entries(f"{tmp_path}/in [a]", PAIR))) == {"1"}
    assert set(items(read_entries(f"{tmp_path}/in [a]/reference", PHOTO))) == {"1.png"}
    assert set(items(read_entries(f"{tmp_path}/in [ab]/*/*.png", PHOTO))) == {
        "in a/reference/2.png",
        "in a/target/2.png",
    }


def test_pair_folders_whose_names_are_not_utf8(tmp_path: Path) -> None:
    touch(tmp_path, "good/reference.png", "good/target.png", "half/target.png")
    for name in (b"caf\xe9/reference.png", b"caf\xe9/target.png", b"half\xe9/target.png"):
        touch(tmp_path, os.fsdecode(name))
    entries = read_entries(str(tmp_path), PAIR)
    assert set(items(entries)) == {"good"}
    assert refused(entries) == {
        "half": "missing_file", r"'caf\udce9'": "invalid_id", r"'half\udce9'": "invalid_id",
    }  # fmt: skip


def test_a_store_gives_urls() -> None:
    store = fsspec.filesystem("memory")
    for name in ("a/reference.png", "a/target.png"):
        store.pipe_file(f"/batch-inputs/{name}", b"x")
    store.pipe_file("/batch-inputs/list.csv", b"id,reference,target\nn,a/reference.png,memory://else/where.png\n")
    inputs = ("memory:///batch-inputs/a/reference.png", "memory:///batch-inputs/a/target.png")
    (found,) = items(read_entries("memory://batch-inputs", PAIR)).items()
    assert found[0] == "a"
    assert [url.replace(":////", "://").replace(":///", "://") for url in found[1]] == [
        url.replace(":///", "://") for url in inputs
    ]
    (found,) = items(read_entries("memory://batch-inputs/list.csv", PAIR)).items()
    assert found == ("n", ("memory://batch-inputs/a/reference.png", "memory://else/where.png"))


ROWS = [
    {"id": "one", "reference": "r.png", "target": "/abs/t.png", "extra": "ignored"},
    {"id": 2, "reference": "r.png", "target": "s3://bucket/t.png"},
    {"id": "one", "reference": "again.png", "target": "t.png"},
    {"id": "", "reference": "r.png", "target": "t.png"},
    {"id": "none", "reference": None, "target": "t.png"},
    {"id": "x" * 300, "reference": "r.png", "target": "t.png"},
]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_manifests_of_every_kind_say_the_same(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"list.{ending}"
    if ending == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["id", "reference", "target", "extra"])
            writer.writeheader()
            writer.writerows(ROWS)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n\n" for row in ROWS))
    else:
        rows = [{**row, "id": str(row["id"])} for row in ROWS]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    entries = read_entries(str(path), PAIR)
    assert len(entries) == len(ROWS)
    assert items(entries) == {
        "one": (f"{tmp_path}/r.png", "/abs/t.png"),
        "2": (f"{tmp_path}/r.png", "s3://bucket/t.png"),
    }
    assert [entry.code for entry in entries if isinstance(entry, Refused)] == [
        "duplicate_id",
        "invalid_row",
        "invalid_row",
        "invalid_id",
    ]


def test_mixed_and_broken_rows_stay_alone(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    lines = [{"image": "a.png"}, {"picture": "b.png"}, [1], {"image": 5}, {"image": "c.png", "focal_px": 500}]
    lines += [{"image": "d.png", "focal_px": "wide"}, {"image": "e.png", "focal_px": 0}, {"image": "f", "id": 1.5}]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n{not json\n")
    entries = read_entries(str(path), PHOTO)
    assert [entry for entry in entries if isinstance(entry, Item)] == [
        Item("a.png", (f"{tmp_path}/a.png",)),
        Item("c.png", (f"{tmp_path}/c.png",), 500.0),
    ]
    assert [entry.code for entry in entries if isinstance(entry, Refused)] == ["invalid_row"] * 7
    path = tmp_path / "list.csv"
    path.write_text("image,focal_px\na.png,\nb.png\nc.png,600,surplus\nd.png,700\n")
    entries = read_entries(str(path), PHOTO)
    assert [getattr(entry, "focal_px", "refused") for entry in entries] == [None, "refused", "refused", 700.0]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("list.csv", b"id,left,right\n1,a,b\n", "no column reference, target"),
        ("list.csv", b"id,id,reference,target\n", "twice"),
        ("list.csv", b"id,reference,target\n\xff\xfe,a,b\n", "UTF-8"),
        ("list.csv", b"id,reference,target\n", "nothing found; the manifest has no rows"),
        ("list.parquet", b"PAR1 not really", "Parquet"),
        ("list.csv", None, "no such file"),
        ("folder", None, "expected a folder"),
        ("list.txt", b"a\n", "expected a folder"),
        ("*.nothing", None, "nothing found"),
    ],
)
def test_a_source_that_is_none_is_refused(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BatchError, match=says):
        read_entries(str(tmp_path / name), PAIR)


def test_ids_become_different_file_names() -> None:
    ids = ["a/b", "a%2Fb", "a b", "..", ".hidden", "%2E.", "ü", "a\\b", "a:b", "A", "a", "-x"]
    names = {file_name(item_id) for item_id in ids}
    assert len(names) == len(ids)
    assert all(name.isascii() and "/" not in name and not name.startswith(".") for name in names)


def test_the_key_follows_the_inputs() -> None:
    item = Item("a", ("x.png",))
    others = [Item("a", ("y.png",)), Item("a", ("x.png",), 500.0), Item("b", ("x.png",)), Item("a", ("x.png", ""))]
    assert len({item.key, *(other.key for other in others)}) == 5
    assert item.key == Item("a", ("x.png",)).key

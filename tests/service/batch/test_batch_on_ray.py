"""What actors do, and what becomes of items that Ray gave up, without a cluster. A full test starts one."""

import json
from pathlib import Path

import numpy as np
import pytest

from service.batch.inputs import read_entries
from service.batch.items import Item
from service.batch.on_ray import Actor, _lost, _packed, _unpacked
from tests.helpers.batch_task import DigestTask


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    """Four items, of which the third fails."""
    (tmp_path / "in").mkdir()
    for number in range(4):
        (tmp_path / "in" / f"{number}.png").write_bytes(b"raise" if number == 2 else b"%d" % number)
    return [entry for entry in read_entries(str(tmp_path / "in"), DigestTask.inputs) if isinstance(entry, Item)]


def test_items_travel_unchanged(items: list[Item]) -> None:
    for item in [*items, Item('odd "id"/ü', ("s3://a/b.png",), 512.5)]:
        assert _unpacked(_packed(item)) == item
        assert _unpacked(_packed(item)).key == item.key


def test_an_actor_answers_rows_and_leaves_outputs(items: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    batch = {"item": np.array([_packed(item) for item in items], dtype=object)}
    answer = Actor(DigestTask(), str(out))(batch)
    assert answer["item"] == list(batch["item"])
    rows = [json.loads(text) for text in answer["row"]]
    assert [row["status"] for row in rows] == ["ok", "ok", "failed", "ok"]
    assert (out / "items" / "3.png" / "content.bin").read_bytes() == b"333"


def test_what_ray_gave_up_is_looked_up_or_failed(items: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    Actor(DigestTask(), str(out))({"item": [_packed(item) for item in items[:3]]})
    rows = {item.id: row for item, row in _lost(items, DigestTask(), str(out))}
    assert {name: row.get("code", row["status"]) for name, row in rows.items()} == {
        "0.png": "ok", "1.png": "ok", "2.png": "internal_error", "3.png": "worker_died",
    }  # fmt: skip
    assert len(list((out / "rows" / "failed").iterdir())) == 2

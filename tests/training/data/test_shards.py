"""The sample cache: exact repetition, atomic writes, refusal of what it does not hold."""

import json
import math

import pytest
import torch
from safetensors.torch import load, save

from training.data import shards
from training.data.pairs import PairConfig
from training.data.rooms import RoomConfig, render_rooms
from training.data.shards import SEEDS_PER_SET, ShardedDataset

SMALL = RoomConfig(height=32, width=40, antialias=False)


def rooms(root, count=3, seed=5, config=SMALL, shard_size=2):
    return ShardedDataset(root, "rooms", count, config, seed=seed, shard_size=shard_size)


def test_a_missing_shard_is_made_again_byte_for_byte(tmp_path):
    dataset = rooms(tmp_path)
    dataset[2]
    assert not dataset.shard_path(0).exists()
    path = dataset.shard_path(1)
    before = path.read_bytes()
    path.unlink()
    dataset[2]
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000001.safetensors", "index.json"]


def test_samples_are_close_to_what_was_rendered(tmp_path):
    dataset = rooms(tmp_path)
    sample = dataset[1]
    frame = render_rooms([5 * SEEDS_PER_SET + 1], SMALL)
    assert set(sample) == {"image", "depth", "label", "normal", "intrinsics", "index"}
    assert int(sample["index"]) == 1
    assert torch.equal(sample["label"], frame.label_BHW[0])
    assert torch.equal(sample["intrinsics"], frame.intrinsics_B33[0])
    torch.testing.assert_close(sample["image"], frame.image_B3HW[0], atol=0.5 / 255 + 1e-6, rtol=0)
    torch.testing.assert_close(sample["depth"], frame.depth_BHW[0], atol=0, rtol=8e-5)
    assert float((sample["normal"] * frame.normal_B3HW[0]).sum(0).min()) > 0.9999


def test_stored_depth_is_exact_to_its_step_and_keeps_invalid_pixels():
    code = shards.CODES["rooms"]["depth"]
    depth = torch.cat([torch.zeros(1), torch.logspace(math.log10(0.05), math.log10(80), 5000)])
    back = code.decode(code.encode(depth))
    assert float(back[0]) == 0
    torch.testing.assert_close(back[1:], depth[1:], atol=0, rtol=8e-5)
    assert float((back - depth)[depth < 3].abs().max()) < 0.25e-3
    torch.testing.assert_close(code.decode(code.encode(torch.tensor([1e-3, 500.0]))), torch.tensor([0.02, 200.0]))


def test_pairs_are_kept_too(tmp_path):
    config = PairConfig(height=24, width=32, antialias=False)
    sample = ShardedDataset(tmp_path, "pairs", 1, config, seed=2, shard_size=1)[0]
    assert sample["flow"].shape == (2, 24, 32)
    assert sample["flow"].dtype == sample["inverse_depth"].dtype == torch.float32
    assert sample["stitched"].shape == (3, 36, 64)
    assert sample["region"].dtype == sample["seen"].dtype == torch.uint8


def test_count_may_grow_without_changing_samples(tmp_path):
    few, many = rooms(tmp_path, count=1), rooms(tmp_path, count=4)
    assert torch.equal(few[0]["image"], many[0]["image"])
    assert len(many) == 4


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 6}, "seed"),
        ({"shard_size": 4}, "shard_size"),
        ({"config": RoomConfig(height=32, width=48, antialias=False)}, "config"),
    ],
)
def test_a_cache_of_something_else_is_refused_by_name(tmp_path, change, name):
    rooms(tmp_path)
    with pytest.raises(ValueError, match=f"expected {name} = "):
        rooms(tmp_path, **change)


def test_a_kill_while_writing_leaves_no_shard(tmp_path, monkeypatch):
    dataset = rooms(tmp_path)

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shards.os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        dataset.ensure_shard(0)
    assert [p.name for p in tmp_path.iterdir()] == ["index.json"]


def test_an_older_generators_cache_is_read_but_not_extended(tmp_path):
    rooms(tmp_path).ensure_shard(0)
    index = tmp_path / "index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "generator": 0}))
    dataset = rooms(tmp_path)
    assert dataset[0]["image"].shape == (3, 32, 40)
    with pytest.raises(ValueError, match="expected generator = "):
        dataset[2]


@pytest.mark.parametrize("damage", ["empty", "cut", "not one", "fewer rows", "other fields"])
def test_a_damaged_shard_is_named_and_made_again_once_it_is_gone(tmp_path, damage):
    dataset = rooms(tmp_path)
    expected = dataset[1]["image"]
    path = dataset.shard_path(0)
    content = path.read_bytes()
    fields = load(content)
    path.write_bytes({
        "empty": b"", "cut": content[:-20], "not one": b"x" * 4000, "other fields": save({"image": fields["image"]}),
        "fewer rows": save({name: value[:1].clone() for name, value in fields.items()}),
    }[damage])  # fmt: skip
    with pytest.raises(ValueError, match=r"000000\.safetensors: expected .* delete it and it is made again"):
        rooms(tmp_path)[1]
    path.unlink()
    assert torch.equal(rooms(tmp_path)[1]["image"], expected)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_damaged_index_is_named(tmp_path, content):
    rooms(tmp_path)
    (tmp_path / "index.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"index\.json: expected the index of a cache, found"):
        rooms(tmp_path)


def test_shards_without_an_index_belong_to_no_seed(tmp_path):
    rooms(tmp_path).ensure_shard(0)
    (tmp_path / "index.json").unlink()
    with pytest.raises(ValueError, match=r"index\.json: expected the index of the shards beside it, found none"):
        rooms(tmp_path, seed=6)
    assert not (tmp_path / "index.json").exists()


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="source: expected one of"):
        ShardedDataset(tmp_path, "streets", 1)
    with pytest.raises(ValueError, match="config: expected PairConfig"):
        ShardedDataset(tmp_path, "pairs", 1, SMALL)
    with pytest.raises(IndexError, match=r"expected 0\.\.2"):
        rooms(tmp_path)[3]

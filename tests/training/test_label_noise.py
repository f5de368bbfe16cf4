"""Planted errors: which samples, what becomes of them, and that nothing else changes."""

from collections.abc import Sequence

import pytest
import torch

from training.config_json import from_json, to_json
from training.data.pairs import PairConfig
from training.data.rooms import RoomConfig
from training.datasets import DataRecipe
from training.label_noise import LabelNoiseConfig, NoisyLabels, bad_samples, is_bad, origin
from training.prefetch import Batch

COUNT = 50
NOISE = LabelNoiseConfig(depth=0.3, segmentation=0.3, depth_factor=2.0, seed=4)


def read(indices: Sequence[int], step: int = 0) -> Batch:
    """Every pixel of a sample's depth is 1 + index, of its label map the index."""
    index = torch.tensor(list(indices))
    whole = torch.ones(len(indices), 2, 3)
    return {
        "index": index,
        "image": whole[:, None] * step,
        "depth": whole * (1 + index).view(-1, 1, 1),
        "label": (whole * index.view(-1, 1, 1)).to(torch.uint8),
    }


def test_bad_samples_follow_from_seed_and_index() -> None:
    many = bad_samples(NOISE, 4000)
    assert {task: len(found) / 4000 for task, found in many.items()} == pytest.approx(
        {"depth": 0.3, "segmentation": 0.3}, abs=0.02
    )
    both = set(many["depth"]) & set(many["segmentation"])
    assert len(both) / 4000 == pytest.approx(0.09, abs=0.015)
    assert bad_samples(NOISE, 100)["depth"] == [index for index in many["depth"] if index < 100]
    alone = LabelNoiseConfig(depth=0.3, seed=4)
    assert bad_samples(alone, 4000) == {"depth": many["depth"]}
    assert bad_samples(LabelNoiseConfig(depth=0.3, seed=5), 100) != bad_samples(alone, 100)
    origins = [origin(NOISE, index, COUNT) for index in range(COUNT)]
    assert all(0 <= other < COUNT and other != index for index, other in enumerate(origins))
    assert len(set(origins)) > COUNT / 3
    assert [origin(NOISE, index, 2) for index in range(2)] == [1, 0]


def test_only_bad_labels_change() -> None:
    noisy = NoisyLabels(NOISE, read, COUNT, shard_size=8)
    assert (len(noisy), noisy.shard_size) == (COUNT, 8)
    indices = list(range(COUNT))[::-1]
    clean, batch = read(indices, 3), noisy.batch(indices, 3)
    assert torch.equal(batch["image"], clean["image"])
    assert torch.equal(batch["index"], clean["index"])
    for place, index in enumerate(indices):
        factor = 2.0 if is_bad(NOISE, "depth", index) else 1.0
        assert torch.equal(batch["depth"][place], clean["depth"][place] * factor)
        other = origin(NOISE, index, COUNT) if is_bad(NOISE, "segmentation", index) else index
        assert (batch["label"][place] == other).all()
    one = noisy.batch([7])
    assert torch.equal(one["label"][0], batch["label"][indices.index(7)])
    assert torch.equal(one["depth"][0], batch["depth"][indices.index(7)])


def test_a_recipe_holds_it_and_refuses_what_does_not_repeat() -> None:
    data = DataRecipe(source="rooms", name="x", config=RoomConfig(), count=2, validation_count=1, label_noise=NOISE)
    assert from_json(DataRecipe, to_json(data)) == data
    old = {name: value for name, value in to_json(data).items() if name != "label_noise"}
    assert from_json(DataRecipe, old).label_noise is None
    with pytest.raises(ValueError, match="label_noise"):
        DataRecipe(
            source="rooms", name="x", config=RoomConfig(), count=2, validation_count=1, stream=True, label_noise=NOISE
        )
    with pytest.raises(ValueError, match="label_noise"):
        DataRecipe(source="pairs", name="x", config=PairConfig(), count=2, validation_count=1, label_noise=NOISE)
    with pytest.raises(ValueError, match="shares"):
        LabelNoiseConfig(depth=1.1)
    with pytest.raises(ValueError, match="depth_factor"):
        LabelNoiseConfig(depth=0.3, depth_factor=1.0)
    with pytest.raises(ValueError, match="expected labels 'depth'"):
        NoisyLabels(LabelNoiseConfig(depth=1.0), lambda indices, step=0: {"index": torch.tensor([0])}, 1, 1).batch([0])

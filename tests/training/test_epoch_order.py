"""The data position of a run is its step."""

import time
from collections import Counter

import pytest

from training.epoch_order import EpochOrder
from training.prefetch import Batch, prefetched
from training.schedule import learning_rate_scale


def test_every_epoch_holds_every_sample_once() -> None:
    order = EpochOrder(100, 7, seed=3, shard_size=8, group=2)
    drawn = [index for step in range(100) for index in order.indices(step)]
    for epoch in range(7):
        assert sorted(drawn[100 * epoch : 100 * (epoch + 1)]) == list(range(100))
    assert drawn[:100] != drawn[100:200]


def test_a_step_does_not_depend_on_what_was_asked_before() -> None:
    one, other = EpochOrder(50, 8, seed=1), EpochOrder(50, 8, seed=1)
    assert [one.indices(step) for step in (40, 3, 12)] == [other.indices(step) for step in (40, 3, 12)]
    assert one.indices(0) != EpochOrder(50, 8, seed=2).indices(0)


def test_a_group_of_shards_is_finished_before_the_next() -> None:
    order = EpochOrder(64, 16, seed=0, shard_size=8, group=2)
    for step in range(4):
        assert len(Counter(index // 8 for index in order.indices(step))) == 2


def test_prefetching_keeps_order_raises_in_place_and_ends() -> None:
    def read(step: int) -> Batch:
        time.sleep(0.001 * (step % 3))
        if step == 5:
            raise RuntimeError("sample 5 is broken")
        return {"step": step}  # type: ignore[dict-item]

    batches = prefetched(range(2, 9), read)
    assert [next(batches)["step"] for _ in range(3)] == [2, 3, 4]
    with pytest.raises(RuntimeError, match="sample 5"):
        next(batches)
    early = prefetched(range(5), read)
    next(early)
    early.close()


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_the_rate_rises_to_its_peak_then_never_rises(schedule: str) -> None:
    scales = [learning_rate_scale(s, steps=200, warmup=0.1, schedule=schedule) for s in range(205)]  # type: ignore[arg-type]
    assert scales[:20] == sorted(scales[:20])
    assert scales[20] == 1.0
    assert scales[20:] == sorted(scales[20:], reverse=True)
    assert 0 < min(scales) <= max(scales) <= 1

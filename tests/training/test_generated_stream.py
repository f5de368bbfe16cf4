"""A stream gives what a cache of its seed would hold and never repeats; caches are filled by several processes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.__main__ import main
from training.datasets import DataRecipe, open_dataset, open_training, read_batch, step_reader
from training.epoch_order import EpochOrder
from training.generated_stream import GeneratedStream
from training.loop import RunOptions, train
from training.recipes import get_recipe, with_overrides

TINY = replace(get_recipe("tiny_perceive").data, count=4, shard_size=2)


def test_a_stream_holds_the_values_of_a_cache(tmp_path: Path) -> None:
    cached = read_batch(open_dataset(TINY, tmp_path, "train"), [0, 3])
    fresh = open_training(replace(TINY, stream=True), tmp_path / "none", "cpu")
    assert isinstance(fresh, GeneratedStream)
    streamed = fresh.batch([0, 3])
    assert set(streamed) == set(cached)
    for name, value in cached.items():
        assert torch.equal(streamed[name], value), name
    assert not (tmp_path / "none").exists()


def test_steps_follow_each_other_without_repeating() -> None:
    stream = GeneratedStream(TINY.config, TINY.seed, 2)  # type: ignore[arg-type]  # rooms
    order = EpochOrder(2, 2, seed=0, shard_size=stream.shard_size)
    shares = [step_reader(stream, order, slice(rank, None, 2))(5)["index"].tolist() for rank in (0, 1)]
    assert shares == [[10], [11]]
    with pytest.raises(IndexError, match="indices"):
        stream.batch([10_000_000])


def test_rooms_built_by_other_processes_are_the_same() -> None:
    alone, helped = (GeneratedStream(TINY.config, TINY.seed, 2, workers=workers) for workers in (0, 1))  # type: ignore[arg-type]
    batches = [step_reader(stream, EpochOrder(2, 1, seed=0), slice(None))(1) for stream in (alone, helped)]
    for name, value in batches[0].items():
        assert torch.equal(batches[1][name], value), name


def test_public_data_cannot_be_streamed() -> None:
    folder = get_recipe("nyud_mti_net_hrnet18").data
    with pytest.raises(ValueError, match="stream"):
        DataRecipe(source=folder.source, name="x", config=folder.config, stream=True)


def test_a_streamed_run_trains_and_resumes(tmp_path: Path) -> None:
    recipe = with_overrides(
        get_recipe("tiny_perceive"), stream=True, steps=2, batch_size=2, validation_count=1, evaluate_every=2
    )
    options = RunOptions(out=tmp_path / "run", data_root=tmp_path / "data", threads=1, progress=False)
    assert train(recipe, options)["finished"]
    assert train(replace(recipe, steps=3), options)["step"] == 3


def test_the_command_fills_both_caches_with_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["render", "tiny_perceive", "--data-root", str(tmp_path), "--processes", "2", "--quiet"]
    arguments += ["--data-count", "9", "--validation-count", "1"]
    assert main(arguments) == 0
    assert '"made": 3' in capsys.readouterr().out
    assert len(list(tmp_path.glob("rooms_tiny/*.safetensors"))) == 2
    assert main(arguments) == 0
    assert '"made": 0' in capsys.readouterr().out
    assert main(["render", "nyud_mti_net_hrnet18", "--data-root", str(tmp_path)]) == 2

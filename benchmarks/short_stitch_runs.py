"""Short training runs on one set of generated pairs, for comparisons of stitching networks and of their losses.

Every run lies in a folder of its own and is resumed; its number of steps is decided once and kept beside it, so that a
schedule always ends where it was meant to.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from training.checkpoint import write_atomically
from training.datasets import DEFAULT_ROOT, DataRecipe
from training.recipe import Recipe

PACE_STEPS = 4
"""Steps that a network's pace is measured over, after one that warms up."""


@dataclass(frozen=True, kw_only=True)
class PairSet:
    """Generated pairs: numbers in training and validation, and the size of a frame."""

    count: int
    validation_count: int
    height: int
    width: int

    def data(self) -> DataRecipe:
        """The set as recipes name it; rendered when it is first asked for, or by `render`."""
        from training.data.pairs import PairConfig

        return DataRecipe(
            source="pairs",
            name=f"pairs_short_{self.height}x{self.width}",
            config=PairConfig(height=self.height, width=self.width),
            count=self.count,
            validation_count=self.validation_count,
            shard_size=min(16, self.count),
        )

    def render(self, recipe: Recipe, root: Path, processes: int) -> float:
        """Makes what is missing on disk; answers the seconds that took."""
        from training.render_caches import render_caches

        started = time.monotonic()
        render_caches(replace(recipe, data=self.data()), root, processes, progress=False)
        return time.monotonic() - started


def add_pair_options(parser: argparse.ArgumentParser, runs: Path) -> None:
    """What every comparison of short runs asks for: the pairs, and how and where they are rendered and trained on."""
    parser.add_argument("--count", type=int, default=512, help="pairs to train on")
    parser.add_argument("--validation-count", type=int, default=48)
    parser.add_argument("--height", type=int, default=192)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1, help="that render pairs")
    parser.add_argument("--runs", type=Path, default=runs)
    parser.add_argument("--data-root", type=Path, default=DEFAULT_ROOT)
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")


def pair_set(given: argparse.Namespace) -> PairSet:
    """The pairs that `add_pair_options` asked for."""
    return PairSet(count=given.count, validation_count=given.validation_count, height=given.height, width=given.width)


def seconds_per_step(recipe: Recipe, root: Path) -> float:
    """Wall seconds of one training step of the recipe's network and losses, batches included."""
    from lightning.fabric import Fabric

    from models.build import build
    from training.datasets import open_training, step_reader
    from training.epoch_order import EpochOrder
    from training.objectives.build import build_objective
    from training.optimizer import build_optimizer

    fabric = Fabric(accelerator="cpu", devices=1, precision=recipe.precision)
    torch.manual_seed(recipe.seed)
    network = build(recipe.model)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a form the stubs lack
    model, optimizer = fabric.setup(network, build_optimizer(network, recipe))
    objective = build_objective(recipe)
    dataset = open_training(recipe.data, root, "cpu")
    read = step_reader(dataset, EpochOrder(len(dataset), recipe.batch_size, seed=recipe.seed), slice(None))
    model.train()
    started = 0.0
    for step in range(PACE_STEPS + 1):
        if step == 1:
            started = time.monotonic()
        optimizer.zero_grad()
        fabric.backward(objective.loss(model, read(step), torch.Generator().manual_seed(step))["total"])
        optimizer.step()
    return (time.monotonic() - started) / PACE_STEPS


def short(recipe: Recipe, name: str, pairs: PairSet, steps: int) -> Recipe:
    """The recipe on these pairs for so many steps, judged at the end alone."""
    return replace(
        recipe,
        name=name,
        data=pairs.data(),
        steps=steps,
        evaluate_every=steps,
        checkpoint_every=max(1, steps // 4),
        ema_decay=0.98 if steps < 1000 else 0.995,
    )


def planned_steps(folder: Path, decide: Any) -> int:
    """The number of steps kept in `folder`, decided by the call `decide()` where there is none yet."""
    path = folder / "steps.json"
    if path.is_file():
        return int(json.loads(path.read_text())["steps"])
    steps = max(1, int(decide()))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"steps": steps}))
    return steps


def trained(recipe: Recipe, folder: Path, root: Path = DEFAULT_ROOT, threads: int = 1) -> dict[str, Any]:
    """Trains the recipe in `folder`, or goes on there; what the run says of itself."""
    from training.loop import RunOptions, train

    return train(recipe, RunOptions(out=folder / "run", data_root=root, threads=threads, progress=False))

"""Images a second of a training step of each recipe: augmentation, forward, loss, backward, optimiser.

    python -m benchmarks.training [--recipes perceive_rooms ...] [--device cpu] [--threads 2] [--out FILE.md]

One generated batch is used again and again, so that making and reading data does not count (see benchmarks.generator).
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.generator import device_words
from benchmarks.table import ROOT, Report, dated, markdown_table

RELEASED = ("perceive_rooms", "stitch_pixel_warp", "stitch_sigmo")


def step_seconds(recipe_name: str, device: str, steps: int, batch_size: int | None) -> tuple[list[float], int, int]:
    """Seconds of each timed step after two that do not count, the batch size and the number of parameters."""
    from lightning.fabric import Fabric

    from models.build import build
    from training.datasets import in_order, open_dataset
    from training.objectives.build import build_objective
    from training.objectives.stitched_image import StitchedImageOptions
    from training.recipes import get_recipe

    recipe = get_recipe(recipe_name)
    if isinstance(recipe.options, StitchedImageOptions) and not (ROOT / (recipe.options.pixel_warp or "")).exists():
        recipe = replace(recipe, options=replace(recipe.options, pixel_warp=None))
    size = batch_size or recipe.batch_size
    with tempfile.TemporaryDirectory() as cache:
        data = replace(recipe.data, count=size, shard_size=size)
        batch = next(in_order(open_dataset(data, Path(cache), "train"), size))
    fabric = Fabric(accelerator="cuda" if device.startswith("cuda") else "cpu", devices=1, precision=recipe.precision)
    torch.manual_seed(recipe.seed)
    network = build(recipe.model)
    objective = build_objective(recipe)
    objective.to(fabric.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
    model, optimizer = fabric.setup(network, optimizer)
    model.train()
    batch = fabric.to_device(batch)
    times = []
    for step in range(2 + steps):
        start = time.perf_counter()
        loss = objective.loss(model, batch, torch.Generator().manual_seed(step))["total"]
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        optimizer.step()
        float(loss.detach())
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times[2:], size, sum(p.numel() for p in network.parameters())


def main(argv: Sequence[str] | None = None) -> Report:
    """Measures, prints and writes the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--recipes", nargs="+", default=list(RELEASED))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch-size", type=int, help="instead of the recipe's")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    rows, numbers = [], dict[str, Any]()
    for name in options.recipes:
        times, batch, parameters = step_seconds(name, options.device, options.steps, options.batch_size)
        middle = float(np.median(times))
        rows.append([name, f"{parameters / 1e6:.2f}", str(batch), f"{middle:.3f}", f"{batch / middle:.2f}"])
        numbers[name] = {"seconds a step": middle, "images per second": batch / middle, "batch": batch}
    report = Report(title="Training steps", module="benchmarks.training", argv=argv)
    report.notes.append(
        f"Device: {device_words(options.device)}, {options.threads} PyTorch thread(s). Median of the steps; a "
        "frozen warp not trained yet is left out."
    )
    report.section(
        "Images a second", markdown_table(["recipe", "M parameters", "batch", "s a step", "samples /s"], rows)
    )
    report.numbers |= {"device": device_words(options.device), "threads": options.threads, "recipes": numbers}
    report.write(options.out or dated("training"))
    return report


if __name__ == "__main__":
    print(main().text())

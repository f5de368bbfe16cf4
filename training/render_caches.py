"""Fills a recipe's caches of generated samples with several processes, so that training need not wait for them."""

import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from training.data.shards import ShardedDataset
from training.datasets import GENERATED, DataRecipe, open_dataset
from training.recipe import Recipe


def render_caches(recipe: Recipe, root: Path, processes: int = 0, progress: bool = True) -> dict[str, Any]:
    """Makes every missing shard of both splits (of the validation set alone for a stream).

    processes: 0 for one per usable core. Interrupted, it goes on where it was: shards are always whole. Answers
    {recipe, folders, shards, made, samples}. Raises ValueError for a recipe whose data is not generated.
    """
    if recipe.data.source not in GENERATED:
        raise ValueError(f"recipe: expected one on generated data, found the source {recipe.data.source!r}")
    sets = [_cache(recipe.data, root, "validation")]
    if not recipe.data.stream:
        sets.append(_cache(recipe.data, root, "train"))
    missing = [
        (name, shard) for name, cache in sets for shard in range(cache.shards) if not cache.shard_path(shard).exists()
    ]
    workers = max(1, min(processes or len(os.sched_getaffinity(0)), len(missing)))
    context = get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting = [pool.submit(_make, recipe.data, root, name, shard) for name, shard in missing]
        for done in tqdm(as_completed(waiting), total=len(waiting), desc="shards", disable=not progress):
            done.result()
    return {
        "recipe": recipe.name,
        "folders": [str(cache.root) for _, cache in sets],
        "shards": sum(cache.shards for _, cache in sets),
        "made": len(missing),
        "samples": sum(len(cache) for _, cache in sets),
    }


def _cache(data: DataRecipe, root: Path, split: str) -> tuple[str, ShardedDataset]:
    cache = open_dataset(data, root, "train" if split == "train" else "validation")
    assert isinstance(cache, ShardedDataset)  # generated sources are cached
    return split, cache


def _make(data: DataRecipe, root: Path, split: str, shard: int) -> None:
    _cache(data, root, split)[1].ensure_shard(shard)

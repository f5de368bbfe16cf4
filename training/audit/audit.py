"""From a run to the labels of its training set that look wrong: a table, JSON, and a page for each task.

    python -m training audit artifacts/runs/my_run

Works on every data set that training reads. A run with instance parameters is ranked by them; any other run by the last
loss of each image, which is measured if it was not recorded.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.build import build, config_from_dict, without_weights
from training.audit.page import Shown, as_text, page
from training.audit.ranking import Suspect, TaskRanking, as_csv, as_json, rank_task
from training.audit.scores import measured, prepare_plainly, scores_of
from training.checkpoint import load_checkpoint, load_training_state, write_atomically
from training.config_json import from_json, to_json
from training.datasets import DEFAULT_ROOT, AnyDataset, open_dataset, read_batch
from training.folder_dataset import FolderDataset
from training.label_noise import LabelNoiseConfig, NoisyLabels, bad_samples
from training.losses.dense import depth_valid
from training.losses.tasks import resized
from training.objectives.build import build_objective
from training.objectives.dense_tasks import DenseTasksObjective
from training.pictures import image_picture
from training.prefetch import Batch
from training.recipe import Recipe
from training.task_pictures import task_picture

TABLE_FILE, JSON_FILE = "ranking.csv", "ranking.json"


def audit_run(
    run: Path,
    *,
    out: Path | None = None,
    first: int = 48,
    which: str = "latest",
    data_root: Path = DEFAULT_ROOT,
    device: str = "cpu",
    threads: int = 0,
) -> dict[str, Any]:
    """Writes the audit of a run (or checkpoint) to `out`, by default `run`/audit, and answers a summary.

    first: images on each page. Every file is replaced at once or not at all. Raises ValueError for a run of another
    objective, or whose data do not repeat.
    """
    if first < 1:
        raise ValueError(f"first: expected at least 1, found {first}")
    if threads:
        torch.set_num_threads(threads)
    place = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))
    checkpoint = load_checkpoint(run, which)
    recipe = from_json(Recipe, checkpoint.meta["recipe"])
    objective = build_objective(recipe)
    if not isinstance(objective, DenseTasksObjective) or recipe.data.stream:
        raise ValueError(f"run: expected dense tasks on images that repeat, found {recipe.name} ({recipe.objective})")
    network = build(without_weights(config_from_dict(checkpoint.model_config)))
    network.load_state_dict(checkpoint.state_dict)
    network.eval().to(place)
    dataset = open_dataset(recipe.data, data_root, "train", augmented=False)
    read = _reader(dataset, recipe.data.label_noise, place)
    tasks = [task.name for task in objective.tasks]
    scores = scores_of(load_training_state(checkpoint.folder)["weighting"], list(tasks), len(dataset))
    if scores is None:
        scores = measured(objective, network, read, len(dataset))
    names = _names(dataset)
    noise = recipe.data.label_noise
    known = bad_samples(noise, len(dataset)) if noise is not None else {}
    bad: dict[str, list[int]] = dict(known.items())
    rankings = [
        rank_task(task, column, scores, names, bad.get(task) if noise is not None else None)
        for column, task in enumerate(tasks)
    ]
    about = {
        "run": recipe.name,
        "checkpoint": str(checkpoint.folder),
        "step": checkpoint.meta["step"],
        "source": recipe.data.source,
        "label_noise": to_json(noise),
    }
    out = out or (run if run.is_dir() else run.parent) / "audit"
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / TABLE_FILE, as_csv(rankings))
    write_atomically(out / JSON_FILE, as_text(as_json(rankings, about)))
    pages = []
    for ranking in rankings:
        shown = [
            _shown(suspect, objective, network, read(suspect.index), dataset) for suspect in ranking.suspects[:first]
        ]
        others = [other for other in tasks if other != ranking.task]
        write_atomically(out / f"{ranking.task}.html", page(ranking, shown, run=recipe.name, others=others))
        pages.append(str(out / f"{ranking.task}.html"))
    return {
        **about,
        "table": str(out / TABLE_FILE),
        "json": str(out / JSON_FILE),
        "pages": pages,
        "tasks": [_with_first(ranking, first) for ranking in rankings],
    }


def _reader(dataset: AnyDataset, noise: LabelNoiseConfig | None, place: torch.device) -> Any:
    """From an index to a batch of that one sample on the device, with the errors that training saw."""
    clean = partial(read_batch, dataset)
    read = NoisyLabels(noise, clean, len(dataset), dataset.shard_size).batch if noise is not None else clean
    return lambda index: {name: value.to(place) for name, value in read([index]).items()}


def _names(dataset: AnyDataset) -> list[str]:
    if isinstance(dataset, FolderDataset):
        return list(dataset.names)
    return [f"{dataset.source} {index:06d}" for index in range(len(dataset))]


@torch.no_grad()
def _shown(
    suspect: Suspect, objective: DenseTasksObjective, network: nn.Module, batch: Batch, dataset: AnyDataset
) -> Shown:
    """The pictures of one image, in the units of its label as training saw it."""
    prepared = prepare_plainly(objective, batch)
    map_OHW = network(prepared.image_B3HW).final[suspect.task][0]
    label = prepared.labels[suspect.task][0]
    predicted, labelled = task_picture(suspect.task, map_OHW.float(), label)
    pictures = (image_picture(prepared.image_B3HW[0]), labelled, predicted)
    scale = _scale(map_OHW, label) if suspect.task == "depth" else None
    files: tuple[str, ...] = ()
    if isinstance(dataset, FolderDataset):
        files = tuple(str(path) for path in dataset.reader.paths("train", suspect.name, suspect.task))
    return Shown(suspect=suspect, pictures=pictures, scale=scale, files=files)


def _scale(map_1hw: Tensor, label_HW: Tensor) -> float | None:
    """Median of labelled over predicted depth where both are positive."""
    depth_HW = resized(map_1hw[None], label_HW.shape)[0, 0]
    both_HW = depth_valid(label_HW) & (depth_HW > 0)
    return float((label_HW[both_HW] / depth_HW[both_HW]).median()) if both_HW.any() else None


def _with_first(ranking: TaskRanking, first: int) -> dict[str, Any]:
    """The summary, and how many of the known errors are on the page."""
    summary = ranking.summary()
    wrong = [suspect.planted for suspect in ranking.suspects]
    if any(wrong):
        summary["planted"] = sum(map(bool, wrong))
        summary["planted_on_page"] = sum(map(bool, wrong[:first]))
    return summary

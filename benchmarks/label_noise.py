"""Wrong labels: what they cost under three weightings, and how well the audit finds them.

    python -m benchmarks.label_noise [--noise depth ...] [--seeds 0 1 2] [--max-minutes 60] [--out FILE.md]

Trains the plain multi-task network on generated rooms, part of whose training labels are spoilt (depth maps multiplied
by 2, label maps of another image), with uniform, uncertainty and instance weights, and judges each on clean rooms; then
audits the run for the planted errors. Runs lie in `artifacts/label_noise/<noise>-<weighting>-seed<seed>`; one that was
stopped goes on, one that is finished is read.
"""

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from benchmarks.dense_networks import finished_metrics
from benchmarks.table import Report, dated, markdown_table
from training.audit.audit import audit_run
from training.datasets import DEFAULT_ROOT
from training.instance_parameters import InstanceParametersConfig
from training.label_noise import LabelNoiseConfig
from training.loop import RunOptions, train
from training.losses.tasks import TaskLossConfig
from training.objectives.dense_tasks import DenseTasksOptions
from training.recipe import Recipe
from training.recipes import get_recipe
from training.task_weighting.build import WeightingConfig
from training.task_weighting.fixed import EqualConfig
from training.task_weighting.uncertainty import UncertaintyConfig

NOISES: dict[str, LabelNoiseConfig | None] = {
    "none": None,
    "depth": LabelNoiseConfig(depth=0.3),
    "segmentation": LabelNoiseConfig(segmentation=0.3),
    "both": LabelNoiseConfig(depth=0.3, segmentation=0.3),
}
WEIGHTINGS: dict[str, WeightingConfig] = {
    "uniform": EqualConfig(),
    "uncertainty": UncertaintyConfig(),
    "instance": InstanceParametersConfig(learning_rate=0.5),
}
METRICS = {"depth/rmse": "depth rmse m", "segmentation/miou": "mIoU", "normals/mean": "normals mean °"}
LOWER = {"depth/rmse", "normals/mean"}
EPOCHS, BATCH, ROOMS, VALIDATION = 24, 8, 320, 128

Found = dict[tuple[str, str], dict[int, dict[str, Any]]]
"""(noise, weighting) -> seed -> metrics and detection."""


def run_recipe(noise: str, weighting: str, seed: int, *, count: int = ROOMS, epochs: int = EPOCHS) -> Recipe:
    """The plain multi-task network's, with depth as a squared error: the case in which an outlier weighs most."""
    base = get_recipe("rooms_shared")
    assert isinstance(base.options, DenseTasksOptions)
    losses = TaskLossConfig(depth="mse")
    steps = epochs * math.ceil(count / BATCH)
    return replace(
        base,
        name=f"label_noise_{noise}_{weighting}",
        options=replace(base.options, weighting=WEIGHTINGS[weighting], losses=losses),
        data=replace(base.data, count=count, validation_count=VALIDATION, label_noise=NOISES[noise]),
        steps=steps,
        batch_size=BATCH,
        evaluate_every=steps,
        seed=seed,
    )


def measure(recipe: Recipe, run: Path, options: argparse.Namespace, deadline: float) -> dict[str, Any] | None:
    """Metrics on clean rooms and detection of the planted errors; None for a run not finished: no time, or a signal."""
    if finished_metrics(run, recipe) is None:
        if time.monotonic() > deadline:
            return None
        torch.manual_seed(recipe.seed)
        train(
            recipe,
            RunOptions(out=run, data_root=options.data_root, threads=options.threads, progress=not options.quiet),
        )
    metrics = finished_metrics(run, recipe)
    if metrics is None:
        return None
    found = {metric: metrics[metric] for metric in METRICS}
    detection: dict[str, Any] = {}
    if recipe.data.label_noise is not None:
        table = run / "audit" / "ranking.json"
        if not table.is_file():
            audit_run(run, data_root=options.data_root, threads=options.threads)
        detection = {task["task"]: task["detection"] for task in json.loads(table.read_text())["tasks"]}
    return {"metrics": found, "detection": {task: scores for task, scores in detection.items() if scores}}


def run_all(options: argparse.Namespace) -> tuple[Found, int]:
    """Every run that there is time for, seed by seed, and how many are missing."""
    deadline = time.monotonic() + 60 * options.max_minutes
    found: Found = {(noise, weighting): {} for noise in options.noise for weighting in WEIGHTINGS}
    missing = 0
    for seed in options.seeds:
        for noise, weighting in found:
            recipe = run_recipe(noise, weighting, seed, count=options.count, epochs=options.epochs)
            measured = measure(recipe, options.runs / f"{noise}-{weighting}-seed{seed}", options, deadline)
            if measured is None:
                missing, deadline = missing + 1, -math.inf
            else:
                found[noise, weighting][seed] = measured
    return found, missing


def accuracy_rows(found: Found) -> list[list[str]]:
    """Per noise and weighting: mean ± deviation of each metric, and the change against uniform weights in per cent."""
    rows = []
    for (noise, weighting), seeds in found.items():
        cells = []
        for metric in METRICS:
            values = [seeds[seed]["metrics"][metric] for seed in seeds]
            uniform = found[noise, "uniform"] if weighting != "uniform" else {}
            reference = [uniform[seed]["metrics"][metric] for seed in uniform]
            cells.append(with_change(values, reference, better_lower=metric in LOWER))
        rows.append([noise, weighting, str(len(seeds)), *cells])
    return rows


def with_change(values: Sequence[float], reference: Sequence[float], *, better_lower: bool) -> str:
    """ "mean ± deviation (+gain %)", the gain positive where `values` are better."""
    if not values:
        return "–"
    text = f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
    if not reference or mean(reference) == 0:
        return text
    gain = 100 * (mean(values) / mean(reference) - 1) * (-1 if better_lower else 1)
    return f"{text} ({gain:+.0f} %)"


def detection_rows(found: Found) -> list[list[str]]:
    """Per noise, weighting, task and score: ROC area, average precision, recall among as many as are wrong."""
    rows = []
    for (noise, weighting), seeds in found.items():
        tasks = sorted({task for of in seeds.values() for task in of["detection"]})
        for task in tasks:
            for score in sorted({score for of in seeds.values() for score in of["detection"].get(task, {})}):
                each = [of["detection"][task][score] for of in seeds.values() if score in of["detection"].get(task, {})]
                rows.append([noise, weighting, task, score, *(_mean_of(each, key) for key in each[0])])
    return rows


def _mean_of(each: Sequence[Mapping[str, float]], key: str) -> str:
    values = [of[key] for of in each]
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def detection_names(found: Found) -> list[str]:
    """Names of the detection's figures; empty where nothing was planted."""
    for seeds in found.values():
        for of in seeds.values():
            for scores in of["detection"].values():
                return list(next(iter(scores.values())))
    return []


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_noise", description=__doc__)
    parser.add_argument("--noise", nargs="+", choices=NOISES, default=list(NOISES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--count", type=int, default=ROOMS, help="training rooms")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--max-minutes", type=float, default=math.inf, help="begin no run after this time")
    parser.add_argument("--runs", type=Path, default=Path("artifacts/label_noise"), help="folder of the runs")
    parser.add_argument("--data-root", type=Path, default=DEFAULT_ROOT, help="folder of the rooms' caches")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> Report:
    """Trains what is missing, audits, and writes the report."""
    options = parse(argv)
    found, missing = run_all(options)
    report = Report(title="Wrong labels: what they cost, and finding them", module="benchmarks.label_noise", argv=argv)
    report.notes.append(
        f"{options.epochs} epochs of {options.count} generated rooms at 64 x 96, 8 to a batch, depth as a squared "
        f"error; judged on {VALIDATION} clean rooms of other seeds; mean ± standard deviation over seeds, and the gain "
        "over uniform weights at the same noise. Noise: 30 % of the depth maps doubled, 30 % of the label maps another "
        "image's, or both."
    )
    if missing:
        report.notes.append(f"{missing} of {len(found) * len(options.seeds)} runs are not finished yet.")
    header = ["noise", "weighting", "seeds", *METRICS.values()]
    report.section("Accuracy on clean rooms", markdown_table(header, accuracy_rows(found)))
    names = detection_names(found)
    if names:
        header = ["noise", "weighting", "task", "score", *(name.replace("_", " ") for name in names)]
        report.section("Finding the wrong labels", markdown_table(header, detection_rows(found)))
    report.numbers["runs"] = {f"{noise}/{weighting}": seeds for (noise, weighting), seeds in found.items()}
    report.write(options.out or dated("label_noise"))
    return report


if __name__ == "__main__":
    print(main().text())

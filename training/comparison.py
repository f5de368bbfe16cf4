"""A grid of methods and seeds on one recipe: `python -m training compare <recipe> --methods ... --seeds ...`.

Layout of the folder:

    comparison.md, comparison.json         the table, rewritten after every run
    losses.png, weights.png, conflicts.png curves over training, where there is something to show
    runs/<method>/seed-<n>/                one run with its log and checkpoints; single-task networks one level below
        recipe.json, result.json           what it follows from, and what came out once it is finished

Whatever moment it is interrupted at, the same command goes on: finished runs are not repeated, the one that was
interrupted resumes from its checkpoint.
"""

import json
import multiprocessing
import resource
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from training.checkpoint import write_atomically
from training.comparison_methods import SINGLE, Contender, contender
from training.comparison_table import (
    Lines,
    conflict_rate,
    headline,
    markdown,
    row,
    seconds_per_step,
    spread,
    training_lines,
)
from training.config_json import from_json, to_json
from training.gradient_methods.build import build_gradients
from training.gradient_methods.conflict import require_measurable
from training.loop import RunOptions, train
from training.objectives.build import build_objective
from training.objectives.dense_tasks import DenseTasksOptions
from training.recipe import Recipe
from training.stop_signals import stop_on_signals

RECIPE_FILE, RESULT_FILE = "recipe.json", "result.json"
MATPLOTLIB = "matplotlib==3.11.2"


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """methods: names as in `training.comparison_methods`, in the table's order; seeds: of the runs.

    run: where and how each run goes; its `out` is the folder of the comparison, its max_seconds the time that one run
    may take before the comparison stops. separate: each run in a process of its own, which is what memory is measured
    of; all in this process otherwise.
    """

    methods: Sequence[str]
    seeds: Sequence[int] = (0, 1, 2)
    run: RunOptions = field(default_factory=lambda: RunOptions(out=Path("artifacts/compare")))
    separate: bool = True

    def __post_init__(self) -> None:
        for name, values in (("methods", self.methods), ("seeds", self.seeds)):
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name}: expected at least one and none twice, found {list(values)}")


def compare(recipe: Recipe, options: ComparisonOptions) -> dict[str, Any]:
    """Runs what is not finished of the grid, writes table and plots, and returns what comparison.json says.

    Everything is checked before the first run. Raises ValueError for a value or a method that is not understood, a pair
    that is refused, a library that is missing, or a folder that holds runs of another configuration.
    """
    if find_spec("matplotlib") is None:
        raise ValueError(
            f'compare: plots need matplotlib, which is not installed here; run: pip install "{MATPLOTLIB}"'
        )
    recipe = from_json(Recipe, to_json(recipe))  # those of .py files have not been checked
    contenders = [contender(method, recipe) for method in options.methods]
    cells = [
        _Cell(by, task, seed, replace(changed, seed=seed), options)
        for seed in options.seeds
        for by in contenders
        for task, changed in by.recipes.items()
    ]
    for cell in cells:
        cell.check(options.run.conflicts)
    answer: dict[str, Any] = {}
    for cell in cells:
        if cell.result() is None:
            stopped = cell.train(options)
            answer = _write(recipe, contenders, cells, options)
            if stopped:
                break
    return answer or _write(recipe, contenders, cells, options)


class _Cell:
    """One run of the grid."""

    def __init__(self, by: Contender, task: str, seed: int, recipe: Recipe, options: ComparisonOptions) -> None:
        self.by, self.task, self.seed, self.recipe = by, task, seed, recipe
        self.folder = options.run.out / "runs" / by.folder / f"seed-{seed}" / task
        self.name = f"{by.name}{f'-{task}' if task else ''} seed {seed}"

    def check(self, conflicts: bool) -> None:
        """Raises ValueError when the recipe is refused, its conflicts cannot be measured though they are asked for, or
        the folder holds a run of another one."""
        objective = build_objective(self.recipe)
        build_gradients(self.recipe.gradients, objective)
        if conflicts:
            require_measurable(objective)
        path, content = self.folder / RECIPE_FILE, to_json(self.recipe)
        if not path.is_file():
            return
        saved = json.loads(path.read_text())
        differing = sorted(key for key in set(saved) | set(content) if saved.get(key) != content.get(key))
        if differing:
            raise ValueError(f"{path}: expected the configuration given now, found others of {differing}; use --out")

    def result(self) -> dict[str, Any] | None:
        """What a finished run wrote."""
        path = self.folder / RESULT_FILE
        return json.loads(path.read_text()) if path.is_file() else None

    def lines(self) -> Lines:
        """The log's lines on training."""
        return training_lines(self.folder)

    def train(self, options: ComparisonOptions) -> bool:
        """Goes on with the run; whether it was asked to stop. Raises RuntimeError when its process fails."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / RECIPE_FILE, json.dumps(to_json(self.recipe), indent=1) + "\n")
        run = replace(options.run, out=self.folder)
        if not options.separate:
            _train(self.recipe, run, separate=False)
            return self.result() is None
        process = multiprocessing.get_context("spawn").Process(target=_train_apart, args=(to_json(self.recipe), run))
        with stop_on_signals() as stop_asked:
            process.start()
            told = False
            while process.is_alive():
                process.join(0.2)
                if signal.SIGTERM in stop_asked and not told:  # SIGINT reaches both from the terminal
                    process.terminate()  # it saves before it ends
                    told = True
        if process.exitcode and not stop_asked:
            raise RuntimeError(f"{self.folder}: expected the run to end with status 0, found {process.exitcode}")
        return bool(stop_asked) or self.result() is None


def _train_apart(recipe: Mapping[str, Any], run: RunOptions) -> None:
    _train(from_json(Recipe, recipe), run, separate=True)


def _train(recipe: Recipe, run: RunOptions, separate: bool) -> None:
    """One run, and its result where it finishes."""
    cuda = run.device != "cpu" and torch.cuda.is_available()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    answer = train(recipe, run)
    if not answer["finished"]:
        return
    memory = None
    if cuda:
        memory = torch.cuda.max_memory_allocated() / 2**20
    elif separate:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    lines = training_lines(run.out)
    result = {
        "metrics": answer["metrics"],
        "seconds": answer["seconds"],
        "seconds_per_step": seconds_per_step(lines, recipe.batch_size, recipe.log_every),
        "memory_mib": memory,
        "conflict_rate": conflict_rate(lines),
        "skipped_updates": answer["skipped_updates"],
        "device": torch.cuda.get_device_name() if cuda else "cpu",
    }
    write_atomically(run.out / RESULT_FILE, json.dumps(result, indent=1) + "\n")


def _write(
    recipe: Recipe, contenders: Sequence[Contender], cells: Sequence[_Cell], options: ComparisonOptions
) -> dict[str, Any]:
    """Table and plots of what is finished."""
    from training.comparison_plots import draw

    finished = {by.name: _finished(by, cells) for by in contenders}
    reference, values = _reference(recipe, finished)
    rows = {name: {"seeds": len(of), **row(of, values)} for name, of in finished.items() if of}
    answer = {
        "recipe": recipe.name,
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "device": next((of[0]["device"] for of in finished.values() if of), options.run.device),
        "reference": reference,
        "methods": rows,
        "missing": [cell.name for cell in cells if cell.result() is None],
    }
    out = options.run.out
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "comparison.json", json.dumps(answer, indent=1) + "\n")
    write_atomically(out / "comparison.md", markdown(answer))
    curves: dict[str, dict[str, list[Lines]]] = {by.name: {} for by in contenders}
    for cell in cells:
        curves[cell.by.name].setdefault(cell.task, []).append(cell.lines())
    plots = draw(curves, out)
    return answer | {"table": str(out / "comparison.md"), "plots": [str(path) for path in plots]}


def _finished(by: Contender, cells: Sequence[_Cell]) -> list[dict[str, Any]]:
    """One result for each seed whose networks are all finished; of several networks, their own tasks' metrics."""
    results = []
    for seed in dict.fromkeys(cell.seed for cell in cells):
        parts = {cell.task: cell.result() for cell in cells if cell.by is by and cell.seed == seed}
        present = {task: part for task, part in parts.items() if part is not None}
        if len(present) < len(parts):
            continue
        if list(present) == [""]:
            results.append(present[""])
            continue
        metrics = {
            name: value
            for task, part in present.items()
            for name, value in part["metrics"].items()
            if name.startswith(f"{task}/")
        }
        memory = [part["memory_mib"] for part in present.values()]
        first = next(iter(present.values()))
        results.append(
            {
                "metrics": metrics,
                "seconds": sum(part["seconds"] for part in present.values()),
                "seconds_per_step": sum(part["seconds_per_step"] for part in present.values()),
                "memory_mib": None if None in memory else max(memory),
                "conflict_rate": {},
                "skipped_updates": sum(part["skipped_updates"] for part in present.values()),
                "device": first["device"],
            }
        )
    return results


def _reference(recipe: Recipe, finished: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[str, dict[str, float]]:
    """What delta_m is relative to, and its metrics: those of the finished single-task networks of this grid, else the
    recipe's references, else the first method's where no single-task networks are to come."""
    assert isinstance(recipe.options, DenseTasksOptions)  # contenders are of nothing else
    given = recipe.options.single_task
    if given and not finished.get(SINGLE):
        return "the recipe's single-task references", {of.metric: of.value for of in given}
    name = SINGLE if SINGLE in finished else next(iter(finished))
    by_seed = [headline(of["metrics"]) for of in finished[name]]
    means = {metric: spread([of[metric] for of in by_seed])["mean"] for metric in by_seed[0]} if by_seed else {}
    return f"the mean of {name}", means

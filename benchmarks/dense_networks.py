"""The dense networks against each other on generated rooms: one encoder, one budget, several seeds.

    python -m benchmarks.dense_networks [--only rooms_shared ...] [--seeds 0 1 2] [--max-minutes 60] [--out FILE.md]

Trains the `rooms_*` recipes and writes three tables: accuracy, delta_m and cost of every network, with the papers'
orderings that hold; one multi-task pass against the single-task passes of the same encoder; and parameters, operations
and memory of the papers' own recipes. Runs lie in `artifacts/networks/<recipe>-seed<seed>`; one that was stopped goes
on, one that is finished is read. The report holds what is finished, so the command may be given again and again.
"""

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.dense_orderings import (
    METRICS,
    ORDERINGS,
    SINGLE,
    SINGLE_RECIPES,
    gains,
    judge,
    mean_and_deviation,
    single_task_values,
)
from benchmarks.generator import device_words
from benchmarks.graph_latency import interleaved, ratios
from benchmarks.table import Report, dated, markdown_table
from models.build import build
from models.mt_cp import MtCpConfig
from training.checkpoint import META_FILE, find_checkpoint
from training.config_json import from_json, to_json
from training.data.rooms import RoomConfig
from training.datasets import DEFAULT_ROOT
from training.description import describe
from training.loop import RunOptions, train
from training.paper_recipes import PAPER_RECIPES
from training.recipe import Recipe
from training.recipes import get_recipe, with_overrides
from training.room_recipes import ROOM_RECIPES

NETWORKS = tuple(make.__name__ for make in ROOM_RECIPES)
PAPERS = tuple(make.__name__ for make in PAPER_RECIPES)
SHARED = "rooms_shared"
BASES = (*SINGLE_RECIPES.values(), SHARED)
"""Measured in any case: latencies are relative to them."""
METRIC_WORDS = {"segmentation": "mIoU", "depth": "rmse m", "normals": "mean °"}
NONE = "–"

Metrics = dict[str, dict[int, dict[str, float]]]
"""Recipe, seed -> all metrics of the finished run."""


def run_recipe(name: str, seed: int, options: argparse.Namespace) -> Recipe:
    """The recipe of one run, evaluated once, at its end."""
    recipe = with_overrides(
        get_recipe(name),
        seed=seed,
        steps=options.steps,
        data_count=options.count,
        validation_count=options.validation_count,
    )
    return replace(recipe, evaluate_every=recipe.steps)


def finished_metrics(run: Path, recipe: Recipe) -> dict[str, float] | None:
    """Metrics of a finished run; None for one that has steps left or was never begun.

    Raises ValueError when the folder holds a run of another recipe, other numbers of steps or samples included.
    """
    if not (run / "checkpoints" / "latest").is_file():
        return None
    meta = json.loads((find_checkpoint(run) / META_FILE).read_text())
    begun = from_json(Recipe, meta["recipe"])
    if begun != recipe:
        found, wanted = to_json(begun), to_json(recipe)
        differing = [key for key in wanted if found.get(key) != wanted[key]]
        raise ValueError(f"{run}: expected a run of the given recipe, found other {differing}; use another --runs")
    metrics: dict[str, float] | None = meta["metrics"]
    return metrics if meta["step"] >= recipe.steps else None


def train_all(options: argparse.Namespace) -> tuple[Metrics, int]:
    """Trains what is missing, seed by seed, until the time is over; answers what is finished and how much is not."""
    deadline = time.monotonic() + 60 * options.max_minutes
    found: Metrics = {name: {} for name in options.only}
    missing = 0
    for seed in options.seeds:
        for name in options.only:
            recipe, run = run_recipe(name, seed, options), options.runs / f"{name}-seed{seed}"
            metrics = finished_metrics(run, recipe)
            if metrics is None and time.monotonic() < deadline:
                torch.manual_seed(seed)
                ended = train(
                    recipe,
                    RunOptions(
                        out=run,
                        data_root=options.data_root,
                        device=options.device,
                        threads=options.threads,
                        progress=not options.quiet,
                    ),
                )
                if not ended["finished"]:  # stopped by a signal
                    deadline = -math.inf
                metrics = finished_metrics(run, recipe)
            if metrics is None:
                missing += 1
            else:
                found[name][seed] = metrics
    return found, missing


def costs(name: str, size: tuple[int, int]) -> dict[str, int]:
    """Parameters, training's own predictors included, and multiply-accumulates of a pass at `size`."""
    recipe = get_recipe(name)
    data = replace(recipe.data, config=RoomConfig(height=size[0], width=size[1]))
    described = describe(replace(recipe, data=data))
    return {"parameters": described["parameters"], "macs": described["macs"]}


def pass_times(names: Sequence[str], options: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds of every round, the single-task row being the sum of its three passes."""
    networks = {}
    for name in dict.fromkeys((*BASES, *names)):
        torch.manual_seed(0)
        networks[name] = build(get_recipe(name).model)
    times = interleaved(networks, options.size, threads=options.threads, rounds=options.rounds)
    triples = zip(*(times[recipe] for recipe in SINGLE_RECIPES.values()), strict=True)
    return times | {SINGLE: [sum(passes) for passes in triples]}


def accuracy_table(report: Report, metrics: Metrics, times: Mapping[str, list[float]], size: tuple[int, int]) -> None:
    """Adds the first table and the orderings."""
    values: dict[str, dict[int, dict[str, float]]] = {}
    singles = single_task_values(metrics)
    if any(name in metrics for name in SINGLE_RECIPES.values()):
        values[SINGLE] = singles
    for name, seeds in metrics.items():
        if name not in SINGLE_RECIPES.values():
            values[name] = {
                seed: {task: found[metric] for task, metric in METRICS.items()} for seed, found in seeds.items()
            }
    gained = gains(values)
    each = {name: costs(name, size) for name in dict.fromkeys((*BASES, *metrics))}
    each[SINGLE] = {key: sum(each[name][key] for name in SINGLE_RECIPES.values()) for key in ("parameters", "macs")}
    rows = []
    for row, seeds in values.items():
        cells = [mean_text([found[task] for found in seeds.values()], digits=4) for task in METRICS]
        ratio, low, high = ratios(times[row], times[SHARED])
        rows.append([
            row, str(len(seeds)), *cells, mean_text(list(gained.get(row, {}).values()), digits=2),
            f"{each[row]['parameters'] / 1e6:.2f}", f"{each[row]['macs'] / 1e9:.2f}",
            f"{ratio:.2f} ({low:.2f}–{high:.2f})",
        ])  # fmt: skip
    words = [METRIC_WORDS[task] for task in METRICS]
    header = ["network", "seeds", *words, "Δm %", "M parameters", "G MACs", "latency / shared"]
    report.section("Networks", markdown_table(header, rows))
    verdicts = {ordering: judge(ordering, gained) for ordering in ORDERINGS}
    report.section(
        "Orderings by Δm",
        markdown_table(
            ["ordering", "published", "holds in", "margin, points"],
            [
                [o.name, o.published, v.text(), spread_text(v.margin, v.deviation, digits=2)]
                for o, v in verdicts.items()
            ],
        ),
    )
    report.numbers |= {
        "runs": metrics,
        "delta_m": gained,
        "costs": each,
        "orderings": {
            o.name: {"published": o.published, "holds": v.holds, "seeds": v.seeds, "margin": finite(v.margin)}
            for o, v in verdicts.items()
        },
    }


def passes_table(report: Report, times: Mapping[str, list[float]]) -> None:
    """Adds the second table: every multi-task pass beside the single-task passes."""
    rows = []
    for name, passes in times.items():
        if name != SINGLE and name not in SINGLE_RECIPES.values():
            share, low, high = ratios(times[SINGLE], passes)
            middle, _, _ = ratios(passes, [1.0] * len(passes))
            rows.append([name, f"{middle:.1f}", f"{share:.2f}", f"{low:.2f}–{high:.2f}"])
    middle, _, _ = ratios(times[SINGLE], [1.0] * len(times[SINGLE]))
    report.section(
        "One multi-task pass or three single-task passes",
        f"Three single-task passes of the same encoder, one after the other: {middle:.1f} ms.\n\n"
        + markdown_table(["network", "one pass, ms", "three passes / one pass", "quartiles"], rows),
    )
    report.numbers["milliseconds"] = dict(times)


def papers_table(report: Report, names: Sequence[str], measure: bool) -> None:
    """Adds the third table; memory is counted, for MT-CP also with attention written out, or measured on CUDA."""
    from benchmarks.step_memory import counted, measured

    rows, numbers = [], dict[str, Any]()
    for name in names:
        recipe = get_recipe(name)
        described = describe(recipe)
        height, width = described["input_size"]
        peaks = {"step": (measured(recipe) if measure else counted(recipe)).peak}
        if isinstance(recipe.model, MtCpConfig) and not measure:
            peaks["step, written-out attention"] = counted(recipe, fused=False).peak
        numbers[name] = {"parameters": described["parameters"], "macs": described["macs"], "peak bytes": peaks}
        rows.append([
            name, f"{described['parameters']:,}", f"{described['macs'] / 1e9:.1f}",
            f"{recipe.batch_size} x {height} x {width}", " / ".join(f"{peak / 2**30:.1f}" for peak in peaks.values()),
        ])  # fmt: skip
    how = (
        f"measured on {device_words('cuda')}"
        if measure
        else "counted, not measured (benchmarks/step_memory.py says what that holds); two numbers: with fused "
        "attention, and with its scores written out"
    )
    table = markdown_table(["recipe", "parameters", "G MACs", "batch", "peak of a step, GiB"], rows)
    report.section("The papers' recipes", f"Float32; memory {how}.\n\n{table}")
    report.numbers["papers"] = numbers


def mean_text(values: list[float], digits: int) -> str:
    """Mean and deviation over seeds."""
    return spread_text(*mean_and_deviation(values), digits=digits)


def spread_text(mean: float, deviation: float, *, digits: int) -> str:
    """`0.123 ± 0.004`; without the deviation of a single value, a dash without any."""
    if math.isnan(mean):
        return NONE
    return f"{mean:.{digits}f}" + ("" if math.isnan(deviation) else f" ± {deviation:.{digits}f}")


def finite(value: float) -> float | None:
    """None for nan, which JSON lacks."""
    return None if math.isnan(value) else value


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dense_networks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="the recipes' where not given")
    parser.add_argument("--count", type=int, help="training rooms")
    parser.add_argument("--validation-count", type=int)
    parser.add_argument("--max-minutes", type=float, default=math.inf, help="begin no run after this time")
    parser.add_argument("--runs", type=Path, default=Path("artifacts/networks"), help="folder of the runs")
    parser.add_argument("--data-root", type=Path, default=DEFAULT_ROOT, help="folder of the rooms' caches")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="that trains")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30, help="timed passes of each graph")
    parser.add_argument("--size", nargs=2, type=int, default=[192, 256], metavar=("H", "W"), help="of passes and MACs")
    parser.add_argument("--papers", nargs="*", choices=PAPERS, default=list(PAPERS), help="of the third table")
    parser.add_argument("--measure", action="store_true", help="memory on the CUDA device instead of a count")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    options = parser.parse_args(argv)
    if options.measure and not torch.cuda.is_available():
        parser.error("--measure: expected a CUDA device, found none")
    options.size = tuple(options.size)
    return options


def main(argv: Sequence[str] | None = None) -> Report:
    """Trains what is missing, measures, and writes the report."""
    options = parse(argv)
    metrics, missing = train_all(options)
    times = pass_times(options.only, options)
    first = run_recipe(options.only[0], 0, options)
    height, width = first.data.config.height, first.data.config.width
    report = Report(title="The dense networks on generated rooms", module="benchmarks.dense_networks", argv=argv)
    report.notes.append(
        f"{first.steps} steps of {first.batch_size} of {first.data.count} rooms at {height} x {width}, judged on "
        f"{first.data.validation_count} unseen rooms; mean ± standard deviation over seeds. Δm is against the means of "
        f"the single-task networks. Passes and MACs are of one image at {options.size[0]} x {options.size[1]}; "
        f"latency on {options.threads} thread(s) of the CPU, medians and quartiles of {options.rounds} interleaved "
        "rounds. Parameters include those that only predict during training."
    )
    if missing:
        report.notes.append(f"{missing} of {len(options.only) * len(options.seeds)} runs are not finished yet.")
    accuracy_table(report, metrics, times, options.size)
    passes_table(report, times)
    if options.papers:
        papers_table(report, options.papers, options.measure)
    report.write(options.out or dated("dense_networks"))
    return report


if __name__ == "__main__":
    print(main().text())

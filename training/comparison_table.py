"""The answer of a comparison: means and spreads over seeds, as JSON and as a Markdown table."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.gradient_methods.conflict import SECONDS
from training.metrics.delta_m import delta_m
from training.run_log import LOG_FILE

HEADLINE = {
    "segmentation": "segmentation/miou",
    "parts": "parts/miou",
    "saliency": "saliency/miou",
    "edges": "edges/ods_f_approx",
    "depth": "depth/rmse",
    "normals": "normals/mean",
}
"""By task the metric that delta_m and the table's columns are about."""

Lines = list[dict[str, float]]


def training_lines(run: Path) -> Lines:
    """The log's lines on training, in order; empty where nothing was logged yet."""
    path = run / LOG_FILE
    if not path.is_file():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["kind"] == "training"]


def seconds_per_step(lines: Lines, batch_size: int, log_every: int) -> float:
    """The median over log lines of a step's time, without evaluation, saving and the measuring of cosines."""
    times = [batch_size / line["images_per_second"] - line.get(SECONDS, 0.0) / log_every for line in lines]
    return statistics.median(times) if times else math.nan


def conflict_rate(lines: Lines) -> dict[str, float]:
    """By pair of tasks the share of measured steps whose gradients point apart (a cosine below 0)."""
    pairs = dict.fromkeys(name for line in lines for name in line if name.startswith("cosine/"))
    cosines = {pair.removeprefix("cosine/"): [line[pair] for line in lines if pair in line] for pair in pairs}
    return {pair: sum(value < 0 for value in values) / len(values) for pair, values in cosines.items()}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """mean, sample standard deviation (None for one value) and the values."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": deviation, "values": list(values)}


def row(results: Sequence[Mapping[str, Any]], reference: Mapping[str, float]) -> dict[str, Any]:
    """One method's results over seeds, each {metrics, seconds, seconds_per_step, memory_mib, conflict_rate, ...}.

    reference: the metrics that delta_m is relative to, one of each task; tasks without one are left out of it.
    """
    metrics = [result["metrics"] for result in results]
    names = [name for name in metrics[0] if all(math.isfinite(of.get(name, math.nan)) for of in metrics)]
    answer: dict[str, Any] = {"metrics": {name: spread([of[name] for of in metrics]) for name in names}}
    gains = [gain(of, reference) for of in metrics]
    if all(math.isfinite(value) for value in gains):
        answer["delta_m"] = spread(gains)
    for name in ("seconds_per_step", "seconds", "memory_mib"):
        values = [result[name] for result in results if result[name] is not None]
        if len(values) == len(results):
            answer[name] = spread(values)
    rates = [result["conflict_rate"] for result in results]
    pairs = [pair for pair in rates[0] if all(pair in of for of in rates)]  # some may have been run without measuring
    answer["conflict_rate"] = {pair: spread([of[pair] for of in rates]) for pair in pairs}
    answer["skipped_updates"] = sum(result["skipped_updates"] for result in results)
    return answer


def headline(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics of `HEADLINE` that are there."""
    return {name: metrics[name] for name in HEADLINE.values() if name in metrics}


def gain(metrics: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """delta_m over the metrics that both have; nan without a common one, or where a reference is 0 or not a number."""
    common = {name: value for name, value in reference.items() if name in metrics}
    if not common or not all(value and math.isfinite(value) for value in common.values()):
        return math.nan
    task_of = {name: name.partition("/")[0] for name in common}
    return delta_m({task_of[name]: metrics[name] for name in common}, {task_of[n]: of for n, of in common.items()})


def markdown(answer: Mapping[str, Any]) -> str:
    """The table of `training.comparison.compare`'s answer."""
    rows = answer["methods"]
    columns = [name for name in HEADLINE.values() if any(name in of["metrics"] for of in rows.values())]
    titles = ["method", "seeds", *columns, "Δm [%]", "ms per step", "memory [MiB]", "conflict rate"]
    lines = [
        f"# {answer['recipe']}: {answer['steps']} steps, batch {answer['batch_size']}, {answer['device']}",
        "",
        f"Metrics of the last step, mean ± sample standard deviation over seeds. Δm is relative to "
        f"{answer['reference']}. The conflict rate is the share of measured steps and pairs of tasks whose gradients "
        "point apart.",
        "",
        "| " + " | ".join(titles) + " |",
        "|" + "---|" * len(titles),
    ]
    for name, of in rows.items():
        rates = [rate["mean"] for rate in of["conflict_rate"].values()]
        cells = [
            name,
            str(of["seeds"]),
            *(_cell(of["metrics"].get(column), 4) for column in columns),
            _cell(of.get("delta_m"), 2),
            _cell(of.get("seconds_per_step"), 0, 1000),
            _cell(of.get("memory_mib"), 0),
            f"{statistics.fmean(rates):.2f}" if rates else "–",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    if answer["missing"]:
        lines += ["", "Not finished: " + ", ".join(answer["missing"]) + "."]
    return "\n".join(lines) + "\n"


def _cell(value: Mapping[str, Any] | None, digits: int, factor: float = 1) -> str:
    if value is None:
        return "–"
    mean, deviation = factor * value["mean"], value["std"]
    return f"{mean:.{digits}f}" + (f" ± {factor * deviation:.{digits}f}" if deviation is not None else "")

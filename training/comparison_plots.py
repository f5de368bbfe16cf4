"""Curves of a comparison as pictures: losses, weights and the tasks' conflicts over training."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.comparison_table import HEADLINE, Lines

Curves = Mapping[str, Mapping[str, Sequence[Lines]]]
"""By method, then by the task that a network is for ("" for all): one run's training lines for each seed."""

Series = dict[str, tuple[list[float], list[float]]]
"""By its label a curve's steps and values."""


def draw(curves: Curves, folder: Path) -> list[Path]:
    """Writes losses.png, weights.png and conflicts.png where there is something to show; means over seeds."""
    written = []
    for name, panels, title in (
        ("losses", loss_panels(curves), "training loss"),
        ("weights", weight_panels(curves), "share of the sum of weights"),
        ("conflicts", cosine_panels(curves), "cosine of gradients"),
    ):
        if panels:
            path = folder / f"{name}.png"
            _draw(panels, title, path, logarithmic=name == "losses")
            written.append(path)
    return written


def loss_panels(curves: Curves) -> dict[str, Series]:
    """By task the unweighted loss of its final map under each method."""
    panels: dict[str, Series] = {}
    for task in HEADLINE:
        of = {method: mean_curve(runs.get("", runs.get(task, ())), _value(task)) for method, runs in curves.items()}
        if series := {method: curve for method, curve in of.items() if curve[0]}:
            panels[task] = series
    return panels


def weight_panels(curves: Curves) -> dict[str, Series]:
    """By method each task's share: its weight, times what a gradient method multiplied its gradient with."""
    panels: dict[str, Series] = {}
    for method, runs in curves.items():
        lines = runs.get("", ())
        of = {task: mean_curve(lines, _share(task)) for task in HEADLINE}
        if series := {task: curve for task, curve in of.items() if curve[0]}:
            panels[method] = series
    return panels


def cosine_panels(curves: Curves) -> dict[str, Series]:
    """By pair of tasks the cosine of their gradients under each method."""
    all_lines = [line for runs in curves.values() for lines in runs.get("", ()) for line in lines]
    pairs = dict.fromkeys(name for line in all_lines for name in line if name.startswith("cosine/"))
    panels: dict[str, Series] = {}
    for pair in pairs:
        of = {method: mean_curve(runs.get("", ()), _value(pair)) for method, runs in curves.items()}
        panels[pair.removeprefix("cosine/")] = {method: curve for method, curve in of.items() if curve[0]}
    return panels


def mean_curve(
    runs: Sequence[Lines], value: Callable[[Mapping[str, float]], float | None]
) -> tuple[list[float], list[float]]:
    """Steps, and at each the mean over the runs that have a value there."""
    found: dict[float, list[float]] = {}
    for lines in runs:
        for line in lines:
            if (number := value(line)) is not None:
                found.setdefault(line["step"], []).append(number)
    steps = sorted(found)
    return steps, [sum(found[step]) / len(found[step]) for step in steps]


def _value(name: str) -> Callable[[Mapping[str, float]], float | None]:
    return lambda line: line.get(name)


def _share(task: str) -> Callable[[Mapping[str, float]], float | None]:
    def share(line: Mapping[str, float]) -> float | None:
        if not any(name.startswith(("weight/", "combination/")) for name in line):
            return None
        weights = {
            of: line.get(f"weight/{of}", 1.0) * line.get(f"combination/{of}", 1.0) for of in HEADLINE if of in line
        }
        whole = sum(weights.values())
        return weights[task] / whole if task in weights and whole else None

    return share


def _draw(panels: Mapping[str, Series], title: str, path: Path, logarithmic: bool) -> None:
    """One row of three panels after another, one legend below them."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.1 * rows + 0.6), layout="constrained")
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    labels = list(dict.fromkeys(label for series in panels.values() for label in series))
    handles: dict[str, Any] = {}
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (name, series) in zip(grid.flat, panels.items(), strict=False):
        for label, (steps, values) in series.items():
            number = labels.index(label)
            style = "-" if number < 10 else "--"
            (handles[label],) = axes.plot(steps, values, style, color=colormaps["tab10"](number % 10), linewidth=1.2)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(which="both", labelsize=8)
        axes.grid(alpha=0.3)
        if logarithmic:
            axes.set_yscale("log")
        elif min(min(values) for _, values in series.values()) < 0:
            axes.axhline(0, color="0.3", linewidth=0.8)
    figure.supylabel(title, fontsize=10)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(6, len(handles)), fontsize=8)
    figure.savefig(path, dpi=110)

"""The two networks of flow against each other: accuracy after equal training, and CPU seconds of a pair.

    python -m benchmarks.flow_designs [--minutes 30 | --steps 1500] [--count 512] [--threads 1] [--out FILE.md]

Both train from scratch on the same generated pairs, in the same order and with the same losses, for as many steps as
fit into the minutes at the pace that each is measured to have, or for so many each; then both are judged on generated
pairs of other seeds. CPU seconds are those of the exported graphs at the service's size, on one thread, in turns. Give
the command again to go on.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.short_stitch_runs import add_pair_options, pair_set, planned_steps, seconds_per_step, short, trained
from benchmarks.table import Report, dated, markdown_table
from training.recipe import Recipe
from training.recipes import get_recipe

DESIGNS = {"all pairs at 1/8, recurrent": "stitch_pixel_warp", "global matching at 1/16": "stitch_global_matching"}
COLUMNS = ("epe512_ov", "epe512_occ", "epe512_nov", "over3_ov")
SERVED = (288, 384)


def cpu_seconds(recipes: dict[str, Recipe], rounds: int, size: tuple[int, int] = SERVED) -> dict[str, float]:
    """Median seconds of one pair through each design's exported graph, on one thread, measured in turns."""
    import onnxruntime

    from export.source import source_of
    from export.to_onnx import export_graph
    from models.build import build

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, recipe in recipes.items():
            torch.manual_seed(0)
            source = source_of(build(recipe.model), {})
            path = Path(folder) / "graph.onnx"
            export_graph(source.deployed, source.contract, path, half=False)
            sessions[name] = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
    pair = np.random.default_rng(0).integers(0, 256, (2, 1, *size, 3), dtype=np.uint8)
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(rounds + 1):
        for name, session in sessions.items():
            begun = time.process_time()
            session.run(None, {"target": pair[0], "reference": pair[1]})
            if turn:
                times[name].append(time.process_time() - begun)
    return {name: float(np.median(values)) for name, values in times.items()}


def table(results: dict[str, dict[str, Any]], seconds: dict[str, float]) -> str:
    """One row a design, and one of the homography that both start from."""
    rows = []
    for name, result in results.items():
        metrics = result["metrics"]
        cells = [f"{metrics.get(f'warp/{column}', float('nan')):.2f}" for column in COLUMNS]
        rows.append([name, f"{result['millions']:.2f}", str(result["step"]), *cells, f"{seconds[name]:.3f}"])
    plain = next(iter(results.values()))["metrics"]
    cells = [f"{plain.get(f'homography/{column}', float('nan')):.2f}" for column in COLUMNS]
    rows.append(["best homography of the overlap", "", "", *cells, ""])
    header = ["design", "M parameters", "steps", "EPE overlap", "EPE hidden", "EPE beyond", "share over 3 px", "CPU s"]
    return markdown_table(header, rows)


def main(argv: Sequence[str] | None = None) -> Report:
    """Renders, trains, measures, prints and writes the report."""
    from models.build import build

    parser = argparse.ArgumentParser(prog="python -m benchmarks.flow_designs", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="training of each design")
    parser.add_argument("--steps", type=int, help="of each design's training, instead of minutes")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=10, help="timed pairs of each design")
    add_pair_options(parser, Path("artifacts/flow_designs"))
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    pairs = pair_set(given)
    recipes = {name: replace(get_recipe(recipe), batch_size=given.batch_size) for name, recipe in DESIGNS.items()}
    rendering = pairs.render(recipes[next(iter(recipes))], given.data_root, given.processes)
    print(f"pairs: {rendering:.0f} s", file=sys.stderr, flush=True)
    results = {}
    for name, whole in recipes.items():
        folder = given.runs / whole.name
        draft = short(whole, whole.name, pairs, 100)

        def fitting(recipe: Recipe = draft) -> float:
            return given.steps or 60 * given.minutes / seconds_per_step(recipe, given.data_root)

        steps = planned_steps(folder, fitting)
        print(f"{name}: {steps} steps", file=sys.stderr, flush=True)
        result = trained(short(whole, whole.name, pairs, steps), folder, given.data_root, given.threads)
        if not result["finished"]:
            raise SystemExit(f"{folder}: stopped before its last step; give the command again to go on")
        millions = sum(parameter.numel() for parameter in build(whole.model).parameters()) / 1e6
        results[name] = result | {"millions": millions}
    seconds = cpu_seconds(recipes, given.rounds)
    report = Report(title="Two networks of flow", module="benchmarks.flow_designs", argv=argv)
    length = f"{given.steps} steps" if given.steps else f"{given.minutes:g} minutes"
    report.notes.append(
        f"{length} of training each on {given.count} generated pairs of {given.height} x "
        f"{given.width}, pre-aligned as the service does, one seed; {given.validation_count} other pairs judge. Errors "
        f"in pixels at long side 512. CPU seconds of the exported graph at {SERVED[0]} x {SERVED[1]}, one thread."
    )
    report.section("Designs", table(results, seconds))
    report.numbers["designs"] = {
        name: {key: value for key, value in result.items() if key != "checkpoint"} | {"cpu_seconds": seconds[name]}
        for name, result in results.items()
    }
    report.write(given.out or dated("flow_designs"))
    return report


if __name__ == "__main__":
    print(main().text())

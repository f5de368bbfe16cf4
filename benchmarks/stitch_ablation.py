"""What each part of the stitching method brings: short runs that leave one out, on generated pairs.

    python -m benchmarks.stitch_ablation [--steps 400] [--only warp seam] [--max-minutes 60] [--out FILE.md]

`warp` trains the pixel-wise warp without the epipolar term, without the line term, without supervision beyond the
reference, and without pre-alignment. `seam` trains the composition without one of its branches, on the true warp
disturbed smoothly. All runs of a group take the same steps over the same pairs. No run begins after --max-minutes; give
the command again to go on, and the tables hold what is finished.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.short_stitch_runs import add_pair_options, pair_set, planned_steps, short, trained
from benchmarks.table import Report, dated, markdown_table
from training.objectives.pixel_warp import PixelWarpOptions
from training.objectives.stitched_image import StitchedImageOptions
from training.recipe import Recipe
from training.recipes import get_recipe

COLUMNS = {
    "warp": ("warp/epe512_ov", "warp/epe512_occ", "warp/epe512_nov", "raw/epe512_ov", "raw/epe512_nov"),
    "seam": (
        "compose/psnr_union", "compose/psnr_overlap", "compose/psnr_outside", "compose/psnr_union_true_warp",
        "feather/psnr_union",
    ),
}  # fmt: skip


def without(recipe: Recipe, **weights: float) -> Recipe:
    """The recipe with some weights of its losses changed."""
    options = recipe.options
    assert isinstance(options, PixelWarpOptions | StitchedImageOptions)
    return replace(recipe, options=replace(options, weights=replace(options.weights, **weights)))  # type: ignore[arg-type]


def ablations() -> dict[str, dict[str, Recipe]]:
    """The recipes of each group by what they lack; the first of a group lacks nothing."""
    warp, seam = get_recipe("stitch_pixel_warp"), get_recipe("stitch_sigmo")
    assert isinstance(warp.options, PixelWarpOptions)
    assert isinstance(seam.options, StitchedImageOptions)
    seam = replace(seam, options=replace(seam.options, pixel_warp=None))
    return {
        "warp": {
            "everything": warp,
            "no epipolar term": without(warp, epipolar=0.0),
            "no line term": without(warp, line=0.0),
            "no supervision beyond": without(warp, outside=0.0),
            "no supervision, epipolar or line beyond": without(warp, outside=0.0, epipolar=0.0, line=0.0),
            "no pre-alignment": replace(warp, options=replace(warp.options, prealign=0.0)),
        },
        "seam": {
            "everything": seam,
            "no true-warp branch": without(seam, gt_warp=0.0, agreement=0.0),
            "no predicted-warp branch": without(seam, predicted_warp=0.0, agreement=0.0),
            "no clean branch": without(seam, clean=0.0),
            "no agreement of branches": without(seam, agreement=0.0),
        },
    }


def table(group: str, results: dict[str, dict[str, Any]]) -> str:
    """One row a finished run."""
    rows = [
        [
            name,
            str(result["step"]),
            *(f"{result['metrics'].get(column, float('nan')):.2f}" for column in COLUMNS[group]),
        ]
        for name, result in results.items()
    ]
    return markdown_table(["run", "steps", *COLUMNS[group]], rows)


def main(argv: Sequence[str] | None = None) -> Report:
    """Renders, trains what time allows, prints and writes the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stitch_ablation", description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--only", nargs="+", choices=sorted(COLUMNS), default=list(COLUMNS))
    parser.add_argument("--max-minutes", type=float, default=60.0, help="begin no run after this time")
    add_pair_options(parser, Path("artifacts/stitch_ablation"))
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    deadline = time.monotonic() + 60 * given.max_minutes
    pairs = pair_set(given)
    groups = {name: recipes for name, recipes in ablations().items() if name in given.only}
    pairs.render(get_recipe("stitch_pixel_warp"), given.data_root, given.processes)
    report = Report(title="Ablations of the stitching method", module="benchmarks.stitch_ablation", argv=argv)
    report.notes.append(
        f"{given.steps} steps each on {given.count} generated pairs of {given.height} x {given.width}, one seed; "
        f"{given.validation_count} other pairs judge. EPE in pixels at long side 512, PSNR in dB."
    )
    for group, recipes in groups.items():
        finished: dict[str, dict[str, Any]] = {}
        for name, recipe in recipes.items():
            folder = given.runs / group / name.replace(" ", "_").replace(",", "")
            done = (folder / "run" / "checkpoints").is_dir()
            if time.monotonic() >= deadline and not done:
                continue
            steps = planned_steps(folder, lambda: given.steps)
            result = trained(
                short(recipe, f"{group}_{folder.name}", pairs, steps), folder, given.data_root, given.threads
            )
            if result["finished"]:
                finished[name] = result
            print(f"{group}, {name}: {result['step']} steps", file=sys.stderr, flush=True)
        if finished:
            report.section(group, table(group, finished))
        report.numbers[group] = finished
    report.write(given.out or dated("stitch_ablation"))
    return report


if __name__ == "__main__":
    print(main().text())

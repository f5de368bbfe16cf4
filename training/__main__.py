"""`python -m training run|evaluate|compare|describe|render|inspect|audit`: train a recipe, measure a checkpoint,
compare ways to balance tasks, describe a recipe, make its generated samples, look through a data set, rank a run's
labels by how wrong they look."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from training.datasets import DEFAULT_ROOT
from training.readers.build import DATASETS
from training.readers.cache import DEFAULT_CACHE
from training.readers.pair_build import PAIR_LAYOUTS
from training.recipes import RECIPES, get_recipe, with_overrides


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; answers the exit status: 0, 2 for a refused argument, 1 for damage that `inspect` found.

    Results are printed as JSON on standard output.
    """
    given = _parser().parse_args(arguments)
    try:
        if getattr(given, "device", "cpu") == "cuda":
            _require_cuda()
        result = _COMMANDS[given.command](given)
    except ValueError as error:
        print(f"python -m training {given.command}: {error}", file=sys.stderr)
        return 2
    if os.environ.get("RANK", "0") == "0":  # torchrun starts several processes; one speaks
        print(json.dumps(result, indent=1))
    return 1 if given.command == "inspect" and result["damaged"] else 0


def _run(given: argparse.Namespace) -> dict[str, object]:
    from training.loop import RunOptions, train

    recipe = with_overrides(
        get_recipe(given.recipe),
        steps=given.steps,
        batch_size=given.batch_size,
        data_count=given.data_count,
        validation_count=given.validation_count,
        seed=given.seed,
        learning_rate=given.learning_rate,
        evaluate_every=given.evaluate_every,
        checkpoint_every=given.checkpoint_every,
        stream=given.stream,
        pixel_warp=given.pixel_warp,
        pretrained=given.pretrained,
        pairs=given.pairs,
        start_from=given.start_from,
    )
    options = RunOptions(
        out=given.out or Path("artifacts/runs") / recipe.name,
        data_root=given.data_root,
        device=given.device,
        devices=given.devices,
        nodes=given.nodes,
        max_seconds=given.max_seconds,
        resume=not given.fresh,
        threads=given.threads,
        progress=not given.quiet,
    )
    return train(recipe, options)


def _evaluate(given: argparse.Namespace) -> dict[str, object]:
    from training.evaluation import evaluate_checkpoint

    return evaluate_checkpoint(
        given.checkpoint,
        count=given.count,
        data_root=given.data_root,
        device=given.device,
        threads=given.threads,
        sheets=given.sheets,
        which=given.which,
        pixel_warp=given.pixel_warp,
    )


def _describe(given: argparse.Namespace) -> dict[str, object]:
    from training.description import describe

    return describe(get_recipe(given.recipe))


def _compare(given: argparse.Namespace) -> dict[str, object]:
    from training.comparison import ComparisonOptions, compare
    from training.loop import RunOptions

    recipe = with_overrides(
        get_recipe(given.recipe),
        steps=given.steps,
        batch_size=given.batch_size,
        data_count=given.data_count,
        validation_count=given.validation_count,
    )
    run = RunOptions(
        out=given.out or Path("artifacts/compare") / recipe.name,
        data_root=given.data_root,
        device=given.device,
        max_seconds=given.max_seconds,
        threads=given.threads,
        progress=not given.quiet,
        conflicts=given.conflicts,
    )
    return compare(recipe, ComparisonOptions(methods=given.methods, seeds=given.seeds, run=run))


def _render(given: argparse.Namespace) -> dict[str, object]:
    from training.render_caches import render_caches

    recipe = with_overrides(
        get_recipe(given.recipe), data_count=given.data_count, validation_count=given.validation_count
    )
    return render_caches(recipe, given.data_root, given.processes, progress=not given.quiet)


def _inspect(given: argparse.Namespace) -> dict[str, object]:
    from training.inspection import describe_damage, inspect_dataset

    report = inspect_dataset(
        given.dataset,
        given.path,
        classes=given.classes,
        limit=given.limit,
        sheet=given.sheet,
        cache=given.cache,
        progress=not given.quiet,
    )
    print(describe_damage(report), file=sys.stderr)
    return report


def _audit(given: argparse.Namespace) -> dict[str, object]:
    from training.audit.audit import audit_run

    return audit_run(
        given.run,
        out=given.out,
        first=given.first,
        which=given.which,
        data_root=given.data_root,
        device=given.device,
        threads=given.threads,
    )


_COMMANDS = {
    "audit": _audit,
    "compare": _compare,
    "run": _run,
    "evaluate": _evaluate,
    "describe": _describe,
    "render": _render,
    "inspect": _inspect,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train networks, measure them, look at data and labels. docs/training.md is the guide.",
        epilog=f"recipes: {', '.join(sorted(RECIPES))}; or a .py file that defines `recipe`",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="train a recipe; goes on from the run's latest checkpoint")
    _add_recipe(run)
    run.add_argument("--out", type=Path, help="folder of the run (artifacts/runs/<recipe>)")
    run.add_argument("--max-seconds", type=float, help="stop, evaluate and save after this many seconds")
    run.add_argument("--fresh", action="store_true", help="begin anew instead of resuming")
    run.add_argument(
        "--steps", type=_at_least_one, help="this and what follows instead of the recipe's own: optimiser steps"
    )
    run.add_argument("--batch-size", type=_at_least_one, help="samples of one step")
    run.add_argument("--data-count", type=_at_least_one, help="training samples")
    run.add_argument("--validation-count", type=_at_least_one, help="validation samples")
    run.add_argument("--seed", type=int, help="of weights, batches and augmentation")
    run.add_argument("--learning-rate", type=float, help="its largest value")
    run.add_argument("--evaluate-every", type=_at_least_one, help="steps between evaluations on validation samples")
    run.add_argument("--checkpoint-every", type=_at_least_one, help="steps between checkpoints")
    run.add_argument("--pretrained", help="what the encoder begins with: a file (HRNet), or a hub id or folder")
    run.add_argument("--start-from", type=Path, help="run or checkpoint whose weights the whole network begins with")
    run.add_argument("--pairs", type=Path, help="folder of pairs (UDIS-D or Middlebury 2014) instead of generated ones")
    run.add_argument("--stream", action="store_true", default=None, help="render fresh samples instead of a cache")
    run.add_argument("--devices", type=_at_least_one, default=1, help="processes on each machine, one device each")
    run.add_argument("--nodes", type=_at_least_one, default=1, help="machines, connected by torchrun")
    run.add_argument("--quiet", action="store_true", help="no progress bar")
    _add_machine(run)

    evaluate = commands.add_parser("evaluate", help="metrics of a checkpoint on its validation data")
    evaluate.add_argument("checkpoint", type=Path, help="checkpoint folder or run folder")
    evaluate.add_argument("--which", choices=("latest", "best"), default="latest", help="of a run folder")
    evaluate.add_argument("--count", type=_at_least_one, help="validation samples (the recipe's)")
    evaluate.add_argument("--sheets", type=Path, help="folder to write prediction sheets to")
    _add_machine(evaluate)

    compare = commands.add_parser("compare", help="methods to balance tasks on one recipe; goes on where it stopped")
    _add_recipe(compare)
    compare.add_argument("--methods", nargs="+", required=True, metavar="METHOD", help="single equal pcgrad+equal ...")
    compare.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2], help="every method is run with each (0 1 2)"
    )
    compare.add_argument("--out", type=Path, help="folder of table and runs (artifacts/compare/<recipe>)")
    compare.add_argument(
        "--steps", type=_at_least_one, help="this and what follows instead of the recipe's: optimiser steps"
    )
    compare.add_argument("--batch-size", type=_at_least_one, help="samples of one step")
    compare.add_argument("--data-count", type=_at_least_one, help="training samples")
    compare.add_argument("--validation-count", type=_at_least_one, help="validation samples")
    compare.add_argument("--conflicts", action="store_true", help="measure the cosines of the tasks' gradients")
    compare.add_argument("--max-seconds", type=float, help="stop for now when one run has taken this long")
    compare.add_argument("--quiet", action="store_true", help="no progress bar")
    _add_machine(compare, pixel_warp=False)

    describe = commands.add_parser("describe", help="what a recipe trains, with parameters and operations")
    _add_recipe(describe)

    render = commands.add_parser("render", help="make a recipe's generated samples before training, on all cores")
    _add_recipe(render)
    render.add_argument("--data-count", type=_at_least_one, help="training samples (the recipe's)")
    render.add_argument("--validation-count", type=_at_least_one, help="validation samples (the recipe's)")
    render.add_argument("--processes", type=int, default=0, help="0: one per core")
    render.add_argument("--data-root", type=Path, default=DEFAULT_ROOT, help="folder of the generated caches")
    render.add_argument("--quiet", action="store_true", help="no progress bar")

    audit = commands.add_parser("audit", help="rank a run's training labels by how wrong they look")
    audit.add_argument("run", type=Path, help="run folder or checkpoint folder")
    audit.add_argument("--out", type=Path, help="folder of table and pages (<run>/audit)")
    audit.add_argument("--first", type=_at_least_one, default=48, help="images on the page of each task")
    audit.add_argument("--which", choices=("latest", "best"), default="latest", help="of a run folder")
    _add_machine(audit, pixel_warp=False)

    inspect = commands.add_parser("inspect", help="what a data set on disk holds, and what is damaged")
    inspect.add_argument("dataset", choices=(*DATASETS, *PAIR_LAYOUTS, "auto"))
    inspect.add_argument("path", type=Path, help="its folder; nothing is written there")
    inspect.add_argument("--classes", type=int, help="size of the label set (Cityscapes 19 or 7; MTAN arrays)")
    inspect.add_argument(
        "--limit", type=_at_least_one, help="samples per split to decode (all); files are looked for in all"
    )
    inspect.add_argument("--sheet", type=Path, help="contact sheet (artifacts/inspect/<dataset>-<folder>.png)")
    inspect.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder for derived labels")
    inspect.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _at_least_one(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)


def _require_cuda() -> None:
    """Raises ValueError; Lightning's own words are about accelerators."""
    import torch

    if not torch.cuda.is_available():
        raise ValueError("device: expected a GPU for cuda, found none that PyTorch can use; leave --device out")


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        help="one of those that `python -m training --help` lists, or a .py file that defines `recipe`",
    )


def _add_machine(parser: argparse.ArgumentParser, pixel_warp: bool = True) -> None:
    if pixel_warp:
        parser.add_argument(
            "--pixel-warp", metavar="RUN", help="run or checkpoint of the frozen warp, for compositions"
        )
    parser.add_argument(
        "--data-root", type=Path, default=DEFAULT_ROOT, help="folder of caches and data sets (%(default)s)"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "auto"), help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: PyTorch's choice)")


if __name__ == "__main__":
    sys.exit(main())

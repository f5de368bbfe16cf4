"""The commands `python -m service stitch-batch` and `perceive-batch`. docs/batch.md is the guide."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

COMMANDS = ("stitch-batch", "perceive-batch")


def add_commands(commands: Any) -> None:
    """Add both commands to the subparsers of `python -m service`."""
    stitch = commands.add_parser("stitch-batch", help="stitch many pairs")
    stitch.add_argument("--format", choices=("png", "jpeg", "webp"), default="png", help="of the panoramas")
    stitch.add_argument("--profile", choices=("default", "fast"), default="default")
    stitch.add_argument("--compose", choices=("compose", "generate"), default="compose")
    for name, text in (
        ("masks", "reference, target and hole masks"),
        ("warped", "the warped target"),
        ("flow", "the dense flow"),
        ("maps", "dense maps of the panorama (perceive.npz)"),
    ):
        stitch.add_argument(f"--{name}", action="store_true", help=f"also write {text}")
    perceive = commands.add_parser("perceive-batch", help="dense maps of many photographs")
    perceive.add_argument("--format", choices=("npz", "png", "preview"), default="npz")
    perceive.add_argument("--tasks", help="comma list; all of the model's by default")
    perceive.add_argument("--resolution", default="native", help="native, model, or the longest side in pixels")
    perceive.add_argument(
        "--focal-px", type=float, help="of all photographs, also those with EXIF; a manifest's column comes first"
    )
    for parser in (stitch, perceive):
        parser.add_argument(
            "source", help="folder, manifest (.csv, .jsonl, .parquet) or quoted glob pattern; path or URL"
        )
        parser.add_argument("--out", required=True, help="folder of the results, path or URL")
        parser.add_argument("--model", help="name of a loaded bundle")
        parser.add_argument("--report", choices=("jsonl", "parquet"), default="jsonl")
        parser.add_argument("--retry-failed", action="store_true", help="do again what failed before")
        parser.add_argument("--engine", choices=("local", "ray"), default="local")
        parser.add_argument(
            "--workers",
            type=_workers,
            help="processes, the cores by default, 0 for none but this one; with ray also LEAST:MOST actors",
        )
        parser.add_argument("--gpus", type=float, default=0.0, help="share of a GPU per ray actor, for instance 0.25")
        parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run_command(options: argparse.Namespace) -> int:
    """Run a parsed command; the exit status: 0 all done, 1 some failed, 2 nothing could be done, 130 stopped."""
    from service.batch.failures import BatchError
    from service.batch.run import BatchOptions, run_batch
    from service.bundle import BundleError
    from service.errors import PolyviewError

    logging.basicConfig(format="polyview: %(message)s")
    try:
        outcome = run_batch(
            _task(options),
            _engine(options),
            BatchOptions(
                source=options.source,
                out=options.out,
                report=options.report,
                retry_failed=options.retry_failed,
                quiet=options.quiet,
            ),
        )
    except PolyviewError as error:
        print(f"polyview: {error.message} {error.hint}", file=sys.stderr)
        return 2
    except (BatchError, BundleError, ValueError) as error:
        print(f"polyview: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    tally = outcome.tally
    codes = ", ".join(f"{code} {count}" for code, count in sorted(tally.failed.items()))
    print(
        f"polyview: {outcome.total} items: {tally.done} done, {tally.failed.total()} failed"
        + (f" ({codes})" if codes else "")
        + (f", {tally.left} left" if tally.left else "")
        + f"; {outcome.report}"
    )
    return outcome.status


def _task(options: argparse.Namespace) -> Any:
    from service.batch.tasks import PerceiveTask, StitchTask

    kind = StitchTask if options.command == "stitch-batch" else PerceiveTask
    names = set(kind.__dataclass_fields__) & set(vars(options))
    return kind(**{name: getattr(options, name) for name in names})


def _engine(options: argparse.Namespace) -> Callable[..., Any]:
    from service.batch.failures import BatchError
    from service.batch.local import run_here, run_pool
    from service.settings import cores

    if options.engine == "ray":
        from service.batch.on_ray import run_on_ray

        return partial(run_on_ray, actors=options.workers, gpus=options.gpus)
    if options.gpus:
        raise BatchError("--gpus is for --engine ray; local workers use POLYVIEW_DEVICE")
    least, most = options.workers or (cores(), cores())
    if least != most:
        raise BatchError("--workers: a range is for --engine ray")
    return partial(run_pool, workers=most) if most else run_here


def _workers(text: str) -> tuple[int, int]:
    """`N` or `LEAST:MOST` as (least, most)."""
    parts = text.split(":")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"expected a number or LEAST:MOST, found {text!r}")
    least, most = int(parts[0]), int(parts[-1])
    if least > most:
        raise argparse.ArgumentTypeError(f"expected LEAST to be at most MOST, found {text!r}")
    return least, most

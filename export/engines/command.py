"""`python -m export tensorrt <bundle>`: build, inspect and record the engines of a bundle."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.bundle import load_bundle


def add_parser(commands: Any, progress: Callable[[str], None]) -> None:
    """Add the command to the subparsers of `python -m export`."""
    parser = commands.add_parser("tensorrt", help="build TensorRT engines into a bundle's engines/ folder")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--graph", action="append", default=[], help="a graph to build (default: all)")
    parser.add_argument("--precision", choices=("float32", "float16", "bfloat16", "int8"), default="float16")
    parser.add_argument(
        "--target", action="append", default=[], metavar="GPU",
        help="current (default, this machine's), sm89 and the like, or ampere_plus; may be repeated",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="largest batch of each bucket, rising")
    parser.add_argument(
        "--size", nargs="+", default=["any"], metavar="SIZE",
        help="size buckets: any (default), or WIDTHxHEIGHT for one size alone",
    )  # fmt: skip
    parser.add_argument(
        "--keep", action="append", default=[], metavar="PATTERN", help="node names or operations to leave in float32"
    )
    parser.add_argument("--max-error", type=float, help="largest error of an output, relative to its largest value")
    parser.add_argument("--library", choices=("auto", "tensorrt", "tensorrt-rtx"), default="auto")
    parser.add_argument("--rebuild", action="store_true", help="build also what is there and up to date")
    parser.set_defaults(run=lambda options: run(options, progress))


def run(options: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Build, and answer a summary of every engine."""
    from export.engines.library import load_library
    from export.engines.write_engines import EngineOptions, write_engines

    settings = EngineOptions(
        precision=options.precision,
        graphs=tuple(options.graph) or None,
        keep=tuple(options.keep),
        targets=tuple(options.target) or ("current",),
        batches=tuple(options.batch),
        sizes=tuple(options.size),
        max_error=options.max_error,
        rebuild=options.rebuild,
    )
    bundle = load_bundle(options.bundle)
    records = write_engines(bundle, load_library(options.library), settings, progress)
    return {"bundle": str(bundle.folder), "engines": [summary(record) for record in records]}


def summary(record: dict[str, Any]) -> dict[str, Any]:
    """The part of a record that a person looks for."""
    origin = record["origin"]
    return {
        "file": record["engine"]["file"],
        "built": record["built"],
        "size": f"{record['engine']['size'] / 1e6:.1f} MB",
        "library": f"{origin['library']} {origin['version']}",
        "target": origin["target"],
        "profiles": origin["profiles"],
        "weights_bytes": record["precision"]["weights_bytes"],
        "error_on_cpu": record["error_on_cpu"],
        "on_gpu": record["on_gpu"] or "not run: no GPU of that target here",
    }

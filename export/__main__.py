"""Checkpoints to bundles.

python -m export onnx <checkpoint> [<checkpoint>] --out <bundle>   export, verify, publish
python -m export int8 <bundle> --out <bundle>                      add INT8 files, calibrated and judged
python -m export tensorrt <bundle> [--target sm89]                 build engines into the bundle's engines/ folder
python -m export verify <bundle> [<checkpoint> ...]                check a bundle; with checkpoints, prove parity anew
python -m export bench <bundle>                                    latency over providers, beside the roofline
python -m export inspect <bundle or graph.onnx>                    what a bundle or a graph holds, as JSON
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.engines import command as tensorrt
from export.errors import ExportError
from service.bundle import Bundle, BundleError, load_bundle

DATA_ROOT = Path("artifacts/data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; answers the exit status, 1 for anything refused, whose reason goes to stderr."""
    options = _parser().parse_args(arguments)
    try:
        found = options.run(options)
        print(found if isinstance(found, str) else json.dumps(found, indent=1, ensure_ascii=False))
    except (BundleError, ExportError, ValueError, OSError) as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def progress(line: str) -> None:
    """A line about what is going on, on stderr, so that stdout holds the result alone."""
    print(line, file=sys.stderr, flush=True)


def export_onnx(options: argparse.Namespace) -> dict[str, Any]:
    from export.source import load_source
    from export.write_bundle import BundleOptions, write_bundle

    settings = BundleOptions(
        name=options.name,
        version=options.version,
        half=options.weights == "float16",
        longest_side=dict(options.longest_side),
        fixed_size=options.fixed_size,
        mirrored=options.mirror,
        default_fov_deg=options.default_fov,
        classes=_class_names(options.classes) if options.classes else (),
        licence=options.licence,
        pictures=tuple(options.picture),
        notes=options.notes.read_text(encoding="utf-8") if options.notes else "",
        validation=options.validation,
        budget=options.budget,
        data_root=options.data_root,
    )
    sources = [load_source(path, options.which) for path in options.checkpoint]
    return summary(write_bundle(sources, options.out, settings, progress))


def _class_names(path: Path) -> tuple[str, ...]:
    """The lines of a text file. Raises ValueError for a file that cannot be read, or with an empty line in it."""
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").rstrip().split("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"classes: expected a text file, found {path}: {error}") from error
    if not all(names):
        raise ValueError(f"classes: expected one name a line, found an empty line {names.index('') + 1} in {path}")
    return names


def export_int8(options: argparse.Namespace) -> dict[str, Any]:
    from export.int8_bundle import Int8Options, add_int8

    settings = Int8Options(
        graphs=tuple(options.graph) or None,
        calibration=options.calibration,
        validation=options.validation,
        budget=options.budget,
        data_root=options.data_root,
    )
    return summary(add_int8(options.bundle, options.out, settings, progress))


def verify(options: argparse.Namespace) -> dict[str, Any]:
    from export.recheck import recheck
    from export.source import load_source
    from export.write_bundle import reverify

    if options.checkpoint:
        reverify(options.bundle, [load_source(path, options.which) for path in options.checkpoint])
    checked = recheck(options.bundle, progress)
    return {**summary(load_bundle(options.bundle)), "checked": checked}


def bench(options: argparse.Namespace) -> str:
    from export.bench import BenchOptions, bench_bundle, bench_text

    settings = BenchOptions(
        graphs=tuple(options.graph) or None,
        batches=tuple(options.batch),
        threads=tuple(options.threads),
        rounds=options.rounds,
        compiled=options.compiled,
        profiled=options.profile,
    )
    return bench_text(bench_bundle(load_bundle(options.bundle), settings, progress))


def inspect(options: argparse.Namespace) -> dict[str, Any]:
    from export.inspect_graph import inspect_bundle, inspect_file

    if options.path.is_dir() or options.path.suffix != ".onnx":
        return inspect_bundle(load_bundle(options.path))
    return inspect_file(options.path)


def summary(bundle: Bundle) -> dict[str, Any]:
    """A few lines about a bundle that passed every check."""
    manifest = bundle.manifest
    return {
        "bundle": str(bundle.folder),
        "name": manifest.name,
        "kind": manifest.kind,
        "version": manifest.version,
        "sha256": bundle.sha256,
        "files": {entry.path: f"{entry.size / 1e6:.2f} MB, {entry.precision}" for entry in manifest.files},
        "verified": True,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export", description="Checkpoints to verified bundles.")
    commands = parser.add_subparsers(required=True, metavar="command")

    onnx = commands.add_parser("onnx", help="export, verify and publish a bundle")
    onnx.add_argument("checkpoint", type=Path, nargs="+", help="checkpoint folder, or a run (see --which)")
    onnx.add_argument("--out", type=Path, required=True, help="the bundle's folder; replaced only when all passed")
    onnx.add_argument("--name", help="name in the service (default: the folder's name)")
    onnx.add_argument("--version", default="1", help="version in the manifest (default: 1)")
    onnx.add_argument("--weights", choices=["float16", "float32"], default="float16", help="storage alone")
    onnx.add_argument(
        "--longest-side", type=_graph_size, action="append", default=[], metavar="GRAPH=PIXELS",
        help="input size of a graph, for instance perceive=384 (default: as the recipe trained)",
    )  # fmt: skip
    onnx.add_argument(
        "--fixed-size", type=_fixed_size, metavar="WIDTHxHEIGHT",
        help="make a perceive graph for this size alone (default: any size; MT-CP: the recipe's shape)",
    )  # fmt: skip
    onnx.add_argument("--mirror", action="store_true", help="average over the mirror image too, in twice the time")
    onnx.add_argument(
        "--default-fov", type=float, default=60.0,
        help="degrees along the longer side, assumed without focal length",
    )  # fmt: skip
    onnx.add_argument("--classes", type=Path, metavar="FILE", help="class names, one a line (default: a public set's)")
    onnx.add_argument("--licence", help="licence of the weights (default: from the training data)")
    onnx.add_argument("--notes", type=Path, help="a Markdown file to include in CARD.md")
    onnx.add_argument("--picture", type=Path, action="append", default=[], help="a picture to show in CARD.md")
    onnx.set_defaults(run=export_onnx)
    onnx.add_argument("--validation", type=int, default=16, help="generated frames to judge task metrics with; 0: none")

    int8 = commands.add_parser("int8", help="add INT8 files to a bundle: calibrate, choose layers, judge, publish")
    int8.add_argument("bundle", type=Path)
    int8.add_argument("--out", type=Path, required=True, help="folder to publish at; may be the bundle itself")
    int8.add_argument("--graph", action="append", default=[], help="a graph to quantise (default: all)")
    int8.add_argument("--calibration", type=int, default=32, help="generated frames to find ranges and layers with")
    int8.add_argument("--validation", type=int, default=64, help="generated frames to judge with")
    int8.set_defaults(run=export_int8)
    for command in (onnx, int8):
        command.add_argument("--budget", type=float, default=0.01, help="largest relative loss of a task metric")
        command.add_argument("--data-root", type=Path, default=DATA_ROOT, help="where generated frames are kept")

    check = commands.add_parser("verify", help="check a bundle; with its checkpoints, prove parity anew")
    check.add_argument("bundle", type=Path)
    check.add_argument("checkpoint", type=Path, nargs="*")
    check.set_defaults(run=verify)
    for command in (onnx, check):
        command.add_argument("--which", choices=("best", "latest"), default="best", help="which checkpoint of a run")

    tensorrt.add_parser(commands, progress)

    timed = commands.add_parser("bench", help="latency of a bundle's graphs over providers and threads")
    timed.add_argument("bundle", type=Path)
    timed.add_argument("--graph", action="append", default=[], help="a graph to time (default: all)")
    timed.add_argument("--batch", type=int, nargs="+", default=[1], help="frames of one call")
    timed.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of one call on the CPU")
    timed.add_argument("--rounds", type=int, default=20, help="timed calls of each row, in turns")
    timed.add_argument("--compiled", action="store_true", help="torch.compile too, where there is a compiler")
    timed.add_argument("--profile", action="store_true", help="where the time of each file goes, by operation")
    timed.set_defaults(run=bench)

    show = commands.add_parser("inspect", help="what a bundle that passes every check holds, or any ONNX file")
    show.add_argument("path", type=Path)
    show.set_defaults(run=inspect)
    return parser


def _graph_size(text: str) -> tuple[str, int]:
    graph, _, pixels = text.partition("=")
    if not pixels.isdigit() or int(pixels) < 1:
        raise argparse.ArgumentTypeError(f"expected GRAPH=PIXELS, for instance pwm=384, found {text!r}")
    return graph, int(pixels)


def _fixed_size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, for instance 384x288, found {text!r}")
    return int(width), int(height)


if __name__ == "__main__":
    raise SystemExit(main())

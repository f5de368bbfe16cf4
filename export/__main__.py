"""Checkpoints to bundles.

python -m export onnx <checkpoint> [<checkpoint>] --out <bundle>   export, verify, publish
python -m export verify <bundle> [<checkpoint> ...]                check a bundle; with checkpoints, prove parity anew
python -m export inspect <bundle>                                  what a bundle holds, as JSON
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.contracts import OPSETS
from service.bundle import Bundle, BundleError, load_bundle


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; answers the exit status, 1 for anything refused, whose reason goes to stderr."""
    from export.verify import VerifyError

    options = _parser().parse_args(arguments)
    try:
        print(json.dumps(options.run(options), indent=1, ensure_ascii=False))
    except (BundleError, VerifyError, ValueError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def export_onnx(options: argparse.Namespace) -> dict[str, Any]:
    from export.source import load_source
    from export.write_bundle import BundleOptions, write_bundle

    settings = BundleOptions(
        name=options.name,
        version=options.version,
        opset=options.opset,
        half=options.weights == "float16",
        longest_side=dict(options.longest_side),
        fixed_size=options.fixed_size,
        mirrored=options.mirror,
        default_fov_deg=options.default_fov,
        licence=options.licence,
        pictures=tuple(options.picture),
        notes=options.notes.read_text(encoding="utf-8") if options.notes else "",
    )
    sources = [load_source(path, options.which) for path in options.checkpoint]
    return summary(write_bundle(sources, options.out, settings))


def verify(options: argparse.Namespace) -> dict[str, Any]:
    from export.source import load_source
    from export.write_bundle import reverify

    if options.checkpoint:
        reverify(options.bundle, [load_source(path, options.which) for path in options.checkpoint])
    return summary(load_bundle(options.bundle))


def inspect(options: argparse.Namespace) -> dict[str, Any]:
    return load_bundle(options.bundle).manifest.to_dict()


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
    onnx.add_argument("--opset", type=int, choices=OPSETS, default=18)
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
    onnx.add_argument("--default-fov", type=float, default=60.0, help="horizontal degrees assumed without focal length")
    onnx.add_argument("--licence", help="licence of the weights (default: from the training data)")
    onnx.add_argument("--notes", type=Path, help="a Markdown file to include in CARD.md")
    onnx.add_argument("--picture", type=Path, action="append", default=[], help="a picture to show in CARD.md")
    onnx.set_defaults(run=export_onnx)

    check = commands.add_parser("verify", help="check a bundle; with its checkpoints, prove parity anew")
    check.add_argument("bundle", type=Path)
    check.add_argument("checkpoint", type=Path, nargs="*")
    check.set_defaults(run=verify)
    for command in (onnx, check):
        command.add_argument("--which", choices=("best", "latest"), default="best", help="which checkpoint of a run")

    show = commands.add_parser("inspect", help="print the manifest of a bundle that passes every check")
    show.add_argument("bundle", type=Path)
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

"""Stitching by a running service on photographs, beside peers that run in the same minutes.

    python -m benchmarks.stitch --data ../shared/data/real [--url http://127.0.0.1:3000] [--out FILE.md]

Stereo crops and sequence pairs have exact flow; `stitch_pairs` are scored on each method's own overlap; unrelated pairs
must be refused. A refusal scores as identity and is counted. `dB to homography` is paired: pairs on which both succeed,
on the pixels that every successful method covers. Seconds are ratios to the homography on the same pair.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import peers
from benchmarks.client import Client
from benchmarks.served import served
from benchmarks.stitch_items import LazyItem, StitchItem, real_pairs, unrelated_pairs
from benchmarks.stitch_report import Row, write_tables
from benchmarks.stitch_scores import Placed, eroded, psnr, score
from benchmarks.stitch_truth import sequence_pairs, stereo_crops
from benchmarks.stitched import RefusalError, Stitched
from benchmarks.table import Report, dated

Method = Callable[[StitchItem], Stitched]
SETS = ("middlebury", "sevenscenes", "stitch_pairs", "unrelated")
BOUNDS = ("best homography", "exact flow")


def find_items(data: Path, sets: Sequence[str], longest_side: int, limit: int | None) -> Iterator[LazyItem]:
    """Pairs of the sets that are present, at most `limit` of each."""
    folders = {"middlebury": "middlebury", "sevenscenes": "sevenscenes_kitchen"}
    for name in sets:
        root = data / folders.get(name, "stitch_pairs")
        if not (root / "manifest.json").exists():
            continue
        source: Iterator[LazyItem] = {
            "middlebury": lambda r: stereo_crops(r),
            "sevenscenes": lambda r: sequence_pairs(r),
            "stitch_pairs": lambda r: real_pairs(r, longest_side),
            "unrelated": lambda r: unrelated_pairs(r, longest_side),
        }[name](root)
        taken: dict[str, int] = {}
        for item in source:
            taken[item.dataset] = taken.get(item.dataset, 0) + 1
            if limit is None or taken[item.dataset] <= limit:
                yield item


def peer_methods() -> dict[str, Method]:
    """Peers in the order of the tables."""
    return {
        "identity": peers.identity,
        "homography": peers.homography,
        "homography + DIS": peers.homography_dis,
        "OpenCV Stitcher": peers.opencv_stitcher,
        BOUNDS[0]: peers.truth_homography,
        BOUNDS[1]: peers.truth_gather,
    }


def score_item(item: StitchItem, methods: dict[str, Method]) -> list[Row]:
    """One row a method; a refusal takes the identity's scores."""
    fallback = score(item, peers.identity(item))
    rows: list[Row] = []
    results: dict[str, Stitched] = {}
    for name, method in methods.items():
        if name in BOUNDS and item.truth is None:
            continue
        try:
            result = method(item)
        except RefusalError as refusal:
            rows.append(Row(item, name, False, fallback, refusal.seconds, refusal.reason))
            continue
        results[name] = result
        values = score(item, result)
        if name == BOUNDS[1] and not item.scene_beyond:
            values.pop("coverage", None)  # the exact source is known on the overlap only
        rows.append(Row(item, name, True, values, result.seconds, ""))
    add_paired(item, rows, results)
    return rows


def add_paired(item: StitchItem, rows: list[Row], results: dict[str, Stitched]) -> None:
    """Adds `dB to homography` and `x homography` where both succeeded."""
    anchor = results.get("homography")
    if anchor is None:
        return
    compared = {name: r for name, r in results.items() if name != "identity"}
    placed = {name: Placed(item, r) for name, r in compared.items()}
    common = eroded(np.logical_and.reduce([p.overlap for p in placed.values()]), 1)
    base = psnr(placed["homography"].warped, item.scene_HW3, common)
    for row in rows:
        if row.method in placed:
            row.values["dB to homography"] = psnr(placed[row.method].warped, item.scene_HW3, common) - base
        if row.method in compared and row.method not in BOUNDS:
            row.values["x homography"] = row.seconds / anchor.seconds


def measure(items: Iterator[LazyItem], methods: dict[str, Method]) -> list[Row]:
    """Rows of all pairs and methods, with a line of progress a pair."""
    rows: list[Row] = []
    for lazy in items:
        found = score_item(lazy.load(), methods)
        rows += [row.without_images() for row in found]
        said = "  ".join(f"{r.method} {r.values['mPSNR']:.1f}" if r.ok else f"{r.method} refused" for r in found)
        print(f"{lazy.dataset} {lazy.name}: {said}", file=sys.stderr, flush=True)
    return rows


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stitch", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with middlebury, sevenscenes_kitchen, stitch_pairs"
    )
    parser.add_argument("--url", help="a running service; without it one is started")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--limit", type=int, help="at most so many pairs a set")
    parser.add_argument("--longest-side", type=int, default=1000, help="real pairs are reduced to this")
    parser.add_argument("--profile", default="default", choices=("default", "fast"))
    parser.add_argument("--threads", type=int, default=1, help="OpenCV threads of the peers")
    parser.add_argument("--peers-only", action="store_true", help="no service at all")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> Report:
    """Measures, prints and writes the report."""
    options = arguments(argv)
    cv2.setNumThreads(options.threads)
    items = find_items(options.data, options.sets, options.longest_side, options.limit)
    about: list[dict[str, Any]] = []
    if options.peers_only:
        rows = measure(items, peer_methods())
    else:
        with served(options.url) as url, Client(url) as client:
            about = client.models()
            fields = {"profile": options.profile}
            rows = measure(items, {"service": lambda i: client.stitch(i.reference, i.target, fields), **peer_methods()})
    if not rows:
        raise ValueError(f"data: expected {', '.join(options.sets)} under {options.data}, found no pair")
    report = Report(title="Stitching on photographs", module="benchmarks.stitch", argv=argv)
    models = ", ".join(f"{m['name']} {m.get('version', '')}" for m in about if m.get("kind") == "stitch") or "none"
    report.notes.append(
        f"Service bundle: {models}; profile {options.profile}; peers on {options.threads} OpenCV thread(s). A refusal "
        "scores as identity. EPE and parallax are in pixels at long side 512; stated intervals are 95 % bootstrap over "
        "pairs. The service's time includes HTTP, PNG decoding and the zip answer; the peers' does not. OpenCV "
        "Stitcher is scored through its cameras mapped back to the reference plane, without its own blending."
    )
    write_tables(report, rows)
    report.write(options.out or dated("stitch"))
    return report


if __name__ == "__main__":
    print(main().text())

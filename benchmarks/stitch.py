"""Stitching by a running service on photographs, beside peers that run in the same minutes.

    python -m benchmarks.stitch --data ../shared/data/real [--url http://127.0.0.1:3000] [--out FILE.md]
    python -m benchmarks.stitch --generated artifacts/generated_pairs [--swap] [--no-fallback] [--sheet worst.jpg]

Stereo crops and sequence pairs have exact flow; `stitch_pairs` are scored on each method's own overlap; unrelated pairs
must be refused. A refusal scores as identity and is counted. `dB to homography` is paired: pairs on which both succeed,
on the pixels that every successful method covers. Seconds are ratios to the homography on the same pair. `--swap` also
stitches every pair with its roles exchanged; `--no-fallback` adds the same bundle with its fallback to a homography
off, `--no-network` also with the flow of its network set to zero, which says what that network brings; `--sheet` draws
the ten worst answers.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import peers
from benchmarks.client import Client
from benchmarks.served import served
from benchmarks.stitch_checks import line_bend, round_trip
from benchmarks.stitch_generated import generated_pairs
from benchmarks.stitch_items import LazyItem, StitchItem, real_pairs, unrelated_pairs
from benchmarks.stitch_local import local_method, open_stitcher, without_fallback, without_network
from benchmarks.stitch_report import Row, write_tables
from benchmarks.stitch_scores import Placed, eroded, psnr, score
from benchmarks.stitch_sheet import Exhibit, exhibit, write_sheet
from benchmarks.stitch_truth import sequence_pairs, stereo_crops
from benchmarks.stitched import RefusalError, Stitched
from benchmarks.table import Report, dated
from service.stitching.result import StitchOptions

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


def score_item(
    item: StitchItem, methods: dict[str, Method], swap: bool = False, shown: list[Exhibit] | None = None
) -> list[Row]:
    """One row a method; a refusal takes the identity's scores.

    swap: methods other than bounds also stitch the pair with its roles exchanged. shown: takes the service's exhibit.
    """
    fallback = score(item, peers.identity(item))
    rows: list[Row] = []
    results: dict[str, Stitched] = {}
    for name, method in methods.items():
        if name in BOUNDS and item.truth is None:
            continue
        try:
            result = method(item)
        except RefusalError as refusal:
            rows.append(Row(item, name, False, dict(fallback), refusal.seconds, refusal.reason))
            if name == "service" and shown is not None:
                shown.append(exhibit(item, None, fallback, refusal.reason))
            continue
        results[name] = result
        values = score(item, result)
        if name == BOUNDS[1] and not item.scene_beyond:
            values.pop("coverage", None)  # the exact source is known on the overlap only
        values |= checks(item, result)
        if swap and name not in (*BOUNDS, "identity"):
            values |= swapped(item, result, method)
        rows.append(Row(item, name, True, values, result.seconds, ""))
        if name == "service" and shown is not None:
            shown.append(exhibit(item, result, values, ""))
    add_paired(item, rows, results)
    return rows


def checks(item: StitchItem, result: Stitched) -> dict[str, float]:
    """Scores that need no truth: straight lines beyond the reference, and what the report says of the way taken."""
    values = {} if result.flow_HW2 is None else line_bend(item, result.flow_HW2)
    if method := str(result.report.get("method", "")):
        values["fallback"] = float(method.startswith("homography"))
        values["by depth"] = float(result.report.get("flow", {}).get("extended_by_depth", 0.0))
    return values


def swapped(item: StitchItem, result: Stitched, method: Method) -> dict[str, float]:
    """The pair with its roles exchanged: mPSNR on its own overlap, and whether both warps undo each other."""
    height, width = item.target.shape[:2]
    other = replace(
        item, reference=item.target, target=item.reference, frame=(height, width), origin=(0, 0),
        scene_HW3=item.target, overlap_HW=None, beyond_HW=None, truth=None,
    )  # fmt: skip
    try:
        back = method(other)
    except RefusalError:
        return {}
    values = {"swap dB": score(other, back)["mPSNR"]}
    if result.flow_HW2 is not None and back.flow_HW2 is not None:
        values |= round_trip(item, result.flow_HW2, back.flow_HW2)
    return values


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


def measure(
    items: Iterable[LazyItem], methods: dict[str, Method], swap: bool = False, shown: list[Exhibit] | None = None
) -> list[Row]:
    """Rows of all pairs and methods, with a line of progress a pair; unrelated pairs are not exhibited."""
    rows: list[Row] = []
    for lazy in items:
        found = score_item(lazy.load(), methods, swap, None if lazy.dataset == "unrelated" else shown)
        rows += [row.without_images() for row in found]
        said = "  ".join(f"{r.method} {r.values['mPSNR']:.1f}" if r.ok else f"{r.method} refused" for r in found)
        print(f"{lazy.dataset} {lazy.name}: {said}", file=sys.stderr, flush=True)
    return rows


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stitch", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with middlebury, sevenscenes_kitchen, stitch_pairs")
    parser.add_argument("--generated", type=Path, help="folder that benchmarks.stitch_generated wrote")
    parser.add_argument("--url", help="a running service; without it one is started")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--limit", type=int, help="at most so many pairs a set")
    parser.add_argument("--longest-side", type=int, default=1000, help="real pairs are reduced to this")
    parser.add_argument("--profile", default="default", choices=("default", "fast"))
    parser.add_argument("--threads", type=int, default=1, help="OpenCV threads of the peers")
    parser.add_argument("--swap", action="store_true", help="also stitch every pair with its roles exchanged")
    parser.add_argument("--no-fallback", action="store_true", help="also the bundle with its fallback off, in process")
    parser.add_argument(
        "--no-network", action="store_true", help="also with the network's flow set to zero, in process"
    )
    parser.add_argument("--sheet", type=Path, help="picture of the service's ten worst pairs")
    parser.add_argument("--peers-only", action="store_true", help="no service at all")
    options = parser.parse_args(argv)
    if options.data is None and options.generated is None:
        parser.error("--data or --generated: expected at least one")
    return options


def main(argv: Sequence[str] | None = None) -> Report:
    """Measures, prints and writes the report."""
    options = arguments(argv)
    cv2.setNumThreads(options.threads)
    sources = [find_items(options.data, options.sets, options.longest_side, options.limit)] if options.data else []
    if options.generated:
        sources.append(islice(generated_pairs(options.generated), options.limit))
    items = chain.from_iterable(sources)
    shown: list[Exhibit] = []
    about: list[dict[str, Any]] = []
    if options.peers_only:
        rows = measure(items, peer_methods(), options.swap)
    else:
        with served(options.url) as url, Client(url) as client:
            about = client.models()
            fields = {"profile": options.profile}
            methods: dict[str, Method] = {"service": lambda i: client.stitch(i.reference, i.target, fields)}
            if options.no_fallback:
                stitcher = open_stitcher(without_fallback())
                methods["service, no fallback"] = local_method(stitcher, StitchOptions(profile=options.profile))
            if options.no_network:
                stitcher = without_network(open_stitcher(without_fallback()))
                methods["service, no network"] = local_method(stitcher, StitchOptions(profile=options.profile))
            rows = measure(items, {**methods, **peer_methods()}, options.swap, shown)
    if not rows:
        raise ValueError(f"data: expected {', '.join(options.sets)} or generated pairs, found no pair")
    if options.sheet and shown:
        write_sheet(options.sheet, shown)
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

"""What `benchmarks.dense` found, as tables and as numbers."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.dense_board import MODES, Board
from benchmarks.dense_scores import class_iou, depth_summary, label_summary, normal_summary
from benchmarks.intervals import Interval
from benchmarks.real_data import NYU13, Photograph
from benchmarks.table import ROOT, Report, markdown_table


def depth_table(boards: dict[str, Board], dataset: str) -> str:
    """Depth of one set: rows are methods, columns the three alignments."""
    header = ["method", "absRel", "rmse m", "δ1", "absRel, median scale", "δ1, median scale", "absRel, affine",
              "δ1, affine"]  # fmt: skip
    rows = []
    for name, board in boards.items():
        found = [board.depth.get(mode, {}).get(dataset) for mode in MODES]
        if any(rows_of_mode is None for rows_of_mode in found):
            continue
        metric, median, affine = (depth_summary(np.array(r)) for r in found)
        cells = [metric["absRel"], metric["rmse"], metric["delta1"], median["absRel"], median["delta1"],
                 affine["absRel"], affine["delta1"]]  # fmt: skip
        rows.append([name, *(cell.text() for cell in cells)])
    return markdown_table(header, rows)


def normal_table(boards: dict[str, Board], dataset: str) -> str:
    """Normals of one set."""
    rows = []
    for name, board in boards.items():
        if dataset in board.normal:
            s = normal_summary(np.array(board.normal[dataset]))
            rows.append([name, s["mean"].text(1), s["median"].text(1), s["below 11.25"].text(1, 100)])
    return markdown_table(["method", "mean °", "median °", "< 11.25° %"], rows)


def label_table(boards: dict[str, Board], dataset: str) -> str:
    """NYU-13 segmentation of one set with the classes that are present."""
    first = class_iou(np.array(next(b.label[dataset] for b in boards.values() if dataset in b.label)))
    present = [k for k in range(len(NYU13)) if np.isfinite(first[k])]
    rows = []
    for name, board in boards.items():
        if dataset in board.label:
            counts = np.array(board.label[dataset])
            s, iou = label_summary(counts), class_iou(counts)
            rows.append([name, s["mIoU"].text(3), s["accuracy"].text(3), *(f"{iou[k]:.2f}" for k in present)])
    return markdown_table(["method", "mIoU", "pixel accuracy", *(NYU13[k] for k in present)], rows)


def image_table(board: Board) -> str:
    """Per-image values of one method."""
    columns = list(dict.fromkeys(key for values in board.images.values() for key in values))
    rows = [
        [name, *(f"{values[c]:.3f}" if c in values else "-" for c in columns)] for name, values in board.images.items()
    ]
    return markdown_table(["image", *columns], rows)


def disparity_table(boards: dict[str, Board]) -> str:
    """Agreement with disparity known up to an offset."""
    scenes = list(dict.fromkeys(name for board in boards.values() for name in board.disparity))
    rows = [
        [name, *("{:.2f} / {:.2f}".format(*board.disparity[s]) if s in board.disparity else "-" for s in scenes)]
        for name, board in boards.items()
    ]
    return markdown_table(["method", *(f"{s}: r² / ρ" for s in scenes)], rows)


def gap_table(board: Board, quality: dict[str, float]) -> str:
    """Figures on generated frames, as the bundle's manifest has them, beside those on each set of photographs."""
    sets = list(dict.fromkeys([*board.depth.get(MODES[0], {}), *board.normal, *board.label]))

    def cell(
        dataset: str, group: dict[str, Any], summary: Callable[[np.ndarray], dict[str, Interval]], key: str
    ) -> str:
        return f"{summary(np.array(group[dataset]))[key].value:.3f}" if dataset in group else "-"

    metric, scaled = board.depth.get(MODES[0], {}), board.depth.get(MODES[1], {})
    lines: tuple[tuple[str, str, dict[str, Any], Callable[[np.ndarray], dict[str, Interval]], str], ...] = (
        ("absRel", "depth/abs_rel", metric, depth_summary, "absRel"),
        ("absRel, median scale", "depth/scaled_abs_rel", scaled, depth_summary, "absRel"),
        ("δ1, median scale", "depth/scaled_delta1", scaled, depth_summary, "delta1"),
        ("normals, median °", "normals/median", board.normal, normal_summary, "median"),
        ("normals below 11.25°", "normals/under_11.25", board.normal, normal_summary, "below 11.25"),
        ("mIoU", "segmentation/miou", board.label, label_summary, "mIoU"),
        ("pixel accuracy", "segmentation/pixel_accuracy", board.label, label_summary, "accuracy"),
    )
    rows = [
        [words, f"{quality[key]:.3f}", *(cell(dataset, group, summary, name) for dataset in sets)]
        for words, key, group, summary, name in lines
        if key in quality
    ]
    return markdown_table(["figure", "generated", *sets], rows)


def released_quality(name: str) -> dict[str, float]:
    """What the manifest of a bundle in `weights/` says of generated frames; empty for another bundle."""
    path = ROOT / "weights" / name / "manifest.json"
    if not path.exists():
        return {}
    return dict(json.loads(path.read_text())["quality"].get("perceive", {}))


def summarise(board: Board) -> dict[str, Any]:
    """Numbers of one method for the JSON file, intervals as [value, low, high]."""

    def listed(parts: dict[str, Interval]) -> dict[str, list[float]]:
        return {k: list(v) for k, v in parts.items()}

    return {
        "depth": {
            m: {s: listed(depth_summary(np.array(r))) for s, r in sets.items()} for m, sets in board.depth.items()
        },
        "normals": {s: listed(normal_summary(np.array(r))) for s, r in board.normal.items()},
        "segmentation": {s: listed(label_summary(np.array(r))) for s, r in board.label.items()},
        "disparity": board.disparity,
        "images": board.images,
    }


def write_tables(report: Report, boards: dict[str, Board], photographs: list[Photograph]) -> None:
    """All tables of the boards, set by set."""
    for dataset in dict.fromkeys(p.dataset for p in photographs):
        count = sum(p.dataset == dataset and p.depth_HW is not None for p in photographs)
        if any(dataset in b.depth.get(MODES[0], {}) for b in boards.values()):
            report.section(f"Depth, {dataset} ({count} images)", depth_table(boards, dataset))
        if any(dataset in b.normal for b in boards.values()):
            report.section(f"Normals, {dataset}", normal_table(boards, dataset))
        if any(dataset in b.label for b in boards.values()):
            labelled = sum(p.dataset == dataset and p.label_HW is not None for p in photographs)
            report.section(f"Segmentation, NYU-13, {dataset} ({labelled} images)", label_table(boards, dataset))
    if any(b.disparity for b in boards.values()):
        report.section("Inverse depth against disparity of unknown offset", disparity_table(boards))
    if "service" in boards:
        report.section("Per image, service", image_table(boards["service"]))
    report.numbers["methods"] = {name: summarise(board) for name, board in boards.items()}

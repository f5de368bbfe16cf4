"""Depth, normals and segmentation of a running service on photographs, beside baselines that see nothing.

    python -m benchmarks.dense --data ../shared/data/real [--url http://127.0.0.1:3000] [--out FILE.md] [--sheet PNG]

Without `--url` a service is started and stopped. Depth is scored as answered (metric), after one median scale an image,
and after a least-squares scale and shift of inverse depth an image. Scores pool the pixels of a set; intervals are 95 %
bootstrap over its images.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.client import Client, class_table
from benchmarks.dense_baselines import constant_maps, floor_and_wall, mean_maps, row_ramp
from benchmarks.dense_scores import (
    DenseMaps,
    abs_rel,
    affine_in_inverse_depth,
    angle_degrees,
    angle_histogram,
    class_iou,
    confusion,
    delta1,
    depth_summary,
    depth_sums,
    disparity_agreement,
    label_summary,
    mean_angle,
    mean_iou,
    median_scaled,
    normal_summary,
    pixel_accuracy,
)
from benchmarks.dense_sheet import SheetRow, write_sheet
from benchmarks.intervals import Interval
from benchmarks.plane_normals import PlaneFit, plane_normals
from benchmarks.real_data import NYU13, Photograph, read_photographs
from benchmarks.served import served
from benchmarks.table import ROOT, Report, dated, markdown_table

MODES = ("metric", "median scale", "affine in inverse depth")
Rows = dict[str, list[np.ndarray]]


@dataclass
class Board:
    """Per-image rows of one method, by set (and alignment)."""

    depth: dict[str, Rows] = field(default_factory=dict)
    normal: Rows = field(default_factory=dict)
    label: Rows = field(default_factory=dict)
    disparity: dict[str, tuple[float, float]] = field(default_factory=dict)
    images: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, photo: Photograph, maps: DenseMaps, normal_hw3: np.ndarray | None, stride: int) -> None:
        """Scores one photograph's maps against whatever was measured for it."""
        values: dict[str, float] = {}
        if maps.depth_HW is not None and photo.depth_HW is not None and photo.valid_HW is not None:
            predicted, measured = maps.depth_HW[photo.valid_HW], photo.depth_HW[photo.valid_HW]
            aligned = (predicted, median_scaled(predicted, measured), affine_in_inverse_depth(predicted, measured))
            for mode, p in zip(MODES, aligned, strict=True):
                sums = depth_sums(p, measured)
                self.depth.setdefault(mode, {}).setdefault(photo.dataset, []).append(sums)
                values[f"absRel {mode}"], values[f"delta1 {mode}"] = abs_rel(sums[None]), delta1(sums[None])
        if maps.depth_HW is not None and photo.disparity_HW is not None:
            self.disparity[photo.name] = disparity_agreement(maps.depth_HW, photo.disparity_HW)
        if maps.normal_HW3 is not None and normal_hw3 is not None:
            known = np.isfinite(normal_hw3[..., 0])
            row = angle_histogram(angle_degrees(maps.normal_HW3[::stride, ::stride][known], normal_hw3[known]))
            self.normal.setdefault(photo.dataset, []).append(row)
            values["normal mean"] = mean_angle(row[None])
        if maps.label_HW is not None and photo.label_HW is not None:
            counts = confusion(maps.label_HW, photo.label_HW)
            self.label.setdefault(photo.dataset, []).append(counts)
            values["mIoU"], values["accuracy"] = mean_iou(counts), pixel_accuracy(counts)
        if values:
            self.images[f"{photo.dataset}/{photo.name}"] = values


def reference_normals(photo: Photograph, fit: PlaneFit) -> np.ndarray | None:
    """Normals given with the photograph, else fitted to its depth, on the fit's grid; None without either."""
    if photo.normal_HW3 is not None:
        return photo.normal_HW3[:: fit.stride, :: fit.stride]
    if photo.depth_HW is not None and photo.intrinsics is not None:
        return plane_normals(photo.depth_HW, photo.intrinsics, fit)
    return None


def check_sizes(photo: Photograph, maps: DenseMaps) -> None:
    """ValueError when a map does not have the photograph's size."""
    wanted = photo.rgb_HW3().shape[:2]
    for name, array in maps._asdict().items():
        if array is not None and array.shape[:2] != wanted:
            raise ValueError(f"{photo.name} {name}: expected {wanted}, found {array.shape[:2]}")


def ask_service(client: Client, photographs: list[Photograph]) -> tuple[list[DenseMaps], dict[str, Any]]:
    """Maps for every photograph with classes renamed to NYU-13, and facts about the answers."""
    answers, seconds, meta = [], [], {}
    for photo in photographs:
        answer = client.perceive(photo.path.read_bytes(), photo.path.name, photo.focal_px)
        check_sizes(photo, answer.maps)
        maps, meta = answer.maps, answer.meta
        if maps.label_HW is not None:
            names = [c if isinstance(c, str) else c["name"] for c in meta.get("classes", NYU13)]
            maps = maps._replace(label_HW=class_table(names)[maps.label_HW])
        answers.append(maps)
        seconds.append(answer.seconds)
    facts = {"model": meta.get("model"), "seconds p50": float(np.median(seconds)), "images": len(seconds)}
    return answers, facts


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
    first = np.array(next(b.label[dataset] for b in boards.values() if dataset in b.label))
    present = [k for k in range(len(NYU13)) if np.isfinite(class_iou(first)[k])]
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


def score(
    photographs: list[Photograph], methods: dict[str, Callable[[int], DenseMaps]], fit: PlaneFit
) -> dict[str, Board]:
    """Boards of all methods; a method maps a photograph's index to maps at the photograph's size."""
    boards = {name: Board() for name in methods}
    for index, photo in enumerate(photographs):
        normal = reference_normals(photo, fit)
        for name, method in methods.items():
            boards[name].add(photo, method(index), normal, fit.stride)
    return boards


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


def sheet_rows(
    photographs: list[Photograph], answers: list[DenseMaps], board: Board, fit: PlaneFit, most: int = 14
) -> list[SheetRow]:
    """Photographs spread over the sets with the service's maps and what was measured."""
    order = sorted(range(len(photographs)), key=lambda i: (photographs[i].dataset == "sevenscenes", i))
    rows = []
    for i in order[:most]:
        photo = photographs[i]
        values = board.images.get(f"{photo.dataset}/{photo.name}", {})
        text = f"{photo.dataset} {photo.name}  " + "  ".join(f"{k} {v:.2f}" for k, v in values.items())
        normal = reference_normals(photo, fit)
        if normal is not None:
            size = photo.rgb_HW3().shape[1::-1]
            normal = cv2.resize(normal, size, interpolation=cv2.INTER_NEAREST)
        depth = photo.depth_HW if photo.depth_HW is not None else None
        rows.append(SheetRow(photo.rgb_HW3(), answers[i], DenseMaps(depth, photo.label_HW, normal), text))
    return rows


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dense", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with nyuv2, sevenscenes_kitchen, middlebury")
    parser.add_argument("--url", help="a running service; without it one is started")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    parser.add_argument("--sheet", type=Path, help="PNG to look at (made of the photographs: keep it out of git)")
    parser.add_argument("--limit", type=int, help="at most so many photographs a set")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> Report:
    """Measures, prints and writes the report."""
    options, fit = arguments(argv), PlaneFit()
    photographs = read_photographs(options.data, options.limit)
    with served(options.url) as url, Client(url) as client:
        answers, facts = ask_service(client, photographs)
        facts["models"] = [{k: m.get(k) for k in ("name", "version", "precision", "provider")} for m in client.models()]
    normals = {f"{p.dataset}/{p.name}": n for p in photographs if (n := reference_normals(p, fit)) is not None}
    methods: dict[str, Callable[[int], DenseMaps]] = {
        "service": lambda i: answers[i],
        "constant": lambda i: constant_maps(photographs, i),
        "mean map": lambda i: mean_maps(photographs, normals, i),
        "floor and wall": lambda i: floor_and_wall(photographs[i]),
        "row ramp": lambda i: row_ramp(photographs[i]),
    }
    boards = score(photographs, methods, fit)
    report = Report(title="Dense perception on photographs", module="benchmarks.dense", argv=argv)
    report.notes.append(
        f"Service: {facts['model']}, median {facts['seconds p50']:.3f} s a request over {facts['images']} photographs. "
        "`constant` and `mean map` are made of the other photographs of the same set; 7-Scenes frames show one room, "
        "so there they know it. Reference normals are planes fitted to measured depth."
    )
    report.numbers["service"] = facts
    quality = released_quality(str(facts["model"]))
    if quality:
        report.section("From generated frames to photographs", gap_table(boards["service"], quality))
    write_tables(report, boards, photographs)
    report.write(options.out or dated("dense"))
    if options.sheet:
        write_sheet(options.sheet, sheet_rows(photographs, answers, boards["service"], fit))
    return report


if __name__ == "__main__":
    print(main().text())

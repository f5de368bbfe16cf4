"""Depth, normals and segmentation of a running service on photographs, beside baselines that see nothing.

    python -m benchmarks.dense --data ../shared/data/real [--url http://127.0.0.1:3000] [--out FILE.md] [--sheet PNG]

Without `--url` a service is started and stopped. Depth is scored as answered (metric), after one median scale an image,
and after a least-squares scale and shift of inverse depth an image. Scores pool the pixels of a set; intervals are 95 %
bootstrap over its images.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.client import Client, class_table
from benchmarks.dense_baselines import constant_maps, floor_and_wall, mean_maps, row_ramp
from benchmarks.dense_board import Board, reference_normals
from benchmarks.dense_scores import DenseMaps
from benchmarks.dense_sheet import SheetRow, write_sheet
from benchmarks.dense_tables import gap_table, released_quality, write_tables
from benchmarks.plane_normals import PlaneFit
from benchmarks.real_data import NYU13, Photograph, read_photographs
from benchmarks.served import served
from benchmarks.table import Report, dated


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
        rows.append(SheetRow(photo.rgb_HW3(), answers[i], DenseMaps(photo.depth_HW, photo.label_HW, normal), text))
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

"""What each part of generator and recipe buys: the dense network without it, on unseen rooms and on photographs.

    python -m benchmarks.dense_ablation --data ../shared/data/real [--only full ...] [--steps 1000] [--out FILE.md]

Every variant is trained from scratch on its own 96 x 128 frames with the same seeds, steps and network, and judged on
the full generator's unseen frames and on photographs, which no variant learns from. At this size and length the figures
lie well below the released network's; only their order counts. Intervals are 95 % bootstrap over photographs. Runs lie
in `artifacts/ablation` and are resumed; frames are cached in `artifacts/data`.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.dense_board import Board, reference_normals
from benchmarks.dense_scores import DenseMaps, depth_summary, label_summary, normal_summary
from benchmarks.plane_normals import PlaneFit
from benchmarks.real_data import Photograph, read_photographs
from benchmarks.table import Report, dated, markdown_table
from training.augmentation import STRONG, PhotometricConfig
from training.data.photometrics import CLEAN
from training.data.rooms import RoomConfig
from training.data.viewpoint import ViewConfig
from training.objectives.perceive import CANONICAL_FOCAL_RATIO, PerceiveOptions
from training.recipe import Recipe

SIZE = (96, 128)
FULL = RoomConfig(height=SIZE[0], width=SIZE[1], outdoor=0.12)
STANDING = ViewConfig(overview=1.0, corner=0.0, surface=0.0, close_up=0.0, tilted=0.0, seated=0.0, roll=0.2)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row: frames (cached under `data`), the objective's options, and what is left out, in words."""

    without: str
    data: str = "ablation"
    rooms: RoomConfig = FULL
    options: PerceiveOptions = field(default_factory=lambda: PerceiveOptions(photometric=STRONG))


VARIANTS = {
    "full": Variant(without="nothing"),
    "views": Variant(
        without="hand-held views (standing ones alone)", data="ablation_views", rooms=replace(FULL, views=STANDING)
    ),
    "camera": Variant(
        without="the camera's optics, sensor and compression",
        data="ablation_camera",
        rooms=replace(FULL, photometrics=CLEAN),
    ),
    "outdoors": Variant(without="streets and gardens", data="ablation_indoors", rooms=replace(FULL, outdoor=0.0)),
    "strong": Variant(without="strong appearance changes", options=PerceiveOptions(photometric=PhotometricConfig())),
    "losses": Variant(
        without="coherence and balanced classes",
        options=PerceiveOptions(photometric=STRONG, coherence_weight=0.0, class_balance=0.0),
    ),
}
GENERATED = ("depth/scaled_delta1", "segmentation/miou", "normals/median")


def variant_recipe(name: str, steps: int, count: int) -> Recipe:
    """The dense recipe with a variant's frames and options; its validation frames are the full generator's."""
    from training.recipes import get_recipe

    variant, recipe = VARIANTS[name], get_recipe("perceive_rooms")
    data = replace(recipe.data, name=variant.data, config=variant.rooms, count=count)
    return replace(
        recipe, name="ablation", options=variant.options, data=data, steps=steps, ema_decay=0.995,
        evaluate_every=steps, checkpoint_every=max(1, steps // 4),
    )  # fmt: skip


def maps_of(network: torch.nn.Module, photo: Photograph) -> DenseMaps:
    """A network's maps of a photograph, through the service's own resizing, at the training size."""
    from service.postprocess import resize_depth, resize_normals, resize_segmentation
    from service.preprocess import to_model_image

    rgb = photo.rgb_HW3()
    height, width = rgb.shape[:2]
    scale = SIZE[1] / max(height, width)
    size = (max(1, round(width * scale / 32)) * 32, max(1, round(height * scale / 32)) * 32)
    image = torch.from_numpy(to_model_image(rgb, size)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        depth, logits, normals = (part[0].numpy() for part in network(image))
    focal = photo.focal_px or CANONICAL_FOCAL_RATIO * width
    return DenseMaps(
        resize_depth(depth, focal / (CANONICAL_FOCAL_RATIO * width), (width, height)),
        resize_segmentation(logits, (width, height)),
        resize_normals(normals, (width, height)),
    )


def judged(
    run: Path, validation: Recipe, photographs: list[Photograph], normals: list[np.ndarray | None]
) -> tuple[dict[str, float], Board]:
    """Metrics of a run's last checkpoint on the full generator's unseen frames, and its board of photographs."""
    from models.build import build, config_from_dict
    from training.checkpoint import load_checkpoint
    from training.datasets import DEFAULT_ROOT, in_order, open_dataset
    from training.objectives.perceive import PerceiveObjective

    checkpoint = load_checkpoint(run)
    network = build(config_from_dict(checkpoint.model_config)).eval()
    network.load_state_dict(checkpoint.state_dict)
    frames = open_dataset(validation.data, DEFAULT_ROOT, "validation")
    metrics = PerceiveObjective(PerceiveOptions(), 13).evaluate(network, in_order(frames, 8))
    board, stride = Board(), PlaneFit().stride
    for photo, normal in zip(photographs, normals, strict=True):
        board.add(photo, maps_of(network, photo), normal, stride)
    return metrics, board


def photograph_cells(board: Board, dataset: str) -> list[str]:
    """Median-scaled and affine depth, and normals of one set."""
    cells: list[str] = []
    for mode in ("median scale", "affine in inverse depth"):
        cells.append(depth_summary(np.array(board.depth[mode][dataset]))["delta1"].text())
    return [*cells, normal_summary(np.array(board.normal[dataset]))["median"].text(1)]


def main(argv: Sequence[str] | None = None) -> Report:
    """Trains, measures, prints and writes the report."""
    from training.loop import RunOptions, train

    parser = argparse.ArgumentParser(prog="python -m benchmarks.dense_ablation", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with nyuv2 and sevenscenes_kitchen")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=1000, help="of 16 frames")
    parser.add_argument("--count", type=int, default=2048, help="frames in every training set")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    options = parser.parse_args(argv)
    photographs = read_photographs(options.data)
    normals = [reference_normals(photo, PlaneFit()) for photo in photographs]
    reference = variant_recipe("full", options.steps, options.count)
    sets = [s for s in dict.fromkeys(p.dataset for p in photographs) if any(
        p.dataset == s and p.depth_HW is not None for p in photographs)]  # fmt: skip
    rows, numbers = [], dict[str, Any]()
    for name in options.only:
        recipe = variant_recipe(name, options.steps, options.count)
        out = Path("artifacts/ablation") / f"{name}_{options.steps}"
        if not train(recipe, RunOptions(out=out, threads=options.threads, progress=False))["finished"]:
            raise SystemExit(f"{out}: stopped before its last step; give the command again to go on")
        metrics, board = judged(out, reference, photographs, normals)
        cells = [cell for dataset in sets for cell in photograph_cells(board, dataset)]
        labels = [
            label_summary(np.array(counts))["accuracy"].text(3) for dataset, counts in sorted(board.label.items())
        ]
        rows.append([VARIANTS[name].without, *(f"{metrics[key]:.3f}" for key in GENERATED), *cells, *labels])
        numbers[name] = {"generated": metrics, "photographs": board.images}
    header = ["without", "δ1 scaled", "mIoU", "normals °"]
    header += [f"{s} {what}" for s in sets for what in ("δ1 scaled", "δ1 affine", "normals °")]
    header += [f"{s} accuracy" for s in sorted({p.dataset for p in photographs if p.label_HW is not None})]
    report = Report(title="What each part buys", module="benchmarks.dense_ablation", argv=argv)
    report.notes.append(
        f"{options.steps} steps of 16 frames at {SIZE[0]} x {SIZE[1]} from {options.count} frames, one seed. The first "
        "three columns are unseen frames of the full generator; the others are photographs."
    )
    report.section("Variants", markdown_table(header, rows))
    report.numbers["variants"] = numbers
    report.write(options.out or dated("dense_ablation"))
    return report


if __name__ == "__main__":
    print(main().text())

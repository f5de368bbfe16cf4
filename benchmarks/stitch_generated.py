"""Generated pairs for choosing how the service stitches: exact flow, exact view beyond the frame, four parallax levels.

    python -m benchmarks.stitch_generated --out artifacts/generated_pairs [--each 6] [--height 576 --width 768]

Renders the set once; `python -m benchmarks.stitch --generated artifacts/generated_pairs` scores methods on it. Rooms
and streets, exposure, vignetting, noise, softness and compression as in training, from seeds that no recipe trains on.

Convention: flow is target -> reference (dx, dy) px; frame pixel = reference pixel + origin.
Legend: H, W frame; h, w target.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.real_data import read_json
from benchmarks.stitch_items import LazyItem, StitchItem, level_of, make_truth, read_rgb

if TYPE_CHECKING:
    from training.data.pairs import PairConfig

FIRST_SEED = 5_000_000
LEVELS = ("low", "mid", "high", "extreme")
CANDIDATES = 400
OUTDOOR = 0.3


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """One pair of the set before it is rendered."""

    seed: int
    level: str
    config: PairConfig


def choose(each: int, height: int, width: int) -> Iterator[Chosen]:
    """Seeds by level of parallax, `each` of every level, judged on small frames without any colour.

    Even seeds have baselines up to 10 % of the median depth, odd ones up to 30 %.
    Raises ValueError when the candidates do not hold enough of a level.
    """
    from training.data.pairs import PairConfig
    from training.data.viewpoint import ViewConfig

    wanted = dict.fromkeys(LEVELS, each)
    for seed in range(FIRST_SEED, FIRST_SEED + CANDIDATES):
        if not any(wanted.values()):
            return
        wide = {"baseline": 0.3, "views": ViewConfig(roll=0.5)} if seed % 2 else {}
        config = PairConfig(height=height, width=width, outdoor=OUTDOOR, **wide)  # type: ignore[arg-type]
        level = parallax_level_of(seed, config)
        if level is not None and wanted[level]:
            wanted[level] -= 1
            yield Chosen(seed=seed, level=level, config=config)
    if any(wanted.values()):
        raise ValueError(f"each: expected {each} pairs of every level among {CANDIDATES} seeds, missing {wanted}")


def parallax_level_of(seed: int, config: PairConfig) -> str | None:
    """The level of a seed's pair, from a frame a sixth as large; None where it hardly overlaps."""
    from dataclasses import replace

    from training.data.caster import cast_image
    from training.data.pairs import sample_cameras, warp_truth
    from training.parallax import LEVELS as NAMES
    from training.parallax import parallax, parallax_level

    small = replace(config, height=config.height // 6, width=config.width // 6, antialias=False)
    scene, target, reference = sample_cameras(seed, small)
    truth = warp_truth(scene, target, reference, cast_image(scene, target, target.rays()))
    if float((truth.region_HW == 1).float().mean()) < 0.15:
        return None
    level = int(parallax_level(parallax(truth.flow_2HW[None].float(), truth.region_HW[None]))[0])
    return None if level < 0 else NAMES[level]


def render(chosen: Chosen, folder: Path) -> None:
    """Renders one pair into `folder`, which appears complete or not at all."""
    from training.data.pairs import render_pairs

    pair = render_pairs([chosen.seed], chosen.config)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as name:
        partial = Path(name) / "pair"
        partial.mkdir()
        for part, image in (("target", pair.target_B3HW), ("reference", pair.reference_B3HW)):
            _write_png(partial / f"{part}.png", _bytes(image[0].numpy()))
        _write_png(partial / "scene.png", _bytes(pair.stitched_B3hw[0].numpy()))
        x0, y0 = (int(value) for value in pair.canvas_offset_B2[0])
        offset = (x0, y0)
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            allow_pickle=False,
            flow=pair.flow_B2HW[0].permute(1, 2, 0).numpy(),
            region=pair.region_BHW[0].numpy(),
            seen=pair.seen_Bhw[0].numpy(),
            source=_source(chosen, offset, pair.seen_Bhw[0].numpy()),
            origin=np.array(offset),
        )
        (partial / "truth.npz").write_bytes(buffer.getvalue())
        os.rename(partial, folder)


def _source(chosen: Chosen, offset: tuple[int, int], seen_HW: np.ndarray) -> np.ndarray:
    """Target pixel seen at each canvas pixel, float32 [H,W,2], NaN where the target sees nothing."""
    from training.data.caster import cast_image
    from training.data.pairs import SEEN_BY_TARGET, project, sample_cameras

    scene, target, reference = sample_cameras(chosen.seed, chosen.config)
    camera = reference.extended(seen_HW.shape[0], seen_HW.shape[1], offset[0], offset[1])
    pixel, _ = project(camera, target, cast_image(scene, camera, camera.rays()).t)
    seen = (seen_HW & SEEN_BY_TARGET) > 0
    return np.where(seen[..., None], pixel.permute(1, 2, 0).numpy(), np.nan).astype(np.float32)


def generated_pairs(root: Path) -> Iterator[LazyItem]:
    """The rendered pairs of `root` in the order of its manifest."""
    for entry in read_json(root / "manifest.json")["pairs"]:
        yield LazyItem("generated", entry["pair"], lambda e=entry: read_generated(root / e["pair"]))  # type: ignore[misc]


def read_generated(folder: Path) -> StitchItem:
    """One rendered pair. The scene is what the enlarged reference camera saw, before its noise and vignetting."""
    from training.data.pairs import INVALID, SEEN_BY_REFERENCE, SEEN_BY_TARGET

    with np.load(folder / "truth.npz", allow_pickle=False) as data:
        flow, region, seen, source, origin = (data[k] for k in ("flow", "region", "seen", "source", "origin"))
    reference, target, scene = (read_rgb(folder / f"{part}.png") for part in ("reference", "target", "scene"))
    x, y = (int(value) for value in origin)
    # The reference itself, with its noise and vignetting, is what an overlap has to match.
    scene[y : y + reference.shape[0], x : x + reference.shape[1]] = reference
    known = region != INVALID
    truth = make_truth(np.where(known[..., None], flow, np.nan).astype(np.float64), region, source.astype(np.float64))
    by_reference, by_target = (seen & SEEN_BY_REFERENCE) > 0, (seen & SEEN_BY_TARGET) > 0
    return StitchItem(
        dataset="generated", name=folder.name, level=level_of(truth.parallax_px), reference=reference, target=target,
        frame=(seen.shape[0], seen.shape[1]), origin=(x, y), scene_HW3=scene, overlap_HW=by_reference & by_target,
        beyond_HW=by_target & ~by_reference, scene_beyond=True, truth=truth,
    )  # fmt: skip


def _bytes(image_3HW: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(image_3HW, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def _write_png(path: Path, rgb_HW3: np.ndarray) -> None:
    if not cv2.imwrite(str(path), cv2.cvtColor(rgb_HW3, cv2.COLOR_RGB2BGR)):
        raise ValueError(f"path: expected a place to write to, found {path}")


def main(argv: Sequence[str] | None = None) -> None:
    """Renders what is missing and writes the manifest."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stitch_generated", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=6, help="pairs of every level of parallax")
    parser.add_argument("--height", type=int, default=576)
    parser.add_argument("--width", type=int, default=768)
    options = parser.parse_args(argv)
    entries = []
    for chosen in choose(options.each, options.height, options.width):
        name = f"{chosen.level}-{chosen.seed - FIRST_SEED:03d}"
        if not (options.out / name).is_dir():
            render(chosen, options.out / name)
        entries.append({"pair": name, "seed": chosen.seed})
        print(name, file=sys.stderr, flush=True)
        partial = options.out / ".manifest.json"
        partial.write_text(json.dumps({"pairs": entries}, indent=1))
        os.replace(partial, options.out / "manifest.json")


if __name__ == "__main__":
    main()

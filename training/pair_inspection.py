"""Looks through a folder of pairs on disk: what is there, what the pairs look like, what is missing or damaged.

    python -m training inspect auto ~/data/UDIS-D

Nothing is written below the data folder.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tqdm import tqdm

from training.feature_matches import FEWEST_FOR_HOMOGRAPHY
from training.inspection_findings import Findings, sheet_outside, spread
from training.pair_folder_dataset import PairFolderDataset
from training.pictures import Picture, flow_picture, image_picture, sheet
from training.prealignment import warp_reference
from training.readers.files import DamagedFile
from training.readers.pair_build import MARKS, PairLayout, PairReader, open_pair_reader, pair_layout
from training.readers.reader import SPLITS, Split
from training.regions import OUTSIDE, OVERLAP

FRAME = (192, 256)
SHEET_ROWS = 3


def holds_pairs(root: Path) -> bool:
    """Whether a folder looks like one of the layouts of pairs."""
    return root.is_dir() and any(matches(root) for matches, _ in MARKS.values())


def inspect_pairs(
    layout: PairLayout | None,
    root: Path,
    *,
    limit: int | None = None,
    statistics_of: int = 64,
    sheet_path: Path | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """The report as JSON values, with the keys of `training.inspection.inspect_dataset` that apply to pairs.

    layout None tells it by the folders. Beside them `pairs`: of folders of pairs the shares with a homography and with
    known epipolar geometry among those measured, of stereo scenes the mean shares of overlap and of what lies beyond.
    Raises ValueError for a folder that is not such a set, and for a sheet inside it.
    """
    reader = open_pair_reader(layout or pair_layout(root), root)
    sheet_path = sheet_outside(root, reader.dataset, sheet_path)
    findings = Findings()
    splits: dict[str, Any] = {}
    rows: list[list[Picture]] = []
    shares: dict[str, list[float]] = {}
    for split in SPLITS:
        names, whole = _whole(reader, split, limit, findings, progress)
        splits[split] = {"listed": len(names), "decoded": len(whole), "whole": sum(whole.values())}
        good = [index for index, name in enumerate(names) if whole.get(name)]
        if not good:
            continue
        dataset = PairFolderDataset(reader, split, *FRAME, augmented=False)
        for number, index in enumerate(spread(good, statistics_of)):
            sample = dataset.sample(index)
            for name, share in _shares(sample).items():
                shares.setdefault(name, []).append(share)
            if number < SHEET_ROWS:
                rows.append(_row(sample))
    if rows:
        sheet_path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet(rows)).save(sheet_path)
    return {
        "dataset": reader.dataset,
        "path": str(root),
        "layout": reader.layout,
        "why": reader.why,
        "labels": ["flow", "region", "stitched"] if reader.dataset == "middlebury" else [],
        "labels_absent": [],
        "splits": splits,
        "pairs": {name: round(sum(values) / len(values), 4) for name, values in shares.items()},
        "damaged": bool(findings.by_kind),
        "damage": findings.report(),
        "sheet": str(sheet_path) if rows else None,
    }


def _whole(
    reader: PairReader, split: Split, limit: int | None, findings: Findings, progress: bool
) -> tuple[tuple[str, ...], dict[str, bool]]:
    """All names of a split, and which of those that were decoded are whole; missing files are looked for in all."""
    try:
        names = reader.names(split)
    except DamagedFile as found:
        findings.add(found)
        return (), {}
    decoded = set(spread(names, limit))
    whole: dict[str, bool] = {}
    for name in tqdm(names, desc=f"{reader.dataset} {split}", disable=not progress, file=sys.stderr):
        missing = [path for path in reader.paths(split, name) if not path.is_file()]
        for path in missing:
            findings.add(DamagedFile("missing", path, "expected a file, found none"))
        if name not in decoded:
            continue
        whole[name] = not missing
        if not missing:
            try:
                reader.load(split, name)
            except DamagedFile as found:
                findings.add(found)
                whole[name] = False
    return names, whole


def _shares(sample: dict[str, torch.Tensor]) -> dict[str, float]:
    if "region" in sample:
        return {
            "overlap": float((sample["region"] == OVERLAP).float().mean()),
            "beyond": float((sample["region"] == OUTSIDE).float().mean()),
        }
    return {
        "with_homography": float(sample["inliers"][0] >= FEWEST_FOR_HOMOGRAPHY),
        "with_epipolar_geometry": float(sample["fundamental"].norm() > 0),
    }


def _row(sample: dict[str, torch.Tensor]) -> list[Picture]:
    cells = [image_picture(sample["target"]), image_picture(sample["reference"])]
    if "flow" in sample:
        return [*cells, flow_picture(sample["flow"], float(sample["flow"].norm(dim=0).quantile(0.95)))]
    aligned_B3HW = warp_reference(sample["reference"][None].float(), sample["homography"][None])
    return [*cells, image_picture((sample["target"] + aligned_B3HW[0]) / 2)]

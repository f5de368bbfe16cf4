"""Looks through a public data set on disk: what is there, what it looks like, what is missing or damaged.

    python -m training inspect auto ~/data/NYUD_MT

Nothing is written below the data folder.
"""

import sys
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from training.inspection_findings import Findings, sheet_outside, spread
from training.inspection_sheet import write_sheet
from training.inspection_statistics import Statistics
from training.pair_inspection import holds_pairs, inspect_pairs
from training.readers.build import DatasetName, open_reader
from training.readers.cache import DEFAULT_CACHE
from training.readers.files import Array, DamagedFile
from training.readers.pair_build import PairLayout
from training.readers.reader import SPLITS, Arrays, Reader, Split

SHEET_ROWS = 6
KNOWN_TASKS = {
    "nyud": ("segmentation", "depth", "normals", "edges"),
    "pascal_context": ("segmentation", "parts", "saliency", "normals", "edges"),
    "cityscapes": ("segmentation", "depth"),
    "mtan": ("segmentation", "depth"),
}


def inspect_dataset(
    dataset: DatasetName | PairLayout | Literal["auto"],
    root: Path,
    *,
    classes: int | None = None,
    limit: int | None = None,
    statistics_of: int = 64,
    sheet: Path | None = None,
    cache: Path = DEFAULT_CACHE,
    progress: bool = False,
) -> dict[str, Any]:
    """The report as JSON values; `damaged` says whether anything is missing or damaged.

    limit: samples per split that are decoded, evenly spread, None for all (whether files exist is checked for all).
    statistics_of: samples per split that ranges, histograms and shares of invalid pixels are taken from. sheet: where
    the contact sheet goes. cache: folder for derived labels. Raises ValueError for a folder that is not such a data
    set, and for a sheet or cache inside it. Folders of pairs have a report of their own (training.pair_inspection).
    """
    if dataset == "udis" or dataset == "middlebury" or (dataset == "auto" and holds_pairs(root)):
        layout = None if dataset == "auto" else dataset
        return inspect_pairs(
            layout, root, limit=limit, statistics_of=statistics_of, sheet_path=sheet, progress=progress
        )
    reader = open_reader(dataset, root, classes=classes, cache=cache)
    sheet = sheet_outside(root, reader.dataset, sheet)
    findings, statistics, shown = Findings(), Statistics(reader.class_names), []
    names = {split: _names(reader, split, findings) for split in SPLITS}
    if reader.dataset in ("nyud", "pascal_context"):
        _check_disjoint(reader, names, findings)
    splits: dict[str, Any] = {}
    for split in SPLITS:
        decoded = set(spread(names[split], limit))
        measured = set(spread(names[split], statistics_of)) & decoded
        on_sheet = set(spread(sorted(measured), SHEET_ROWS // len(SPLITS)))
        counts = dict.fromkeys(("image", *reader.tasks), 0)
        whole = 0
        for name in tqdm(names[split], desc=f"{reader.dataset} {split}", disable=not progress, file=sys.stderr):
            arrays = _examine(reader, split, name, name in decoded, findings, counts)
            if arrays is None:
                continue
            whole += 1
            if name in measured:
                statistics.add(arrays)
            if name in on_sheet:
                shown.append((f"{split} {name}", arrays))
        splits[split] = {
            "listed": len(names[split]), "decoded": len(decoded), "whole": whole, "good_files": counts,
        }  # fmt: skip
    report: dict[str, Any] = {
        "dataset": reader.dataset,
        "path": str(root),
        "layout": reader.layout,
        "why": reader.why,
        "labels": list(reader.tasks),
        "labels_absent": [task for task in KNOWN_TASKS[reader.dataset] if task not in reader.tasks],
        "depth_unit": reader.depth_unit if "depth" in reader.tasks else None,
        "splits": splits,
        **statistics.report(),
        "damaged": bool(findings.by_kind),
        "damage": findings.report(),
        "sheet": None,
    }
    if shown:
        write_sheet(sheet, shown, ("image", *reader.tasks))
        report["sheet"] = str(sheet)
    return report


DEPTH_IN_WORDS = {
    "metres": "metres",
    "disparity": "disparity, in pixels of the native width",
    "inverse": "inverse depth, of unknown scale; where it is metres, set FolderConfig.depth_unit",
}


def describe_damage(report: dict[str, Any]) -> str:
    """The report in words, for standard error."""
    splits = ", ".join(f"{split} {counts['whole']} of {counts['listed']}" for split, counts in report["splits"].items())
    lines = [f"{report['dataset']}, layout {report['layout']} ({report['why']})", f"whole samples: {splits}"]
    if report.get("depth_unit"):  # folders of pairs have none
        low_high = report["ranges"].get("depth")
        found = f" ({low_high[0]:g} to {low_high[1]:g})" if low_high else ""
        lines.append(f"depth is taken for {DEPTH_IN_WORDS[report['depth_unit']]}{found}")
    if report["labels_absent"]:
        lines.append(f"labels that this folder lacks: {', '.join(report['labels_absent'])}")
    for kind, found in report["damage"].items():
        lines.append(f"{kind}: {found['count']}")
        lines += [f"  {message}" for message in found["first"]]
        if found["count"] > len(found["first"]):
            lines.append(f"  and {found['count'] - len(found['first'])} more")
    lines.append(f"sheet: {report['sheet']}" if report["sheet"] else "no sample is whole, so there is no sheet")
    return "\n".join(lines)


def _names(reader: Reader, split: Split, findings: Findings) -> tuple[str, ...]:
    try:
        names = reader.names(split)
    except DamagedFile as damage:
        findings.add(damage)
        return ()
    for name in {name: None for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ():
        findings.add(DamagedFile("list", reader.root, f"expected each id once, found {name!r} twice in {split}"))
    return tuple(dict.fromkeys(names))


def _check_disjoint(reader: Reader, names: dict[Split, tuple[str, ...]], findings: Findings) -> None:
    held_out = set(names["validation"])
    for name in names["train"]:
        if name in held_out:
            detail = f"expected each id in one split, found {name!r} in train and validation"
            findings.add(DamagedFile("list", reader.root, detail))


def _examine(
    reader: Reader, split: Split, name: str, decode: bool, findings: Findings, counts: dict[str, int]
) -> Arrays | None:
    """The arrays of one sample, None when a file is missing or damaged or nothing was decoded."""
    arrays: Arrays = {}
    whole = True
    for label in counts:
        missing = [path for path in reader.paths(split, name, label) if not path.is_file()]
        for path in missing:
            findings.add(DamagedFile("missing", path, "expected a file, found none"))
        if missing:
            whole = False
            continue
        if not decode:
            counts[label] += 1
            continue
        try:
            arrays[label] = reader.load(split, name, label)
            _check_size(reader, split, name, label, arrays)
            counts[label] += 1
        except DamagedFile as damage:
            findings.add(damage)
            whole = False
    return arrays if whole and decode else None


def _check_size(reader: Reader, split: Split, name: str, label: str, arrays: dict[str, Array]) -> None:
    if "image" not in arrays:
        return
    expected, found = arrays["image"].shape[:2], arrays[label].shape[:2]
    if expected != found:
        detail = f"expected the size of its image, {expected[0]}x{expected[1]}, found {found[0]}x{found[1]}"
        raise DamagedFile("size", reader.paths(split, name, label)[0], detail)

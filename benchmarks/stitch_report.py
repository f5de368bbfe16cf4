"""Tables of the stitching benchmark: by set, by parallax level, refusals of unrelated pairs, and per pair."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.intervals import bootstrap
from benchmarks.stitch_items import StitchItem
from benchmarks.table import Report, markdown_table

LEVELS = ("low", "mid", "medium", "high", "strong", "extreme", "unrated")
COLUMNS = (
    ("mPSNR", "mPSNR dB", 2, 1.0), ("mPSNR gain", "gain-fitted dB", 2, 1.0), ("mSSIM", "mSSIM", 3, 1.0),
    ("dB to homography", "dB to homography", 2, 1.0), ("zero-filled", "zero-filled dB", 2, 1.0),
    ("own overlap", "own overlap %", 0, 100.0), ("OV coverage", "OV coverage %", 0, 100.0),
    ("coverage", "NOV coverage %", 0, 100.0), ("NOV mPSNR", "NOV dB", 2, 1.0), ("full mPSNR", "full dB", 2, 1.0),
    ("full mSSIM", "full mSSIM", 3, 1.0), ("EPE OV", "EPE OV px", 2, 1.0), ("beyond 1 px", "> 1 px %", 0, 100.0),
    ("beyond 3 px", "> 3 px %", 0, 100.0), ("beyond 5 px", "> 5 px %", 0, 100.0), ("EPE OCC", "EPE OCC px", 2, 1.0),
    ("EPE NOV", "EPE NOV px", 2, 1.0), ("line bend", "NOV line bend px", 2, 1.0),
    ("rim step", "rim step /255", 1, 1.0),
    ("round trip", "round trip px", 2, 1.0), ("round trip > 3 px", "round trip > 3 px %", 0, 100.0),
    ("swap dB", "swapped dB", 2, 1.0), ("fallback", "fallback %", 0, 100.0), ("by depth", "by depth %", 0, 100.0),
)  # fmt: skip
OF_SUCCESSES = {
    "own overlap", "fallback", "by depth", "round trip", "round trip > 3 px", "swap dB", "line bend", "rim step",
}  # fmt: skip
"""Scores that only an answer has; a refusal does not take the identity's."""
WITH_INTERVAL = {"mPSNR", "mSSIM", "dB to homography", "EPE OV"}


@dataclass(frozen=True)
class Row:
    """Scores of one method on one pair; `values` are the identity's when `ok` is False."""

    item: StitchItem
    method: str
    ok: bool
    values: dict[str, float]
    seconds: float
    reason: str
    parallax_px: float = float("nan")

    def without_images(self) -> "Row":
        """The row with the item's images dropped, so that long runs stay small."""
        blank = np.zeros((0, 0, 3), np.uint8)
        truth = self.item.truth
        item = replace(
            self.item, reference=blank, target=blank, scene_HW3=blank, overlap_HW=None, beyond_HW=None, truth=None
        )
        return replace(self, item=item, parallax_px=truth.parallax_px if truth else float("nan"))


def finite(rows: list[Row], key: str) -> np.ndarray:
    """Values of a key that exist and are numbers."""
    values = np.array([row.values.get(key, np.nan) for row in rows], np.float64)
    return values[np.isfinite(values)]


def cell(rows: list[Row], key: str, digits: int, scale: float = 1.0, interval: bool = False) -> str:
    """Mean over pairs, with its interval where asked; `-` when a method that succeeds never has the value."""
    succeeded = [row for row in rows if row.ok]
    values = finite(succeeded if key in OF_SUCCESSES else rows, key)
    if values.size == 0 or (succeeded and finite(succeeded, key).size == 0):
        return "-"
    return bootstrap(values).text(digits, scale) if interval else f"{scale * values.mean():.{digits}f}"


def number_cell(value: float, digits: int) -> str:
    """The number with so many digits, `-` for NaN."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"


def by_method(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows grouped by method in order of appearance."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.method, []).append(row)
    return groups


def set_table(rows: list[Row]) -> str:
    """Means over one set."""
    columns = [c for c in COLUMNS if finite(rows, c[0]).size]
    header = ["method", "success %", *(c[1] for c in columns), "median s", "× homography"]
    lines = []
    for name, group in by_method(rows).items():
        seconds = [row.seconds for row in group if row.ok and np.isfinite(row.seconds)]
        ratio = finite(group, "x homography")
        lines.append([
            name, f"{100 * np.mean([row.ok for row in group]):.0f}",
            *(cell(group, key, digits, scale, key in WITH_INTERVAL) for key, _, digits, scale in columns),
            f"{np.median(seconds):.2f}" if seconds else "-", f"{np.median(ratio):.2f}" if ratio.size else "-",
        ])  # fmt: skip
    return markdown_table(header, lines)


def level_table(rows: list[Row]) -> str:
    """Success, mPSNR, mSSIM, EPE and coverage by parallax level."""
    levels = [level for level in LEVELS if any(row.item.level == level for row in rows)]
    counts = {level: len({row.item.name for row in rows if row.item.level == level}) for level in levels}
    keys = [("mPSNR", 1, 1.0), ("mSSIM", 2, 1.0)]
    keys += [("EPE OV", 1, 1.0), ("coverage", 0, 100.0)] if finite(rows, "EPE OV").size else [("own overlap", 0, 100.0)]
    lines = []
    for name, group in by_method(rows).items():
        line = [name]
        for level in levels:
            chosen = [row for row in group if row.item.level == level]
            values = [cell(chosen, key, digits, scale, interval=key == "mPSNR") for key, digits, scale in keys]
            line.append(" / ".join([f"{100 * np.mean([row.ok for row in chosen]):.0f}", *values]))
        lines.append(line)
    text = markdown_table(["method", *(f"{level} (n = {counts[level]})" for level in levels)], lines)
    return f"success % / {' / '.join(k[0] + (' %' if k[2] > 1 else '') for k in keys)}\n\n{text}"


def refusal_table(rows: list[Row]) -> str:
    """Share of unrelated pairs that were refused, and why."""
    lines = []
    for name, group in by_method(rows).items():
        refused = [row for row in group if not row.ok]
        seconds = [row.seconds for row in refused if np.isfinite(row.seconds)]
        reasons: dict[str, int] = {}
        for row in refused:
            word = "too few inliers" if "inliers of" in row.reason else row.reason
            reasons[word] = reasons.get(word, 0) + 1
        said = ", ".join(f"{k} × {v}" if v > 1 else k for k, v in sorted(reasons.items(), key=lambda x: -x[1]))
        lines.append([name, f"{len(refused)} / {len(group)}", f"{np.median(seconds):.2f}" if seconds else "-", said])
    return markdown_table(["method", "refused", "median s", "reasons"], lines)


def pair_table(rows: list[Row], method: str) -> str:
    """Every pair of one set for one method."""
    keys = [c for c in COLUMNS if finite(rows, c[0]).size]
    lines = []
    for row in rows:
        if row.method == method:
            values = [number_cell(scale * row.values.get(key, np.nan), digits) for key, _, digits, scale in keys]
            lines.append([row.item.name, row.item.level, "ok" if row.ok else row.reason, *values])
    return markdown_table(["pair", "parallax", "status", *(k[1] for k in keys)], lines)


def write_tables(report: Report, rows: list[Row]) -> None:
    """All tables and the numbers of all pairs."""
    for dataset in dict.fromkeys(row.item.dataset for row in rows):
        chosen = [row for row in rows if row.item.dataset == dataset]
        count = len({row.item.name for row in chosen})
        if dataset == "unrelated":
            report.section(f"Unrelated pairs that must be refused (n = {count})", refusal_table(chosen))
            continue
        report.section(f"{dataset} (n = {count})", set_table(chosen))
        report.section(f"{dataset}, by parallax", level_table(chosen))
        if any(row.method == "service" for row in chosen):
            report.section(f"{dataset}, each pair, service", pair_table(chosen, "service"))
    report.numbers["rows"] = [numbers(row) for row in rows]


def numbers(row: Row) -> dict[str, Any]:
    """One row for the JSON file."""
    return {
        "set": row.item.dataset, "pair": row.item.name, "level": row.item.level, "method": row.method, "ok": row.ok,
        "reason": row.reason, "seconds": rounded(row.seconds), "parallax_px": rounded(row.parallax_px),
        **{key: rounded(value) for key, value in row.values.items()},
    }  # fmt: skip


def rounded(value: float) -> float | None:
    """Five digits after the point; None instead of NaN, which JSON lacks."""
    return round(float(value), 5) if np.isfinite(value) else None

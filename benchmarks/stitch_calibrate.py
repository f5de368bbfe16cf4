"""Chooses the stitching service's settings on generated pairs, never on photographs.

    python -m benchmarks.stitch_calibrate --generated artifacts/generated_pairs [--count 12] [--max-minutes 15]

Tried are SIFT's contrast threshold, the refinement, the rise of correlation from which a residual is kept, the margin
of the fallback, and the scores of refusal. A value in use is kept unless another is better by the rule that its table
names. Scored pairs are kept in --records, so that the command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stitch_generated import generated_pairs
from benchmarks.stitch_local import STITCH
from benchmarks.stitch_refusal import MIRRORED, STRANGERS, SWEPT, TOGETHER, decision, free_range, rates
from benchmarks.stitch_settings_scores import (
    CONTRASTS,
    RISES,
    Record,
    RememberingGraph,
    Scorer,
    case_of,
    collect,
    variant,
)
from benchmarks.table import Report, dated, markdown_table
from service.bundle import load_bundle
from service.errors import DegenerateFlow, LowOverlap
from service.runtime import RuntimeOptions, open_graph
from service.stitching.pair import PairOptions
from service.stitching.pixel_flow import FlowOptions
from service.stitching.refusal import RefusalOptions

MARGINS = (-0.05, 0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
BETTER = 0.02
"""A setting replaces the one in use when its mean error is lower by this share; a few pairs decide nothing finer."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One setting: the values tried with what each scored, the value in use, the chosen one, and by which rule."""

    name: str
    rule: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    in_use: Any
    chosen: Any


def choose_contrast(records: Sequence[Record], in_use: float) -> Choice:
    """SIFT's threshold: of those that align no strangers, the one that aligns most pairs; the one in use where it is
    among these, else the largest, which finds the fewest features."""
    scored: dict[float, tuple[int, int, float, float]] = {}
    for contrast in CONTRASTS:
        entries = [(record["kind"], record["alignment"][f"{contrast:g}"]) for record in records]
        pairs = [entry for kind, entry in entries if kind == TOGETHER]
        aligned = [entry for entry in pairs if entry["aligned"]]
        strangers = sum(entry["aligned"] for kind, entry in entries if kind == STRANGERS)
        error = float(np.median([entry["overlap"] for entry in aligned])) if aligned else float("nan")
        seconds = float(np.median([entry["seconds"] for entry in pairs])) if pairs else float("nan")
        scored[contrast] = len(aligned), strangers, error, seconds
    fewest = min(strangers for _, strangers, _, _ in scored.values())
    most = max(aligned for aligned, strangers, _, _ in scored.values() if strangers == fewest)
    best = [contrast for contrast in CONTRASTS if scored[contrast][:2] == (most, fewest)]
    return Choice(
        name="alignment.contrast",
        rule="most pairs of one scene aligned, no strangers; the value in use wins ties",
        header=("value", "pairs aligned", "strangers aligned", "median error in the overlap", "CPU s a pair"),
        rows=tuple(
            (f"{contrast:g}", str(aligned), str(strangers), f"{error:.2f}", f"{seconds:.2f}")
            for contrast, (aligned, strangers, error, seconds) in scored.items()
        ),
        in_use=in_use,
        chosen=in_use if in_use in best else best[-1],
    )


def choose_variant(records: Sequence[Record], name: str, tried: dict[Any, str], in_use: Any) -> Choice:
    """A setting with a variant for each value: the one of least mean error in the overlap, over the pairs that all
    variants answer, if it is better than the one in use by BETTER."""
    usable = [
        record["variants"]
        for record in records
        if record["kind"] == TOGETHER and all("overlap" in record["variants"][key] for key in tried.values())
    ]
    means = {
        value: tuple(
            float(np.mean([found[key][part] for found in usable if part in found[key]])) if usable else float("nan")
            for part in ("overlap", "beyond", "agreement")
        )
        for value, key in tried.items()
    }
    best = min(tried, key=lambda value: means[value][0])
    better = means[best][0] < (1 - BETTER) * means[in_use][0]
    return Choice(
        name=name,
        rule=f"least error in the overlap over {len(usable)} pairs, if lower by {BETTER:.0%} than the value in use",
        header=("value", "error in the overlap", "error beyond", "correlation"),
        rows=tuple((str(value), *(f"{mean:.3f}" for mean in means[value])) for value in tried),
        in_use=in_use,
        chosen=best if better else in_use,
    )


def choose_margin(records: Sequence[Record], key: str, in_use: float) -> Choice:
    """The fallback's margin: the least mean error, overlap plus half of what lies beyond, of what is then answered."""
    found = [record["variants"][key] for record in records if record["kind"] == TOGETHER]
    found = [each for each in found if each.get("aligned")]
    scored = {}
    for margin in MARGINS:
        falls = [each["agreement"] < each["plain_agreement"] - margin for each in found]
        answered = [each["plain"] if fell else each for each, fell in zip(found, falls, strict=True)]
        error = np.mean([each["overlap"] + 0.5 * each.get("beyond", 0.0) for each in answered]) if found else np.nan
        scored[margin] = sum(falls), float(error)
    best = min(MARGINS, key=lambda margin: (scored[margin][1], abs(margin - in_use)))
    better = scored[best][1] < (1 - BETTER) * scored[in_use][1]
    return Choice(
        name="fallback_margin",
        rule=f"least error of the answered warps, if lower by {BETTER:.0%} than with the value in use",
        header=("value", f"of {len(found)} pairs, answered by the homography", "error (overlap + half beyond)"),
        rows=tuple((f"{margin:g}", str(count), f"{error:.3f}") for margin, (count, error) in scored.items()),
        in_use=in_use,
        chosen=best if better else in_use,
    )


def choose_refusal(records: Sequence[Record], in_use: RefusalOptions) -> list[Choice]:
    """Every score of refusal alone: kept where no other value makes fewer mistakes, else the middle of the range that
    makes the fewest."""
    cases = [case_of(record) for record in records]
    choices = []
    for name in SWEPT:
        here = getattr(in_use, name)
        tried = sorted({*np.round(np.arange(0.0, 1.0, 0.02), 3).tolist(), here})

        def mistakes(value: float, name: str = name) -> int:
            options = replace(in_use, **{name: value})
            return sum((decision(case, options) == "ok") != (case.kind == TOGETHER) for case in cases)

        counts = {value: mistakes(value) for value in tried}
        least = min(counts.values())
        fine = [value for value in tried if counts[value] == least]
        chosen = here if here in fine else fine[len(fine) // 2]
        low, high = free_range(cases, name, replace(in_use, **{name: chosen}))
        choices.append(
            Choice(
                name=f"refusal.{name}",
                rule="fewest wrong decisions; the value in use wins ties",
                header=("value", "wrong decisions", "as few from ... to"),
                rows=(
                    (f"{here:g} (in use)", str(counts[here]), ""),
                    (f"{chosen:g} (chosen)", str(counts[chosen]), f"{low:g} to {high:g}"),
                ),
                in_use=here,
                chosen=chosen,
            )
        )
    return choices


def choose_all(records: Sequence[Record], options: PairOptions) -> list[Choice]:
    """All settings, in the order in which the service uses them."""
    rises = {rise: variant(True, rise) for rise in RISES}
    refinements = {True: variant(True, options.helpful_rise), False: variant(False, options.helpful_rise)}
    return [
        choose_contrast(records, options.alignment.contrast),
        choose_variant(records, "flow.refine", refinements, options.flow.refine),
        choose_variant(records, "helpful_rise", rises, options.helpful_rise),
        choose_margin(records, variant(options.flow.refine, options.helpful_rise), options.fallback_margin),
        *choose_refusal(records, options.refusal),
    ]


def write_tables(report: Report, records: Sequence[Record], options: PairOptions) -> None:
    """Precision and recall of refusing, what was chosen, and a table for every setting."""
    cases = [case_of(record) for record in records]
    counts = {kind: sum(case.kind == kind for case in cases) for kind in (TOGETHER, STRANGERS, MIRRORED)}
    lines = []
    for code, kind in ((LowOverlap.code, STRANGERS), (DegenerateFlow.code, MIRRORED)):
        if counts[kind]:
            precision, recall = rates(cases, options.refusal, kind)
            against = f"{kind} ({counts[kind]}), against {counts[TOGETHER]} pairs of one scene"
            lines.append([f"{against}: {code} or earlier", f"{precision:.3f}", f"{recall:.3f}"])
    report.section("Refusing, with the values in use", markdown_table(["", "precision", "recall"], lines))
    choices = choose_all(records, options)
    text = markdown_table(
        ["setting", "in use", "chosen", "rule"],
        [[choice.name, str(choice.in_use), str(choice.chosen), choice.rule] for choice in choices],
    )
    report.section("Chosen values", text)
    for choice in choices:
        report.section(choice.name, markdown_table(choice.header, choice.rows))
    report.numbers["chosen"] = {choice.name: choice.chosen for choice in choices}
    report.numbers["in_use"] = {choice.name: choice.in_use for choice in choices}
    report.numbers["records"] = list(records)


def main(argv: Sequence[str] | None = None) -> Report:
    """Scores what is missing, chooses, prints and writes the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stitch_calibrate", description=__doc__)
    parser.add_argument("--generated", type=Path, required=True, help="folder of benchmarks.stitch_generated")
    parser.add_argument("--bundle", type=Path, default=STITCH)
    parser.add_argument("--count", type=int, default=12, help="pairs, and as many mirrored ones")
    parser.add_argument("--mispairings", type=int, help="pairs of two scenes (three times --count)")
    parser.add_argument("--max-minutes", type=float, default=15.0, help="begin no pair after this time")
    parser.add_argument("--records", type=Path, default=Path("artifacts/stitch_calibrate.jsonl"))
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    given = parser.parse_args(argv)
    bundle = load_bundle(given.bundle)
    size = bundle.manifest.graphs["pwm"].size
    flow = FlowOptions(
        longest_side=size.longest_side, multiple=size.multiple, smallest_side=size.smallest_side, fixed=size.fixed
    )
    options = PairOptions(flow=flow)
    graph = open_graph(bundle.graph_path("pwm"), RuntimeOptions(), bundle.manifest.graphs["pwm"])
    items = list(generated_pairs(given.generated))[: given.count]
    if len(items) < 2:
        raise ValueError(f"generated: expected at least two pairs under {given.generated.name}, found {len(items)}")
    records = collect(
        [item.load for item in items],
        [item.name for item in items],
        Scorer(RememberingGraph(graph), options),
        given.records,
        fingerprint=hashlib.sha256(f"{bundle.sha256} {options} {CONTRASTS} {RISES}".encode()).hexdigest()[:16],
        mispairings=3 * given.count if given.mispairings is None else given.mispairings,
        deadline=time.monotonic() + 60 * given.max_minutes,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if not {TOGETHER, STRANGERS} <= {record["kind"] for record in records}:
        raise ValueError(
            "max_minutes: expected time for pairs and mispairings, found too little; give the command again"
        )
    report = Report(title="Settings of the stitching service", module="benchmarks.stitch_calibrate", argv=argv)
    report.notes.append(
        f"Bundle {bundle.manifest.name} {bundle.manifest.version}; generated pairs alone. Errors are in pixels at long "
        "side 512, before sharpening and without depth beyond the reference. Where all values of a setting decide "
        "alike, this set cannot tell them apart, and the value in use stays."
    )
    write_tables(report, records, options)
    report.write(given.out or dated("stitch-thresholds"))
    return report


if __name__ == "__main__":
    print(main().text())

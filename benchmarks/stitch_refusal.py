"""Which pairs are refused, on generated pairs and mispairings: precision, recall, and how far thresholds may move.

    python -m benchmarks.stitch_refusal --generated artifacts/generated_pairs [--mispairings 100] [--out FILE.md]

Three kinds: pairs of one scene, which must be answered; a reference of one scene with a target of another, which
must be refused as low_overlap; and pairs whose target is mirrored, which no camera takes and which must be refused by
either code. Every pair is estimated once with all thresholds off; decisions follow from what was scored.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from benchmarks.stitch_generated import generated_pairs
from benchmarks.stitch_items import StitchItem
from benchmarks.stitch_local import STITCH
from benchmarks.table import Report, dated, markdown_table
from service.bundle import load_bundle
from service.errors import DegenerateFlow, LowOverlap
from service.runtime import Graph, RuntimeOptions, open_graph
from service.stitching.alignment import find_features
from service.stitching.geometry import reduced_grid
from service.stitching.pair import PairOptions, estimate_pair
from service.stitching.pixel_flow import FlowOptions
from service.stitching.refusal import Evidence, RefusalOptions, is_degenerate, lacking

OPEN = RefusalOptions(
    smallest_overlap=-1.0, smallest_returning=-1.0, agreement=-2.0, returning_alone=-1.0, agreement_alone=-2.0,
    textured=-1.0, folds=2.0, largest_stretch=float("inf"),
)  # fmt: skip
TOGETHER, STRANGERS, MIRRORED = "together", "strangers", "mirrored"
SWEPT = ("smallest_overlap", "smallest_returning", "agreement", "returning_alone", "agreement_alone", "textured")
GRID = tuple(round(float(value), 3) for value in np.arange(0.0, 1.0, 0.02))


@dataclass(frozen=True, kw_only=True)
class Case:
    """What one pair scored; `evidence` None: refused before anything could be scored, with `code`."""

    kind: str
    name: str
    evidence: Evidence | None
    degenerate: bool = False
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """The flow graph and the options, thresholds off."""

    graph: Graph
    options: PairOptions = field(default_factory=lambda: PairOptions(refusal=OPEN))

    def case(self, kind: str, name: str, reference: np.ndarray, target: np.ndarray) -> Case:
        """Estimates one pair."""
        features_t, features_r = (find_features(image, self.options.alignment) for image in (target, reference))
        try:
            warp = estimate_pair(self.graph, target, reference, features_t, features_r, self.options)
        except (LowOverlap, DegenerateFlow) as refusal:
            return Case(kind=kind, name=name, evidence=None, code=refusal.code)
        evidence = Evidence(
            aligned="unaligned" not in warp.method, returning=warp.statistics["returning_share"],
            overlap=warp.overlap, agreement=warp.statistics["agreement"], textured=warp.statistics["textured_share"],
        )  # fmt: skip
        folded = is_degenerate(warp.landed(), reduced_grid(warp.size_t, warp.net), RefusalOptions())
        return Case(kind=kind, name=name, evidence=evidence, degenerate=folded)


def decision(case: Case, options: RefusalOptions) -> str:
    """`ok`, `low_overlap` or `degenerate_flow`, in the order in which the service decides."""
    if case.evidence is None:
        return case.code
    if lacking(case.evidence, options):
        return LowOverlap.code
    return DegenerateFlow.code if case.degenerate else "ok"


def rates(cases: Sequence[Case], options: RefusalOptions, strangers: str = STRANGERS) -> tuple[float, float]:
    """(precision, recall) of refusing: of the refused, the share that had to be; of those, the share refused.

    Cases of `strangers` have to be refused; pairs of one scene must not be; other kinds do not count.
    """
    refused = {kind: [decision(c, options) != "ok" for c in cases if c.kind == kind] for kind in (TOGETHER, strangers)}
    right, wrong = sum(refused[strangers]), sum(refused[TOGETHER])
    return right / max(right + wrong, 1), right / max(len(refused[strangers]), 1)


def free_range(cases: Sequence[Case], name: str, options: RefusalOptions) -> tuple[float, float]:
    """The values of one threshold, around its own, for which no more cases are decided wrongly."""

    def mistakes(value: float) -> int:
        tried = replace(options, **{name: value})
        return sum((decision(case, tried) == "ok") != (case.kind == TOGETHER) for case in cases)

    here = getattr(options, name)
    allowed = mistakes(here)
    fine = sorted({*GRID, here})
    index = fine.index(here)
    low = high = index
    while low > 0 and mistakes(fine[low - 1]) <= allowed:
        low -= 1
    while high + 1 < len(fine) and mistakes(fine[high + 1]) <= allowed:
        high += 1
    return fine[low], fine[high]


def find_cases(items: Sequence[Callable[[], StitchItem]], mispairings: int, estimator: Estimator) -> Iterator[Case]:
    """All pairs as they are and mirrored, and so many mispairings, spread evenly over the possible ones."""
    count = len(items)
    for load in items:
        item = load()
        yield estimator.case(TOGETHER, item.name, item.reference, item.target)
        yield estimator.case(MIRRORED, item.name, item.reference, np.ascontiguousarray(item.target[:, ::-1]))
    strangers = [(i, (i + step) % count) for step in range(1, count) for i in range(count)][:mispairings]
    for i, j in strangers:
        first, second = items[i](), items[j]()
        yield estimator.case(STRANGERS, f"{first.name} + {second.name}", first.reference, second.target)


def write_tables(report: Report, cases: Sequence[Case]) -> None:
    """Counts, precision and recall, ranges of the thresholds, and the closest cases."""
    options = RefusalOptions()
    kinds = [kind for kind in (TOGETHER, STRANGERS, MIRRORED) if any(c.kind == kind for c in cases)]
    codes = ("ok", LowOverlap.code, DegenerateFlow.code)
    lines = []
    for kind in kinds:
        decided = [decision(case, options) for case in cases if case.kind == kind]
        lines.append([kind, str(len(decided)), *(str(decided.count(code)) for code in codes)])
    report.section("Decisions", markdown_table(["pairs", "count", *codes], lines))
    lines = []
    for code, kind in ((LowOverlap.code, STRANGERS), (DegenerateFlow.code, MIRRORED)):
        precision, recall = rates(cases, options, kind)
        lines.append([f"refusing {kind} ({code} or earlier)", f"{precision:.3f}", f"{recall:.3f}"])
    report.section("Precision and recall", markdown_table(["", "precision", "recall"], lines))
    lines = []
    for name in SWEPT:
        low, high = free_range(cases, name, options)
        lines.append([name, f"{getattr(options, name):g}", f"{low:g} to {high:g}"])
    text = markdown_table(["threshold", "value", "no more mistakes from ... to"], lines)
    report.section("How far each threshold alone could move", text)
    scored = [case for case in cases if case.evidence is not None]
    lines = []
    for kind in kinds:
        for name in ("overlap", "returning", "agreement", "textured"):
            values = [getattr(case.evidence, name) for case in scored if case.kind == kind]
            if values:
                lines.append([kind, name, *(f"{v:.3f}" for v in (min(values), float(np.median(values)), max(values)))])
    report.section("What was scored", markdown_table(["pairs", "score", "least", "median", "most"], lines))
    report.numbers["cases"] = [
        {"kind": case.kind, "pair": case.name, "decision": decision(case, options), "degenerate": case.degenerate}
        | ({} if case.evidence is None else {f.name: getattr(case.evidence, f.name) for f in fields(case.evidence)})
        for case in cases
    ]


def main(argv: Sequence[str] | None = None) -> Report:
    """Measures, prints and writes the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stitch_refusal", description=__doc__)
    parser.add_argument("--generated", type=Path, required=True, help="folder of benchmarks.stitch_generated")
    parser.add_argument("--bundle", type=Path, default=STITCH)
    parser.add_argument("--mispairings", type=int, default=100)
    parser.add_argument("--limit", type=int, help="at most so many pairs")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    options = parser.parse_args(argv)
    bundle = load_bundle(options.bundle)
    size = bundle.manifest.graphs["pwm"].size
    flow = FlowOptions(
        longest_side=size.longest_side, multiple=size.multiple, smallest_side=size.smallest_side, fixed=size.fixed
    )
    estimator = Estimator(
        graph=open_graph(bundle.graph_path("pwm"), RuntimeOptions(), bundle.manifest.graphs["pwm"]),
        options=PairOptions(flow=flow, refusal=OPEN),
    )
    items = [lazy.load for lazy in generated_pairs(options.generated)][: options.limit]
    if not items:
        raise ValueError(f"generated: expected rendered pairs under {options.generated.name}, found none")
    cases = []
    for case in find_cases(items, options.mispairings, estimator):
        cases.append(case)
        print(f"{case.kind} {case.name}: {decision(case, RefusalOptions())}", file=sys.stderr, flush=True)
    report = Report(title="Refusals of the stitching service", module="benchmarks.stitch_refusal", argv=argv)
    report.notes.append(
        f"Bundle {bundle.manifest.name} {bundle.manifest.version}; generated pairs only. `strangers` have to be "
        "refused as low_overlap; `mirrored` by either code."
    )
    write_tables(report, cases)
    report.write(options.out or dated("stitch_refusal"))
    return report


if __name__ == "__main__":
    print(main().text())

"""Settings chosen from records whose best value is known, and records that outlive a killed run."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stitch_calibrate import choose_contrast, choose_margin, choose_refusal, choose_variant, write_tables
from benchmarks.stitch_refusal import MIRRORED, STRANGERS, TOGETHER
from benchmarks.stitch_settings_scores import (
    CONTRASTS,
    RISES,
    RememberingGraph,
    Scorer,
    collect,
    read_records,
    variant,
    wanted,
)
from benchmarks.table import Report
from service.stitching.pair import PairOptions
from service.stitching.refusal import RefusalOptions


def record(kind: str, number: int, agreement: float, *, warp: float = 2.0) -> dict[str, Any]:
    """Features are found up to a contrast of 0.03; below 0.02 strangers are aligned too."""
    found = {c: c <= 0.03 if kind == TOGETHER else c < 0.02 for c in CONTRASTS}
    alignment = {f"{c:g}": {"aligned": yes, "inliers": 9, "overlap": 2.0, "seconds": 0.1} for c, yes in found.items()}
    answer = {"overlap": warp, "beyond": 4.0, "agreement": agreement, "plain_agreement": 0.5, "aligned": True}
    plain = {"plain": {"overlap": 3.0, "beyond": 6.0}}
    variants = {variant(True, rise): {**answer, **plain, "overlap": warp * (1 + abs(rise - 0.01))} for rise in RISES}
    variants[variant(False, 0.003)] = {**answer, **plain, "overlap": 1.5 * warp}
    evidence = {"aligned": True, "returning": 0.9, "overlap": 0.5, "textured": 0.5}
    return {
        "kind": kind, "name": f"{kind}-{number}", "code": "", "degenerate": kind == MIRRORED,
        "alignment": alignment,
        "evidence": evidence | {"agreement": agreement},
    } | ({"variants": variants} if kind == TOGETHER else {})  # fmt: skip


RECORDS = [
    *(record(TOGETHER, number, 0.7) for number in range(4)),
    *(record(STRANGERS, number, 0.3) for number in range(4)),
    record(MIRRORED, 0, 0.6),
]


def test_the_contrast_aligns_pairs_but_no_strangers() -> None:
    # 0.005 to 0.015 align strangers, 0.04 aligns nothing; of 0.02 and 0.03 the larger finds fewer features.
    assert choose_contrast(RECORDS, 0.015).chosen == 0.03
    assert choose_contrast(RECORDS, 0.02).chosen == 0.02


def test_a_variant_must_be_better_by_more_than_chance() -> None:
    rises = {rise: variant(True, rise) for rise in RISES}
    assert choose_variant(RECORDS, "helpful_rise", rises, 0.003).chosen == 0.003  # 0.7 % worse than the best
    assert choose_variant(RECORDS, "helpful_rise", {0.03: rises[0.03], 0.01: rises[0.01]}, 0.03).chosen == 0.03
    refined = {True: variant(True, 0.003), False: variant(False, 0.003)}
    assert choose_variant(RECORDS, "flow.refine", refined, False).chosen is True


def test_the_margin_gives_up_what_the_homography_does_better() -> None:
    worse = [record(TOGETHER, number, 0.47, warp=9.0) for number in range(3)]
    choice = choose_margin([*RECORDS, *worse], variant(True, 0.003), 0.05)
    assert choice.in_use == 0.05
    assert choice.chosen == 0.02  # 0.47 lies 0.03 below the homography's agreement
    assert choose_margin(RECORDS, variant(True, 0.003), 0.05).chosen == 0.05


def test_a_score_of_refusal_moves_only_where_it_decides_better() -> None:
    chosen = {choice.name: choice for choice in choose_refusal(RECORDS, RefusalOptions(agreement=0.2))}
    assert 0.3 < chosen["refusal.agreement"].chosen < 0.7
    assert chosen["refusal.smallest_overlap"].chosen == RefusalOptions().smallest_overlap
    kept = {choice.name: choice for choice in choose_refusal(RECORDS, RefusalOptions(agreement=0.36))}
    assert kept["refusal.agreement"].chosen == 0.36


def test_the_report_holds_precision_recall_and_every_setting() -> None:
    report = Report(title="t", module="benchmarks.stitch_calibrate", argv=[])
    write_tables(report, RECORDS, PairOptions())
    text = report.text()
    assert "| strangers (4), against 4 pairs of one scene: low_overlap or earlier | 0.000 | 0.000 |" in text
    assert report.numbers["chosen"]["alignment.contrast"] == 0.03
    assert set(report.numbers["in_use"]) == set(report.numbers["chosen"])
    json.dumps(report.numbers)


class Counting:
    provider = "none"
    calls = 0

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls += 1
        return {"flow": inputs["target"].astype(np.float32)}


def test_a_graph_is_asked_once_for_each_input() -> None:
    graph = Counting()
    remembering = RememberingGraph(graph, most=2)
    for value in (1, 1, 2, 1, 3, 2):
        found = remembering.run({"target": np.full((1, 4), value, np.uint8)})
        assert (found["flow"] == value).all()
    assert graph.calls == 3


def test_records_outlive_a_killed_run(tmp_path: Path) -> None:
    path, made = tmp_path / "records.jsonl", []

    class Fake(Scorer):
        def record(self, kind: str, name: str, reference: Any, target: Any) -> dict[str, Any]:
            made.append(name)
            return {"kind": kind, "name": name}

    def run(deadline: float, fingerprint: str = "a") -> list[dict[str, Any]]:
        scorer = Fake(Counting(), PairOptions())
        items = [object] * 3
        return collect(items, ["x", "y", "z"], scorer, path, fingerprint=fingerprint, mispairings=4,
                       deadline=deadline, say=lambda line: None)  # fmt: skip

    assert run(time.monotonic() - 1) == []
    everything = run(time.monotonic() + 60)
    assert len(everything) == len(made) == 3 + 4 + 3
    assert len({(each["kind"], each["name"]) for each in everything}) == 10
    with path.open("a") as file:
        file.write('{"kind": "toge')  # cut off
    assert len(read_records(path, "a")) == 10
    assert [each["name"] for each in run(time.monotonic() - 1)] == [each["name"] for each in everything]
    assert run(time.monotonic() - 1, fingerprint="b") == []
    assert [kind for kind, _, _ in wanted(2, 1)] == [TOGETHER, TOGETHER, STRANGERS, MIRRORED, MIRRORED]

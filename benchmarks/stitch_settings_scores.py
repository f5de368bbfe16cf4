"""What each tried setting of the stitching service scores on one pair: records that `stitch_calibrate` chooses from.

A record is one line of JSON: of a pair of one scene (`together`), of photographs of two scenes (`strangers`), or of a
pair whose target is mirrored (`mirrored`). Errors are in pixels at long side 512 against the exact flow.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.geometry import pixel_grid, project
from benchmarks.stitch_items import NOV, OV, StitchItem
from benchmarks.stitch_refusal import MIRRORED, OPEN, STRANGERS, TOGETHER, Case, Estimator
from service.errors import DegenerateFlow, LowOverlap
from service.runtime import Graph
from service.stitching.alignment import AlignmentOptions, Features, align, find_features
from service.stitching.pair import PairOptions, estimate_pair
from service.stitching.pair_warp import full_flow
from service.stitching.refusal import Evidence

CONTRASTS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04)
RISES = (0.0005, 0.003, 0.01, 0.03)
FARTHEST = 60.0
"""Errors beyond the reference are cut here, as in the table of the documentation: one wild pair is not a mean."""
Record = dict[str, Any]


class RememberingGraph:
    """A graph that answers what it was asked before from memory: settings behind it are then tried at little cost."""

    def __init__(self, graph: Graph, most: int = 8) -> None:
        self.graph, self.provider, self._most = graph, graph.provider, most
        self._answers: dict[bytes, dict[str, Any]] = {}

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """As the graph's."""
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(inputs[name]).tobytes() for name in sorted(inputs)))
        key = digest.digest()
        if key not in self._answers:
            while len(self._answers) >= self._most:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = self.graph.run(inputs)
        return dict(self._answers[key])


@dataclass
class Scorer:
    """Scores pairs with the service's own functions; options are those in use unless a setting is tried."""

    graph: Graph
    options: PairOptions
    _features: dict[tuple[str, float], tuple[Features, float]] = field(default_factory=dict)

    def record(self, kind: str, name: str, reference: StitchItem, target: StitchItem) -> Record:
        """One pair; `reference` and `target` are the same item unless the photographs are of two scenes."""
        picture = target.target
        if kind == MIRRORED:
            picture = np.ascontiguousarray(picture[:, ::-1])
        names = f"{reference.name}/reference", f"{target.name}/{kind == MIRRORED}"
        result: Record = {"kind": kind, "name": name, "alignment": {}}
        for contrast in CONTRASTS:
            alignment = replace(self.options.alignment, contrast=contrast)
            features_r, seconds_r = self._find(names[0], reference.reference, alignment)
            features_t, seconds_t = self._find(names[1], picture, alignment)
            found = align(features_t, features_r, alignment)
            entry: dict[str, Any] = {"aligned": found.homography_33 is not None, "inliers": found.inliers}
            if kind == TOGETHER and found.homography_33 is not None:
                landed = project(found.homography_33, pixel_grid(*picture.shape[:2]))
                entry["overlap"] = errors(target, landed - pixel_grid(*picture.shape[:2]))["overlap"]
            result["alignment"][f"{contrast:g}"] = entry | {"seconds": round(seconds_r + seconds_t, 3)}
        features_r, _ = self._find(names[0], reference.reference, self.options.alignment)
        features_t, _ = self._find(names[1], picture, self.options.alignment)
        if kind == TOGETHER:
            result["variants"] = self._variants(target, features_t, features_r)
        estimator = Estimator(graph=self.graph, options=replace(self.options, refusal=OPEN))
        return result | described(estimator.case(kind, name, reference.reference, picture))

    def _find(self, name: str, image: np.ndarray, options: AlignmentOptions) -> tuple[Features, float]:
        key = name, options.contrast
        if key not in self._features:
            started = time.process_time()
            self._features[key] = find_features(image, options), time.process_time() - started
        return self._features[key]

    def _variants(self, item: StitchItem, features_t: Features, features_r: Features) -> dict[str, Any]:
        """Errors and agreement by variant: refined with each rise of correlation, and not refined."""
        tried = {variant(True, rise): (True, rise) for rise in RISES} | {
            variant(False, self.options.helpful_rise): (False, self.options.helpful_rise)
        }
        found: dict[str, Any] = {}
        for name, (refine, rise) in tried.items():
            options = replace(
                self.options, refusal=OPEN, fallback=False, helpful_rise=rise,
                flow=replace(self.options.flow, refine=refine),
            )  # fmt: skip
            try:
                warp = estimate_pair(self.graph, item.target, item.reference, features_t, features_r, options)
            except (LowOverlap, DegenerateFlow) as refusal:
                found[name] = {"code": refusal.code}
                continue
            plain = replace(warp, residual_hw2=np.zeros_like(warp.residual_hw2))
            found[name] = {
                **errors(item, full_flow(warp)),
                "agreement": warp.statistics["agreement"],
                "plain_agreement": warp.statistics["homography_agreement"],
                "aligned": "unaligned" not in warp.method,
                "plain": errors(item, full_flow(plain)),
            }
        return found


def variant(refine: bool, rise: float) -> str:
    """The name of a tried combination."""
    return f"{'refined' if refine else 'plain'}/{rise:g}"


def errors(item: StitchItem, flow_hw2: np.ndarray) -> dict[str, float]:
    """Mean end-point errors at long side 512 over OV, and over NOV with each pixel cut at FARTHEST."""
    truth = item.truth
    assert truth is not None  # generated pairs have one
    scale = 512 / max(flow_hw2.shape[:2])
    error = np.linalg.norm(flow_hw2 - truth.flow_hw2, axis=-1) * scale
    found = {}
    for name, region in (("overlap", OV), ("beyond", NOV)):
        values = error[(truth.region_hw == region) & np.isfinite(error)]
        if len(values):
            found[name] = float(np.minimum(values, FARTHEST).mean())
    return found


def described(case: Case) -> Record:
    """The evidence of a case in JSON's terms."""
    evidence = (
        None if case.evidence is None else {f.name: getattr(case.evidence, f.name) for f in fields(case.evidence)}
    )
    return {"evidence": evidence, "degenerate": case.degenerate, "code": case.code}


def case_of(record: Record) -> Case:
    """The inverse of `described`."""
    evidence = None if record["evidence"] is None else Evidence(**record["evidence"])
    return Case(
        kind=record["kind"],
        name=record["name"],
        evidence=evidence,
        degenerate=record["degenerate"],
        code=record["code"],
    )


def wanted(count: int, mispairings: int) -> Iterator[tuple[str, int, int]]:
    """(kind, number of the reference's item, of the target's): all pairs, then mispairings, then mirrored pairs."""
    yield from ((TOGETHER, index, index) for index in range(count))
    strangers = [(i, (i + step) % count) for step in range(1, count) for i in range(count)]
    yield from ((STRANGERS, i, j) for i, j in strangers[:mispairings])
    yield from ((MIRRORED, index, index) for index in range(count))


def collect(
    items: Sequence[Callable[[], StitchItem]],
    names: Sequence[str],
    scorer: Scorer,
    path: Path,
    *,
    fingerprint: str,
    mispairings: int,
    deadline: float,
    say: Callable[[str], None],
) -> list[Record]:
    """The records of all wanted pairs that are in the file or could be scored before `deadline` (time.monotonic).

    Each is appended to the file at once, so that the next call goes on where this one stopped; records with another
    fingerprint (bundle and settings) are passed over.
    """
    known = {(record["kind"], record["name"]): record for record in read_records(path, fingerprint)}
    loaded: dict[int, StitchItem] = {}
    chosen: list[Record] = []
    for kind, i, j in wanted(len(items), mispairings):
        name = names[i] if i == j else f"{names[i]} + {names[j]}"
        record = known.get((kind, name))
        if record is None:
            if time.monotonic() >= deadline:
                continue
            for index in (i, j):
                loaded.setdefault(index, items[index]())
            record = scorer.record(kind, name, loaded[i], loaded[j])
            append(path, record | {"fingerprint": fingerprint})
            say(f"{kind} {name}")
        chosen.append(record)
    return chosen


def read_records(path: Path, fingerprint: str) -> list[Record]:
    """The whole lines of the file that carry the fingerprint; the last line of a killed run may be cut off."""
    records = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record.get("fingerprint") == fingerprint:
            records.append(record)
    return records


def append(path: Path, record: Record) -> None:
    """One more line, on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())

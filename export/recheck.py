"""What can be proved again about a published bundle without its checkpoints.

Every file passes stages 1 to 3 anew. Stage 4 compares with PyTorch's answers that the export kept at a few places of
every sample; a report without them, or samples that a newer generator draws differently, is said to be unchecked there.
INT8 files are held to the changes against the float graph that their export measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from export.contracts import Contract, contract_of_graph
from export.errors import ValueMismatchError
from export.reference import at_places, inputs_sha256
from export.samples import Sample, samples
from export.verify import changes, check_structure, open_session, run_graph
from service.bundle import VERIFY_FILE, BundleError, load_bundle

SLACK = 2.0
"""Another processor may round otherwise: twice the tolerance, or twice the change that the export measured."""


def recheck(folder: Path, progress: Callable[[str], None] = lambda line: None) -> dict[str, str]:
    """By file, what was compared. Raises BundleError for a folder that is no whole bundle or a report without the
    figures, a VerifyError on failure."""
    bundle = load_bundle(folder)
    report = json.loads((bundle.folder / VERIFY_FILE).read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for name, graph in bundle.manifest.graphs.items():
        contract = contract_of_graph(name, graph)
        cases = list(samples(contract, graph.size))
        progress(f"{graph.file}: structure, loading, {len(cases)} samples")
        path = bundle.folder / graph.file
        with _naming(bundle.folder, graph.file):
            found[graph.file] = _float(path, contract, cases, report["files"][graph.file])
        for file in graph.variants.values():
            progress(f"{file}: structure, loading, {len(cases)} samples")
            with _naming(bundle.folder, file):
                found[file] = _variant(bundle.folder / file, path, contract, cases, report["files"][file])
    return found


@contextmanager
def _naming(folder: Path, file: str) -> Iterator[None]:
    """A BundleError in place of what a report without the figures of `file` raises."""
    try:
        yield
    except (KeyError, TypeError) as error:
        remedy = "prove parity anew with python -m export verify <bundle> <checkpoint>"
        raise BundleError(folder, VERIFY_FILE, f"expected figures of {file}, found none: {error!r}", remedy) from error


def _float(path: Path, contract: Contract, cases: Iterable[Sample], entry: dict[str, Any]) -> str:
    check_structure(path, contract)
    session = open_session(path)
    kept = {probe["inputs_sha256"]: probe["outputs"] for probe in entry.get("reference", [])}
    known = total = 0
    for sample in cases:
        total += 1
        answers = run_graph(session, contract, sample)
        expected = kept.get(inputs_sha256(sample))
        if expected is None:
            continue
        known += 1
        for name, values in expected.items():
            _compare(f"{path.name}, {sample.name}, {name}", at_places(answers[name]), values, entry["outputs"][name])
    if not known:
        return "structure, loading, shapes; values not: the report keeps no answers of PyTorch to these samples"
    return f"structure, loading, shapes; values where PyTorch's answers were kept, {known} of {total} samples"


def _compare(place: str, found: np.ndarray, kept: list[float], figures: dict[str, float]) -> None:
    expected = np.array(kept, dtype=np.float64)
    bound = figures["tolerance_absolute"] + figures["tolerance_relative"] * np.abs(expected)
    error = np.abs(found.astype(np.float64) - expected)
    if not (error <= SLACK * bound).all():
        raise ValueMismatchError(
            f"{place}: expected PyTorch's answers of the export within {SLACK:g} times the tolerance, "
            f"found errors up to {error.max():g}"
        )


def _variant(path: Path, reference: Path, contract: Contract, cases: list[Sample], entry: dict[str, Any]) -> str:
    check_structure(path, contract)
    for name, figures in changes(path, reference, contract, cases).items():
        measured = entry["outputs"][name]["mean_abs_change"]
        if figures["mean_abs_change"] > SLACK * measured:
            raise ValueMismatchError(
                f"{path.name}, {name}: expected a mean change against {reference.name} of at most {SLACK:g} times "
                f"{measured:g}, as measured at its export, found {figures['mean_abs_change']:g}"
            )
    return f"structure, loading, shapes; mean changes against {reference.name}; task metrics as its export measured"

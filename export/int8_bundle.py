"""A bundle with INT8 files added: calibrate, find the layers that must stay in float, verify, publish.

The float files stay as they are; the service uses the INT8 ones where `POLYVIEW_PRECISION=int8` asks for them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export.card import with_int8
from export.contracts import contract_of_graph
from export.errors import Int8BudgetError
from export.generated_sets import Split, batches, check_calibration, frame_count
from export.publish import staging
from export.quantise import Feeds, Quantiser, clear_notes
from export.samples import samples
from export.sensitivity import Sensitivity, fewest_in_float, measure
from export.task_metrics import Arrays, Call, relative_losses, task_metrics
from export.task_stage import judged
from export.verify import call_of, changes, check_structure
from service.bundle import CARD_FILE, MANIFEST_FILE, VERIFY_FILE, Bundle, file_sha256, load_bundle
from service.manifest import FileEntry, GraphSpec, Manifest
from training.datasets import DEFAULT_ROOT

INT8 = "int8"
SENSITIVITY_FEEDS = 1
"""Batches of calibration frames that every layer alone is measured on."""
Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Int8Options:
    """graphs: which to quantise, None for all of the bundle. calibration, validation: generated frames to find ranges
    and layers with, and to judge with. budget: the largest relative loss of any task metric. data_root: where generated
    frames are kept."""

    graphs: tuple[str, ...] | None = None
    calibration: int = 32
    validation: int = 64
    budget: float = 0.01
    data_root: Path = DEFAULT_ROOT

    def __post_init__(self) -> None:
        check_calibration(self.calibration)
        if self.validation < 1:
            raise ValueError(f"validation: expected at least 1 frame, found {self.validation}")
        if not 0 < self.budget < 1:
            raise ValueError(f"budget: expected a share in (0, 1), found {self.budget}")


def add_int8(folder: Path, out: Path, options: Int8Options, progress: Progress = lambda line: None) -> Bundle:
    """Publish the bundle of `folder` at `out`, which may be the same, with INT8 files of its graphs.

    Raises BundleError for a folder that is no whole bundle, CalibrationSetError, QuantisationError, Int8BudgetError
    or a VerifyError; `out` is then as it was.
    """
    bundle = load_bundle(folder)
    manifest = bundle.manifest
    chosen = options.graphs or tuple(manifest.graphs)
    strangers = sorted(set(chosen) - set(manifest.graphs))
    if strangers:
        raise ValueError(f"graphs: expected some of {list(manifest.graphs)}, found {strangers}")
    with staging(out) as staged:
        shutil.copytree(bundle.folder, staged, dirs_exist_ok=True)
        report = json.loads((staged / VERIFY_FILE).read_text(encoding="utf-8"))
        for name in chosen:
            file = f"{name}.{INT8}.onnx"
            report["files"][file] = _quantise(bundle, name, staged / file, options, progress)
            manifest = _with_variant(manifest, name, staged / file)
        for path, content in ((MANIFEST_FILE, manifest.to_dict()), (VERIFY_FILE, report)):
            text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
            (staged / path).write_text(text, encoding="utf-8")
        card_text = (staged / CARD_FILE).read_text(encoding="utf-8") if (staged / CARD_FILE).exists() else ""
        (staged / CARD_FILE).write_text(with_int8(card_text, report), encoding="utf-8")
        load_bundle(staged)
    return load_bundle(out)


def _quantise(bundle: Bundle, name: str, out: Path, options: Int8Options, progress: Progress) -> dict[str, Any]:
    """Write the INT8 file of one graph; answers its entry for verify.json."""
    source = bundle.graph_path(name)
    float_call = call_of(source)
    judge = _Judge(bundle, name, float_call, options)
    with tempfile.TemporaryDirectory(prefix="polyview-int8-") as temporary:
        work = Path(temporary)
        progress(f"{name}: answers of the float graph to {judge.frames('train')} calibration frames")
        feeds, answers = judge.calibrate()
        quantiser = Quantiser(source, feeds, work)
        first = slice(SENSITIVITY_FEEDS)
        order = measure(quantiser, call_of, feeds[first], answers[first], work, progress)
        trial = work / "trial.onnx"

        def within(in_float: int, split: Split) -> bool:
            quantiser.write(trial, [one.layer for one in order[in_float:]])
            found = judge.losses(call_of(trial), split)
            worst = max(found, key=lambda metric: found[metric])
            progress(f"{name}: {in_float} layers in float lose {found[worst]:+.2%} ({worst}, {split} frames)")
            return found[worst] <= options.budget

        try:
            # On the frames of calibration first; those of validation judge what was chosen on others.
            chosen = fewest_in_float(len(order), lambda number: within(number, "train"))
            in_float = fewest_in_float(len(order), lambda number: within(number, "validation"), least=chosen)
        except Int8BudgetError as error:
            raise Int8BudgetError(f"{name}, budget {options.budget:.2%}: {error}") from error
        quantiser.write(out, [one.layer for one in order[in_float:]])
    clear_notes(out)
    return _entry(bundle, name, out, judge, order, in_float)


class _Judge:
    """Task metrics of files of one graph on the two generated sets, the float graph's measured once."""

    def __init__(self, bundle: Bundle, name: str, float_call: Call, options: Int8Options) -> None:
        self._bundle, self._name, self._call, self.options = bundle, name, float_call, options
        self._provenance = bundle.manifest.provenance.get(name) or {}
        self._float: dict[str, dict[str, float]] = {}

    def calibrate(self) -> tuple[Feeds, list[Arrays]]:
        """What the evaluation on the calibration frames gives to the graph, and what it answers."""
        feeds: list[Arrays] = []
        answers: list[Arrays] = []

        def recorded(inputs: Arrays) -> Arrays:
            answer = self._call(inputs)
            feeds.append(dict(inputs))
            answers.append(answer)
            return answer

        self._float["train"] = self._metrics(recorded, "train")
        check_calibration(sum(len(next(iter(feed.values()))) for feed in feeds))
        return feeds, answers

    def losses(self, call: Call, split: Split) -> dict[str, float]:
        return relative_losses(self.reference(split), self._metrics(call, split))

    def judged(self, file: str, call: Call) -> dict[str, Any]:
        """Stage 5 on the validation frames."""
        found = self._metrics(call, "validation")
        return judged(file, self.reference("validation"), found, self.options.budget, self.frames("validation"))

    def reference(self, split: Split) -> dict[str, float]:
        """The float graph's metrics."""
        if split not in self._float:
            self._float[split] = self._metrics(self._call, split)
        return self._float[split]

    def frames(self, split: Split) -> int:
        """How many frames of a split are used: as asked, or all that the set has."""
        asked = self.options.calibration if split == "train" else self.options.validation
        return frame_count(self._name, self._provenance, split, asked)

    def _metrics(self, call: Call, split: Split) -> dict[str, float]:
        frames = batches(self._name, self._provenance, split, self.frames(split), self.options.data_root)
        return task_metrics(self._bundle.manifest, self._name, call, frames, self._call)


def _entry(
    bundle: Bundle, name: str, path: Path, judge: _Judge, order: Sequence[Sensitivity], in_float: int
) -> dict[str, Any]:
    """All stages on the finished file, and what the search measured."""
    graph = bundle.manifest.graphs[name]
    contract = contract_of_graph(name, graph)
    check_structure(path, contract)
    cases = list(samples(contract, graph.size))
    stage5 = judge.judged(path.name, call_of(path))
    macs = sum(one.layer.macs for one in order)
    return {
        "passed": True,
        "sha256": file_sha256(path),
        "compared_with": graph.file,
        "samples": [case.name for case in cases],
        "outputs": changes(path, bundle.graph_path(name), contract, cases),
        "task_metrics": stage5,
        "calibration_frames": judge.frames("train"),
        "int8_share_of_macs": sum(one.layer.macs for one in order[in_float:]) / max(macs, 1),
        "sensitivity": [
            {
                "layer": one.layer.name,
                "nodes": len(one.layer.nodes),
                "macs": one.layer.macs,
                "noise": one.noise,
                "precision": "float" if place < in_float else INT8,
            }
            for place, one in enumerate(order)
        ],
    }


def _with_variant(manifest: Manifest, name: str, path: Path) -> Manifest:
    graph: GraphSpec = manifest.graphs[name]
    entry = FileEntry(path=path.name, size=path.stat().st_size, sha256=file_sha256(path), precision=INT8)
    files = (*(known for known in manifest.files if known.path != path.name), entry)
    variants = {**graph.variants, INT8: path.name}
    return replace(manifest, graphs={**manifest.graphs, name: replace(graph, variants=variants)}, files=files)

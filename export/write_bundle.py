"""Checkpoints to one verified bundle: export, verify, manifest, card, publication."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from export.card import card
from export.contracts import OPSET
from export.engines.record import write_whole
from export.generated_sets import batches, frame_count
from export.labels import LabelSet, label_set, part_labels
from export.publish import staging
from export.samples import Sample, samples
from export.source import Source
from export.task_metrics import Arrays, Call, task_metrics
from export.task_stage import judged
from export.to_onnx import export_graph, round_weights, weight_precision
from export.verify import call_of, run_module, verify_graph
from models.deployed import Deployed
from service.bundle import CARD_FILE, MANIFEST_FILE, VERIFY_FILE, Bundle, file_sha256, load_bundle, read_manifest
from service.manifest import GRAPHS_OF_KIND, SCHEMA_VERSION, FileEntry, GraphSpec, Manifest, SizeSpec
from service.preprocess import model_size
from training.datasets import DEFAULT_ROOT

OWN_LICENCE = "same as the project; trained only on images that the project generates"
OWN_FRAME = "camera: x right, y down, z forward; pointing towards the camera"
UNKNOWN_FRAME = "that of the training labels"
DEFAULT_SHAPE = (4, 3)
"""Width to height of a graph of fixed size whose recipe does not tell its images' size."""
UNKNOWN_LICENCE = "not stated; the licences of the training data decide"


@dataclass(frozen=True, kw_only=True)
class BundleOptions:
    """What the checkpoints do not say.

    longest_side: input size in pixels by graph; the others keep the size that their recipe trained with, else their
    contract's default. fixed_size: width and height in pixels of the one size that a perceive graph shall take; None
    takes any size where the network can, else the recipe's shape at the longest side. mirrored: average the answers of
    a perceive graph over the image and its mirror image, which doubles its time. default_fov_deg: field of view along
    the longer side, in degrees. classes: names of the segmentation's classes in the order of their ids, none for those
    of a public label set of that size. notes: Markdown for the card; pictures: files to copy into the bundle and show
    there. validation: generated frames to judge task metrics with, 0 for none; budget: the largest relative loss of any
    of them against the weights before they were rounded. data_root: where generated frames are kept.
    """

    name: str | None = None
    version: str = "1"
    half: bool = True
    longest_side: Mapping[str, int] = field(default_factory=dict)
    fixed_size: tuple[int, int] | None = None
    mirrored: bool = False
    default_fov_deg: float = 60.0
    classes: tuple[str, ...] = ()
    licence: str | None = None
    notes: str = ""
    pictures: tuple[Path, ...] = ()
    validation: int = 0
    budget: float = 0.01
    data_root: Path = DEFAULT_ROOT

    def __post_init__(self) -> None:
        if not 0 < self.default_fov_deg < 180:
            raise ValueError(f"default_fov_deg: expected degrees in (0, 180), found {self.default_fov_deg:g}")
        if self.validation < 0:
            raise ValueError(f"validation: expected at least 0 frames, found {self.validation}")
        if not 0 < self.budget < 1:
            raise ValueError(f"budget: expected a share in (0, 1), found {self.budget}")


def write_bundle(
    sources: Sequence[Source],
    out: Path,
    options: BundleOptions | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Export `sources` to the folder `out`, which changes only when everything passed.

    Raises ValueError when the sources make no kind of bundle, and a VerifyError when a graph disagrees with PyTorch;
    an earlier bundle at `out` is then untouched.
    """
    options = options or BundleOptions()
    if options.mirrored:
        sources = [source.with_mirror(True) for source in sources]
    by_graph = {source.contract.graph: source for source in sources}
    kind = kind_of([source.contract.graph for source in sources])
    if options.classes and not any("segmentation" in source.tasks for source in sources):
        raise ValueError(f"classes: expected none for networks without segmentation, found {len(options.classes)}")
    strangers = sorted(set(options.longest_side) - set(by_graph))
    if strangers:
        raise ValueError(f"longest_side: expected sizes for {sorted(by_graph)}, found one for {strangers}")
    if options.fixed_size is not None and kind != "perceive":
        raise ValueError(f"fixed_size: expected None for a bundle of kind {kind}, found {options.fixed_size}")
    _check_pictures(options.pictures)
    with staging(out) as folder:
        graphs: dict[str, GraphSpec] = {}
        report: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "passed": True, "files": {}}
        for name in GRAPHS_OF_KIND[kind]:
            source = by_graph[name]
            graphs[name], report["files"][source.contract.file] = _export_one(source, folder, options, progress)
        report["tolerance"] = _tolerances(by_graph)
        manifest = _manifest(kind, options.name or Path(os.path.abspath(out)).name, by_graph, graphs, folder, options)
        if options.validation:
            for name, source in by_graph.items():
                entry = report["files"][graphs[name].file]
                entry["task_metrics"] = _judged(manifest, folder, source, options, progress)
        _write_json(folder / MANIFEST_FILE, manifest.to_dict())
        _write_json(folder / VERIFY_FILE, report)
        pictures = [Path(shutil.copyfile(path, folder / path.name)).name for path in options.pictures]
        (folder / CARD_FILE).write_text(card(manifest, report, options.notes, pictures), encoding="utf-8")
        load_bundle(folder)
    return load_bundle(out)


def reverify(folder: Path, sources: Sequence[Source]) -> dict[str, Any]:
    """Verify the graphs of an existing bundle against checkpoints anew and replace its verify.json; answers it.

    What the old report says of INT8 files, and of task metrics of unchanged files, is kept. Raises a VerifyError and
    leaves the old report when a graph disagrees, ValueError when a checkpoint is missing, DiskFullError without room.
    """
    manifest = read_manifest(folder)
    by_graph = {source.contract.graph: source for source in sources}
    if set(by_graph) != set(manifest.graphs):
        raise ValueError(f"checkpoints: expected one for each of {sorted(manifest.graphs)}, found {sorted(by_graph)}")
    report: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "passed": True, "files": {}}
    for name, graph in manifest.graphs.items():
        source = by_graph[name].with_mirror(graph.mirrored)
        contract = source.contract.at(graph.size)
        stored, original = _stored_and_original(source, graph.precision == "float16")
        cases = samples(contract, graph.size)
        report["files"][graph.file] = verify_graph(folder / graph.file, contract, stored, original, cases)
    _keep(report["files"], folder, manifest)
    report["tolerance"] = _tolerances(by_graph)
    write_whole(folder / VERIFY_FILE, _json(report).encode())
    return report


def _stored_and_original(source: Source, half: bool) -> tuple[Deployed, Deployed | None]:
    """The network with its weights as the file stores them, and as trained where that is another one."""
    return (round_weights(source.deployed), source.deployed) if half else (source.deployed, None)


def _tolerances(by_graph: Mapping[str, Source]) -> dict[str, Any]:
    return {
        name: {output: vars(rule) for output, rule in source.contract.tolerances.items()}
        for name, source in by_graph.items()
    }


def _check_pictures(pictures: Sequence[Path]) -> None:
    """Raise ValueError unless every picture is a file whose name is free in a bundle."""
    for index, path in enumerate(pictures):
        if not path.is_file():
            raise ValueError(f"pictures: expected a file, found {path}")
        if path.name in (MANIFEST_FILE, VERIFY_FILE, CARD_FILE) or path.suffix == ".onnx":
            raise ValueError(f"pictures: expected a name that the bundle does not use itself, found {path}")
        if path.name in (other.name for other in pictures[:index]):
            raise ValueError(f"pictures: expected names that differ, found {path.name} again, {path}")


def _keep(files: dict[str, Any], folder: Path, manifest: Manifest) -> None:
    """Take over from the bundle's report what was not measured again, as far as it is about the same files."""
    try:
        old = json.loads((folder / VERIFY_FILE).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for graph in manifest.graphs.values():
        kept = old.get(graph.file, {})
        if "task_metrics" in kept and kept.get("sha256") == files[graph.file]["sha256"]:
            files[graph.file]["task_metrics"] = kept["task_metrics"]
        files |= {file: old[file] for file in graph.variants.values() if file in old}


def kind_of(graphs: Sequence[str]) -> str:
    """The kind of bundle that these graphs make. Raises ValueError otherwise."""
    for kind, needed in GRAPHS_OF_KIND.items():
        if sorted(graphs) == sorted(needed):
            return kind
    kinds = "; ".join(f"{kind} = {' + '.join(needed)}" for kind, needed in GRAPHS_OF_KIND.items())
    raise ValueError(
        f"checkpoints: expected the networks of one bundle ({kinds}), found {' + '.join(graphs) or 'none'}"
    )


def _export_one(
    source: Source, folder: Path, options: BundleOptions, progress: Callable[[str], None]
) -> tuple[GraphSpec, dict[str, Any]]:
    size = _size(source, options)
    name = source.contract.graph
    progress(f"{name}: tracing and writing")
    contract = source.contract.at(size)
    path = folder / contract.file
    stored, original = _stored_and_original(source, options.half)
    export_graph(stored, contract, path, half=options.half)
    progress(f"{name}: comparing with PyTorch at several sizes and batches")
    report = verify_graph(path, contract, stored, original, samples(contract, size))
    graph = GraphSpec(
        file=contract.file,
        precision=weight_precision(path),
        opset=OPSET,
        inputs=contract.inputs,
        outputs=contract.outputs,
        size=size,
        output_stride=contract.output_stride,
        normalisation=contract.normalisation,
        mirrored=getattr(source.deployed, "mirrored", False),
    )
    return graph, report


def _judged(
    manifest: Manifest, folder: Path, source: Source, options: BundleOptions, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Stage 5: the file against PyTorch with the weights before they were rounded."""
    name, contract = source.contract.graph, source.contract
    graph, provenance = manifest.graphs[name], source.provenance()
    count = frame_count(name, provenance, "validation", options.validation)
    progress(f"{name}: task metrics on {count} generated frames")

    def network(inputs: Arrays) -> Arrays:
        return run_module(source.deployed, contract, Sample(name=name, inputs=dict(inputs)))

    def metrics(call: Call) -> dict[str, float]:
        frames = batches(name, provenance, "validation", count, options.data_root)
        return task_metrics(manifest, name, call, frames, network)

    found = metrics(call_of(folder / graph.file))
    return judged(graph.file, metrics(network), found, options.budget, count)


def _size(source: Source, options: BundleOptions) -> SizeSpec:
    """The sizes a graph will be for: as asked, else as trained, else its contract's default."""
    contract = source.contract
    # A composition's canvas is larger than the images that it was trained on.
    trained = None if contract.graph == "sigmo" else source.training_size
    longest = options.longest_side.get(contract.graph) or (max(trained) if trained else contract.longest_side)
    if options.fixed_size is not None:
        longest = max(options.fixed_size)
    size = SizeSpec(longest_side=longest, multiple=contract.multiple, smallest_side=contract.smallest_side)
    if options.fixed_size is not None:
        return replace(size, fixed=options.fixed_size)
    return size if contract.any_size else replace(size, fixed=model_size(*(trained or DEFAULT_SHAPE), size))


def _manifest(
    kind: str,
    name: str,
    by_graph: Mapping[str, Source],
    graphs: Mapping[str, GraphSpec],
    folder: Path,
    options: BundleOptions,
) -> Manifest:
    sources = list(by_graph.values())
    generated = all(source.trained_on_generated_data_alone() for source in sources)
    licence = options.licence or (OWN_LICENCE if generated else UNKNOWN_LICENCE)
    perceive = by_graph.get("perceive")
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        kind=kind,
        version=options.version,
        graphs=graphs,
        tasks=_tasks(perceive, options.classes) if perceive else {},
        canonical_focal_ratio=perceive.canonical_focal_ratio if perceive else None,
        default_fov_deg=options.default_fov_deg if perceive else None,
        files=tuple(_entry(folder, graph) for graph in graphs.values()),
        provenance={graph: source.provenance() for graph, source in by_graph.items()},
        quality={graph: source.quality() for graph, source in by_graph.items()},
        licence=licence,
    )


def _tasks(source: Source, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the manifest says of each task, in the order of the graph's outputs."""
    channels = {spec.name: spec.shape[1] for spec in source.contract.outputs}
    known_frame = source.trained_on_generated_data_alone()
    probability = {"unit": "probability", "range": [0.0, 1.0]}
    described: dict[str, Callable[[], dict[str, Any]]] = {
        "depth": lambda: {
            "unit": "m",
            "quantity": "z in the camera frame",
            "range": source.depth_range,
            "scales_with_focal_length": source.canonical_focal_ratio is not None,
        },
        "segmentation": lambda: _classes(label_set(int(channels["segmentation"]), classes)),
        "normals": lambda: {"unit": "unit vector", "frame": OWN_FRAME if known_frame else UNKNOWN_FRAME},
        "parts": lambda: _classes(part_labels()),
        "saliency": lambda: probability | {"quantity": "that a pixel belongs to what draws the eye"},
        "edges": lambda: probability | {"quantity": "that a pixel lies on the border of two things"},
    }
    return {task: described[task]() for task in source.tasks}


def _classes(labels: LabelSet) -> dict[str, Any]:
    names, palette = labels
    return {"classes": list(names), "palette": [list(colour) for colour in palette]}


def _entry(folder: Path, graph: GraphSpec) -> FileEntry:
    path = folder / graph.file
    return FileEntry(path=graph.file, size=path.stat().st_size, sha256=file_sha256(path), precision=graph.precision)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(_json(content), encoding="utf-8")


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

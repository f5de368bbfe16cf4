"""CARD.md: what a bundle was trained on, what was measured, what is not known. Numbers come from the bundle alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from service.manifest import Manifest
from training.provenance import GENERATED_SOURCES

ABOUT = {
    "perceive": "One photograph in, {tasks} out, from one pass of one network.",
    "stitch": (
        "Two overlapping photographs in, one panorama out. `pwm.onnx` finds where each pixel of the target lands in "
        "the reference; `sigmo.onnx` blends the two on the canvas. The warping itself runs outside the graphs."
    ),
}
TASKS = {
    "depth": "metric depth",
    "segmentation": "a segmentation",
    "normals": "surface normals",
    "parts": "human parts",
    "saliency": "saliency",
    "edges": "edges",
}
CANONICAL = (
    "Depth is z in metres; it needs the focal length, which comes from the request, from EXIF, "
    "or from the assumed field of view of {fov:g} degrees."
)
AT_HAND = "Depth is z in metres for cameras like those of the training images; no focal length changes it."
MIRRORED = "Every answer is the mean over the photograph and its mirror image, taken inside the graph."
FIXED = "The graph sees every photograph at {width} x {height} pixels, whatever its shape."
INT8_HEADING = "## INT8"
LIMITS = {
    "perceive": (
        "The figures below are measured on images of the same generator as the training images, with other seeds. They "
        "say that the network learned its task, not how it fares on photographs: expect it to be worse there, "
        "most of all outdoors, with people, mirrors, glass, strong blur, or fields of view far from the assumed one."
    ),
    "stitch": (
        "The figures below are measured on pairs of the same generator as the training pairs, with other seeds. Expect "
        "worse on photographs, most of all with little overlap, repeated patterns, moving things, large plain "
        "surfaces, or a baseline that is large against the distance. The service refuses what it cannot align."
    ),
}


ELSEWHERE = (
    "The figures below are measured on the validation set of the data that the recipe names. They say how the network "
    "fares there: expect it to be worse on other cameras, other places and other things."
)


def card(manifest: Manifest, report: Mapping[str, Any], notes: str = "", pictures: Sequence[str] = ()) -> str:
    """The card as Markdown. notes: Markdown by a person, included as it is; pictures: files of the bundle to show."""
    parts = [
        f"# {manifest.name}",
        f"Kind `{manifest.kind}`, version {manifest.version}. Licence: {manifest.licence}.",
        _about(manifest),
    ]
    if notes.strip():
        parts.append(notes.strip())
    parts += [f"![{PurePath(name).stem}]({name})" for name in pictures]
    parts += ["## Training", *(_training(name, about) for name, about in manifest.provenance.items())]
    parts += ["## Measured", LIMITS[manifest.kind] if _generated(manifest) else ELSEWHERE]
    parts += [_quality(name, found) for name, found in manifest.quality.items()]
    parts += ["## Files", _files(manifest), "## Agreement with PyTorch", _agreement(report)]
    for task, heading in (("segmentation", "## Classes"), ("parts", "## Parts")):
        if manifest.classes_of(task):
            parts += [heading, ", ".join(f"{index} {name}" for index, name in enumerate(manifest.classes_of(task)))]
    return "\n\n".join(parts) + "\n"


def with_int8(text: str, report: Mapping[str, Any]) -> str:
    """A card with a section about the INT8 files that the report tells of, in place of an earlier one."""
    rows = []
    for file, found in report["files"].items():
        if "sensitivity" not in found:
            continue
        metrics, layers = found["task_metrics"], found["sensitivity"]
        worst = metrics["metrics"][metrics["worst"]]
        rows.append(
            (
                f"`{file}`",
                f"{sum(layer['precision'] == 'float' for layer in layers)} of {len(layers)}",
                f"{found['int8_share_of_macs']:.0%}",
                f"{metrics['worst']}: {worst['reference']:.4g} to {worst['found']:.4g}, {worst['relative_loss']:+.2%}",
            )
        )
    before = text.partition(f"\n{INT8_HEADING}\n")[0].rstrip("\n")
    frames = max(found["task_metrics"]["frames"] for found in report["files"].values() if "sensitivity" in found)
    about = (
        "Used where `POLYVIEW_PRECISION=int8` asks for them. Layers stay in float where 8 bits were measured to cost "
        f"most; the loss is that of the task metric that lost most on {frames} generated frames, against float."
    )
    table = _table(("file", "layers in float", "multiply-accumulates in INT8", "largest loss"), rows)
    return f"{before}\n\n{INT8_HEADING}\n\n{about}\n\n{table}\n"


def _about(manifest: Manifest) -> str:
    """A few sentences: what goes in and out, and what there is to know of depth and sizes."""
    if manifest.kind != "perceive":
        return ABOUT[manifest.kind]
    words = [words for task, words in TASKS.items() if task in manifest.tasks]
    listed = " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
    sentences = [ABOUT["perceive"].format(tasks=listed)]
    if "depth" in manifest.tasks:
        canonical = manifest.canonical_focal_ratio is not None
        sentences.append(CANONICAL.format(fov=manifest.default_fov_deg) if canonical else AT_HAND)
    graph = manifest.graphs["perceive"]
    if graph.mirrored:
        sentences.append(MIRRORED)
    if graph.size.fixed:
        sentences.append(FIXED.format(width=graph.size.fixed[0], height=graph.size.fixed[1]))
    return " ".join(sentences)


def _generated(manifest: Manifest) -> bool:
    """Whether every network was trained, hence validated, on the project's own generators."""
    data = [about.get("data") or {} for about in manifest.provenance.values()]
    return all(isinstance(found, Mapping) and found.get("source") in GENERATED_SOURCES for found in data)


def _training(name: str, about: Mapping[str, Any]) -> str:
    rows = [(key, _short(value)) for key, value in about.items() if key != "model"]
    return f"`{name}`:\n\n" + _table(("what", "value"), rows)


def _quality(name: str, found: Mapping[str, Any]) -> str:
    if not found:
        return f"`{name}`: nothing was measured."
    return f"`{name}`, validation set of the recipe:\n\n" + _table(
        ("figure", "value"), [(key, _short(value)) for key, value in found.items()]
    )


def _files(manifest: Manifest) -> str:
    rows = []
    for graph in manifest.graphs.values():
        entry = next(entry for entry in manifest.files if entry.path == graph.file)
        size = f"{graph.size.longest_side} px, multiples of {graph.size.multiple}"
        if graph.size.fixed:
            size = f"{graph.size.fixed[0]} x {graph.size.fixed[1]} px alone"
        rows.append((f"`{graph.file}`", f"{entry.size / 1e6:.1f} MB", entry.precision, size, str(graph.opset)))
    return _table(("file", "size", "weights stored as", "longest side", "opset"), rows)


def _agreement(report: Mapping[str, Any]) -> str:
    rows = []
    for file, found in report["files"].items():
        for output, figures in found["outputs"].items():
            change = figures.get("max_abs_change_by_rounding")
            mean = figures.get("mean_abs_change_by_rounding")
            rows.append(
                (
                    f"`{file}` {output}",
                    f"{figures['max_abs_error']:.2g}",
                    "-" if change is None else f"{change:.2g}",
                    "-" if mean is None else f"{mean:.2g}",
                )
            )
    heads = ("output", "largest error", "largest change by float16 weights", "mean change by float16 weights")
    return (
        "Largest absolute differences over random and generated images of several sizes and batches. The error is "
        "against PyTorch with the same weights and must stay within the tolerance in `verify.json`; the change is "
        "against the weights before they were rounded.\n\n" + _table(heads, rows)
    )


def _short(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping | list):
        return f"`{json.dumps(value)}`"
    return str(value)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)

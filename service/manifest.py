"""`manifest.json`: what a bundle's graphs take and give, what its tasks mean, and where it comes from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeVar

SCHEMA_VERSION = 1
GRAPHS_OF_KIND: Mapping[str, tuple[str, ...]] = {"perceive": ("perceive",), "stitch": ("pwm", "sigmo")}
TASKS = ("depth", "segmentation", "normals", "parts", "saliency", "edges")
"""Every task that a perceive bundle may have, in the order of answers."""
CLASS_TASKS = ("segmentation", "parts")
DTYPES = ("uint8", "float32", "float16", "int64")
VARIANTS = ("int8",)
"""Precisions that a graph may be had in beside its own, which computes in float32."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One input or output. `shape` mixes sizes and the names of dynamic axes, for instance ("N", "H", "W", 3)."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    layout: str
    unit: str
    range: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class SizeSpec:
    """The input size a graph is meant for, in pixels: sides are multiples of `multiple`, at least `smallest_side`.

    fixed: the one (width, height) that a graph can take, where it cannot take others; None for any size.
    """

    longest_side: int
    multiple: int
    smallest_side: int = 1
    fixed: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.fixed is not None and any(side < 1 or side % self.multiple for side in self.fixed):
            raise ValueError(f"fixed: expected positive multiples of {self.multiple}, found {self.fixed}")


@dataclass(frozen=True, kw_only=True)
class GraphSpec:
    """One ONNX file. Outputs have 1/`output_stride` of the input's height and width.

    mirrored: whether its answers are means over the image and its mirror image, taken inside the graph.
    variants: other files of the same graph by the precision that they compute in, for instance {"int8": ...}.
    """

    file: str
    precision: str
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size: SizeSpec
    output_stride: int
    normalisation: str
    mirrored: bool = False
    variants: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    path: str
    size: int
    sha256: str
    precision: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`manifest.json`, parsed and checked. The two focal fields are None in a stitch bundle.

    Convention: real depth = predicted depth * focal_px / (canonical_focal_ratio * longer side), both of the upload;
    without a `canonical_focal_ratio` the predicted depth is already that of the camera at hand.
    `default_fov_deg` is the field of view along the longer side, assumed when nobody tells the focal length.
    """

    schema_version: int
    name: str
    kind: str
    version: str
    graphs: Mapping[str, GraphSpec]
    tasks: Mapping[str, Mapping[str, Any]]
    canonical_focal_ratio: float | None
    default_fov_deg: float | None
    files: tuple[FileEntry, ...]
    provenance: Mapping[str, Any]
    quality: Mapping[str, Any]
    licence: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the segmentation's classes in the order of their ids; empty without that task."""
        return self.classes_of("segmentation")

    def classes_of(self, task: str) -> tuple[str, ...]:
        """Class names of "segmentation" or "parts" in the order of their ids; empty without that task."""
        return tuple(self.tasks.get(task, {}).get("classes", ()))

    def palette_of(self, task: str) -> tuple[tuple[int, int, int], ...]:
        """One RGB colour (0..255) per class of "segmentation" or "parts"; empty without that task."""
        return tuple((r, g, b) for r, g, b in self.tasks.get(task, {}).get("palette", ()))

    @property
    def precision(self) -> str:
        """Precision of the stored weights, for instance "float16"; several are joined by "+"."""
        return self.precision_in_use("fp32")

    def precision_in_use(self, wanted: str) -> str:
        """As `precision`, where graphs that have the variant `wanted` are used in it."""
        used = {wanted if wanted in graph.variants else graph.precision for graph in self.graphs.values()}
        return "+".join(sorted(used))

    def to_dict(self) -> dict[str, Any]:
        """What goes into manifest.json; `parse_manifest` is the inverse."""
        return dataclasses.asdict(self)


def parse_manifest(data: Any) -> Manifest:
    """Manifest from decoded JSON. Raises ValueError with the key, what was expected and what was found.

    Unknown keys are left alone, so that a later exporter may add information without breaking this reader.
    """
    root = _Fields(data, "")
    version = root.take("schema_version", int)
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema_version: expected {SCHEMA_VERSION}, found {version}")
    kind = root.take("kind", str)
    if kind not in GRAPHS_OF_KIND:
        raise ValueError(f"kind: expected one of {', '.join(GRAPHS_OF_KIND)}, found {kind!r}")
    graphs_at = root.inner("graphs")
    if set(graphs_at.data) != set(GRAPHS_OF_KIND[kind]):
        raise ValueError(f"graphs: expected {list(GRAPHS_OF_KIND[kind])} for kind {kind}, found {list(graphs_at.data)}")
    manifest = Manifest(
        schema_version=version,
        name=root.take("name", str),
        kind=kind,
        version=root.take("version", str),
        graphs={name: _graph(graphs_at.inner(name)) for name in GRAPHS_OF_KIND[kind]},
        tasks=root.take("tasks", dict),
        canonical_focal_ratio=root.optional_positive("canonical_focal_ratio") if kind == "perceive" else None,
        default_fov_deg=root.positive("default_fov_deg", below=180) if kind == "perceive" else None,
        files=tuple(root.each("files", _file)),
        provenance=root.take("provenance", dict),
        quality=root.take("quality", dict),
        licence=root.take("licence", str),
    )
    listed = {entry.path for entry in manifest.files}
    for name, graph in manifest.graphs.items():
        if graph.file not in listed:
            raise ValueError(f"graphs.{name}.file: expected one of the files {sorted(listed)}, found {graph.file!r}")
        for precision, file in graph.variants.items():
            if file not in listed:
                raise ValueError(
                    f"graphs.{name}.variants.{precision}: expected one of the files {sorted(listed)}, found {file!r}"
                )
    if kind == "perceive":
        _check_tasks(manifest)
    return manifest


class _Fields:
    """A JSON object together with its place, so that errors can name the full key."""

    def __init__(self, data: Any, place: str) -> None:
        if not isinstance(data, dict):
            raise ValueError(f"{place or 'manifest'}: expected an object, found {type(data).__name__}")
        self.data = data
        self.place = place

    def key(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def take(self, name: str, kind: type[T]) -> T:
        if name not in self.data:
            raise ValueError(f"{self.key(name)}: expected {kind.__name__}, found nothing")
        value = self.data[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(f"{self.key(name)}: expected {kind.__name__}, found {value!r:.80}")
        return value

    def positive(self, name: str, below: float = math.inf) -> float:
        value = self.data.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < below:
            limit = "" if below == math.inf else f" and below {below:g}"
            raise ValueError(f"{self.key(name)}: expected a number above 0{limit}, found {value!r:.80}")
        return float(value)

    def optional_positive(self, name: str) -> float | None:
        return None if self.data.get(name) is None else self.positive(name)

    def count(self, name: str) -> int:
        value = self.take(name, int)
        if value < 1:
            raise ValueError(f"{self.key(name)}: expected at least 1, found {value}")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.take(name, str)
        if value not in allowed:
            raise ValueError(f"{self.key(name)}: expected one of {', '.join(allowed)}, found {value!r}")
        return value

    def relative_path(self, name: str) -> str:
        value = self.take(name, str)
        path = PurePosixPath(value)
        if not value or "\\" in value or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{self.key(name)}: expected a path inside the bundle, found {value!r}")
        return value

    def inner(self, name: str) -> _Fields:
        return _Fields(self.data.get(name), self.key(name))

    def each(self, name: str, parse: Callable[[_Fields], T]) -> list[T]:
        items = self.take(name, list)
        return [parse(_Fields(item, f"{self.key(name)}[{index}]")) for index, item in enumerate(items)]


def _graph(at: _Fields) -> GraphSpec:
    size = at.inner("size")
    longest, multiple, smallest = (size.count(name) for name in ("longest_side", "multiple", "smallest_side"))
    return GraphSpec(
        file=at.relative_path("file"),
        precision=at.take("precision", str),
        opset=at.count("opset"),
        inputs=tuple(at.each("inputs", _tensor)),
        outputs=tuple(at.each("outputs", _tensor)),
        size=SizeSpec(longest_side=longest, multiple=multiple, smallest_side=smallest, fixed=_fixed(size, multiple)),
        output_stride=at.count("output_stride"),
        normalisation=at.take("normalisation", str),
        mirrored=at.take("mirrored", bool) if "mirrored" in at.data else False,
        variants=_variants(at.inner("variants")) if "variants" in at.data else {},
    )


def _variants(at: _Fields) -> dict[str, str]:
    unknown = sorted(set(at.data) - set(VARIANTS))
    if unknown:
        raise ValueError(f"{at.place}: expected some of {list(VARIANTS)}, found {unknown}")
    return {precision: at.relative_path(precision) for precision in at.data}


def _fixed(at: _Fields, multiple: int) -> tuple[int, int] | None:
    found = at.data.get("fixed")
    if found is None:
        return None
    known = isinstance(found, list) and len(found) == 2 and all(type(side) is int for side in found)
    if not known or any(side < 1 or side % multiple for side in found):
        raise ValueError(
            f"{at.key('fixed')}: expected null or [width, height], multiples of {multiple}, found {found!r:.80}"
        )
    return found[0], found[1]


def _tensor(at: _Fields) -> TensorSpec:
    span, shape = at.data.get("range"), at.take("shape", list)
    numbers = isinstance(span, list) and len(span) == 2 and all(type(bound) in (int, float) for bound in span)
    if span is not None and not numbers:
        raise ValueError(f"{at.key('range')}: expected null or [low, high], found {span!r:.80}")
    if not shape or not all(axis >= 1 if type(axis) is int else isinstance(axis, str) and axis for axis in shape):
        raise ValueError(f"{at.key('shape')}: expected sizes and names of axes, found {shape!r:.80}")
    return TensorSpec(
        name=at.take("name", str),
        dtype=at.choice("dtype", DTYPES),
        shape=tuple(shape),
        layout=at.take("layout", str),
        unit=at.take("unit", str),
        range=None if span is None else (float(span[0]), float(span[1])),
    )


def _file(at: _Fields) -> FileEntry:
    sha256 = at.take("sha256", str)
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError(f"{at.key('sha256')}: expected 64 hexadecimal digits, found {sha256!r:.80}")
    return FileEntry(
        path=at.relative_path("path"),
        size=at.count("size"),
        sha256=sha256,
        precision=at.take("precision", str),
    )


def _check_tasks(manifest: Manifest) -> None:
    outputs = {output.name for output in manifest.graphs["perceive"].outputs}
    if not outputs or not outputs <= set(TASKS):
        raise ValueError(f"graphs.perceive.outputs: expected some of {list(TASKS)}, found {sorted(outputs)}")
    if set(manifest.tasks) != outputs:
        raise ValueError(f"tasks: expected the graph's outputs {sorted(outputs)}, found {sorted(manifest.tasks)}")
    for task in CLASS_TASKS:
        if task in manifest.tasks:
            _check_classes(_Fields(manifest.tasks[task], f"tasks.{task}"))


def _check_classes(at: _Fields) -> None:
    classes, palette = at.take("classes", list), at.take("palette", list)
    if not classes or len(classes) != len(palette) or len(classes) > 255:
        raise ValueError(
            f"{at.place}: expected 1 to 255 classes and one colour each, "
            f"found {len(classes)} classes and {len(palette)} colours"
        )
    for colour in palette:
        if not (isinstance(colour, list) and len(colour) == 3 and all(c in range(256) for c in colour)):
            raise ValueError(f"{at.key('palette')}: expected [r, g, b] of 0..255, found {colour!r:.80}")

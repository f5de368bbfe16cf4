"""A bundle: the folder that export writes and the service reads.

`manifest.json` says what the graphs take and give, `verify.json` that they agree with PyTorch, and sha256 sums tie
both to the files. `load_bundle` believes nothing: it returns a bundle whose every file is present, whole and verified,
or raises a `BundleError` that names the bundle, the file, what was found and what to do.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

SCHEMA_VERSION = 1
GRAPHS_OF_KIND: Mapping[str, tuple[str, ...]] = {"perceive": ("perceive",), "stitch": ("pwm", "sigmo")}
DTYPES = ("uint8", "float32", "float16", "int64")

MANIFEST_FILE = "manifest.json"
VERIFY_FILE = "verify.json"
CARD_FILE = "CARD.md"

_EXPORT_AGAIN = "write the bundle again with: python -m export onnx <checkpoint> --out <bundle>"
_COPY_AGAIN = "copy the bundle again, or restore it from version control"

T = TypeVar("T")


class BundleError(Exception):
    """A bundle that must not be used. `str()` is one line naming bundle, file, problem and remedy."""

    def __init__(self, bundle: Path | str, file: str, problem: str, remedy: str) -> None:
        self.bundle = str(bundle)
        self.file = file
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"bundle {self.bundle}: {file}: {problem}. To repair: {remedy}.")


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
    """The input size a graph is meant for, in pixels: sides are multiples of `multiple`, at least `smallest_side`."""

    longest_side: int
    multiple: int
    smallest_side: int = 1


@dataclass(frozen=True, kw_only=True)
class GraphSpec:
    """One ONNX file. Outputs have 1/`output_stride` of the input's height and width."""

    file: str
    precision: str
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size: SizeSpec
    output_stride: int
    normalisation: str


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    path: str
    size: int
    sha256: str
    precision: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`manifest.json`, parsed and checked. The two focal fields are None in a stitch bundle.

    Convention: real depth = predicted depth * focal_px / (canonical_focal_ratio * image width), both of the upload.
    `default_fov_deg` is the horizontal field of view assumed when nobody tells the focal length.
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
        """Class names in the order of their ids; empty without a segmentation task."""
        return tuple(self.tasks.get("segmentation", {}).get("classes", ()))

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """One RGB colour (0..255) per class; empty without a segmentation task."""
        return tuple((r, g, b) for r, g, b in self.tasks.get("segmentation", {}).get("palette", ()))

    @property
    def precision(self) -> str:
        """Precision of the stored weights, for instance "float16"; several are joined by "+"."""
        return "+".join(sorted({graph.precision for graph in self.graphs.values()}))

    def to_dict(self) -> dict[str, Any]:
        """What goes into manifest.json; `parse_manifest` is the inverse."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that passed every check. `sha256` is of manifest.json, hence stands for all files."""

    manifest: Manifest
    folder: Path
    sha256: str

    def graph_path(self, name: str) -> Path:
        """Where the ONNX file of graph `name` ("perceive", "pwm", "sigmo") lies."""
        return self.folder / self.manifest.graphs[name].file


def load_bundle(folder: Path | str) -> Bundle:
    """Read and check a bundle completely. Reads every file once (sha256). Raises BundleError."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    try:
        check_verification(manifest, _read_json(folder, VERIFY_FILE))
    except ValueError as error:
        remedy = f"prove parity anew with python -m export verify <bundle> <checkpoint>, or {_EXPORT_AGAIN}"
        raise BundleError(folder, VERIFY_FILE, str(error), remedy) from error
    return Bundle(manifest=manifest, folder=folder, sha256=file_sha256(folder / MANIFEST_FILE))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle whose files are present and whole; their verification is not looked at."""
    if not folder.is_dir():
        raise BundleError(folder, MANIFEST_FILE, "the folder does not exist", f"check the path, or {_EXPORT_AGAIN}")
    data = _read_json(folder, MANIFEST_FILE)
    try:
        manifest = parse_manifest(data)
    except ValueError as error:
        raise BundleError(folder, MANIFEST_FILE, str(error), _EXPORT_AGAIN) from error
    for entry in manifest.files:
        _check_file(folder, entry)
    return manifest


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_verification(manifest: Manifest, report: Any) -> None:
    """Raise ValueError unless `report` (verify.json) says that exactly the manifest's graph files passed."""
    if not isinstance(report, dict) or not isinstance(report.get("files"), dict):
        raise ValueError("expected an object with the key 'files', found something else")
    if report.get("passed") is not True:
        raise ValueError(f"expected passed = true, found {report.get('passed')!r}: the graphs disagree with PyTorch")
    sums = {entry.path: entry.sha256 for entry in manifest.files}
    for graph in manifest.graphs.values():
        verified = report["files"].get(graph.file)
        if not isinstance(verified, dict) or verified.get("passed") is not True:
            raise ValueError(f"expected a passing entry for {graph.file}, found none")
        if verified.get("sha256") != sums[graph.file]:
            raise ValueError(
                f"stale: expected {graph.file} with sha256 {sums[graph.file][:12]}…, "
                f"found a report about {str(verified.get('sha256'))[:12]}…"
            )


def _read_json(folder: Path, name: str) -> Any:
    path = folder / name
    if not path.is_file():
        raise BundleError(folder, name, "the file is missing", f"{_COPY_AGAIN}, or {_EXPORT_AGAIN}")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are both ValueErrors
        raise BundleError(folder, name, f"expected JSON, found text that is not: {error}", _COPY_AGAIN) from error


def _check_file(folder: Path, entry: FileEntry) -> None:
    path = folder / entry.path
    if not path.is_file():
        raise BundleError(folder, entry.path, "the file is missing", _COPY_AGAIN)
    size = path.stat().st_size
    if size != entry.size:
        raise BundleError(folder, entry.path, f"expected {entry.size} bytes, found {size}", _COPY_AGAIN)
    found = file_sha256(path)
    if found != entry.sha256:
        problem = f"the content is corrupt: expected sha256 {entry.sha256[:12]}…, found {found[:12]}…"
        raise BundleError(folder, entry.path, problem, _COPY_AGAIN)


# ---------------------------------------------------------------------------------------------------- manifest.json


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
        canonical_focal_ratio=root.positive("canonical_focal_ratio") if kind == "perceive" else None,
        default_fov_deg=root.positive("default_fov_deg") if kind == "perceive" else None,
        files=tuple(root.each("files", _file)),
        provenance=root.take("provenance", dict),
        quality=root.take("quality", dict),
        licence=root.take("licence", str),
    )
    listed = {entry.path for entry in manifest.files}
    for name, graph in manifest.graphs.items():
        if graph.file not in listed:
            raise ValueError(f"graphs.{name}.file: expected one of the files {sorted(listed)}, found {graph.file!r}")
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

    def positive(self, name: str) -> float:
        value = self.data.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ValueError(f"{self.key(name)}: expected a number above 0, found {value!r:.80}")
        return float(value)

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
        size=SizeSpec(longest_side=longest, multiple=multiple, smallest_side=smallest),
        output_stride=at.count("output_stride"),
        normalisation=at.take("normalisation", str),
    )


def _tensor(at: _Fields) -> TensorSpec:
    span = at.data.get("range")
    if span is not None and not (isinstance(span, list) and len(span) == 2):
        raise ValueError(f"{at.key('range')}: expected null or [low, high], found {span!r:.80}")
    return TensorSpec(
        name=at.take("name", str),
        dtype=at.choice("dtype", DTYPES),
        shape=tuple(at.take("shape", list)),
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
    if set(manifest.tasks) != outputs:
        raise ValueError(f"tasks: expected the graph's outputs {sorted(outputs)}, found {sorted(manifest.tasks)}")
    if "segmentation" in manifest.tasks:
        at = _Fields(manifest.tasks["segmentation"], "tasks.segmentation")
        classes, palette = at.take("classes", list), at.take("palette", list)
        if not classes or len(classes) != len(palette) or len(classes) > 255:
            raise ValueError(
                f"tasks.segmentation: expected 1 to 255 classes and one colour each, "
                f"found {len(classes)} classes and {len(palette)} colours"
            )
        for colour in palette:
            if not (isinstance(colour, list) and len(colour) == 3 and all(c in range(256) for c in colour)):
                raise ValueError(f"tasks.segmentation.palette: expected [r, g, b] of 0..255, found {colour!r:.80}")

"""A bundle: the folder that export writes and the service reads.

`manifest.json` says what the graphs take and give, `verify.json` that they agree with PyTorch, and sha256 sums tie
both to the files. `load_bundle` believes nothing: it returns a bundle whose every file is present, whole and verified,
or raises a `BundleError` that names the bundle, the file, what was found and what to do.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.manifest import FileEntry, Manifest, parse_manifest

MANIFEST_FILE = "manifest.json"
VERIFY_FILE = "verify.json"
CARD_FILE = "CARD.md"

_EXPORT_AGAIN = "write the bundle again with: python -m export onnx <checkpoint> --out <bundle>"
_COPY_AGAIN = "copy the bundle again, or restore it from version control"


class BundleError(Exception):
    """A bundle that must not be used. `str()` is one line naming bundle, file, problem and remedy."""

    def __init__(self, bundle: Path | str, file: str, problem: str, remedy: str) -> None:
        self.bundle = str(bundle)
        self.file = file
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"bundle {self.bundle}: {file}: {problem}. To repair: {remedy}.")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that passed every check. `sha256` is of manifest.json, hence stands for all files."""

    manifest: Manifest
    folder: Path
    sha256: str

    def graph_path(self, name: str, precision: str = "fp32") -> Path:
        """Where the ONNX file of graph `name` ("perceive", "pwm", "sigmo") lies.

        precision: "fp32", or a variant of the manifest; a graph that lacks the variant answers with its own file.
        """
        graph = self.manifest.graphs[name]
        return self.folder / graph.variants.get(precision, graph.file)


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
    """Raise ValueError unless `report` (verify.json) says that the manifest's graph files, variants too, passed."""
    if not isinstance(report, dict) or not isinstance(report.get("files"), dict):
        raise ValueError("expected an object with the key 'files', found something else")
    if report.get("passed") is not True:
        raise ValueError(f"expected passed = true, found {report.get('passed')!r}: the graphs disagree with PyTorch")
    sums = {entry.path: entry.sha256 for entry in manifest.files}
    for file in (file for graph in manifest.graphs.values() for file in (graph.file, *graph.variants.values())):
        verified = report["files"].get(file)
        if not isinstance(verified, dict) or verified.get("passed") is not True:
            raise ValueError(f"expected a passing entry for {file}, found none")
        if verified.get("sha256") != sums[file]:
            raise ValueError(
                f"stale: expected {file} with sha256 {sums[file][:12]}…, "
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

"""What stands beside an engine: of which model, for which GPU, by which library it was made, and what was found.

`<bundle>/engines/<graph>.<precision>.<target>.<library>-<version>.engine`, and a `.json` of the same name. The engine
is written first and its sum stands in the record, so a kill between the two leaves a record that does not match, which
means: build again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.engines.errors import StaleEngineError
from export.engines.gpu import AMPERE, AMPERE_PLUS, Gpu
from export.engines.profiles import Profile
from export.errors import DiskFullError
from export.publish import FULL, flush
from service.bundle import file_sha256

FOLDER = "engines"
SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Everything that an engine depends on; two equal origins may share an engine.

    model_sha256: of the ONNX file in the bundle, before any type was changed. target: a compute capability such as
    "sm89", or "ampere_plus". gpu: the name of the card that it was tuned on, where one was.
    """

    graph: str
    model: str
    model_sha256: str
    precision: str
    keep: tuple[str, ...]
    library: str
    version: str
    target: str
    gpu: str | None
    profiles: tuple[Profile, ...]

    @property
    def file(self) -> str:
        return f"{self.graph}.{self.precision}.{self.target}.{self.library}-{self.version}.engine"

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it: lists, no tuples."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def write_engine(folder: Path, origin: Origin, data: bytes, found: Mapping[str, Any]) -> Path:
    """Write engine and record into `folder`, each whole or not at all; answers the engine's path.

    found: what else the record keeps. Raises DiskFullError; what stood there before then stays.
    """
    path = folder / origin.file
    record = {
        "schema_version": SCHEMA_VERSION,
        "origin": origin.to_dict(),
        "engine": {"file": path.name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()},
        **found,
    }
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, data)
    write_whole(path.with_suffix(".json"), text.encode())
    return path


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file atomically: temporary file, flush to disk, rename. Raises DiskFullError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        flush(temporary)
        os.replace(temporary, path)
        flush(path.parent)
    except OSError as error:
        if error.errno in FULL:
            raise DiskFullError(f"{path}: expected room for {len(data)} bytes, found: {error.strerror}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def read_record(path: Path) -> dict[str, Any]:
    """The record beside the engine `path`. Raises StaleEngineError when either is missing, damaged or changed."""
    beside = path.with_suffix(".json")
    try:
        record = json.loads(beside.read_bytes())
        expected = str(record["engine"]["sha256"])
        known = record["schema_version"] == SCHEMA_VERSION and isinstance(record["origin"], dict)
        known = known and isinstance(record["error_on_cpu"], dict)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StaleEngineError(f"{beside}: expected the record of an engine, found: {error!r}. Build again") from error
    if not known:
        raise StaleEngineError(f"{beside}: expected a record of schema {SCHEMA_VERSION}. Build again")
    if not path.is_file() or file_sha256(path) != expected:
        raise StaleEngineError(f"{path}: expected the engine of sha256 {expected[:12]}…, found another. Build again")
    return dict(record)


def differences(record: Mapping[str, Any], origin: Origin) -> list[str]:
    """What an engine that is there was made of and `origin` is not, one line each; empty when it may be used."""
    made, wanted = record["origin"], origin.to_dict()
    return [
        f"{key}: made with {made.get(key)!r}, now {wanted[key]!r}" for key in wanted if made.get(key) != wanted[key]
    ]


def check_runs_here(record: Mapping[str, Any], library: str, version: str, gpu: Gpu, place: str) -> None:
    """Raise StaleEngineError unless an engine can run with this library on this GPU."""
    made = record["origin"]
    if (made["library"], made["version"]) != (library, version):
        raise StaleEngineError(
            f"{place}: made by {made['library']} {made['version']}, found {library} {version}. Build again"
        )
    target = made["target"]
    if not (gpu.capability >= AMPERE if target == AMPERE_PLUS else target == gpu.target):
        raise StaleEngineError(f"{place}: made for {target}, found {gpu.name} ({gpu.target}). Build for that target")

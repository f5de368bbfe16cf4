"""Dated Markdown with its JSON beside it: what ran, on what, in which versions, and the tables.

No path of the machine is written: absolute paths in the command are cut to their last part.
"""

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from training.provenance import current_commit

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu", "bentoml", "torch")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. Raises ValueError when a row's length differs from the header's."""
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"rows: expected {len(header)} cells, found {len(row)}: {row}")
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def hardware() -> str:
    """Processor model, usable cores and memory in words."""
    model = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [line.split(":", 1)[1].strip() for line in cpu_info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    return f"{model}, {cores} usable cores"


def versions() -> dict[str, str]:
    """Versions of Python and of those of our packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Short commit of the repository, `+` when tracked files differ from it, `unknown` outside git."""
    whole = current_commit()
    return whole if whole == "unknown" else whole[:7] + whole[40:]


def command_words(module: str, argv: Sequence[str] | None = None) -> str:
    """The command as one would type it from the root, absolute paths cut to their last part."""
    words = list(sys.argv[1:] if argv is None else argv)
    return " ".join(["python -m", module, *(shown_path(word) for word in words)])


def shown_path(word: str) -> str:
    """A relative path as it is; an absolute one relative to the root if it lies below it, else its last part."""
    if not word.startswith("/"):
        return word
    path = Path(word)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


@dataclass(kw_only=True)
class Report:
    """A benchmark's text and numbers, written together."""

    title: str
    module: str
    argv: Sequence[str] | None = None
    notes: list[str] = field(default_factory=list)
    sections: list[tuple[str, str]] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    def section(self, heading: str, text: str) -> None:
        """Adds a heading with its text (a table or a paragraph)."""
        self.sections.append((heading, text))

    def facts(self) -> dict[str, Any]:
        """Date, script, command, commit, hardware, load and versions."""
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        return {
            "date": date.today().isoformat(),
            "script": self.module.replace(".", "/") + ".py",
            "command": command_words(self.module, self.argv),
            "commit": commit(),
            "hardware": hardware(),
            "load at the end": round(load, 2),
            "versions": ", ".join(f"{k} {v}" for k, v in versions().items()),
        }

    def text(self) -> str:
        """The whole Markdown document."""
        facts = "\n".join(f"- {k}: {v}" for k, v in self.facts().items())
        notes = "".join(f"\n\n{note}" for note in self.notes)
        body = "".join(f"\n\n## {heading}\n\n{text}" for heading, text in self.sections)
        return f"# {self.title}\n\n{facts}{notes}{body}\n"

    def write(self, path: Path) -> None:
        """Writes `path` (Markdown) and the same name with `.json`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text())
        content = {"title": self.title, **self.facts(), **self.numbers}
        path.with_suffix(".json").write_text(json.dumps(content, indent=1, default=plain) + "\n")


def plain(value: Any) -> Any:
    """JSON for NumPy numbers and arrays."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return shown_path(str(value))
    raise ValueError(f"value: expected something JSON can hold, found {type(value).__name__}")


def dated(name: str) -> Path:
    """`benchmarks/results/<date>-<name>.md` below the repository's root."""
    return ROOT / "benchmarks" / "results" / f"{date.today().isoformat()}-{name}.md"

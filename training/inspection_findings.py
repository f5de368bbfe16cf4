"""What every inspection of a data set needs: findings, an even spread of samples, a place for the sheet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from training.readers.files import DamagedFile

DEFAULT_SHEETS = Path("artifacts/inspect")
SHOWN = 20
T = TypeVar("T")


@dataclass
class Findings:
    """Damage by kind, each file and complaint once, in the order of finding."""

    by_kind: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, damage: DamagedFile) -> None:
        self.by_kind.setdefault(damage.kind, {})[str(damage)] = None

    def report(self) -> dict[str, Any]:
        return {
            kind: {"count": len(found), "first": list(found)[:SHOWN]} for kind, found in sorted(self.by_kind.items())
        }


def spread(items: Sequence[T], count: int | None) -> Sequence[T]:
    """At most `count` of the items, evenly spread; all for None."""
    if count is None or len(items) <= count:
        return items
    return [items[k * len(items) // count] for k in range(count)]


def sheet_outside(root: Path, dataset: str, sheet: Path | None) -> Path:
    """Where the contact sheet goes. Raises ValueError for a file inside the data folder."""
    sheet = sheet or DEFAULT_SHEETS / f"{dataset}-{root.resolve().name}.png"
    if sheet.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"sheet: expected a file outside the data folder {root}, found {sheet}")
    return sheet

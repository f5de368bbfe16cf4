"""Environment variables as numbers, flags and words, with messages that name the variable and what was found."""

from __future__ import annotations

from collections.abc import Mapping


class Variables:
    """Reads `POLYVIEW_*`; an empty value counts as unset. Every method raises ValueError for a senseless value."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def whole(self, name: str, default: int, least: int) -> int:
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise ValueError(f"{name}: expected a whole number of at least {least}, found {text!r}")
        return int(text)

    def positive(self, name: str, default: float, unit: str) -> float:
        text = self.text(name)
        try:
            value = float(text) if text else default
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise ValueError(f"{name}: expected {unit} above 0, found {text!r}")
        return value

    def share(self, name: str, default: float) -> float:
        text = self.text(name)
        try:
            value = float(text) if text else default
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: expected a number from 0 to 1, found {text!r}")
        return value

    def one_of(self, name: str, words: tuple[str, ...]) -> str:
        """One of `words`; the first where the variable is unset."""
        text = self.text(name) or words[0]
        if text not in words:
            raise ValueError(f"{name}: expected one of {', '.join(words)}, found {text!r}")
        return text

    def words(self, name: str, separator: str = ",") -> tuple[str, ...]:
        return tuple(word.strip() for word in self.text(name).split(separator) if word.strip())

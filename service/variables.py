"""Environment variables as numbers, flags and words, with messages that name the variable and what was found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

PREFIX = "POLYVIEW_"
# No settings: a switch of the tests, and what Kubernetes tells every pod about the services of its namespace.
OTHERS = re.compile(rf"{PREFIX}(REQUIRE_ALL|(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT(_\d+_\w+)?))")
# Between names without their prefix; KEY for KEYS has 0.86, SERVICE, which may be another program's, 0.77 for DEVICE.
LIKENESS = 0.8


class Variables:
    """Reads `POLYVIEW_*`; an empty value counts as unset. Every method raises ValueError for a senseless value."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._read: set[str] = set()

    def text(self, name: str) -> str:
        self._read.add(name)
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

    def unread(self) -> tuple[str, ...]:
        """`POLYVIEW_*` that are set and were not read so far: other programs may share the prefix.

        Raises ValueError for one that looks like a misspelt name of those that were read.
        """
        names = [name.removeprefix(PREFIX) for name in self._read]
        unread = sorted(
            name
            for name in self._environ
            if name.startswith(PREFIX) and name not in self._read and not OTHERS.fullmatch(name)
        )
        for name in unread:
            for meant in get_close_matches(name.removeprefix(PREFIX).upper(), names, n=1, cutoff=LIKENESS):
                raise ValueError(f"{name}: there is no such setting; is it meant to be {PREFIX}{meant}?")
        return tuple(unread)

"""Configurations from JSON: values of the wrong kind are refused by name, whatever recipe they stand in."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from training.config_json import from_json, to_json


@dataclass(frozen=True, kw_only=True)
class Part:
    kind: Literal["part"] = "part"
    share: float = 0.5
    limit: float | None = None


@dataclass(frozen=True, kw_only=True)
class Other:
    kind: Literal["other"] = "other"
    form: Literal["log", "raw"] = "log"


@dataclass(frozen=True, kw_only=True)
class Whole:
    name: str = "whole"
    steps: int = 3
    fast: bool = False
    part: Part | Other = field(default_factory=Part)
    sizes: tuple[int, ...] = (1, 2)
    place: tuple[float, float] = (0.0, 1.0)
    weights: str | None = None


@pytest.mark.parametrize(
    "value",
    [
        Whole(),
        Whole(part=Other(form="raw"), sizes=(), weights="here"),
        Whole(part=Part(limit=2.0), place=(float("inf"), -1.5), fast=True),
    ],
)
def test_what_was_written_is_read_back(value: Whole) -> None:
    assert from_json(Whole, to_json(value)) == value


def test_whole_numbers_serve_as_floats() -> None:
    read = from_json(Whole, {"part": {"kind": "part", "share": 1, "limit": 2}, "place": [0, 3]})
    assert read == Whole(part=Part(share=1.0, limit=2.0), place=(0.0, 3.0))
    assert [type(value) for value in (read.part.share, read.part.limit, *read.place)] == [float] * 4  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"name": 3}, "Whole.name: expected str, found 3"),
        ({"steps": 2.5}, "Whole.steps: expected int, found 2.5"),
        ({"steps": True}, "Whole.steps: expected int, found True"),
        ({"steps": None}, "Whole.steps: expected int, found None"),
        ({"fast": 1}, "Whole.fast: expected bool, found 1"),
        ({"weights": 1}, "Whole.weights: expected str, found 1"),
        ({"part": {"kind": "part", "share": "half"}}, "Whole.part.share: expected float, found 'half'"),
        ({"part": {"kind": "part", "share": False}}, "Whole.part.share: expected float, found False"),
        ({"part": {"kind": "part", "limit": "none"}}, "Whole.part.limit: expected float, found 'none'"),
        ({"part": {"kind": "other", "form": "mean"}}, "Whole.part.form: expected one of 'log', 'raw', found 'mean'"),
        ({"part": {"kind": "other", "form": ["log"]}}, "Whole.part.form: expected one of"),
        ({"part": 3}, "Whole.part: expected an object, found int"),
        ({"sizes": "12"}, "Whole.sizes: expected a list, found str"),
        ({"sizes": 3}, "Whole.sizes: expected a list, found int"),
        ({"sizes": [1, "2"]}, "Whole.sizes: expected int, found '2'"),
        ({"place": [1.0]}, "Whole.place: expected 2 entries, found 1"),
    ],
)
def test_values_of_another_kind_are_refused_by_name(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="^" + message):
        from_json(Whole, content)

"""Optimisation profiles: the input shapes that an engine takes, and those that it is tuned for.

An engine answers any shape between a profile's least and most, fastest at its usual one. Buckets of batches and sizes
make several profiles: a batch bucket reaches from the bucket below it to its own number, a size bucket is one size.

Convention: sizes are (width, height) in pixels of the graph's input, as everywhere; shapes follow the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

from service.manifest import GraphSpec, SizeSpec
from service.preprocess import model_size, size_range

LANDSCAPE = (4, 3)
ANY = "any"

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Least, usual and most batch and size, each size (width, height)."""

    batches: tuple[int, int, int]
    sizes: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

    def shapes(self, graph: GraphSpec) -> dict[str, tuple[Shape, Shape, Shape]]:
        """Least, usual and most shape of every input of `graph`, by its name."""
        return {spec.name: _three(tuple(self._shape(spec.shape, step) for step in range(3))) for spec in graph.inputs}

    def _shape(self, axes: Sequence[int | str], step: int) -> Shape:
        width, height = self.sizes[step]
        numbers = {"N": self.batches[step], "H": height, "W": width}
        return tuple(numbers[axis] if isinstance(axis, str) else axis for axis in axes)

    @classmethod
    def from_dict(cls, made: Mapping[str, Any]) -> Profile:
        """The inverse of `to_dict`, after JSON too."""
        few, usual, many = made["batches"]
        least, common, most = ((width, height) for width, height in made["sizes"])
        return cls(batches=(few, usual, many), sizes=(least, common, most))

    def to_dict(self) -> dict[str, Any]:
        return {"batches": list(self.batches), "sizes": [list(size) for size in self.sizes]}


def profiles_of(size: SizeSpec, batches: Sequence[int] = (1,), sizes: Sequence[str] = (ANY,)) -> list[Profile]:
    """One profile for every batch bucket at every size bucket.

    batches: largest batch of each bucket. sizes: "any" for all sizes that the service may ask for, or "WIDTHxHEIGHT".
    Raises ValueError for a bucket that the graph does not take.
    """
    if not batches or sorted(set(batches)) != list(batches) or batches[0] < 1:
        raise ValueError(f"batches: expected rising numbers from 1, found {list(batches)}")
    ranges = [(low + 1, high, high) for low, high in pairwise((0, *batches))]
    spans = [_span(text, size) for text in dict.fromkeys(sizes)]
    return [Profile(batches=batch, sizes=span) for span, batch in product(spans, ranges)]


def fitting(profiles: Sequence[Profile], batch: int, size: tuple[int, int]) -> int | None:
    """Index of the narrowest profile that takes `batch` images of `size`, the earliest of several; None without one."""
    found = [(_area(profile), index) for index, profile in enumerate(profiles) if _takes(profile, batch, size)]
    return min(found)[1] if found else None


def _span(text: str, size: SizeSpec) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    if text == ANY:
        least, most = size_range(size)
        return least, model_size(*LANDSCAPE, size), most
    one = _parsed(text, size)
    return one, one, one


def _parsed(text: str, size: SizeSpec) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise ValueError(f"sizes: expected any or WIDTHxHEIGHT, for instance 384x288, found {text!r}")
    pair = (int(width), int(height))
    if size.fixed is not None and pair != size.fixed:
        raise ValueError(f"sizes: expected {size.fixed[0]}x{size.fixed[1]}, the graph's one size, found {text}")
    if any(side % size.multiple or side < size.smallest_side for side in pair):
        raise ValueError(f"sizes: expected multiples of {size.multiple} from {size.smallest_side}, found {text!r}")
    return pair


def _three(values: tuple[Shape, ...]) -> tuple[Shape, Shape, Shape]:
    least, usual, most = values
    return least, usual, most


def _takes(profile: Profile, batch: int, size: tuple[int, int]) -> bool:
    (least, _, most) = profile.sizes
    inside = all(low <= side <= high for low, side, high in zip(least, size, most, strict=True))
    return inside and profile.batches[0] <= batch <= profile.batches[2]


def _area(profile: Profile) -> int:
    """How many shapes a profile spans, to compare profiles by."""
    (least, _, most), (few, _, many) = profile.sizes, profile.batches
    return (most[0] - least[0] + 1) * (most[1] - least[1] + 1) * (many - few + 1)

"""The outdoor layouts by name, and how often each is drawn."""

from __future__ import annotations

from collections.abc import Callable

from training.data.draw import Draw
from training.data.material import Material
from training.data.outdoor.green import country, garden
from training.data.outdoor.site import Site
from training.data.outdoor.town import square, street

LAYOUTS: dict[str, Callable[[Site], Material]] = {
    "street": street, "square": square, "garden": garden, "country": country,
}  # fmt: skip
"""Each fills a site and answers the material of its ground."""


def sample_layout(draw: Draw) -> str:
    """A layout's name."""
    return draw.weighted((("street", 4.0), ("square", 2.5), ("garden", 3.0), ("country", 1.5)))

"""What is done with one item, cut where it can overlap: read and decode, compute, encode and write.

A `Task` travels to the workers; each opens it once, which loads the models, and sends every item through the `Steps`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from service.batch.items import Item
from service.batch.storage import Patience
from service.timing import Stopwatch

SECONDS = ("seconds_read", "seconds_compute", "seconds_write")


class Steps(Protocol):
    """Each step gets what the one before it answered. Different items may be in different steps at the same time."""

    def read(self, item: Item) -> Any:
        """Fetch and decode the inputs."""
        ...

    def compute(self, read: Any) -> Any:
        """Run the networks."""
        ...

    def facts(self, computed: Any) -> dict[str, Any]:
        """The columns of the report that only the result knows."""
        ...

    def files(self, computed: Any) -> Iterator[tuple[str, bytes | memoryview]]:
        """(name, content) of the outputs, encoded one by one. The same inputs give the same bytes, wherever."""
        ...


class Task(Protocol):
    """What a batch does, as a value that can be pickled."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of an item's inputs, in order: columns of the manifest and of the report."""
        ...

    @property
    def patience(self) -> Patience:
        """How often file operations are tried."""
        ...

    @property
    def columns(self) -> Mapping[str, type]:
        """Columns of the report that `facts` fills."""
        ...

    def open(self) -> Steps:
        """Load the models. Raises BundleError, PolyviewError or ValueError if that cannot be."""
        ...

    def describe(self) -> dict[str, Any]:
        """Options and models, as JSON: two runs into one folder must agree in them."""
        ...


def report_columns(task: Task) -> dict[str, type]:
    """Every column of a report, with its type; all but `id` and `status` may be empty."""
    head = {"id": str, "status": str, "code": str, "message": str, "folder": str}
    return head | dict.fromkeys(task.inputs, str) | dict(task.columns) | dict.fromkeys(SECONDS, float)


class NoTimings(Stopwatch):
    """Measures nothing: where outputs must not differ from run to run."""

    def milliseconds(self) -> dict[str, float]:
        return {}

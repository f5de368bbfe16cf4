"""What the log says about the steps since its last line."""

import time
from collections.abc import Mapping


class StepWindow:
    """Means of the loss terms and speed since the last log line; evaluation and saving do not count as training."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._terms: dict[str, list[float]] = {}
        self._count = 0
        self._elapsed = 0.0
        self._since = time.monotonic()

    def add(self, terms: Mapping[str, float]) -> None:
        """One step's terms; its time is that since the last step or `restart`."""
        now = time.monotonic()
        self._elapsed += now - self._since
        self._since = now
        self._count += 1
        for name, value in terms.items():
            self._terms.setdefault(name, []).append(value)

    def result(self) -> dict[str, float]:
        """The means by name, each over the steps that had it, and `images_per_second`; begins a new window."""
        means = {name: sum(values) / len(values) for name, values in self._terms.items()}
        means["images_per_second"] = self._count * self._batch_size / max(self._elapsed, 1e-9)
        self._terms, self._count, self._elapsed = {}, 0, 0.0
        return means

    def restart(self) -> None:
        """Leaves out the time since the last step."""
        self._since = time.monotonic()

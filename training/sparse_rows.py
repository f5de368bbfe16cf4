"""A table whose rows are keyed by whole numbers and exist once they have been written."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class SparseRows:
    """Rows of `columns` float32 on the CPU; a row that was never written reads as `fill`.

    Reading and writing touch the given rows alone. Memory grows by doubling, so a new row costs a constant on average.
    """

    def __init__(self, columns: int, fill: float = 0.0) -> None:
        self.columns, self.fill = columns, fill
        self._place: dict[int, int] = {}
        self._values = torch.empty(0, columns)

    def __len__(self) -> int:
        return len(self._place)

    def read(self, keys: Sequence[int]) -> Tensor:
        """A copy [len(keys), columns] of the rows."""
        if not self._place:
            return torch.full((len(keys), self.columns), self.fill)
        places = torch.tensor([self._place.get(key, -1) for key in keys], dtype=torch.int64)
        return torch.where((places >= 0)[:, None], self._values[places], self.fill)

    def write(self, keys: Sequence[int], values: Tensor) -> None:
        """Replaces rows; values [len(keys), columns]. Raises ValueError for a key given twice."""
        if len(set(keys)) != len(keys):
            raise ValueError(f"keys: expected each once, found {sorted(keys)}")
        for key in keys:
            self._place.setdefault(key, len(self._place))
        if len(self._place) > len(self._values):
            grown = torch.empty(max(64, 2 * len(self._place)), self.columns)
            grown[: len(self._values)] = self._values
            self._values = grown
        self._values[[self._place[key] for key in keys]] = values.to("cpu", torch.float32)

    def state_dict(self) -> dict[str, Any]:
        """Keys int64 [n] in rising order, and their rows [n, columns]."""
        keys = sorted(self._place)
        return {"keys": torch.tensor(keys, dtype=torch.int64), "values": self.read(keys)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces everything. Raises ValueError for another number of columns."""
        keys, values = state["keys"].tolist(), state["values"]
        if values.shape != (len(keys), self.columns):
            raise ValueError(f"state: expected rows [{len(keys)}, {self.columns}], found {list(values.shape)}")
        self._place, self._values = {}, torch.empty(0, self.columns)
        self.write(keys, values)

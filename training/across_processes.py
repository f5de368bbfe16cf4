"""Rows of all processes of a run, in all of them."""

import torch
import torch.distributed as distributed
from torch import Tensor


def gather_rows(rows: Tensor) -> Tensor:
    """Every process's rows [n, K] one below the other, in the order of the processes; n may differ, K and dtype not.

    The same tensor in a run of one process.
    """
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return rows
    world = distributed.get_world_size()
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world)]
    distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    longest = max(int(count) for count in counts)
    padded = rows.new_zeros(longest, rows.shape[1])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(world)]
    distributed.all_gather(parts, padded)
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])

"""Edge labels of generated frames, from their other labels: where the class changes or the depth jumps.

Shapes: B batch, H height, W width.
"""

import torch
from torch import Tensor

from training.losses.dense import IGNORE_LABEL


def boundary_labels(label_BHW: Tensor, depth_BHW: Tensor, jump: float = 0.05) -> Tensor:
    """1 at the upper or left of two neighbours with another class or at another depth, else 0; uint8.

    label_BHW: integer, 255 unknown. depth_BHW: metres, 0 unknown; a pixel that lacks both is 255. jump: smallest step,
    relative to the nearer side, that counts. Inverse depth is linear on any plane, so a step is what a difference of
    inverse depth has beyond the smaller of the two differences beside it: slanted planes have none.
    """
    known_BHW = depth_BHW > 0
    inverse_BHW = torch.where(known_BHW, 1.0 / depth_BHW.clamp(min=1e-6), 0.0)
    edge_BHW = torch.zeros_like(known_BHW)
    for dim in (1, 2):
        last = label_BHW.shape[dim] - 1
        one, other = (label_BHW.narrow(dim, start, last) for start in (0, 1))
        changed = (one != other) & (one != IGNORE_LABEL) & (other != IGNORE_LABEL)
        near, far = (inverse_BHW.narrow(dim, start, last) for start in (0, 1))
        both = known_BHW.narrow(dim, 0, last) & known_BHW.narrow(dim, 1, last)
        difference = near - far
        beside = torch.minimum(_shifted(difference, 1, dim), _shifted(difference, -1, dim))
        jumped = both & (difference.abs() - beside > jump * torch.maximum(near, far))
        edge_BHW.narrow(dim, 0, last).logical_or_(changed | jumped)
    unknown_BHW = ~known_BHW & (label_BHW == IGNORE_LABEL)
    return torch.where(unknown_BHW, IGNORE_LABEL, edge_BHW.to(torch.uint8)).to(torch.uint8)


def _shifted(difference: Tensor, by: int, dim: int) -> Tensor:
    """Absolute differences of the neighbours at distance `by`; the border repeats itself from inside."""
    moved = difference.abs().roll(by, dim)
    edge, inside = (0, min(1, moved.shape[dim] - 1)) if by > 0 else (moved.shape[dim] - 1, max(0, moved.shape[dim] - 2))
    moved.narrow(dim, edge, 1).copy_(difference.abs().narrow(dim, inside, 1))
    return moved

"""Nearest hits of B cameras in B scenes: step n tests slot n of every scene on [B, P] tensors.

Python only counts slots; with `compiled` each run of `STEP` slots of a kind is one fused kernel that reads the rays
once.

Convention: rays are origin + t * direction; with a camera's rays t is the depth z in metres.
Shape suffixes: B scenes, P rays, N slots, S slots of one step, Q numbers of a solid, C chosen solids.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from training.data.batched.scenes import STEP, SceneBatch
from training.data.solids import FAR, NEAR, TINY, primitive_span

P = ParamSpec("P")
R = TypeVar("R")


def camera_rays(batch: SceneBatch) -> Tensor:
    """World directions of all pixels of all cameras, row by row, float32 [3, B, P], with camera z = 1."""
    device = batch.focal_B.device
    x = torch.arange(batch.width, dtype=torch.float32, device=device)
    y = torch.arange(batch.height, dtype=torch.float32, device=device)
    x = (x - batch.centre_2B[0][:, None]) / batch.focal_B[:, None]
    y = (y - batch.centre_2B[1][:, None]) / batch.focal_B[:, None]
    x, y = x[:, None, :], y[:, :, None]
    scale = 1 + batch.distortion_B[:, None, None] * (x * x + y * y)
    r = batch.camera_rotation_B33.permute(1, 2, 0)[..., None, None]
    return (r[:, 0] * (x * scale) + r[:, 1] * (y * scale) + r[:, 2]).flatten(2)


def shell_hits(batch: SceneBatch, origin_3BP: Tensor, rays_3BP: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays that start inside the rooms leave them: t and slot (0..5), [B, P] each."""
    half, offset = batch.room_half_3B[..., None], origin_3BP - batch.room_centre_3B[..., None]
    inverse = 1.0 / (rays_3BP + TINY)
    t, axis = (half * inverse.abs() - offset * inverse).min(dim=0)
    positive = torch.gather(rays_3BP, 0, axis[None])[0] > 0
    # Faces seen along +x, +y, +z are 5, 0, 4, along the negative axes 3, 1, 2.
    ahead = torch.where(axis == 0, 5, torch.where(axis == 1, 0, 4))
    behind = torch.where(axis == 0, 3, torch.where(axis == 1, 1, 2))
    return t, torch.where(positive, ahead, behind)


def into_frame(rotation_B9: Tensor, vector_3BP: Tensor) -> Tensor:
    """World vectors in one solid's frame per scene, by its row-major world-from-local rotation [B, 9].

    For vectors [3, B, L, P] the rotation is [B, 9, 1].
    """
    x, y, z = vector_3BP
    r = rotation_B9.movedim(1, 0)[..., None]
    return torch.stack([r[k] * x + r[3 + k] * y + r[6 + k] * z for k in range(3)])


def _cast_step(
    kind: int, t_BP: Tensor, which_BP: Tensor, rays_3BP: Tensor, numbers_SBQ: Tensor, slot_S: Tensor
) -> tuple[Tensor, Tensor]:
    for s in range(STEP):
        q = numbers_SBQ[s]
        column = q.T[..., None]
        entry, leave = primitive_span(
            kind, tuple(column[12:15]), column[15], tuple(column[9:12]), into_frame(q[:, :9], rays_3BP)
        )
        closer = (entry <= leave) & (entry > NEAR) & (entry < t_BP) & (column[16] > 0)
        t_BP, which_BP = torch.where(closer, entry, t_BP), torch.where(closer, slot_S[s], which_BP)
    return t_BP, which_BP


def _boxes_step(
    t_BP: Tensor, which_BP: Tensor, origin_3BP: Tensor, rays_3BP: Tensor, numbers_SBQ: Tensor, centre_S3B: Tensor,
    slot_SB: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    for s in range(STEP):
        q = numbers_SBQ[s]
        inverse = 1.0 / (into_frame(q[:, :9], rays_3BP) + TINY)
        start = into_frame(q[:, :9], origin_3BP - centre_S3B[s][..., None])
        middle, reach = -start * inverse, inverse.abs() * q[:, 12:15].T[..., None]
        entry, leave = (middle - reach).amax(0), (middle + reach).amin(0)
        slot = slot_SB[s][:, None]
        closer = (entry <= leave) & (entry > NEAR) & (entry < t_BP) & (entry < FAR) & (slot > 0)
        t_BP, which_BP = torch.where(closer, entry, t_BP), torch.where(closer, slot, which_BP)
    return t_BP, which_BP


@cache
def _fused(step: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(step, fullgraph=True)


def runner(step: Callable[P, R], compiled: bool) -> Callable[P, R]:
    """The step as it is, or compiled into one graph, once for each kind and frame size."""
    return _fused(step) if compiled else step


def cast_images(batch: SceneBatch, rays_3BP: Tensor, compiled: bool = False) -> tuple[Tensor, Tensor]:
    """Nearest hits of the cameras' rays: t = depth z in metres and slot (int64), [B, P] each."""
    t, which = shell_hits(batch, batch.camera_position_3B[..., None], rays_3BP)
    step = runner(_cast_step, compiled)
    slots = torch.arange(batch.slots, device=t.device)
    for kind, first, end in batch.runs:
        for slot in range(first, end, STEP):
            part = slice(slot, slot + STEP)
            t, which = step(kind, t, which, rays_3BP, batch.numbers_NBQ[part], slots[part])
    return t, which


def cast_mirrored(
    batch: SceneBatch, origin_3BP: Tensor, rays_3BP: Tensor, compiled: bool = False
) -> tuple[Tensor, Tensor]:
    """Nearest hits with solids taken as their boxes, small ones left out: t and slot, [B, P] each."""
    t, which = shell_hits(batch, origin_3BP, rays_3BP)
    step = runner(_boxes_step, compiled)
    slots_CB = batch.mirrored_CB
    columns = torch.arange(slots_CB.shape[1], device=t.device)
    numbers, centre = batch.numbers_NBQ[slots_CB, columns], centres(batch, slots_CB)
    for first in range(0, len(slots_CB), STEP):
        part = slice(first, first + STEP)
        t, which = step(t, which, origin_3BP, rays_3BP, numbers[part], centre[part], slots_CB[part])
    return t, which


def centres(batch: SceneBatch, slots_CB: Tensor) -> Tensor:
    """World centres of chosen slots, [C, 3, B]."""
    return batch.solids.centre_N3[slots_CB + batch.first_B].transpose(1, 2).contiguous()

"""Shadows, indirect light and lamps of B scenes at once; the formulas are those of `shading` and `indirect`.

Convention: world frame, y down; light is in the unit in which radiance = reflectance * light.
Shape suffixes: B scenes, P points, L lights, C chosen solids, S samples per plane, F = 6 planes, 3 coordinates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.data.batched.cast import centres, into_frame, runner
from training.data.batched.scenes import SHELL, STEP, SceneBatch
from training.data.caster import blocked_share
from training.data.indirect import REACHES, SHADES
from training.data.primitives import BOX, CONE, ROUNDED
from training.data.solids import length
from training.data.texturing import mean_albedo


def towards_light(batch: SceneBatch, light: int, point_3BP: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors to light number `light` [3, B, P] and its strength [B, P], shadows and cosine left out."""
    beams = batch.beams
    position, sun = beams.position_3BL[..., light, None], beams.sun_BL[:, light, None] > 0
    vector = position - point_3BP
    squared = (vector * vector).sum(0)
    towards = vector * squared.clamp(min=1e-12).rsqrt()
    facing = beams.facing_3BL[..., light, None]
    ahead = torch.where((facing * facing).sum(0) > 0, (-(facing * towards).sum(0)).clamp(min=0.0), 1.0)
    strength = ahead / (squared + 0.15)
    return torch.where(sun, position, towards), torch.where(sun, 1.0, strength)


def _from_pane(batch: SceneBatch, lifted_3BP: Tensor) -> tuple[Tensor, Tensor]:
    """For suns: how far along their direction each point meets the pane's plane, and the share inside the pane."""
    beams = batch.beams
    towards, normal = beams.position_3BL[..., None], beams.pane_normal_3BL[..., None]
    offset = beams.pane_centre_3BL[..., None] - lifted_3BP[:, :, None]
    away = (offset * normal).sum(0) / (towards * normal).sum(0)
    crossing = towards * away - offset
    across = (crossing * beams.pane_along_3BL[..., None]).sum(0).abs() - beams.pane_half_2BL[0][..., None]
    down = crossing[1].abs() - beams.pane_half_2BL[1][..., None]
    share = (0.5 - torch.maximum(across, down) / (0.012 + 0.006 * away.clamp(min=0))).clamp(0, 1)
    return away, share * (away > 0.02)


def shadows(batch: SceneBatch, point_3BP: Tensor, normal_3BP: Tensor, compiled: bool = False) -> Tensor:
    """Share of each lamp and sun that reaches each point, [B, L, P] in [0, 1]."""
    beams, solids = batch.beams, batch.solids
    lifted = point_3BP + 0.004 * normal_3BP
    position, sun = beams.position_3BL[..., None], beams.sun_BL[..., None] > 0
    away, inside = _from_pane(batch, lifted)
    vector = torch.where(sun, position * (away - 0.03), position - lifted[:, :, None])
    reaching = torch.where(sun, inside, 1.0)
    distance = length(vector)
    flat_CB = batch.shades_CB + batch.first_B
    half, centre = solids.half_N3[flat_CB], centres(batch, batch.shades_CB)
    rotation = solids.rotation_N33[flat_CB].flatten(2)
    spread = half.sort(dim=2).values
    thinnest = spread[..., 0].contiguous()
    reach_CBL = (spread[..., 1] * spread[..., 2])[..., None] > beams.threshold_BL**2
    reach_CBL = reach_CBL & (batch.shades_CB > 0)[..., None]
    kind, top = solids.kind_N[flat_CB], solids.radius_N[flat_CB]
    waist = torch.where(kind == CONE, 0.45 + 0.45 * top, torch.where((kind == BOX) | (kind == ROUNDED), 1.0, 0.9))
    tall = torch.where(kind == CONE, 0.95, waist)
    narrowed = (half * torch.stack([waist, tall, waist], dim=2)).transpose(1, 2).contiguous()
    step = runner(_shadow_step, compiled)
    for first in range(0, len(flat_CB), STEP):
        part = slice(first, first + STEP)
        reaching = step(
            reaching, lifted, vector, distance, beams.size_BL, rotation[part], centre[part], narrowed[part],
            thinnest[part], reach_CBL[part],
        )  # fmt: skip
    return reaching


def _shadow_step(
    reaching_BLP: Tensor, lifted_3BP: Tensor, vector_3BLP: Tensor, distance_BLP: Tensor, size_BL: Tensor,
    rotation_SB9: Tensor, centre_S3B: Tensor, half_S3B: Tensor, thinnest_SB: Tensor, reach_SBL: Tensor,
) -> Tensor:  # fmt: skip
    for s in range(STEP):
        start = into_frame(rotation_SB9[s], lifted_3BP - centre_S3B[s][..., None])[:, :, None]
        direction = into_frame(rotation_SB9[s][..., None], vector_3BLP)
        blocked = blocked_share(
            start, direction, half_S3B[s][..., None, None], 1.2 * thinnest_SB[s][:, None, None], size_BL[..., None],
            distance_BLP,
        )  # fmt: skip
        reaching_BLP = reaching_BLP * (1.0 - blocked * reach_SBL[s][..., None])
    return reaching_BLP


def _occlusion_step(
    open_BQ: Tensor, tint_3BP: Tensor, probes_3BQ: Tensor, reach_Q: Tensor, shade_Q: Tensor, rotation_SB9: Tensor,
    centre_S3B: Tensor, half_S3B: Tensor, albedo_S3B: Tensor, valid_SB: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    count = tint_3BP.shape[2]
    for s in range(STEP):
        local = into_frame(rotation_SB9[s], probes_3BQ - centre_S3B[s][..., None])
        gap = length((local.abs() - half_S3B[s][..., None]).clamp(min=0))
        blocked = shade_Q * (1 - (gap / reach_Q).clamp(0, 1)) * valid_SB[s][:, None]
        open_BQ = open_BQ * (1 - blocked)
        tint_3BP = tint_3BP + albedo_S3B[s][..., None] * blocked[:, :count]
    return open_BQ, tint_3BP


def shell_glow(batch: SceneBatch) -> Tensor:
    """Linear radiance [B, F, 3] of floors, ceilings and walls after two exchanges of light."""
    solids, beams = batch.solids, batch.beams
    device = beams.size_BL.device
    count = len(batch.focal_B)
    planes = (batch.first_B[:, None] + torch.arange(SHELL, device=device)).flatten()
    line = torch.tensor([-0.8, -0.4, 0.0, 0.4, 0.8], device=device)
    grid_S2 = torch.cartesian_prod(line, line)
    axes, half = solids.rotation_N33[planes], solids.half_N3[planes]
    offsets = axes[:, :, :2] @ (half[:, None, :2] * grid_S2).transpose(1, 2)
    points = (solids.centre_N3[planes, :, None] + offsets).view(count, SHELL, 3, -1).permute(2, 0, 1, 3).flatten(2)
    normals = axes[:, :, 2].view(count, SHELL, 3).permute(2, 0, 1).repeat_interleave(len(grid_S2), dim=2)
    area_BF = (4 * half[:, 0] * half[:, 1]).view(count, SHELL)
    share_F = torch.tensor([0.5, 0.0, 0.1, 0.1, 0.1, 0.1], device=device)
    received = 0.5 * batch.ambient_3B.T[:, None].expand(-1, SHELL, -1)
    for light in range(beams.size_BL.shape[1]):
        towards, strength = towards_light(batch, light, points)
        amount = (strength * (normals * towards).sum(0).clamp(min=0)).view(count, SHELL, -1).mean(2)
        beam = beams.pane_area_BL[:, light, None] / area_BF * share_F
        amount = torch.where(beams.sun_BL[:, light, None] > 0, beam, amount)
        received = received + amount[..., None] * beams.colour_3BL[..., light].T[:, None]
    reflectance = mean_albedo(solids.material_MK[solids.material_N[planes]]).view(count, SHELL, 3)
    glow = reflectance * received
    for _ in range(2):
        mean = (area_BF[..., None] * glow).sum(1, keepdim=True) / area_BF.sum(1)[:, None, None]
        glow = reflectance * (received + mean)
    return glow


def _gaps(batch: SceneBatch, point_3BP: Tensor) -> Tensor:
    """Distances [F, B, P] in metres from points to the planes of the shell."""
    offset = point_3BP - batch.room_centre_3B[..., None]
    low, high = batch.room_half_3B[..., None] + offset, batch.room_half_3B[..., None] - offset
    return torch.stack([high[1], low[1], low[2], low[0], high[2], high[0]]).clamp(min=0)


def indirect_light(
    batch: SceneBatch, glow_BF3: Tensor, point_3BP: Tensor, normal_3BP: Tensor, compiled: bool = False
) -> Tensor:
    """Linear light [3, B, P] that reaches points from the shells, occluded at two reaches, and from what occludes."""
    solids, count = batch.solids, point_3BP.shape[2]
    device = point_3BP.device
    planes = batch.first_B[:, None] + torch.arange(SHELL, device=device)
    half_BF3 = solids.half_N3[planes]
    area_FB1 = (4 * half_BF3[..., 0] * half_BF3[..., 1]).T[..., None]
    gaps = _gaps(batch, point_3BP)
    facing = torch.einsum("bfi,ibp->fbp", solids.rotation_N33[planes][..., 2], normal_3BP)
    facing = (0.5 - 0.5 * facing).clamp(min=0)
    weight = facing * facing * area_FB1 / (area_FB1 + 4 * gaps * gaps) + 1e-6
    arriving = torch.einsum("bfi,fbp->ibp", glow_BF3, weight) / weight.sum(0)
    arriving = arriving + 0.5 * batch.ambient_3B[..., None] * (0.75 - 0.25 * normal_3BP[1])

    probes = torch.cat([point_3BP + reach * normal_3BP for reach in REACHES], dim=2)
    reach_Q = torch.tensor(REACHES, device=device).repeat_interleave(count)
    shade_Q = torch.tensor(SHADES, device=device).repeat_interleave(count)
    near = _gaps(batch, probes).sort(dim=0).values
    first, second, third = ((near[k] / reach_Q).clamp(0, 1) for k in range(3))
    open_BQ = (0.6 + 0.4 * first) * (0.72 + 0.28 * second) * (0.85 + 0.15 * third)
    tint = torch.zeros_like(point_3BP)
    flat_CB = batch.occluders_CB + batch.first_B
    albedo = mean_albedo(solids.material_MK)[solids.material_N[flat_CB]].transpose(1, 2).contiguous()
    half, rotation = solids.half_N3[flat_CB].transpose(1, 2).contiguous(), solids.rotation_N33[flat_CB].flatten(2)
    centre, valid = centres(batch, batch.occluders_CB), batch.occluders_CB > 0
    step = runner(_occlusion_step, compiled)
    for start in range(0, len(flat_CB), STEP):
        part = slice(start, start + STEP)
        open_BQ, tint = step(
            open_BQ, tint, probes, reach_Q, shade_Q, rotation[part], centre[part], half[part], albedo[part], valid[part]
        )
    wide, contact = open_BQ[:, :count], open_BQ[:, count:]
    return arriving * (wide * contact + 0.5 * tint.clamp(max=0.8) * contact)

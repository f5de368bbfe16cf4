"""Light that comes by way of the room's surfaces: one bounce off floor, ceiling and walls, and what occludes it.

The six planes of the shell receive light from lamps, windows and sun at a few points each, exchange it once, and then
shine on what faces them, more the nearer they are. Large solids near a point block that light and reflect a part of it.

Convention: world frame, y down; light is in the unit in which radiance = reflectance * light.
Shape suffixes: P points, N primitives, S samples per plane, F = 6 planes of the shell.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.data.primitives import Light, Scene
from training.data.solids import length
from training.data.texturing import mean_albedo

REACHES = (0.3, 0.08)
"""Distances in metres over which large solids darken their neighbourhood: furniture, then contact."""

SHADES = (0.4, 0.45)  # how dark it gets where the way is blocked at each reach


def falloff(light: Light, points_3P: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors to a light [3, P] and its strength [P] there, shadows and the surface's cosine left out."""
    vector = torch.tensor(light.position, device=points_3P.device)[:, None] - points_3P
    squared = (vector * vector).sum(0)
    towards = vector * squared.clamp(min=1e-12).rsqrt()
    strength = 1.0 / (squared + 0.15)
    if light.facing is not None:
        facing = torch.tensor(light.facing, device=points_3P.device)[:, None]
        strength = strength * (-(facing * towards).sum(0)).clamp(min=0.0)
    return towards, strength


def shell_glow(scene: Scene) -> Tensor:
    """Linear radiance [F, 3] of floor, ceiling and walls after two exchanges of light."""
    device = scene.centre_N3.device
    line = torch.tensor([-0.8, -0.4, 0.0, 0.4, 0.8], device=device)
    grid_S2 = torch.cartesian_prod(line, line)
    axes_F33, half_F3 = scene.rotation_N33[:6], scene.half_N3[:6]
    offsets = axes_F33[:, :, :2] @ (half_F3[:, None, :2] * grid_S2).transpose(1, 2)
    points_3P = (scene.centre_N3[:6, :, None] + offsets).permute(1, 0, 2).reshape(3, -1)
    normals_3P = axes_F33[:, :, 2].T.repeat_interleave(len(grid_S2), dim=1)
    received_F3 = torch.zeros(6, 3, device=device)
    for light in scene.lights:
        towards, strength = falloff(light, points_3P)
        amount = (strength * (normals_3P * towards).sum(0).clamp(min=0)).view(6, -1).mean(1)
        received_F3 += amount[:, None] * torch.tensor(light.colour, device=device)
    area_F = 4 * half_F3[:, 0] * half_F3[:, 1]
    for sun in scene.suns:
        through = sum(a * b for a, b in zip(sun.towards, sun.pane_normal, strict=True))
        beam = 4 * sun.pane_half[0] * sun.pane_half[1] * abs(through)
        share = beam / area_F * torch.tensor([0.5, 0.0, 0.1, 0.1, 0.1, 0.1], device=device)
        received_F3 += share[:, None] * torch.tensor(sun.colour, device=device)
    received_F3 += 0.5 * torch.tensor(scene.ambient, device=device)
    reflectance_F3 = mean_albedo(scene.material_MK[scene.material_N[:6]])
    glow_F3 = reflectance_F3 * received_F3
    for _ in range(2):
        mean = (area_F[:, None] * glow_F3).sum(0) / area_F.sum()
        glow_F3 = reflectance_F3 * (received_F3 + mean)
    return glow_F3


def _gaps(scene: Scene, points_3P: Tensor) -> Tensor:
    """Distances [F, P] in metres from points to the planes of the shell."""
    half = torch.tensor(scene.room_half, device=points_3P.device)[:, None]
    offset = points_3P - torch.tensor(scene.room_centre, device=points_3P.device)[:, None]
    low, high = half + offset, half - offset
    return torch.stack([high[1], low[1], low[2], low[0], high[2], high[0]]).clamp(min=0)


def indirect_light(scene: Scene, points_3P: Tensor, normal_3P: Tensor, casters: list[int]) -> Tensor:
    """Linear light [3, P] that reaches points from the shell, occluded at two reaches, and from what occludes it."""
    device = points_3P.device
    glow_F3 = shell_glow(scene)
    half_F3 = scene.half_N3[:6]
    area_F1 = (4 * half_F3[:, 0] * half_F3[:, 1])[:, None]
    inward_F3 = scene.rotation_N33[:6, :, 2]
    gaps_FP = _gaps(scene, points_3P)
    facing_FP = (0.5 - 0.5 * inward_F3 @ normal_3P).clamp(min=0)
    weight_FP = facing_FP * facing_FP * area_F1 / (area_F1 + 4 * gaps_FP * gaps_FP) + 1e-6
    arriving_3P = (glow_F3.T @ weight_FP) / weight_FP.sum(0)
    ambient = 0.5 * torch.tensor(scene.ambient, device=device)[:, None]
    arriving_3P = arriving_3P + ambient * (0.75 - 0.25 * normal_3P[1])

    probes = torch.cat([points_3P + reach * normal_3P for reach in REACHES], dim=1)
    reach_Q = torch.tensor(REACHES, device=device).repeat_interleave(points_3P.shape[1])
    shade_Q = torch.tensor(SHADES, device=device).repeat_interleave(points_3P.shape[1])
    near = _gaps(scene, probes).sort(dim=0).values
    second, third = (near[1] / reach_Q).clamp(0, 1), (near[2] / reach_Q).clamp(0, 1)
    first = (near[0] / reach_Q).clamp(0, 1)
    open_Q = (0.6 + 0.4 * first) * (0.72 + 0.28 * second) * (0.85 + 0.15 * third)
    tint_3P = torch.zeros_like(points_3P)
    albedo_M3 = mean_albedo(scene.material_MK)
    for n in casters:
        local = scene.rotation_N33[n].T @ (probes - scene.centre_N3[n][:, None])
        gap = length((local.abs() - scene.half_N3[n][:, None]).clamp(min=0))
        blocked = shade_Q * (1 - (gap / reach_Q).clamp(0, 1))
        open_Q = open_Q * (1 - blocked)
        tint_3P = tint_3P + albedo_M3[scene.material_N[n]][:, None] * blocked[: points_3P.shape[1]]
    wide, contact = open_Q.view(2, -1)
    return arriving_3P * (wide * contact + 0.5 * tint_3P.clamp(max=0.8) * contact)

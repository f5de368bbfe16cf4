"""What shiny surfaces show: one mirrored ray into the room, shaded simply.

Solids are met as their boxes and what they show is lit without shadows: reflections are dim, blurred or small. Depth,
normals and labels in mirrors are those of the mirror's own surface, as annotators of NYUv2 labelled mirrors and as a
depth camera cannot tell.

Convention: world frame, y down; directions towards the viewer.
Shape suffixes: P points, K material fields.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.data.caster import cast_boxes
from training.data.indirect import falloff, shell_glow
from training.data.material import COLUMN
from training.data.plates import Plates
from training.data.primitives import Scene
from training.data.surfaces import surface
from training.data.texturing import albedo

MIRROR = 0.3
"""Materials whose `mirror` is above this show a sharp image; below, glossy ones show a blurred one."""

GLOSSY = 0.025
"""Surfaces that mirror less than this share of the light show no image."""

_SMALLEST = 0.05  # metres; solids whose two larger half extents average less are not mirrored
_BLOCK = 4096  # rays at once: bounds the [N, 3, P] arrays of the box tests


def reflectivity(fields_KP: Tensor, cosine_P: Tensor) -> Tensor:
    """Share of light mirrored [P] (Schlick's approximation); rough surfaces lose the image, hence little below 0.3."""
    smooth = ((fields_KP[COLUMN["gloss"]] - 0.25) * 1.6).clamp(0, 1)
    mirror = fields_KP[COLUMN["mirror"]]
    straight = torch.maximum(mirror, 0.05 * smooth)
    full = torch.maximum(mirror, 0.6 * smooth)
    return straight + (full - straight) * (1 - cosine_P.clamp(0, 1)) ** 5


def mirrored(half_N3: Tensor) -> Tensor:
    """Which solids are large enough to be met by mirrored rays, bool [..., N]."""
    size = half_N3.sort(dim=-1).values
    return size[..., 1] * size[..., 2] > _SMALLEST**2


def reflected_light(scene: Scene, plates: Plates, point_3P: Tensor, normal_3P: Tensor, view_3P: Tensor) -> Tensor:
    """Linear radiance [3, P] that arrives along the mirrored viewing directions."""
    ray = 2 * (normal_3P * view_3P).sum(0) * normal_3P - view_3P
    start = point_3P + 0.01 * normal_3P
    ambient = shell_glow(scene).mean(0)[:, None] + 0.4 * torch.tensor(scene.ambient, device=ray.device)[:, None]
    visible = mirrored(scene.half_N3).nonzero()[:, 0]
    visible = visible[visible > 5]
    parts = []
    for first in range(0, ray.shape[1], _BLOCK):
        origin, direction = start[:, first : first + _BLOCK], ray[:, first : first + _BLOCK]
        hits = cast_boxes(scene, origin, direction, visible)
        geometry = surface(scene, origin, direction, hits)
        fields_KP = scene.material_MK[scene.material_N[hits.which]].T.contiguous()
        colour = albedo(fields_KP, plates, geometry.u_P, geometry.v_P, 0.01 + 0.004 * hits.t)
        light = ambient.expand_as(colour)
        for lamp in scene.lights:
            towards, strength = falloff(lamp, geometry.point_3P)
            cosine = (geometry.normal_3P * towards).sum(0).clamp(min=0)
            light = light + 0.7 * torch.tensor(lamp.colour, device=ray.device)[:, None] * (strength * cosine)
        parts.append(colour * (light + fields_KP[COLUMN["emission"]]))
    return torch.cat(parts, dim=1)

"""Colour of every sample of B cast grids at once; what `shading` does for one frame, without choosing pixels.

Where the windowed path works on the pixels that need it (bumps, reflections, half pixels at edges), this one works on
all and selects: no value is read back from the device.

Convention: world frame, y down. Radiance is linear with no fixed unit.
Shape suffixes: B scenes, P samples of a grid, G points of a coarse grid, K material fields, R rows, 3 coordinates.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.data.batched.cast import cast_mirrored, runner
from training.data.batched.light import indirect_light, shadows, shell_glow, towards_light
from training.data.batched.scenes import SceneBatch
from training.data.caster import Hits
from training.data.material import COLUMN
from training.data.plates import Plates
from training.data.reflections import GLOSSY, MIRROR, reflectivity
from training.data.shading import highlight
from training.data.surfaces import Geometry, surface
from training.data.texturing import albedo, bumped


class Seen(NamedTuple):
    """Samples as one row over all scenes, P' = B * P: hits (slots of `solids`), geometry, material fields."""

    hits: Hits
    geometry: Geometry
    fields_KP: Tensor


def look_up(batch: SceneBatch, origin_3BP: Tensor, rays_3BP: Tensor, t_BP: Tensor, which_BP: Tensor) -> Seen:
    """Geometry and materials of hits."""
    hits = Hits(t_BP.flatten(), (which_BP + batch.first_B[:, None]).flatten())
    origin = origin_3BP.expand_as(rays_3BP).flatten(1)
    solids = batch.solids
    fields_KP = solids.material_MK[solids.material_N[hits.which]].T.contiguous()
    return Seen(hits, surface(solids, origin, rays_3BP.flatten(1), hits), fields_KP)


def _grid(batch: SceneBatch, stride: int) -> Tensor:
    """Flat numbers of every `stride`-th pixel, int64 [G]."""
    numbers = torch.arange(batch.height * batch.width, device=batch.focal_B.device)
    return numbers.view(batch.height, batch.width)[::stride, ::stride].flatten()


def _spread(batch: SceneBatch, coarse_RBG: Tensor, which_BP: Tensor, stride: int, stray: float = 1e-4) -> Tensor:
    """Rows at all pixels [R, B, P], bilinear from every `stride`-th, from samples of the same solid where there are
    any; `stray` is the weight of others."""
    pixel = torch.arange(which_BP.shape[1], device=which_BP.device)
    y, x = pixel // batch.width, pixel % batch.width
    high, wide = -(-batch.height // stride), -(-batch.width // stride)
    coarse_index = which_BP[:, _grid(batch, stride)]
    share_y, share_x = (y % stride).float() / stride, (x % stride).float() / stride
    total, weight = torch.zeros((), device=pixel.device), torch.zeros((), device=pixel.device)
    for dy in (0, 1):
        rows = (y // stride + dy).clamp(max=high - 1) * wide
        wy = share_y if dy else 1 - share_y
        for dx in (0, 1):
            at = rows + (x // stride + dx).clamp(max=wide - 1)
            wx = share_x if dx else 1 - share_x
            w = (wy * wx + 1e-3) * ((coarse_index[:, at] == which_BP).float() + stray)
            total, weight = total + coarse_RBG[:, :, at] * w, weight + w
    return total / weight.clamp(min=1e-9)


def _mirrored_light(
    batch: SceneBatch, plates: Plates, glow_BF3: Tensor, point_3BP: Tensor, normal_3BP: Tensor, view_3BP: Tensor,
    compiled: bool,
) -> Tensor:  # fmt: skip
    """Linear radiance [3, B, P] that arrives along the mirrored viewing directions."""
    ray = 2 * (normal_3BP * view_3BP).sum(0) * normal_3BP - view_3BP
    start = point_3BP + 0.01 * normal_3BP
    t, which = cast_mirrored(batch, start, ray, compiled)
    return runner(_simply_lit, compiled)(batch, plates, glow_BF3, start, ray, t, which)


def _simply_lit(
    batch: SceneBatch, plates: Plates, glow_BF3: Tensor, start: Tensor, ray: Tensor, t: Tensor, which: Tensor
) -> Tensor:
    """Radiance [3, B, P] of what mirrored rays meet, lit without shadows."""
    seen = look_up(batch, start, ray, t, which)
    geometry, fields = seen.geometry, seen.fields_KP
    colour = albedo(fields, plates, geometry.u_P, geometry.v_P, 0.01 + 0.004 * seen.hits.t).view_as(ray)
    point, normal = geometry.point_3P.view_as(ray), geometry.normal_3P.view_as(ray)
    light = (glow_BF3.mean(1).T + 0.4 * batch.ambient_3B)[..., None].expand_as(ray)
    for lamp in range(batch.beams.size_BL.shape[1]):
        towards, strength = towards_light(batch, lamp, point)
        cosine = (normal * towards).sum(0).clamp(min=0) * (1 - batch.beams.sun_BL[:, lamp, None])
        light = light + 0.7 * batch.beams.colour_3BL[..., lamp, None] * (strength * cosine)
    return colour * (light + fields[COLUMN["emission"]].view_as(t))


def _direct_light(
    batch: SceneBatch, seen: Seen, normal_3BP: Tensor, view_3BP: Tensor, reaching_BLP: Tensor, ambient_3BP: Tensor,
    colour_3BP: Tensor,
) -> Tensor:  # fmt: skip
    point = seen.geometry.point_3P.view_as(normal_3BP)
    gloss, shininess = (seen.fields_KP[COLUMN[name]].view_as(view_3BP[0]) for name in ("gloss", "shininess"))
    light_total, shine = ambient_3BP, torch.zeros_like(ambient_3BP)
    for light in range(batch.beams.size_BL.shape[1]):
        towards, strength = towards_light(batch, light, point)
        strength, light_colour = strength * reaching_BLP[:, light], batch.beams.colour_3BL[..., light, None]
        light_total = light_total + light_colour * (strength * (normal_3BP * towards).sum(0).clamp(min=0))
        shine = shine + light_colour * highlight(strength, normal_3BP, towards, view_3BP, gloss, shininess)
    return colour_3BP * light_total + shine


def _glossy(
    batch: SceneBatch, plates: Plates, glow_BF3: Tensor, rays_3BP: Tensor, t_BP: Tensor, which_BP: Tensor, stride: int,
    compiled: bool,
) -> Tensor:  # fmt: skip
    """Blurred reflections at all pixels: colour and how much of it was sampled, [4, B, P]."""
    chosen = _grid(batch, stride)
    rays = rays_3BP[:, :, chosen]
    seen = look_up(batch, batch.camera_position_3B[..., None], rays, t_BP[:, chosen], which_BP[:, chosen])
    point, normal = seen.geometry.point_3P.view_as(rays), seen.geometry.normal_3P.view_as(rays)
    view = -rays * (rays * rays).sum(0).rsqrt()
    weight = reflectivity(seen.fields_KP, (normal * view).sum(0).flatten())
    glossy = ((weight > GLOSSY) & (seen.fields_KP[COLUMN["mirror"]] <= MIRROR)).float().view_as(rays[0])
    image = _mirrored_light(batch, plates, glow_BF3, point, normal, view, compiled)
    return runner(_spread, compiled)(batch, torch.cat([image * glossy, glossy[None]]), which_BP, stride, 0.0)


def shade_images(
    batch: SceneBatch, plates: Plates, rays_3BP: Tensor, t_BP: Tensor, which_BP: Tensor, width_BP: Tensor, stride: int,
    compiled: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Linear radiance and world normals [3, B, P] of every pixel of B cast grids.

    `width_BP` is the width of each sample in grid pixels; shadows and indirect light are found on every `stride`-th
    pixel, blurred reflections on every second of those.
    """
    camera = batch.camera_position_3B[..., None]
    coarse = _grid(batch, stride)
    rays = rays_3BP[:, :, coarse]
    there = look_up(batch, camera, rays, t_BP[:, coarse], which_BP[:, coarse]).geometry
    point, normal = there.point_3P.view_as(rays), there.normal_3P.view_as(rays)
    glow = shell_glow(batch)
    ambient = indirect_light(batch, glow, point, normal, compiled)
    reaching = shadows(batch, point, normal, compiled).transpose(0, 1)
    terms = runner(_spread, compiled)(batch, torch.cat([ambient, reaching]), which_BP, stride)

    radiance, weight, point, straight, clear = runner(_lit, compiled)(
        batch, plates, rays_3BP, t_BP, which_BP, width_BP, terms
    )
    near = _glossy(batch, plates, glow, rays_3BP, t_BP, which_BP, 2 * stride, compiled)
    blurred = weight * near[3]
    radiance = radiance * (1 - blurred) + near[:3] / near[3].clamp(min=1e-6) * blurred
    if batch.mirrors:
        view = -rays_3BP / (rays_3BP * rays_3BP).sum(0).sqrt()
        image = _mirrored_light(batch, plates, glow, point, straight, view, compiled)
        radiance = radiance * (1 - weight * clear) + image * (weight * clear)
    return radiance, straight


def _lit(
    batch: SceneBatch, plates: Plates, rays_3BP: Tensor, t_BP: Tensor, which_BP: Tensor, width_BP: Tensor,
    terms_RBP: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Radiance without reflections [3, B, P], mirrored share [B, P], points, normals, and where a sharp mirror is."""
    camera = batch.camera_position_3B[..., None]
    seen = look_up(batch, camera, rays_3BP, t_BP, which_BP)
    geometry, fields = seen.geometry, seen.fields_KP
    view = -rays_3BP / (rays_3BP * rays_3BP).sum(0).sqrt()
    straight = geometry.normal_3P.view_as(view)
    slant = (straight * view).sum(0).clamp(0.08, 1)
    footprint = t_BP / batch.focal_B[:, None] / slant.sqrt() * width_BP
    colour = albedo(fields, plates, geometry.u_P, geometry.v_P, footprint.flatten()).view_as(view)
    number = torch.gather(batch.original_BN, 1, which_BP)
    colour = colour * (1 + 0.1 * (((number * 0.618) % 1.0) - 0.5) * (number > 5))
    tilted = bumped(batch.solids, seen.hits, geometry, fields, plates, footprint.flatten()).view_as(view)
    normal = torch.where((fields[COLUMN["bump"]] > 0).view_as(t_BP), tilted, straight)

    ambient = terms_RBP[:3] * (1 - 0.6 * (normal[1] - straight[1]))
    radiance = _direct_light(batch, seen, normal, view, terms_RBP[3:].transpose(0, 1), ambient, colour)
    radiance = radiance + colour * fields[COLUMN["emission"]].view_as(t_BP)

    weight = reflectivity(fields, (normal * view).sum(0).flatten()).view_as(t_BP)
    clear = (fields[COLUMN["mirror"]] > MIRROR).view_as(t_BP)
    return radiance, weight, geometry.point_3P.view_as(view), straight, clear

"""Colour of hit points: texture, lights with soft shadows, indirect light with occlusion, highlights, reflections.

Everything that changes slowly (shadows, indirect light, blurred reflections) is worked out on a coarse grid and spread
within each primitive; texture and highlights on every pixel, and on the half pixels around edges alone.

Convention: world frame, y down. Radiance is linear with no fixed unit; photometrics expose it.
Shape suffixes: P points, G points of a coarse grid, K material fields, L lights, H, W image size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.data.camera import Camera
from training.data.caster import Hits, light_reaching
from training.data.indirect import falloff, indirect_light
from training.data.material import COLUMN
from training.data.plates import Plates
from training.data.primitives import Scene
from training.data.reflections import GLOSSY, MIRROR, reflected_light, reflectivity
from training.data.surfaces import Geometry, surface
from training.data.texturing import albedo, bumped


class Samples(NamedTuple):
    """Where on a cast grid colour is wanted: flat pixel numbers [P] and the width of each sample in grid pixels [P]."""

    pixel_P: Tensor
    width_P: Tensor


def large_solids(scene: Scene, smallest: float) -> list[int]:
    """Primitives large enough to matter for shadows."""
    size = scene.half_N3.sort(dim=1).values
    keep = scene.casts_N & (size[:, 1] * size[:, 2] > smallest * smallest)
    return keep.nonzero()[:, 0].tolist()


def shadow_threshold(size: float) -> float:
    """Metres: solids of which the two larger half extents average less throw no shadow. Broad lights wash more out."""
    return 0.04 + 0.12 * size


def shadows(scene: Scene, point_3P: Tensor, normal_3P: Tensor) -> Tensor:
    """Share of each light, then of each sun, that reaches each point: [L, P] in [0, 1]."""
    rows = []
    lifted = point_3P + 0.004 * normal_3P
    for light in scene.lights:
        position = torch.tensor(light.position, device=point_3P.device)[:, None]
        casters = large_solids(scene, shadow_threshold(light.size))
        rows.append(light_reaching(scene, lifted, position - lifted, light.size, casters))
    for sun in scene.suns:
        towards = torch.tensor(sun.towards, device=point_3P.device)[:, None]
        normal = torch.tensor(sun.pane_normal, device=point_3P.device)[:, None]
        along = torch.tensor(sun.pane_along, device=point_3P.device)[:, None]
        offset = torch.tensor(sun.pane_centre, device=point_3P.device)[:, None] - lifted
        length = (offset * normal).sum(0) / (towards * normal).sum(0)
        crossing = towards * length - offset
        across = (crossing * along).sum(0).abs() - sun.pane_half[0]
        down = crossing[1].abs() - sun.pane_half[1]
        inside = (0.5 - torch.maximum(across, down) / (0.012 + 0.006 * length.clamp(min=0))).clamp(0, 1) * (
            length > 0.02
        )
        casters = large_solids(scene, shadow_threshold(0.0))
        rows.append(inside * light_reaching(scene, lifted, towards * (length - 0.03), 0.005, casters))
    return torch.stack(rows) if rows else point_3P.new_zeros(0, point_3P.shape[1])


def _spread(coarse_LG: Tensor, hits_HW: Tensor, stride: int, pixel_P: Tensor, stray: float = 1e-4) -> Tensor:
    """Rows at pixels [L, P], bilinear from every `stride`-th pixel, from samples of the same primitive where there are
    any; `stray` is the weight of others (at 0, pixels without a sample get 0). `hits_HW` are primitive numbers."""
    width = hits_HW.shape[1]
    coarse_index_HW = hits_HW[::stride, ::stride]
    ch, cw = coarse_index_HW.shape
    coarse_index, index_P = coarse_index_HW.reshape(-1), hits_HW.reshape(-1)[pixel_P]
    y, x = pixel_P // width, pixel_P % width
    share_y, share_x = (y % stride).float() / stride, (x % stride).float() / stride
    rows_GL = coarse_LG.T.contiguous()
    total = torch.zeros(len(pixel_P), coarse_LG.shape[0], device=pixel_P.device)
    weight = torch.zeros(len(pixel_P), 1, device=pixel_P.device)
    for dy in (0, 1):
        ys = (y // stride + dy).clamp(max=ch - 1) * cw
        wy = share_y if dy else 1 - share_y
        for dx in (0, 1):
            at = ys + (x // stride + dx).clamp(max=cw - 1)
            wx = share_x if dx else 1 - share_x
            same = coarse_index[at] == index_P
            w = ((wy * wx + 1e-3) * (same.float() + stray))[:, None]
            total += rows_GL[at] * w
            weight += w
    return (total / weight.clamp(min=1e-9)).T


def _at(scene: Scene, camera: Camera, rays_3P: Tensor, hits: Hits, pixel_P: Tensor) -> tuple[Hits, Tensor, Geometry]:
    chosen = Hits(hits.t.reshape(-1)[pixel_P], hits.which.reshape(-1)[pixel_P])
    rays = rays_3P[:, pixel_P]
    origin = torch.tensor(camera.position, device=rays.device)[:, None]
    return chosen, rays, surface(scene, origin, rays, chosen)


def _grid(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    return torch.arange(height * width, device=device).view(height, width)[::stride, ::stride].reshape(-1)


def shade(
    scene: Scene, camera: Camera, plates: Plates, rays_3HW: Tensor, hits: Hits, samples: Samples, stride: int
) -> tuple[Tensor, Tensor]:
    """Linear radiance [3, P] and world normals [3, P] at samples of a cast grid.

    Shadows and indirect light are found on every `stride`-th pixel of the grid, blurred reflections on every second of
    those.
    """
    height, width = hits.t.shape
    rays_3P = rays_3HW.reshape(3, -1)
    coarse = _grid(height, width, stride, rays_3P.device)
    _, _, at_coarse = _at(scene, camera, rays_3P, hits, coarse)
    point, normal = at_coarse.point_3P, at_coarse.normal_3P
    terms = torch.cat([indirect_light(scene, point, normal, large_solids(scene, 0.12)), shadows(scene, point, normal)])
    terms = _spread(terms, hits.which, stride, samples.pixel_P)

    chosen, rays, geometry = _at(scene, camera, rays_3P, hits, samples.pixel_P)
    fields_KP = scene.material_MK[scene.material_N[chosen.which]].T.contiguous()
    length = (rays * rays).sum(0).sqrt()
    view = -rays / length
    slant = (geometry.normal_3P * view).sum(0).clamp(0.08, 1)
    footprint = chosen.t / camera.focal / slant.sqrt() * samples.width_P
    colour = albedo(fields_KP, plates, geometry.u_P, geometry.v_P, footprint)
    colour = colour * (1 + 0.1 * (((chosen.which * 0.618) % 1.0) - 0.5) * (chosen.which > 5))
    normal = geometry.normal_3P
    uneven = (fields_KP[COLUMN["bump"]] > 0).nonzero()[:, 0]
    if len(uneven):
        part = Geometry(*(field[..., uneven] for field in geometry))
        of_part = Hits(chosen.t[uneven], chosen.which[uneven])
        tilted = bumped(scene, of_part, part, fields_KP[:, uneven], plates, footprint[uneven])
        normal = normal.index_copy(1, uneven, tilted)

    tilt = 1 - 0.6 * (normal[1] - geometry.normal_3P[1])
    radiance = direct_light(scene, geometry.point_3P, normal, view, fields_KP, terms[3:], terms[:3] * tilt, colour)
    radiance = radiance + colour * fields_KP[COLUMN["emission"]]

    weight = reflectivity(fields_KP, (normal * view).sum(0))
    coarse = _grid(height, width, 2 * stride, rays_3P.device)
    radiance = _add_reflections(scene, camera, plates, rays_3P, hits, radiance, weight, samples, coarse, 2 * stride)
    clear = (fields_KP[COLUMN["mirror"]] > MIRROR).nonzero()[:, 0]
    if len(clear):
        image = reflected_light(
            scene, plates, geometry.point_3P[:, clear], geometry.normal_3P[:, clear], view[:, clear]
        )
        blend = weight[clear]
        radiance = radiance.index_copy(1, clear, radiance[:, clear] * (1 - blend) + image * blend)
    return radiance, geometry.normal_3P


def direct_light(
    scene: Scene, point_3P: Tensor, normal_3P: Tensor, view_3P: Tensor, fields_KP: Tensor, reaching_LP: Tensor,
    ambient_3P: Tensor, colour_3P: Tensor,
) -> Tensor:  # fmt: skip
    """Radiance [3, P] of surfaces under ambient light, lights and suns with highlights (Blinn-Phong lobes)."""
    device = point_3P.device
    gloss, shininess = fields_KP[COLUMN["gloss"]], fields_KP[COLUMN["shininess"]]
    light_total, shine = ambient_3P, torch.zeros_like(ambient_3P)
    directions: list[tuple[Tensor, Tensor, Tensor]] = []
    for light, reaching in zip(scene.lights, reaching_LP, strict=False):
        towards, strength = falloff(light, point_3P)
        directions.append((towards, strength * reaching, torch.tensor(light.colour, device=device)[:, None]))
    for sun, reaching in zip(scene.suns, reaching_LP[len(scene.lights) :], strict=True):
        towards = torch.tensor(sun.towards, device=device)[:, None].expand_as(view_3P)
        directions.append((towards, reaching, torch.tensor(sun.colour, device=device)[:, None]))
    for towards, strength, light_colour in directions:
        cosine = (normal_3P * towards).sum(0).clamp(min=0)
        light_total = light_total + light_colour * (strength * cosine)
        shine = shine + light_colour * highlight(strength, normal_3P, towards, view_3P, gloss, shininess)
    return colour_3P * light_total + shine


def highlight(
    strength_P: Tensor, normal_3P: Tensor, towards_3P: Tensor, view_3P: Tensor, gloss_P: Tensor, shininess_P: Tensor
) -> Tensor:
    """Brightness [P] of one light's highlight (Blinn-Phong, the peak rising as the lobe narrows)."""
    middle = towards_3P + view_3P
    lobe = ((normal_3P * middle).sum(0) * (middle * middle).sum(0).clamp(min=1e-9).rsqrt()).clamp(min=0)
    return strength_P * lobe**shininess_P * gloss_P * (0.02 + 0.004 * shininess_P)


def _add_reflections(
    scene: Scene, camera: Camera, plates: Plates, rays_3P: Tensor, hits: Hits, radiance_3P: Tensor, weight_P: Tensor,
    samples: Samples, coarse_G: Tensor, stride: int,
) -> Tensor:  # fmt: skip
    """Blurred images of the room in glossy surfaces: one ray for each point of a coarse grid that reflects enough."""
    of_coarse, rays, geometry = _at(scene, camera, rays_3P, hits, coarse_G)
    fields_KG = scene.material_MK[scene.material_N[of_coarse.which]].T
    view = -rays * (rays * rays).sum(0).rsqrt()
    strong = reflectivity(fields_KG, (geometry.normal_3P * view).sum(0)) > GLOSSY
    glossy = (strong & (fields_KG[COLUMN["mirror"]] <= MIRROR)).nonzero()[:, 0]
    if not len(glossy):
        return radiance_3P
    rows = torch.zeros(4, len(coarse_G), device=rays.device)
    rows[:3, glossy] = reflected_light(
        scene, plates, geometry.point_3P[:, glossy], geometry.normal_3P[:, glossy], view[:, glossy]
    )
    rows[3, glossy] = 1.0
    near = _spread(rows, hits.which, stride, samples.pixel_P, 0.0)
    weight = weight_P * near[3]
    return radiance_3P * (1 - weight) + near[:3] / near[3].clamp(min=1e-6) * weight

"""Colour of hit points: texture, lights with soft shadows, ambient light with occlusion, glossy highlights.

Convention: world frame, y down. Radiance is linear with no fixed unit; photometrics expose it.
Shape suffixes: P points, K material fields, L lights, H, W image size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.data.camera import Camera
from training.data.caster import Hits, light_reaching, openness
from training.data.materials import FIELDS
from training.data.plates import LEVELS, SIZE, Plates
from training.data.primitives import CAPSULE, CONE, CYLINDER, ELLIPSOID, PLANE, Scene
from training.data.solids import local_normals

_AT = {name: number for number, name in enumerate(FIELDS)}


class Geometry(NamedTuple):
    """World points and unit normals towards the camera, float32 [3, P]; texture coordinates u, v in metres [P]."""

    point_3P: Tensor
    normal_3P: Tensor
    u_P: Tensor
    v_P: Tensor


def surface(scene: Scene, camera: Camera, rays_3P: Tensor, hits: Hits) -> Geometry:
    """Points, normals and texture coordinates of the nearest hits."""
    origin = torch.tensor(camera.position, device=rays_3P.device)[:, None]
    point = origin + hits.t * rays_3P
    rotation_P33 = scene.rotation_N33[hits.which]
    kind = scene.kind_N[hits.which]
    half = scene.half_N3[hits.which].T
    relative = point - scene.centre_N3[hits.which].T
    local = torch.einsum("pij,ip->jp", rotation_P33, relative)
    x, y, z = local
    axis = (local.abs() / half.clamp(min=1e-6)).argmax(dim=0)
    normal = local_normals(kind, half, scene.radius_N[hits.which], local)
    ball = (kind == ELLIPSOID) | (kind == CAPSULE)
    tube = ((kind == CYLINDER) | (kind == CONE)) & (normal[1].abs() < 0.99)
    curved = ball | tube
    side = (axis == 0) & (kind != PLANE) & ~curved
    top = (axis == 1) & (kind != PLANE) & ~curved
    u = torch.where(side, z, x)
    v = torch.where(top, z, y)
    u = torch.where(curved, torch.atan2(z, x) * half[0], u)
    normal = torch.einsum("pij,jp->ip", rotation_P33, normal)
    facing = (normal * rays_3P).sum(0)
    normal = torch.where(facing > 0, -normal, normal)
    return Geometry(point, normal, u, v)


def _sample(plates: Plates, plate_P: Tensor, u_P: Tensor, v_P: Tensor, texels_P: Tensor) -> Tensor:
    """Bilinear plate colours [P, 3] in [0, 1] at the mip level where a pixel covers about one texel."""
    level = (texels_P.clamp(min=1.0).log2() + 0.3).floor().clamp(0, LEVELS - 1).long()
    size = SIZE >> level
    offsets = torch.tensor(plates.offsets, device=level.device)
    base = plate_P.long() * plates.stride + offsets[level]
    x, y = u_P * size - 0.5, v_P * size - 0.5
    x0, y0 = x.floor(), y.floor()
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    ix0, iy0 = x0.long() & (size - 1), y0.long() & (size - 1)
    ix1, iy1 = (ix0 + 1) & (size - 1), (iy0 + 1) & (size - 1)
    row0, row1 = base + iy0 * size, base + iy1 * size
    table = plates.table_T3
    top = table[row0 + ix0].float() * (1 - fx) + table[row0 + ix1].float() * fx
    bottom = table[row1 + ix0].float() * (1 - fx) + table[row1 + ix1].float() * fx
    return (top * (1 - fy) + bottom * fy) * (1 / 255)


def albedo(fields_KP: Tensor, plates: Plates, u_P: Tensor, v_P: Tensor, footprint_P: Tensor) -> Tensor:
    """sRGB surface colour [3, P]; `footprint_P` is the width of a pixel on the surface in metres."""

    def at(name: str) -> Tensor:
        return fields_KP[_AT[name]]

    swap = at("swap") > 0.5
    u, v = torch.where(swap, v_P, u_P), torch.where(swap, u_P, v_P)
    cell_u, cell_v = at("cell.u"), at("cell.v")
    celled = cell_u > 0
    iu = (u / cell_u.clamp(min=1e-4)).floor()
    v_cell = v / cell_v.clamp(min=1e-4) + at("stagger") * iu
    iv = v_cell.floor()
    hash_P = (iu.long() * 73856093) ^ (iv.long() * 19349663) ^ (at("shift.u") * 8191).long() * 83492791
    hash_P = (hash_P ^ (hash_P >> 13)) * 1274126177
    random = ((hash_P >> 8) & 0xFFFF).float() / 65535.0 - 0.5
    random = torch.where(celled, random, torch.zeros_like(random))
    jump = torch.where(celled & (at("cell_variation") > 0.02), random, torch.zeros_like(random))
    du, dv = at("tiles.u"), at("tiles.v")
    coarse = _sample(
        plates, at("plate"), u * du + at("shift.u") + 5 * jump, v * dv + at("shift.v") + 3 * jump,
        footprint_P * torch.maximum(du, dv) * SIZE,
    ).T  # fmt: skip
    fine_tiles = at("fine_tiles")
    fine = _sample(plates, at("fine_plate"), u * fine_tiles, v * fine_tiles, footprint_P * fine_tiles * SIZE).T
    a, b = fields_KP[0:3], fields_KP[3:6]
    mix = (0.5 + at("contrast") * 1.6 * (coarse[1] - 0.5)).clamp(0, 1)
    odd = ((iu + iv).long() & 1).float() * at("checker") * celled
    mix = mix * (1 - at("checker") * celled) + odd
    colour = a + (b - a) * mix
    own = at("own")
    colour = colour * (1 - own) + coarse * own
    colour = colour * (1 + at("cell_variation") * 2 * random) * (1 + at("fine_contrast") * 4 * (fine - 0.5))
    edge = torch.minimum(
        (u / cell_u.clamp(min=1e-4) - iu - 0.5).abs().sub(0.5).neg() * cell_u,
        (v_cell - iv - 0.5).abs().sub(0.5).neg() * cell_v,
    )
    joint = at("joint")
    soft = footprint_P.clamp(min=1e-4)
    cover = ((joint - edge) / soft + 0.5).clamp(0, 1) * (2 * joint / soft).clamp(max=1)
    cover = cover * (celled & (joint > 0))
    return (colour + (fields_KP[6:9] - colour) * cover).clamp(0, 1)


def _casters(scene: Scene, smallest: float) -> list[int]:
    """Primitives large enough to matter for shadows."""
    size = scene.half_N3.sort(dim=1).values
    keep = scene.casts_N & (size[:, 1] * size[:, 2] > smallest * smallest)
    return keep.nonzero()[:, 0].tolist()


def illuminate(scene: Scene, point_3P: Tensor, normal_3P: Tensor) -> Tensor:
    """Shadow terms [L + 1, P] in [0, 1]: ambient openness, then one row per light, then one per sun."""
    casters = _casters(scene, 0.035)
    rows = [openness(scene, point_3P, normal_3P, _casters(scene, 0.12))]
    lifted = point_3P + 0.004 * normal_3P
    for light in scene.lights:
        position = torch.tensor(light.position, device=point_3P.device)[:, None]
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
        rows.append(inside * light_reaching(scene, lifted, towards * (length - 0.03), 0.005, casters))
    return torch.stack(rows)


def _spread(coarse_LHW: Tensor, coarse_index_HW: Tensor, index_HW: Tensor, stride: int) -> Tensor:
    """Upsample coarse rows bilinearly, taking only samples of the same primitive where there are any."""
    height, width = index_HW.shape
    y, x = torch.arange(height, device=index_HW.device), torch.arange(width, device=index_HW.device)
    share_y, share_x = (y % stride).float() / stride, (x % stride).float() / stride
    ch, cw = coarse_index_HW.shape
    total = torch.zeros(coarse_LHW.shape[0], height, width, device=index_HW.device)
    weight = torch.zeros(height, width, device=index_HW.device)
    for dy in (0, 1):
        ys = (y // stride + dy).clamp(max=ch - 1)
        wy = share_y if dy else 1 - share_y
        for dx in (0, 1):
            xs = (x // stride + dx).clamp(max=cw - 1)
            wx = share_x if dx else 1 - share_x
            same = coarse_index_HW[ys][:, xs] == index_HW
            w = (wy[:, None] * wx[None, :] + 1e-3) * (same.float() + 1e-4)
            total += coarse_LHW[:, ys][:, :, xs] * w
            weight += w
    return total / weight


def shade(
    scene: Scene, camera: Camera, plates: Plates, rays_3HW: Tensor, hits: Hits, stride: int = 2
) -> tuple[Tensor, Tensor]:
    """Linear radiance [3, H, W] and world normals [3, H, W] of a cast image; shadows on every `stride`-th pixel."""
    height, width = hits.t.shape
    flat = Hits(hits.t.reshape(-1), hits.which.reshape(-1))
    rays_3P = rays_3HW.reshape(3, -1)
    geometry = surface(scene, camera, rays_3P, flat)
    fields_KP = scene.material_MK[scene.material_N[flat.which]].T.contiguous()
    length = (rays_3P * rays_3P).sum(0).sqrt()
    slant = (-(geometry.normal_3P * rays_3P).sum(0) / length).clamp(0.08, 1)
    footprint = flat.t / camera.focal / slant.sqrt()
    colour = albedo(fields_KP, plates, geometry.u_P, geometry.v_P, footprint) ** 2.2

    grid = torch.arange(height * width, device=rays_3P.device).view(height, width)[::stride, ::stride]
    chosen = grid.reshape(-1)
    terms = illuminate(scene, geometry.point_3P[:, chosen], geometry.normal_3P[:, chosen])
    terms = _spread(terms.view(-1, *grid.shape), hits.which[::stride, ::stride], hits.which, stride).view(
        len(terms), -1
    )

    view = -rays_3P / length
    up = (-geometry.normal_3P[1] * 0.25 + 0.75) * terms[0]
    light_total = torch.tensor(scene.ambient, device=rays_3P.device)[:, None] * up
    gloss, shininess = fields_KP[_AT["gloss"]], fields_KP[_AT["shininess"]]
    shine = torch.zeros_like(light_total)
    directions: list[tuple[Tensor, Tensor, Tensor]] = []
    for light, reaching in zip(scene.lights, terms[1:], strict=False):
        vector = torch.tensor(light.position, device=rays_3P.device)[:, None] - geometry.point_3P
        squared = (vector * vector).sum(0)
        towards = vector * squared.rsqrt()
        strength = reaching / (squared + 0.15)
        if light.facing is not None:
            facing = torch.tensor(light.facing, device=rays_3P.device)[:, None]
            strength = strength * (-(facing * towards).sum(0)).clamp(min=0.0)
        directions.append((towards, strength, torch.tensor(light.colour, device=rays_3P.device)[:, None]))
    for sun, reaching in zip(scene.suns, terms[1 + len(scene.lights) :], strict=True):
        towards = torch.tensor(sun.towards, device=rays_3P.device)[:, None].expand_as(view)
        directions.append((towards, reaching, torch.tensor(sun.colour, device=rays_3P.device)[:, None]))
    for towards, strength, light_colour in directions:
        cosine = (geometry.normal_3P * towards).sum(0).clamp(min=0)
        light_total = light_total + light_colour * (strength * cosine)
        middle = towards + view
        highlight = ((geometry.normal_3P * middle).sum(0) * (middle * middle).sum(0).clamp(min=1e-9).rsqrt()).clamp(
            min=0
        ) ** shininess
        shine = shine + light_colour * (strength * highlight * gloss * (0.02 + 0.004 * shininess))
    radiance = colour * (light_total + fields_KP[_AT["emission"]]) + shine
    shape = (3, height, width)
    return radiance.view(shape), geometry.normal_3P.view(shape)

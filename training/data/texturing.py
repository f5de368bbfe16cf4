"""Reflectance of surfaces: plates, cell grids with joints, and bumps that only light sees.

Shape suffixes: P points, K material fields, M materials.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.data.caster import Hits
from training.data.material import COLUMN
from training.data.plate_noise import SIZE
from training.data.plates import LEVELS, Plates
from training.data.primitives import Scene
from training.data.surfaces import Geometry

_LIGHTEST = 0.94  # sRGB: chalk
_SOOT = 0.013  # linear: the least that anything in a room reflects


class _Taps(NamedTuple):
    """Rows of the plates' table around each point, and where between them it lies; `size` is the level's width."""

    rows: tuple[Tensor, Tensor, Tensor, Tensor]
    fx_P: Tensor
    fy_P: Tensor
    size_P: Tensor


def _taps(plates: Plates, plate_P: Tensor, u_P: Tensor, v_P: Tensor, texels_P: Tensor) -> _Taps:
    """The four texels around (u, v) plates at the mip level where a pixel covers about one texel."""
    level = (texels_P.clamp(min=1.0).log2() + 0.3).floor().clamp(0, LEVELS - 1).long()
    size = SIZE >> level
    offsets = torch.tensor(plates.offsets, device=level.device)
    base = plate_P.long() * plates.stride + offsets[level]
    x, y = u_P * size - 0.5, v_P * size - 0.5
    x0, y0 = x.floor(), y.floor()
    ix0, iy0 = x0.long() & (size - 1), y0.long() & (size - 1)
    ix1, iy1 = (ix0 + 1) & (size - 1), (iy0 + 1) & (size - 1)
    row0, row1 = base + iy0 * size, base + iy1 * size
    return _Taps((row0 + ix0, row0 + ix1, row1 + ix0, row1 + ix1), x - x0, y - y0, size)


def _sample(plates: Plates, plate_P: Tensor, u_P: Tensor, v_P: Tensor, texels_P: Tensor) -> Tensor:
    """Bilinear plate colours [P, 3] in [0, 1]."""
    taps = _taps(plates, plate_P, u_P, v_P, texels_P)
    a, b, c, d = (plates.table_T3[row].float() for row in taps.rows)
    fx, fy = taps.fx_P[:, None], taps.fy_P[:, None]
    top, bottom = a + (b - a) * fx, c + (d - c) * fx
    return (top + (bottom - top) * fy) * (1 / 255)


def bumped(
    scene: Scene, hits: Hits, geometry: Geometry, fields_KP: Tensor, plates: Plates, footprint_P: Tensor
) -> Tensor:
    """Normals for shading [3, P], tilted by the slope of the material's height plate; geometry keeps its own."""
    tiles = fields_KP[COLUMN["bump_tiles"]]
    u, v = geometry.u_P * tiles + fields_KP[COLUMN["shift.v"]], geometry.v_P * tiles + fields_KP[COLUMN["shift.u"]]
    taps = _taps(plates, fields_KP[COLUMN["bump_plate"]], u, v, footprint_P * tiles * SIZE)
    a, b, c, d = (plates.table_T3[row, 1].float() for row in taps.rows)
    steep = fields_KP[COLUMN["bump"]] * tiles * taps.size_P * (1 / 255)
    slope_u = steep * ((b - a) + ((d - c) - (b - a)) * taps.fy_P)
    slope_v = steep * ((c - a) + ((d - b) - (c - a)) * taps.fx_P)
    rotation_P33 = scene.rotation_N33[hits.which]
    numbers = torch.arange(len(u), device=u.device)
    rise = (
        slope_u * rotation_P33[numbers, :, geometry.u_axis_P].T
        + slope_v * rotation_P33[numbers, :, geometry.v_axis_P].T
    )
    normal = geometry.normal_3P
    normal = normal - (rise - normal * (rise * normal).sum(0))
    return normal * (normal * normal).sum(0).rsqrt()


def albedo(fields_KP: Tensor, plates: Plates, u_P: Tensor, v_P: Tensor, footprint_P: Tensor) -> Tensor:
    """Linear reflectance [3, P], 0.013 to 0.88; `footprint_P` is the width of a pixel on the surface in metres."""

    def at(name: str) -> Tensor:
        return fields_KP[COLUMN[name]]

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
    colour = colour + (fields_KP[6:9] - colour) * cover
    return _SOOT + (1 - _SOOT) * colour.clamp(0, _LIGHTEST) ** 2.2


def mean_albedo(material_MK: Tensor) -> Tensor:
    """Typical linear reflectance of every material, [M, 3]; prints count as mid grey."""
    own = material_MK[:, COLUMN["own"], None]
    colour = (material_MK[:, 0:3] + material_MK[:, 3:6]) * 0.5
    return _SOOT + (1 - _SOOT) * (colour * (1 - own) + 0.45 * own).clamp(0, _LIGHTEST) ** 2.2

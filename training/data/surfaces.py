"""What a ray meets: world point, normal, texture coordinates.

Convention: world frame, y down.
Shape suffixes: P points.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.data.caster import Hits
from training.data.primitives import CAPSULE, CONE, CYLINDER, ELLIPSOID, PLANE, Scene
from training.data.solids import local_normals


class Geometry(NamedTuple):
    """World points and unit normals towards the ray's start, float32 [3, P]; texture coordinates u, v in metres [P],
    and the local axes (0 to 2, int64 [P]) along which they run."""

    point_3P: Tensor
    normal_3P: Tensor
    u_P: Tensor
    v_P: Tensor
    u_axis_P: Tensor
    v_axis_P: Tensor


def surface(scene: Scene, origin_3P: Tensor, rays_3P: Tensor, hits: Hits) -> Geometry:
    """Points, normals and texture coordinates of hits along origin + t * ray; origins are [3, P] or [3, 1]."""
    point = origin_3P + hits.t * rays_3P
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
    return Geometry(point, normal, u, v, side.long() * 2, 1 + top.long())

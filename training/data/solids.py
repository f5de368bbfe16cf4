"""Rays through single solids, and the normals on them, all in the solid's own frame.

Shapes, with half extents h: box; rounded box (edge radius); cylinder along y; ellipsoid; cone along y, whose base
(radii h.x, h.z) is at y = +h.y and whose top, at y = -h.y, has `radius` times the base's radii; capsule along y, a ball
of radius h.x = h.z swept between y = -(h.y - h.x) and y = h.y - h.x.

Convention: the world's y points down, so an upright cone stands on its base.
Shape suffixes: P rays or points.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.data.primitives import BOX, CAPSULE, CONE, CYLINDER, ELLIPSOID, PLANE, ROUNDED

NEAR = 0.05
FAR = 1e4
TINY = 1e-20  # keeps reciprocals of exact zeros finite
_MARCH_STEPS = 14


def length(vector_3P: Tensor) -> Tensor:
    """Euclidean length over the first axis (faster than `norm` on the CPU)."""
    return (vector_3P[0] * vector_3P[0] + vector_3P[1] * vector_3P[1] + vector_3P[2] * vector_3P[2]).sqrt()


Numbers = Sequence[float] | Sequence[Tensor]
"""Three numbers of one solid, or of one solid in each of B scenes as tensors [B, 1]; rays then are [3, B, P]."""


def _column(numbers: Sequence[float | Tensor], rays_3P: Tensor) -> Tensor:
    """Three numbers as a tensor that broadcasts against rays: [3, 1] or [3, B, 1]."""
    if isinstance(numbers[0], Tensor):
        return torch.stack([n for n in numbers if isinstance(n, Tensor)])
    return torch.tensor([[n] for n in numbers], device=rays_3P.device)


def primitive_span(
    kind: int, half_3: Numbers, radius: float | Tensor, origin_3: Numbers, rays_3P: Tensor
) -> tuple[Tensor, Tensor]:
    """Entry and exit of rays (local frame) through one solid, two float32 [P]; a miss has entry > exit.

    With tensors [B, 1] for numbers and rays [3, B, P]: one solid for each of B scenes, [B, P].
    Rounded boxes are marched from their box with the distance field of a rounded box; their exit is the box's.
    """
    ox, oy, oz = origin_3
    if kind in (BOX, ROUNDED):
        inverse = 1.0 / (rays_3P + TINY)
        near = inverse * _column((-ox, -oy, -oz), rays_3P)
        reach = inverse.abs() * _column(half_3, rays_3P)
        entry, leave = (near - reach).amax(0), (near + reach).amin(0)
        if kind == ROUNDED:
            entry = _march(half_3, radius, origin_3, rays_3P, entry, leave)
        return entry, leave
    if kind == CONE:
        return _cone_span(half_3, radius, origin_3, rays_3P)
    if kind == CAPSULE:
        return _capsule_span(half_3, origin_3, rays_3P)
    hx, hy, hz = half_3
    dx, dy, dz = rays_3P[0] / hx, rays_3P[1] / hy, rays_3P[2] / hz
    ox, oy, oz = ox / hx, oy / hy, oz / hz
    if kind == ELLIPSOID:
        a = dx * dx + dy * dy + dz * dz
        b = dx * ox + dy * oy + dz * oz
        root = (b * b - a * (ox * ox + oy * oy + oz * oz - 1.0)).sqrt()
        return _span(-b - root, -b + root, a)
    a = dx * dx + dz * dz
    b = dx * ox + dz * oz
    root = (b * b - a * (ox * ox + oz * oz - 1.0)).sqrt()
    entry, leave = _span(-b - root, -b + root, a)
    inverse = 1.0 / (dy + TINY)
    middle, reach1 = -oy * inverse, inverse.abs()
    return torch.maximum(entry, middle - reach1), torch.minimum(leave, middle + reach1)


def _span(entry: Tensor, leave: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Divide by the squared direction; NaN (a miss) becomes an empty span."""
    return (entry / scale).nan_to_num(nan=FAR), (leave / scale).nan_to_num(nan=-FAR)


def _cone_span(half_3: Numbers, share: float | Tensor, origin_3: Numbers, rays_3P: Tensor) -> tuple[Tensor, Tensor]:
    """Span of x^2 + z^2 <= r(y)^2 within |y| <= 1, in units of the half extents; r is linear in y.

    Rays are met from their point nearest to the centre, or the discriminant would drown in rounding at some metres.
    """
    scale = _column([1.0 / h for h in half_3], rays_3P)
    d = rays_3P * scale
    o = _column(origin_3, rays_3P) * scale
    shift = -(d * o).sum(0) / (d * d).sum(0)
    o = o + shift * d
    middle, slope = (1 + share) / 2, (1 - share) / 2
    r, dr = middle + slope * o[1], slope * d[1]
    a = d[0] * d[0] + d[2] * d[2] - dr * dr
    b = d[0] * o[0] + d[2] * o[2] - r * dr
    c = o[0] * o[0] + o[2] * o[2] - r * r
    root = (b * b - a * c).sqrt()
    q = -(b + torch.where(b < 0, -root, root))
    one, other = q / a, c / torch.where(q == 0, TINY, q)
    low, high = torch.minimum(one, other), torch.maximum(one, other)
    # A ray steeper than the cone is inside beyond one root for ever: the far side is cut by the slab.
    steep = a < 0
    entry = torch.where(steep, torch.where(dr > 0, high, -FAR), low).nan_to_num(nan=FAR, posinf=FAR, neginf=-FAR)
    leave = torch.where(steep, torch.where(dr > 0, FAR, low), high).nan_to_num(nan=-FAR, posinf=FAR, neginf=-FAR)
    inverse = 1.0 / (d[1] + TINY)
    centre, reach = -o[1] * inverse, inverse.abs()
    return torch.maximum(entry, centre - reach) + shift, torch.minimum(leave, centre + reach) + shift


def _capsule_span(half_3: Numbers, origin_3: Numbers, rays_3P: Tensor) -> tuple[Tensor, Tensor]:
    """The hull of three spans: the tube's and both balls'. The union is convex, so its span is theirs joined."""
    r, h = half_3[0], half_3[1] - half_3[0]
    o = _column(origin_3, rays_3P)
    d = rays_3P
    squared = (d * d).sum(0)
    shift = -(d * o).sum(0) / squared
    o = o + shift * d
    flat = d[0] * d[0] + d[2] * d[2]
    b = d[0] * o[0] + d[2] * o[2]
    root = (b * b - flat * (o[0] * o[0] + o[2] * o[2] - r * r)).sqrt()
    entry, leave = _span(-b - root, -b + root, flat)
    inverse = 1.0 / (d[1] + TINY)
    centre, reach = -o[1] * inverse, inverse.abs() * h
    entry, leave = torch.maximum(entry, centre - reach), torch.minimum(leave, centre + reach)
    missed = entry > leave
    entry, leave = torch.where(missed, FAR, entry), torch.where(missed, -FAR, leave)
    for y in (-h, h):
        dy = o[1] - y
        b = d[0] * o[0] + d[1] * dy + d[2] * o[2]
        root = (b * b - squared * (o[0] * o[0] + dy * dy + o[2] * o[2] - r * r)).sqrt()
        low, high = _span(-b - root, -b + root, squared)
        entry, leave = torch.minimum(entry, low), torch.maximum(leave, high)
    return entry + shift, leave + shift


def _march(
    half_3: Numbers, radius: float | Tensor, origin_3: Numbers, rays_3P: Tensor, entry: Tensor, leave: Tensor
) -> Tensor:
    origin = _column(origin_3, rays_3P)
    inner = _column([h - radius for h in half_3], rays_3P)
    speed = 1.0 / length(rays_3P)
    t = entry.clamp(min=NEAR)
    for _ in range(_MARCH_STEPS):
        outside = ((origin + t * rays_3P).abs() - inner).clamp(min=0)
        t = t + (length(outside) - radius) * speed
    outside = ((origin + t * rays_3P).abs() - inner).clamp(min=0)
    missed = ((length(outside) - radius) > 0.003) | (t > leave)
    return torch.where(missed, torch.full_like(t, FAR), t)


def local_normals(kind_P: Tensor, half_3P: Tensor, radius_P: Tensor, local_3P: Tensor) -> Tensor:
    """Unit outward normals [3, P] at points [3, P] on solids; a plane's is +z."""
    kind, half, local = kind_P, half_3P, local_3P
    x, y, z = local
    share = local.abs() / half.clamp(min=1e-6)
    rows = torch.arange(3, device=local.device)[:, None]
    sign = local.sign()
    zero = torch.zeros_like(y)
    normal = torch.where(rows == share.argmax(dim=0), sign, torch.zeros_like(sign))
    inner = half - radius_P
    normal = torch.where(kind == ROUNDED, sign * (local.abs() - inner).clamp(min=0), normal)
    scaled = local / (half * half).clamp(min=1e-9)
    normal = torch.where(kind == ELLIPSOID, scaled, normal)
    up = torch.stack([zero, sign[1], zero])
    radial = (share[0] ** 2 + share[2] ** 2).sqrt()
    tube = torch.where(share[1] > radial, up, torch.stack([scaled[0], zero, scaled[2]]))
    normal = torch.where(kind == CYLINDER, tube, normal)
    slope = (1 - radius_P) / 2
    r = (1 + radius_P) / 2 + slope * y / half[1].clamp(min=1e-6)
    side = torch.stack([scaled[0], -r * slope / half[1].clamp(min=1e-6), scaled[2]])
    capped = (1 - share[1]).abs() * half[1] < (r - radial).abs() * half[0]
    normal = torch.where(kind == CONE, torch.where(capped, up, side), normal)
    rod = (half[1] - half[0]).clamp(min=0)
    normal = torch.where(kind == CAPSULE, torch.stack([x, y - torch.maximum(-rod, torch.minimum(y, rod)), z]), normal)
    normal = torch.where(kind == PLANE, (rows == 2).float(), normal)
    return normal * (normal * normal).sum(0).clamp(min=1e-18).rsqrt()

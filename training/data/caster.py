"""Ray casting: the nearest primitive along every ray, and soft occlusion between points and lights.

Primitives are met one by one; each touches only the pixel window of its projected bounding box, so that the cost
follows what is seen and no [N, H, W] array exists.

Convention: rays are origin + t * direction; with a camera's rays t is the depth z in metres.
Shape suffixes: N primitives, P points or rays, H, W image size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.data.camera import Camera
from training.data.primitives import BOX, CONE, PLANE, ROUNDED, Scene
from training.data.solids import FAR, NEAR, TINY, length, primitive_span

_SIGNS = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
_EDGES = torch.tensor([(a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1])


class Hits(NamedTuple):
    """Ray parameter of the nearest hit (float32) and its primitive (int64), any matching shape."""

    t: Tensor
    which: Tensor


def project_bounds(scene: Scene, camera: Camera) -> tuple[Tensor, Tensor]:
    """Lowest and highest pixel (x, y), float32 [N, 2], of all primitives' boxes; low > high where all is behind."""
    corners_N83 = (_SIGNS * scene.half_N3.cpu()[:, None]) @ scene.rotation_N33.cpu().transpose(1, 2)
    corners_N83 = corners_N83 + scene.centre_N3.cpu()[:, None] - torch.tensor(camera.position)
    view_N83 = corners_N83 @ camera.rotation
    a, b = view_N83[:, _EDGES[:, 0]], view_N83[:, _EDGES[:, 1]]
    share = ((NEAR - a[..., 2]) / (b[..., 2] - a[..., 2] + 1e-12)).clamp(0, 1)
    cut = a + share[..., None] * (b - a)
    crosses = (a[..., 2] < NEAR) != (b[..., 2] < NEAR)
    points = torch.cat([view_N83, cut], dim=1)
    valid = torch.cat([view_N83[..., 2] >= NEAR, crosses], dim=1)
    pixels = camera.focal * points[..., :2] / points[..., 2:].clamp(min=NEAR * 0.5)
    pixels = pixels + torch.tensor([camera.cx, camera.cy])
    low = torch.where(valid[..., None], pixels, torch.full((), 1e6)).amin(1)
    high = torch.where(valid[..., None], pixels, torch.full((), -1e6)).amax(1)
    return camera.bounds(low, high)


def project_windows(scene: Scene, camera: Camera) -> list[tuple[int, int, int, int]]:
    """Pixel windows (x0, x1, y0, y1), ends excluded, of all primitives; empty where nothing can be seen."""
    low, high = (bound.clamp(-1e5, 1e5) for bound in project_bounds(scene, camera))
    limit = torch.tensor([camera.width, camera.height])
    first = low.ceil().long().clamp(min=0)
    last = torch.minimum(high.floor().long() + 1, limit)
    return [(x0, x1, y0, y1) for (x0, y0), (x1, y1) in zip(first.tolist(), last.tolist(), strict=True)]


def shell_hits(scene: Scene, origin_3: Tensor, rays_3P: Tensor) -> Hits:
    """Where rays that start inside the room (at one point [3] or each at its own, [3, P]) leave it: planes 0..5."""
    shape = (3,) + (1,) * (rays_3P.dim() - 1)
    half = torch.tensor(scene.room_half, device=rays_3P.device).view(shape)
    origin = origin_3.view(shape) if origin_3.dim() == 1 else origin_3
    offset = origin - torch.tensor(scene.room_centre, device=rays_3P.device).view(shape)
    inverse = 1.0 / (rays_3P + TINY)
    exits = half * inverse.abs() - offset * inverse
    t, axis = exits.min(dim=0)
    faces = torch.tensor([[3, 5], [1, 0], [2, 4]], device=rays_3P.device)
    positive = torch.gather(rays_3P, 0, axis[None])[0] > 0
    return Hits(t, faces[axis, positive.long()])


class _Numbers(NamedTuple):
    """Per-primitive numbers as Python lists, read once."""

    kind: list[int]
    half: list[list[float]]
    radius: list[float]
    local_origin: list[list[float]]


def _numbers(scene: Scene, origin_3: Tensor) -> _Numbers:
    local = ((origin_3.cpu() - scene.centre_N3.cpu())[:, None] @ scene.rotation_N33.cpu())[:, 0]
    return _Numbers(scene.kind_N.tolist(), scene.half_N3.tolist(), scene.radius_N.tolist(), local.tolist())


def cast_image(scene: Scene, camera: Camera, rays_3HW: Tensor) -> Hits:
    """Nearest hits of a camera's rays: t = depth z in metres [H, W] and primitive numbers [H, W]."""
    origin = torch.tensor(camera.position, device=rays_3HW.device)
    t_HW, index_HW = shell_hits(scene, origin, rays_3HW)
    numbers = _numbers(scene, origin)
    for n, (x0, x1, y0, y1) in enumerate(project_windows(scene, camera)):
        if x1 <= x0 or y1 <= y0 or numbers.kind[n] == PLANE:
            continue
        window = rays_3HW[:, y0:y1, x0:x1].reshape(3, -1)
        local = scene.rotation_N33[n].T @ window
        entry, leave = primitive_span(
            numbers.kind[n], numbers.half[n], numbers.radius[n], numbers.local_origin[n], local
        )
        old_t = t_HW[y0:y1, x0:x1]
        entry = entry.view_as(old_t)
        closer = (entry <= leave.view_as(old_t)) & (entry > NEAR) & (entry < old_t)
        old_t.copy_(torch.where(closer, entry, old_t))
        index_HW[y0:y1, x0:x1].masked_fill_(closer, n)
    return Hits(t_HW, index_HW)


def cast_points(scene: Scene, camera: Camera, pixels_2P: Tensor) -> Hits:
    """Nearest hits through arbitrary (fractional) pixel positions of a camera, float32 [2, P] -> [P]."""
    device = pixels_2P.device
    origin = torch.tensor(camera.position, device=device)
    local = torch.stack(
        [
            (pixels_2P[0] - camera.cx) / camera.focal,
            (pixels_2P[1] - camera.cy) / camera.focal,
            torch.ones_like(pixels_2P[0]),
        ]
    )
    rays_3P = camera.rotation.to(device) @ local
    t_P, index_P = shell_hits(scene, origin, rays_3P)
    numbers = _numbers(scene, origin)
    x, y = pixels_2P
    if not len(x):
        return Hits(t_P, index_P)
    left, right, top, bottom = (float(v) for v in (x.min(), x.max(), y.min(), y.max()))
    low_N2, high_N2 = (bound.tolist() for bound in project_bounds(scene, camera))
    for n, ((x0, y0), (x1, y1)) in enumerate(zip(low_N2, high_N2, strict=True)):
        if x1 < x0 or x1 < left or x0 > right or y1 < top or y0 > bottom or numbers.kind[n] == PLANE:
            continue
        chosen = ((x >= x0 - 0.5) & (x <= x1 + 0.5) & (y >= y0 - 0.5) & (y <= y1 + 0.5)).nonzero()[:, 0]
        if chosen.numel() == 0:
            continue
        entry, leave = primitive_span(
            numbers.kind[n], numbers.half[n], numbers.radius[n], numbers.local_origin[n],
            scene.rotation_N33[n].T @ rays_3P[:, chosen],
        )  # fmt: skip
        old = t_P[chosen]
        closer = (entry <= leave) & (entry > NEAR) & (entry < old)
        t_P[chosen] = torch.where(closer, entry, old)
        index_P[chosen] = torch.where(closer, torch.full_like(chosen, n), index_P[chosen])
    return Hits(t_P, index_P)


def cast_boxes(scene: Scene, origin_3: Tensor, rays_3P: Tensor, among_S: Tensor | None = None) -> Hits:
    """Nearest hits with every solid taken as its box, all at once: for a few rays only (viewpoints, reflections).

    Origins are one point [3] or one per ray [3, P]; `among_S` (int64) names the solids to meet beside the shell.
    """
    t_P, index_P = shell_hits(scene, origin_3, rays_3P)
    if among_S is None:
        among_S = torch.arange(6, len(scene.kind_N), device=t_P.device)
    if not len(among_S):
        return Hits(t_P, index_P)
    rotation, centre, half = scene.rotation_N33[among_S], scene.centre_N3[among_S], scene.half_N3[among_S]
    inverse = 1.0 / (rotation.transpose(1, 2) @ rays_3P + TINY)
    origin_31 = origin_3[:, None] if origin_3.dim() == 1 else origin_3
    start_N3P = rotation.transpose(1, 2) @ (origin_31 - centre[:, :, None])
    middle, reach = -start_N3P * inverse, inverse.abs() * half[:, :, None]
    entry, leave = (middle - reach).amax(1), (middle + reach).amin(1)
    entry = torch.where((entry <= leave) & (entry > NEAR), entry, torch.full_like(entry, FAR))
    best, which = entry.min(dim=0)
    closer = best < t_P
    return Hits(torch.where(closer, best, t_P), torch.where(closer, among_S[which], index_P))


def blocked_share(
    start_3P: Tensor, direction_3P: Tensor, half_3P: Tensor, thickness: float | Tensor, size: float | Tensor,
    distance_P: Tensor,
) -> Tensor:  # fmt: skip
    """Share of light [P] in [0, 1] that one box keeps from points; box frame, `direction` from point to light.

    The chord that the segment cuts through the box darkens over a penumbra that widens with the light's `size` and the
    distance to the box, at most the box's `thickness` (metres).
    """
    inverse = 1.0 / (direction_3P + TINY)
    middle, reach = -start_3P * inverse, inverse.abs() * half_3P
    entry = (middle - reach).amax(0).clamp(min=0.0)
    leave = (middle + reach).amin(0).clamp(max=1.0)
    limit = thickness.clamp(min=0.004) if isinstance(thickness, Tensor) else max(thickness, 0.004)
    width = (0.01 + size * entry * distance_P).clamp(max=limit)
    return ((leave - entry) * distance_P / width).clamp(0.0, 1.0)


def light_reaching(scene: Scene, points_3P: Tensor, light_3P: Tensor, size: float, casters: list[int]) -> Tensor:
    """Share of a light that reaches each point, float32 [P] in [0, 1].

    `light_3P` is the vector from point to light. A solid darkens by the chord the segment cuts through it, over a
    penumbra width that grows with the light's `size` and the distance to the solid: soft, cheap, without noise.
    """
    reaching = torch.ones_like(points_3P[0])
    distance = length(light_3P)
    kinds, halves, radii = scene.kind_N.tolist(), scene.half_N3.tolist(), scene.radius_N.tolist()
    for n in casters:
        rotation = scene.rotation_N33[n].T
        direction = rotation @ light_3P
        start = rotation @ (points_3P - scene.centre_N3[n][:, None])
        half = scene.half_N3[n][:, None]
        if kinds[n] == CONE:
            half = half * half.new_tensor([[0.45 + 0.45 * radii[n]], [0.95], [0.45 + 0.45 * radii[n]]])
        elif kinds[n] not in (BOX, ROUNDED):
            half = half * 0.9
        reaching = reaching * (1.0 - blocked_share(start, direction, half, 1.2 * min(halves[n]), size, distance))
    return reaching

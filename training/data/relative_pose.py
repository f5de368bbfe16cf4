"""The second camera of a pair: a small turn and step from the first, with a wanted share of common view."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from training.data.camera import Camera, look
from training.data.caster import cast_boxes
from training.data.draw import Draw
from training.data.primitives import Scene
from training.data.viewpoint import free_distance

_CANDIDATES = 28
_DEEPEST = 20.0


def coarse_overlap(scene: Scene, target: Camera, reference: Camera) -> float:
    """Share of the target's view that falls into the reference frame, from 108 rays; occlusion is ignored."""
    ys, xs = torch.linspace(0, target.height - 1, 9), torch.linspace(0, target.width - 1, 12)
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    local = torch.stack([(x - target.cx) / target.focal, (y - target.cy) / target.focal, torch.ones_like(x)])
    rays = target.rotation @ local.reshape(3, -1)
    origin = torch.tensor(target.position)
    points = origin[:, None] + cast_boxes(scene, origin, rays).t * rays
    seen = reference.rotation.T @ (points - torch.tensor(reference.position)[:, None])
    px = reference.focal * seen[0] / seen[2].clamp(min=1e-3) + reference.cx
    py = reference.focal * seen[1] / seen[2].clamp(min=1e-3) + reference.cy
    inside = (px >= 0) & (px <= reference.width - 1) & (py >= 0) & (py <= reference.height - 1) & (seen[2] > 0.05)
    return float(inside.float().mean())


def median_depth(scene: Scene, camera: Camera) -> float:
    """Median depth of a coarse grid of rays, metres."""
    ys, xs = torch.linspace(0, camera.height - 1, 9), torch.linspace(0, camera.width - 1, 12)
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    local = torch.stack([(x - camera.cx) / camera.focal, (y - camera.cy) / camera.focal, torch.ones_like(x)])
    return float(cast_boxes(scene, torch.tensor(camera.position), camera.rotation @ local.reshape(3, -1)).t.median())


def sample_target(
    scene: Scene,
    reference: Camera,
    draw: Draw,
    *,
    overlap: tuple[float, float],
    yaw: float,
    tilt: float,
    baseline: tuple[float, float],
) -> Camera:
    """The candidate whose overlap is closest to one drawn uniformly from `overlap`.

    yaw and tilt (pitch, roll) are limits in degrees; baseline is the shortest and longest as shares of the median
    depth, which the sky does not raise above `_DEEPEST` metres. Half of the candidates take up to 0.3 of the way from
    the shortest to the longest, for scenes without room for more.
    """
    wanted = draw.uniform(*overlap)
    shortest, longest = (min(median_depth(scene, reference), _DEEPEST) * share for share in baseline)
    best: tuple[float, Camera] | None = None
    for number in range(_CANDIDATES):
        turned = look(
            math.radians(draw.uniform(-yaw, yaw)),
            math.radians(draw.uniform(-tilt, tilt)),
            math.radians(draw.uniform(-tilt, tilt)),
        )
        share = draw.uniform() * (1.0 if number < _CANDIDATES // 2 else 0.3)
        length = shortest + (longest - shortest) * share
        across, up, ahead = draw.normal(), 0.35 * draw.normal(), 0.6 * draw.normal()
        norm = math.sqrt(across**2 + up**2 + ahead**2) + 1e-9
        local = torch.tensor([across, up, ahead]) * (length / norm)
        x, y, z = (torch.tensor(reference.position) + reference.rotation @ local).tolist()
        focal = reference.focal * (1.0 if draw.chance(0.7) else math.exp(draw.normal(0, 0.03)))
        camera = replace(reference, rotation=reference.rotation @ turned, position=(x, y, z), focal=focal)
        free = free_distance(scene, camera.position)
        penalty = 0.0 if free > 0.12 else 1.0 - min(free, 0.0)
        score = abs(coarse_overlap(scene, camera, reference) - wanted) + penalty
        if best is None or score < best[0]:
            best = (score, camera)
    assert best is not None
    return best[1]

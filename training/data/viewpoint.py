"""Where the camera stands and looks: inside the room, outside furniture, towards content."""

from __future__ import annotations

import math

import torch

from training.data.camera import Camera, look
from training.data.caster import cast_boxes
from training.data.draw import Draw
from training.data.primitives import Scene, Vector

_CANDIDATES = 10


def free_distance(scene: Scene, position: Vector) -> float:
    """Distance in metres from a point to the nearest solid's box or wall; negative outside the room."""
    point = torch.tensor(position)
    half = torch.tensor(scene.room_half)
    walls = float((half - (point - torch.tensor(scene.room_centre)).abs()).min())
    if len(scene.kind_N) == 6:
        return walls
    local = ((point - scene.centre_N3[6:])[:, None] @ scene.rotation_N33[6:])[:, 0]
    gaps = (local.abs() - scene.half_N3[6:]).clamp(min=0).norm(dim=1)
    return min(walls, float(gaps.min()))


def sample_focal(draw: Draw, width: int) -> float:
    """Focal length in pixels: 0.6 to 1.4 of the width, most near 0.85."""
    return width * min(1.4, max(0.6, math.exp(draw.normal(math.log(0.86), 0.16))))


def sample_camera(scene: Scene, draw: Draw, height: int, width: int) -> Camera:
    """The best of several random viewpoints: many different labels in view, nothing right before the lens."""
    focal = sample_focal(draw, width)
    grid = torch.stack(
        torch.meshgrid(torch.linspace(0, height - 1, 9), torch.linspace(0, width - 1, 12), indexing="ij")
    )
    best: tuple[float, Camera] | None = None
    tries = 0
    while best is None or tries < _CANDIDATES:
        tries += 1
        hx, _, hz = scene.room_half
        stand = min(1.8, max(0.9, draw.normal(1.4, 0.22)))
        position = (
            draw.uniform(-hx, hx) * 0.92,
            -min(stand, 2 * scene.room_half[1] - 0.3),
            draw.uniform(-hz, hz) * 0.92,
        )
        if draw.chance(0.4):
            side = draw.choice((-1.0, 1.0))
            position = (
                (side * (hx - 0.35), position[1], position[2])
                if draw.chance(0.5)
                else (position[0], position[1], side * (hz - 0.35))
            )
        room = free_distance(scene, position)
        if (room < 0.3 and tries < 60) or room < 0.08:
            continue
        aim = (
            draw.choice(scene.focus)
            if scene.focus and draw.chance(0.75)
            else (draw.uniform(-hx, hx), -1.0, draw.uniform(-hz, hz))
        )
        dx, dz = aim[0] - position[0], aim[2] - position[2]
        yaw = math.atan2(dx, dz) + draw.normal(0, 0.25)
        pitch = min(0.3, max(-0.7, draw.normal(-0.19, 0.16)))
        camera = Camera.centred(look(yaw, pitch, draw.normal(0, 0.025)), position, focal, height, width)
        local = torch.stack([(grid[1] - camera.cx) / focal, (grid[0] - camera.cy) / focal, torch.ones_like(grid[0])])
        hits = cast_boxes(scene, torch.tensor(position), camera.rotation @ local.reshape(3, -1))
        variety = len(set(scene.label_N[hits.which].tolist()))
        depth = hits.t.sort().values
        score = (
            variety + 2.0 * min(float(depth[len(depth) // 2]), 2.0) / 2.0 - 6.0 * float((hits.t < 0.6).float().mean())
        )
        score += draw.uniform(0, 1.5) - (10.0 if room < 0.3 else 0.0)
        if best is None or score > best[0]:
            best = (score, camera)
    return best[1]

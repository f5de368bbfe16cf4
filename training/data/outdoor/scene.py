"""An outdoor scene from one seed, and a camera in it.

Labels, as somebody who labels rooms with NYU-13 would: all ground that one walks or drives on (asphalt, paving, grass,
gravel, hills) is floor; fronts, walls, fences, doors, balconies and blocks far away are wall; panes and shutters are
window; benches and chairs are chair, tables table; lamp posts, signs, bins, bollards, pots and shop signs are objects.
Sky, trees, bushes, hedges, cars, people, roofs, chimneys, awnings, stairs, rocks have no name there: 255.

Sky pixels, and all beyond `sky.FAR_METRES`, have depth 0, a zero normal and label 255 (see `rooms`).
Convention: world frame of `primitives`; the ground plane is y = 0.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from training.data import labels
from training.data.building_blocks import Style
from training.data.camera import Camera, look
from training.data.caster import cast_boxes
from training.data.draw import Draw
from training.data.materials import hsv, plain
from training.data.outdoor.ignored import IGNORED
from training.data.outdoor.layouts import LAYOUTS, sample_layout
from training.data.outdoor.site import Site
from training.data.outdoor.sky import Outdoors, sample_sky
from training.data.primitives import ELLIPSOID, Part, Scene, Sun, Vector, pack
from training.data.viewpoint import sample_focal

_SHELL: Vector = (240.0, 150.0, 240.0)
_PANE_DISTANCE = 110.0
_CLEARANCE = 0.45
_CANDIDATES = 10
_CASTERS = 95


def _sun(draw: Draw, elevation: float, azimuth: float, power: float, warmth: float) -> Sun:
    """Sunlight through an upright pane beyond everything, as large as the scene; the shell behind it stays dark."""
    level = math.cos(elevation)
    towards = (math.sin(azimuth) * level, -math.sin(elevation), math.cos(azimuth) * level)
    x, z = math.sin(azimuth), math.cos(azimuth)
    top = (_PANE_DISTANCE + 95.0) * math.tan(elevation) + 20.0
    return Sun(
        towards=towards, colour=(power, power * (1 - 0.35 * warmth), power * (1 - 0.75 * warmth)),
        pane_centre=(x * _PANE_DISTANCE, -top / 2, z * _PANE_DISTANCE), pane_normal=(-x, 0.0, -z),
        pane_along=(z, 0.0, -x), pane_half=(120.0, top / 2),
    )  # fmt: skip


def _few_casters(parts: list[Part]) -> list[Part]:
    """The parts with shadows kept to those that look largest from where cameras stand: cost is linear in them."""

    def apparent(part: Part) -> float:
        _, middle, largest = sorted(part.half)
        return math.sqrt(middle * largest) / (4.0 + math.hypot(part.centre[0], part.centre[2]))

    sizes = sorted((apparent(part) for part in parts if part.casts), reverse=True)
    least = sizes[_CASTERS] if len(sizes) > _CASTERS else 0.0
    return [replace(part, casts=part.casts and apparent(part) > least) for part in parts]


def build_outdoor_scene(draw: Draw) -> Scene:
    """A street, square, garden or country scene with its sky, sun and places to stand (`Scene.outdoors`)."""
    site = Site(draw=draw, style=Style.sample(draw), season=max(0.0, draw.uniform(-1.2, 1.0)))
    ground = LAYOUTS[sample_layout(draw)](site)
    parts = _few_casters(site.parts)
    weather = draw.weighted((("clear", 3.0), ("broken", 3.0), ("overcast", 3.0), ("low", 2.0)))
    azimuth = draw.uniform(-math.pi, math.pi)
    elevation = draw.uniform(0.12, 0.32) if weather == "low" else draw.uniform(0.45, 1.1)
    level = draw.uniform(0.6, 1.0)
    warmth = draw.uniform(0.3, 0.8) if weather == "low" else draw.uniform(0.05, 0.2)
    sun = _sun(draw, elevation, azimuth, draw.uniform(2.0, 4.5) * (0.7 if weather == "low" else 1.0), warmth)
    sky = sample_sky(draw, weather, sun.towards, level)
    blue = draw.uniform(0.0, 0.1) if weather == "overcast" else draw.uniform(0.1, 0.35)
    fill = level * (1.4 if weather == "overcast" else 0.85)
    air = plain(draw, hsv(0.58, 0.6 * blue, 0.95), emission=0.6 * level)
    scene = pack(
        _SHELL, [ground, *[air] * 5], [labels.FLOOR, *[IGNORED] * 5], parts, lights=(),
        suns=() if weather == "overcast" else (sun,),
        ambient=(fill * (1 - blue), fill * (1 - 0.4 * blue), fill * (1 + 0.3 * blue)), focus=site.focus,
    )  # fmt: skip
    return replace(scene, outdoors=Outdoors(sky=sky, stands=tuple(site.stands)))


def clearance(scene: Scene, position: Vector) -> float:
    """Distance in metres from a point to the nearest solid's box (ellipsoids: roughly its surface); < 0 inside."""
    local = ((torch.tensor(position) - scene.centre_N3[6:])[:, None] @ scene.rotation_N33[6:])[:, 0]
    half = scene.half_N3[6:].clamp(min=1e-4)
    box = (local.abs() - half).amax(1)
    ball = ((local / half).norm(dim=1) - 1) * half.amin(1)
    gap = torch.where(scene.kind_N[6:] == ELLIPSOID, ball, box)
    return min(float(gap.min()) if len(gap) else 1e3, -position[1])


def _grid(camera: Camera) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(0, camera.height - 1, 8), torch.linspace(0, camera.width - 1, 11),
                          indexing="ij")  # fmt: skip
    local = torch.stack([(x - camera.cx) / camera.focal, (y - camera.cy) / camera.focal, torch.ones_like(x)])
    return camera.rotation @ local.reshape(3, -1)


def _score(scene: Scene, camera: Camera) -> float:
    """High for views with many labels, things at middle distance, some sky but not only sky and ground."""
    hits = cast_boxes(scene, torch.tensor(camera.position), _grid(camera))
    count = len(hits.t)
    sky = float(((hits.which >= 1) & (hits.which < 6)).sum()) / count
    near = float((hits.t < 1.2).sum()) / count
    middle = float(((hits.t > 2) & (hits.t < 25) & (hits.which >= 6)).sum()) / count
    filled = float(hits.which.bincount().max()) / count
    seen = len(set(scene.label_N[hits.which].tolist()))
    return (
        0.4 * min(seen, 6)
        + 2.5 * middle
        - 8 * max(0.0, near - 0.08)
        - 4 * max(0.0, sky - 0.4)
        - 3 * max(0.0, filled - 0.55)
    )


def sample_outdoor_camera(scene: Scene, draw: Draw, height: int, width: int) -> Camera:
    """The best of several viewpoints 1.2 to 2.2 m above the ground, clear of solids.

    Raises ValueError for a scene without `outdoors`.
    """
    if scene.outdoors is None:
        raise ValueError("scene: expected an outdoor scene, found one without outdoors")
    focal = sample_focal(draw, max(height, width))
    best: tuple[float, Camera] | None = None
    stands = scene.outdoors.stands
    for attempt in range(60):
        x, y, z = draw.choice(stands)
        position = (x + draw.uniform(-0.5, 0.5), y - min(2.15, max(1.25, draw.normal(1.6, 0.2))), z)
        free = clearance(scene, position)
        if free < _CLEARANCE:
            continue
        aim = draw.choice(scene.focus)
        yaw = math.atan2(aim[0] - position[0], aim[2] - position[2]) + draw.normal(0, 0.2)
        flat = math.hypot(aim[0] - position[0], aim[2] - position[2])
        pitch = 0.5 * math.atan2(position[1] - aim[1], max(flat, 2.0)) + draw.normal(0.02, 0.09)
        rotation = look(yaw, min(0.45, max(-0.5, pitch)), draw.normal(0, 0.03))
        camera = Camera.centred(rotation, position, focal, height, width)
        score = _score(scene, camera) + draw.uniform(0, 1.5)
        if best is None or score > best[0]:
            best = (score, camera)
        if attempt >= _CANDIDATES:
            break
    if best is not None:
        return best[1]
    x, y, z = max(stands, key=lambda p: clearance(scene, (p[0], p[1] - 2.2, p[2])))
    return Camera.centred(look(draw.normal(0, 0.3), 0.0, 0.0), (x, y - 2.2, z), focal, height, width)

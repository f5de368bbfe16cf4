"""Where the camera stands and looks: how people hold cameras in rooms, not only where a photographer would stand.

Every frame draws one kind of view (`ViewConfig`), several candidates of that kind, and keeps the best by a coarse cast
of boxes: many different labels, nothing right before the lens, no single surface filling the frame.

Convention: world y points down, so a camera at height h has y = -h; angles in radians, positive pitch looks up.
Shape suffixes: P points, N solids.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from training.data.camera import Camera, look
from training.data.caster import cast_boxes
from training.data.draw import Draw
from training.data.primitives import Scene, Vector, turn

_DRAWS = 24
_CANDIDATES = 5
_CLEARANCE = 0.22
_NEAR = 0.5
_LOWEST, _BELOW_CEILING = 0.25, 0.25
_FILLED = 0.8


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """Relative frequency of each kind of view, the scale of the roll (1 is hand-held, 0 level), and the lens.

    overview: standing, the room in view. corner: from one corner to the opposite one. surface: across a table, counter
    or bed from shortly above it. close_up: one thing at 0.5 to 1.5 m, cut by the frame or off its middle. tilted: far
    down at the floor or up at the ceiling. seated: from a chair, eye level. distortion: largest coefficient of the
    lens (see `Camera`), off by default; the matrix of intrinsics ignores it.
    """

    overview: float = 0.28
    corner: float = 0.1
    surface: float = 0.24
    close_up: float = 0.15
    tilted: float = 0.08
    seated: float = 0.15
    roll: float = 1.0
    distortion: float = 0.0

    def __post_init__(self) -> None:
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        for name, value in values.items():
            if value < 0:
                raise ValueError(f"{name}: expected at least 0, found {value}")
        if not any(value for name, value in values.items() if name not in ("roll", "distortion")):
            raise ValueError("overview: expected one kind of view with a weight above 0, found none")


@dataclass(frozen=True, kw_only=True)
class Pose:
    """A camera's place in metres and its angles in radians."""

    position: Vector
    yaw: float
    pitch: float
    roll: float


def free_distances(scene: Scene, position_P3: Tensor) -> Tensor:
    """Distance in metres from points to the nearest solid's box or wall, float32 [P]; negative outside the room."""
    half, centre = torch.tensor(scene.room_half), torch.tensor(scene.room_centre)
    walls_P = (half - (position_P3 - centre).abs()).amin(1)
    if len(scene.kind_N) == 6:
        return walls_P
    local_NP3 = (position_P3[None] - scene.centre_N3[6:, None]) @ scene.rotation_N33[6:]
    gaps_NP = (local_NP3.abs() - scene.half_N3[6:, None]).clamp(min=0).square().sum(2).sqrt()
    return torch.minimum(walls_P, gaps_NP.amin(0))


def free_distance(scene: Scene, position: Vector) -> float:
    """Distance in metres from a point to the nearest solid's box or wall; negative outside the room."""
    return float(free_distances(scene, torch.tensor([position])))


def sample_focal(draw: Draw, width: int) -> float:
    """Focal length in pixels: depth cameras near 0.87 of the width, phones 0.65 to 0.8, others from 0.6 to 1.4."""
    kind = draw.weighted((("depth camera", 0.5), ("phone", 0.3), ("other", 0.2)))
    if kind == "depth camera":
        return width * min(0.95, max(0.79, draw.normal(0.87, 0.03)))
    if kind == "phone":
        return width * draw.uniform(0.65, 0.8)
    return width * 0.6 * (1.4 / 0.6) ** draw.uniform()


def _towards(position: Vector, aim: Vector) -> tuple[float, float]:
    """Yaw and pitch that look from one point to another."""
    dx, dy, dz = (a - p for a, p in zip(aim, position, strict=True))
    return math.atan2(dx, dz), math.atan2(-dy, math.hypot(dx, dz))


def _floor_point(scene: Scene, draw: Draw) -> tuple[float, float]:
    """World (x, z): anywhere in the room, or close to a wall so that more of the room is in view."""
    hx, _, hz = scene.room_half
    x, z = draw.uniform(-0.92, 0.92) * hx, draw.uniform(-0.92, 0.92) * hz
    if draw.chance(0.45):
        side, gap = draw.choice((-1.0, 1.0)), draw.uniform(0.3, 0.5)
        return (side * (hx - gap), z) if draw.chance(0.5) else (x, side * (hz - gap))
    return x, z


def _content(scene: Scene, draw: Draw) -> Vector:
    """A point worth looking at, mostly a piece of furniture."""
    hx, _, hz = scene.room_half
    if scene.focus and draw.chance(0.75):
        return draw.choice(scene.focus)
    return draw.uniform(-hx, hx), -1.0, draw.uniform(-hz, hz)


def _standing(scene: Scene, draw: Draw, height: float, pitch: float, roll: float) -> Pose:
    x, z = _floor_point(scene, draw)
    position = (x, -height, z)
    yaw, _ = _towards(position, _content(scene, draw))
    return Pose(position=position, yaw=yaw + draw.normal(0, 0.25), pitch=pitch, roll=roll)


def _overview(scene: Scene, draw: Draw) -> Pose:
    height = min(1.85, max(1.0, draw.normal(1.42, 0.2)))
    return _standing(scene, draw, height, min(0.25, max(-0.6, draw.normal(-0.17, 0.14))), draw.normal(0, 0.03))


def _seated(scene: Scene, draw: Draw) -> Pose:
    pitch = min(0.3, max(-0.6, draw.normal(-0.1, 0.14)))
    return _standing(scene, draw, draw.uniform(0.75, 1.25), pitch, draw.normal(0, 0.05))


def _tilted(scene: Scene, draw: Draw) -> Pose:
    pitch = draw.uniform(-0.95, -0.4) if draw.chance(0.72) else draw.uniform(0.08, 0.45)
    return _standing(scene, draw, draw.uniform(0.9, 1.9), pitch, draw.normal(0, 0.08))


def _corner(scene: Scene, draw: Draw) -> Pose:
    hx, _, hz = scene.room_half
    sx, sz = draw.choice((-1.0, 1.0)), draw.choice((-1.0, 1.0))
    height = draw.uniform(1.1, 2.0)
    position = (sx * (hx - draw.uniform(0.3, 0.8)), -height, sz * (hz - draw.uniform(0.3, 0.8)))
    yaw, _ = _towards(position, (-sx * hx * draw.uniform(0.1, 1), 0.0, -sz * hz * draw.uniform(0.1, 1)))
    pitch = min(0.1, max(-0.6, draw.normal(-0.2, 0.12)))
    return Pose(position=position, yaw=yaw, pitch=pitch, roll=draw.normal(0, 0.03))


def _from_the_room(draw: Draw, aim: Vector, distance: float, spread: float) -> tuple[float, float]:
    """World (x, z) at a horizontal distance from a point, on the side of the middle of the room."""
    dx, dz = turn(math.atan2(-aim[0], -aim[2]) + draw.normal(0, spread), 0.0, distance)
    return aim[0] + dx, aim[2] + dz


def _surface(scene: Scene, draw: Draw) -> Pose | None:
    tops = [point for point in scene.focus if 0.35 <= -point[1] <= 1.25]
    if not tops:
        return None
    aim = draw.choice(tops)
    x, z = _from_the_room(draw, aim, draw.uniform(0.45, 1.7), 0.8)
    position = (x, aim[1] - draw.uniform(0.2, 1.0), z)
    near = (aim[0] + draw.normal(0, 0.3), aim[1], aim[2] + draw.normal(0, 0.3))
    yaw, pitch = _towards(position, near)
    pitch = min(0.15, max(-0.95, pitch + draw.uniform(-0.05, 0.4)))
    return Pose(position=position, yaw=yaw, pitch=pitch, roll=draw.normal(0, 0.14, 2.4))


def _close_up(scene: Scene, draw: Draw) -> Pose | None:
    reach_N = scene.half_N3.amax(1)
    chosen = ((reach_N > 0.04) & (reach_N < 0.5)).nonzero()[:, 0].tolist()
    if not chosen:
        return None
    x, y, z = scene.centre_N3[draw.choice(chosen)].tolist()
    distance, rise = draw.uniform(0.5, 1.5), draw.uniform(-0.1, 0.9)
    px, pz = _from_the_room(draw, (x, y, z), distance * math.cos(rise), 0.8)
    position = (px, y - distance * math.sin(rise), pz)
    yaw, pitch = _towards(position, (x, y, z))
    return Pose(
        position=position,
        yaw=yaw + draw.normal(0, 0.17),
        pitch=min(0.35, max(-1.0, pitch + draw.normal(0.05, 0.14))),
        roll=draw.normal(0, 0.14, 2.4),
    )


_VIEWS: dict[str, Callable[[Scene, Draw], Pose | None]] = {
    "overview": _overview,
    "corner": _corner,
    "surface": _surface,
    "close_up": _close_up,
    "tilted": _tilted,
    "seated": _seated,
}


def _free_poses(scene: Scene, draw: Draw, view: str) -> list[Pose]:
    """A few poses of one kind that keep clear of things; most free first only where none does."""
    ceiling = 2 * scene.room_half[1] - _BELOW_CEILING
    poses = [pose for _ in range(_DRAWS) if (pose := _VIEWS[view](scene, draw)) is not None]
    poses = [pose for pose in poses if _LOWEST <= -pose.position[1] <= ceiling]
    if not poses:
        return []
    free = free_distances(scene, torch.tensor([pose.position for pose in poses])).tolist()
    return [pose for pose, distance in zip(poses, free, strict=True) if distance >= _CLEARANCE][:_CANDIDATES]


def _score(scene: Scene, camera: Camera, view: str) -> tuple[float, bool]:
    """How good a view is, from 108 rays through boxes, and whether it is fit for use at all."""
    rows, columns = torch.linspace(0, camera.height - 1, 9), torch.linspace(0, camera.width - 1, 12)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    local = torch.stack([(x - camera.cx) / camera.focal, (y - camera.cy) / camera.focal, torch.ones_like(x)])
    hits = cast_boxes(scene, torch.tensor(camera.position), camera.rotation @ local.reshape(3, -1))
    depth = hits.t.sort().values
    count = len(depth)
    near = float((depth < _NEAR).sum()) / count
    filled = float(hits.which.bincount().max()) / count
    score = 0.5 * min(len(set(scene.label_N[hits.which].tolist())), 8)
    score -= 6.0 * max(0.0, near - 0.1) + 5.0 * max(0.0, filled - 0.55)
    if view in ("overview", "corner"):
        score += min(float(depth[count // 2]), 3.0)
    return score, near < 0.4 and filled < _FILLED and float(depth[2]) > 0.25


def sample_camera(scene: Scene, draw: Draw, height: int, width: int, views: ViewConfig | None = None) -> Camera:
    """The best of several random viewpoints of one random kind; an overview where that kind finds no room.

    The principal point is the middle of the frame. `views` says how often each kind is drawn.
    """
    views = views or ViewConfig()
    focal = sample_focal(draw, max(height, width))
    first = draw.weighted([(name, getattr(views, name)) for name in _VIEWS])
    best: tuple[float, Camera] | None = None
    for view in (first, "overview", "tilted"):
        for pose in _free_poses(scene, draw, view):
            rotation = look(pose.yaw, pose.pitch, views.roll * pose.roll)
            camera = Camera.centred(rotation, pose.position, focal, height, width)
            score, fit = _score(scene, camera, view)
            score += draw.uniform(0, 2.0) - (0.0 if fit else 20.0)
            if best is None or score > best[0]:
                best = (score, camera)
        if best is not None and best[0] > -10.0:
            break
    camera = best[1] if best is not None else _most_free(scene, draw, focal, height, width)
    return replace(camera, distortion=views.distortion * draw.uniform(-1.0, 1.0))


def _most_free(scene: Scene, draw: Draw, focal: float, height: int, width: int) -> Camera:
    """A camera at the freest of many points, for rooms that are packed full."""
    hx, hy, hz = scene.room_half
    span = torch.tensor([1.8 * hx, -2 * hy + 0.6, 1.8 * hz])
    base = torch.tensor([-0.9 * hx, -0.3, -0.9 * hz])
    points = base + span * torch.tensor([[draw.uniform() for _ in range(3)] for _ in range(256)])
    x, y, z = points[int(free_distances(scene, points).argmax())].tolist()
    yaw, _ = _towards((x, y, z), _content(scene, draw))
    return Camera.centred(look(yaw, draw.normal(-0.15, 0.1), 0.0), (x, y, z), focal, height, width)

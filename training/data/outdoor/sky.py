"""Sky, haze and what counts as too far to be measured.

The shell of an outdoor scene is very large; its walls and ceiling are the sky. The sky is painted by the direction of
the shell's point from the origin, so that it moves between views as a surface at the shell's distance would.

Convention: world frame of `primitives` (y down). Radiance is linear, in the unit of `shading`.
Shape suffixes: P points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.caster import Hits
from training.data.draw import Draw
from training.data.material import Colour
from training.data.materials import hsv, scale
from training.data.plate_noise import SIZE
from training.data.plates import CLOUDS, SOFT, Plates
from training.data.primitives import Vector

FAR_METRES = 80.0
_LEVEL = 2


@dataclass(frozen=True, kw_only=True)
class Sky:
    """Colours (linear radiance) at the zenith, the horizon and in the haze; clouds; the sun's direction and glow.

    cover: -1 cloudless to 1 overcast. clouds: plate repeats per unit of the direction's slope. haze: metres after
    which 63 % of the light of a thing is replaced.
    """

    zenith: Colour
    horizon: Colour
    cloud: Colour
    cover: float
    clouds: float
    shift: tuple[float, float]
    towards_sun: Vector
    glow: float
    haze: float


@dataclass(frozen=True, kw_only=True)
class Outdoors:
    """What an outdoor scene has beside its solids: the sky, and ground points (world) where a camera may stand."""

    sky: Sky
    stands: tuple[Vector, ...]


def sample_sky(draw: Draw, weather: str, towards_sun: Vector, level: float) -> Sky:
    """A sky for "clear", "broken", "overcast" or "low" (sun near the horizon); `level` is its typical radiance."""
    shift = (draw.uniform(), draw.uniform())
    if weather == "overcast":
        grey = hsv(0.6, draw.uniform(0.0, 0.08), 1.0)
        top, rim = scale(grey, draw.uniform(0.55, 0.85)), scale(grey, draw.uniform(0.8, 1.0))
        cover, glow = draw.uniform(0.3, 0.8), 0.0
    elif weather == "low":
        top = hsv(draw.uniform(0.57, 0.64), draw.uniform(0.3, 0.6), draw.uniform(0.4, 0.7))
        rim = hsv(draw.uniform(0.04, 0.12), draw.uniform(0.15, 0.5), 1.0)
        cover, glow = draw.uniform(-0.8, 0.3), draw.uniform(0.6, 1.6)
    else:
        top = hsv(draw.uniform(0.55, 0.61), draw.uniform(0.4, 0.75), draw.uniform(0.55, 0.8))
        rim = hsv(draw.uniform(0.53, 0.6), draw.uniform(0.05, 0.25), draw.uniform(0.85, 1.0))
        cover = draw.uniform(-1.8, -0.5) if weather == "clear" else draw.uniform(-0.2, 0.5)
        glow = draw.uniform(0.3, 0.9)
    bright = level * draw.uniform(0.8, 1.5)
    top_r, rim_r = ((c[0] ** 2.2 * bright, c[1] ** 2.2 * bright, c[2] ** 2.2 * bright) for c in (top, rim))
    cloud = bright * (draw.uniform(0.6, 0.9) if weather == "overcast" else draw.uniform(0.9, 1.4))
    return Sky(
        zenith=top_r, horizon=rim_r, cloud=(cloud, cloud, cloud * draw.uniform(0.97, 1.05)), cover=cover,
        clouds=draw.uniform(0.05, 0.16), shift=shift, towards_sun=towards_sun, glow=glow,
        haze=draw.weighted(((draw.uniform(600, 2500), 4.0), (draw.uniform(120, 500), 1.0))),
    )  # fmt: skip


def too_far(hits: Hits) -> Tensor:
    """Where nothing can be measured, bool: the sky (the shell but its floor) and all beyond `FAR_METRES`."""
    return ((hits.which >= 1) & (hits.which < 6)) | (hits.t > FAR_METRES)


def _brightness(plates: Plates, plate: int, u_P: Tensor, v_P: Tensor) -> Tensor:
    """One channel of a plate [P] in [0, 1], bilinear at one level of its pyramid."""
    size = SIZE >> _LEVEL
    base = plate * plates.stride + plates.offsets[_LEVEL]
    x, y = u_P * size - 0.5, v_P * size - 0.5
    x0, y0 = x.floor(), y.floor()
    fx, fy = x - x0, y - y0
    total = torch.zeros_like(u_P)
    for dy, wy in ((0, 1 - fy), (1, fy)):
        row = base + ((y0.long() + dy) & (size - 1)) * size
        for dx, wx in ((0, 1 - fx), (1, fx)):
            total = total + wy * wx * plates.table_T3[row + ((x0.long() + dx) & (size - 1)), 1].float()
    return total / 255


def paint_sky(sky: Sky, plates: Plates, origin: Vector, rays_3P: Tensor, hits: Hits, radiance_3P: Tensor) -> Tensor:
    """Radiance [3, P] with haze over far things and the sky where the shell's walls and ceiling were hit.

    `rays_3P` start at `origin` (world); `hits` are theirs, [P].
    """
    device = radiance_3P.device

    def column(vector: Vector | Colour) -> Tensor:
        return torch.tensor(vector, device=device)[:, None]

    distance_P = hits.t * (rays_3P * rays_3P).sum(0).sqrt()
    kept_P = torch.exp(-distance_P / sky.haze)
    radiance = radiance_3P * kept_P + column(sky.horizon) * (1 - kept_P)
    chosen = ((hits.which >= 1) & (hits.which < 6)).nonzero()[:, 0]
    if not len(chosen):
        return radiance
    point = column(origin) + hits.t[chosen] * rays_3P[:, chosen]
    direction = point * (point * point).sum(0).rsqrt()
    up = (-direction[1]).clamp(0, 1)
    colour = column(sky.horizon) + (column(sky.zenith) - column(sky.horizon)) * (up**0.55)
    slope = sky.clouds / (up + 0.12)
    u, v = direction[0] * slope + sky.shift[0], direction[2] * slope + sky.shift[1]
    field = _brightness(plates, CLOUDS, u, v) * 0.55 + _brightness(plates, SOFT, u, v) * 0.45
    cover = torch.sigmoid((field - 0.5 + 0.22 * sky.cover) * 22.0) * (up / 0.08).clamp(0, 1)
    shade = 0.75 + 0.5 * _brightness(plates, CLOUDS, u * 2.3, v * 2.3)
    colour = colour + (column(sky.cloud) * shade - colour) * cover * 0.9
    towards = (direction * column(sky.towards_sun)).sum(0).clamp(min=0)
    glow = sky.glow * (0.6 * towards**8 + 4.0 * towards**300 + 30.0 * towards**5000)
    return radiance.index_copy(1, chosen, colour * (1 + glow * (1 - 0.8 * cover)))

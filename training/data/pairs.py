"""Pairs of photographs of one room with the exact warp between them and the stitched view.

Convention: pixel centres are integers; flow maps target pixel p to reference pixel p + flow(p), which may lie outside
the frame; X_r = R X_t + t in camera frames (x right, y down, z forward); canvas pixel = reference pixel + offset.

Geometry and visibility follow the stitching specification, sections 2 and 6 (inspired by Kweon et al., "Pixel-Wise
Warping for Deep Image Stitching", AAAI 2023, whose own data set is not public). Visibility is tested by casting the
ray through the exact, fractional reference position: the hit must be the same solid within 2 % of the depth, or any
solid within 0.5 %.

Shape suffixes: B pairs, H, W image size, h, w canvas size, P points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from training.data.camera import Camera
from training.data.caster import NEAR, Hits, cast_points
from training.data.draw import Draw
from training.data.layout import build_scene
from training.data.outdoor.scene import build_outdoor_scene, sample_outdoor_camera
from training.data.photometrics import (
    STEADY,
    PhotometricConfig,
    Photometrics,
    develop,
    metered_gain,
    sample_photometrics,
)
from training.data.primitives import Scene
from training.data.relative_pose import sample_target
from training.data.rooms import CAMERA_STREAM, PHOTO_STREAM, SCENE_STREAM, View, check_frame, is_outdoors, render_view
from training.data.viewpoint import ViewConfig, sample_camera
from training.regions import INVALID, OCCLUDED, OUTSIDE, OVERLAP, SEEN_BY_REFERENCE, SEEN_BY_TARGET

LARGEST_FLOW = 1000.0

STANDING = ViewConfig(surface=0.0, close_up=0.0, tilted=0.0, roll=0.5)
"""Views of a whole room: what people stitch."""

_PAIR_STREAM = 16
_MARGIN = 4


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """Frame size in pixels; limits of overlap share, yaw, pitch and roll (degrees), baseline (share of median depth).

    `least_baseline` is the shortest baseline: with 0 some pairs hardly move, as when people turn on the spot.
    `exposure_ev` is the largest exposure difference between the two photographs; `views` draws the reference camera.
    `outdoor` is the share of seeds whose pair is outdoors; the sky then is a surface some 200 m away.
    """

    height: int = 192
    width: int = 256
    antialias: bool = True
    overlap: tuple[float, float] = (0.2, 0.8)
    yaw: float = 30.0
    tilt: float = 8.0
    baseline: float = 0.1
    least_baseline: float = 0.0
    exposure_ev: float = 0.5
    photometrics: PhotometricConfig = STEADY
    views: ViewConfig = STANDING
    outdoor: float = 0.0

    def __post_init__(self) -> None:
        check_frame(self.height, self.width, self.outdoor)
        if not 0 <= self.least_baseline <= self.baseline:
            raise ValueError(f"least_baseline: expected 0 to baseline = {self.baseline}, found {self.least_baseline}")
        if self.views.distortion:
            raise ValueError(f"views.distortion: expected 0, the warp is a pinhole's, found {self.views.distortion}")


WIDE = PairConfig(baseline=0.3, views=ViewConfig(roll=0.5))
"""Every kind of view and baselines up to three times as long: all levels of parallax, many of them strong."""

STRONG_PARALLAX = PairConfig(baseline=0.3, least_baseline=0.1, views=ViewConfig(roll=0.5))
"""Baselines of 10 to 30 % of the median depth only."""


class Pairs(NamedTuple):
    """Two photographs in [0, 1], the flow in pixels, regions, the relative pose, and the stitched view.

    region: 0 invalid, 1 visible in the reference, 2 hidden there, 3 outside its frame. inverse_depth: 1 / z of the
    target pixel's point in the reference camera, 0 where invalid. stitched: what the reference camera sees with a
    frame of 1.5 H x 2 W, without noise and vignetting, black away from both views. canvas_offset: (x0, y0), whole
    numbers. seen: bit 1 inside the reference frame, bit 2 visible in the target.
    """

    target_B3HW: Tensor
    reference_B3HW: Tensor
    flow_B2HW: Tensor
    region_BHW: Tensor
    inverse_depth_BHW: Tensor
    target_intrinsics_B33: Tensor
    reference_intrinsics_B33: Tensor
    rotation_B33: Tensor
    translation_B3: Tensor
    stitched_B3hw: Tensor
    canvas_offset_B2: Tensor
    seen_Bhw: Tensor


class WarpTruth(NamedTuple):
    """Where target pixels land: positions and flow in pixels, float64 [2, H, W], depths there, region uint8 [H, W]."""

    pixel_2HW: Tensor
    z_HW: Tensor
    flow_2HW: Tensor
    region_HW: Tensor


def relative_pose(target: Camera, reference: Camera) -> tuple[Tensor, Tensor]:
    """R [3, 3] and t [3], float64, with X_r = R X_t + t."""
    back = reference.rotation.double().T
    step = torch.tensor(target.position, dtype=torch.float64) - torch.tensor(reference.position, dtype=torch.float64)
    return back @ target.rotation.double(), back @ step


def project(source: Camera, other: Camera, depth_HW: Tensor) -> tuple[Tensor, Tensor]:
    """Where pixels with a depth land in another camera: positions float64 [2, H, W] and depths there [H, W]."""
    device = depth_HW.device
    turn, step = (part.to(device) for part in relative_pose(source, other))
    x = (torch.arange(source.width, dtype=torch.float64, device=device) - source.cx) / source.focal
    y = (torch.arange(source.height, dtype=torch.float64, device=device) - source.cy) / source.focal
    turn = turn[:, :, None, None]
    rays = turn[:, 0] * x[None, None, :] + turn[:, 1] * y[None, :, None] + turn[:, 2]
    point = rays * depth_HW.double() + step[:, None, None]
    z = point[2]
    safe = torch.where(z > NEAR, z, torch.ones_like(z))
    pixel = torch.stack([other.focal * point[0] / safe + other.cx, other.focal * point[1] / safe + other.cy])
    return pixel, z


def visible(scene: Scene, camera: Camera, pixel_2HW: Tensor, z_HW: Tensor, index_HW: Tensor) -> tuple[Tensor, Tensor]:
    """Two masks [H, W]: the position is inside the camera's frame; and nothing hides the point."""
    x, y = pixel_2HW
    inside = (z_HW > NEAR) & (x >= 0) & (x <= camera.width - 1) & (y >= 0) & (y <= camera.height - 1)
    chosen = inside.reshape(-1).nonzero()[:, 0]
    hits = cast_points(scene, camera, pixel_2HW.reshape(2, -1)[:, chosen].float())
    z = z_HW.reshape(-1)[chosen].float()
    gap = (hits.t - z).abs()
    same = hits.which == index_HW.reshape(-1)[chosen]
    free = torch.zeros_like(inside).reshape(-1)
    free[chosen] = torch.where(same, gap < 0.02 * z, gap < 0.005 * z)
    return inside, free.view_as(inside)


def warp_truth(scene: Scene, target: Camera, reference: Camera, hits: Hits) -> WarpTruth:
    """The exact warp of a target's hits into the reference, without any colour; flow is cut at 1000 px."""
    pixel, z = project(target, reference, hits.t)
    y, x = (torch.arange(size, dtype=torch.float64, device=pixel.device) for size in hits.t.shape)
    flow = pixel - torch.stack(torch.meshgrid(x, y, indexing="xy"))
    inside, free = visible(scene, reference, pixel, z, hits.which)
    region = torch.full(hits.t.shape, OUTSIDE, dtype=torch.uint8, device=pixel.device)
    region[inside & free], region[inside & ~free] = OVERLAP, OCCLUDED
    region[(z <= NEAR) | (flow.abs().amax(0) >= LARGEST_FLOW)] = INVALID
    return WarpTruth(pixel, z, flow.clamp(-LARGEST_FLOW, LARGEST_FLOW), region)


def _canvas_offset(pixel_2HW: Tensor, valid_HW: Tensor, size: tuple[int, int], canvas: tuple[int, int]) -> list[int]:
    """(x0, y0) that centre the union of the reference frame and the warped target, the frame always inside."""
    offsets = []
    for axis in (0, 1):
        frame, room = size[1 - axis], canvas[1 - axis]
        values = pixel_2HW[axis][valid_HW]
        low = min(0.0, float(values.quantile(0.005))) if len(values) else 0.0
        high = max(frame - 1.0, float(values.quantile(0.995))) if len(values) else frame - 1.0
        offsets.append(round(min(max((room - (high - low)) / 2 - low, 0), room - frame)))
    return offsets


def _second_photo(draw: Draw, config: PairConfig, first: Photometrics) -> Photometrics:
    """The target's settings: another exposure, slightly other colours, its own blur, vignette and noise."""
    own = sample_photometrics(draw, config.photometrics, 1.0)
    factor = 2.0 ** draw.uniform(-config.exposure_ev, config.exposure_ev)
    shift = config.photometrics.white_balance * 0.3
    r, g, b = (gain * factor * (1 + shift * draw.normal(0, 0.5)) for gain in first.gain)
    share = draw.uniform(0.0, 0.4)
    return replace(
        own, gain=(r, g, b), knee=first.knee, haze=first.haze,
        gamma=first.gamma + share * (own.gamma - first.gamma),
        contrast=first.contrast + share * (own.contrast - first.contrast),
        saturation=first.saturation + share * (own.saturation - first.saturation),
        tone=first.tone + share * (own.tone - first.tone),
    )  # fmt: skip


def _crop(view: View, x0: int, y0: int, height: int, width: int) -> View:
    rows, columns = slice(y0, y0 + height), slice(x0, x0 + width)
    return View(
        view.radiance_3HW[:, rows, columns], Hits(view.hits.t[rows, columns], view.hits.which[rows, columns]),
        view.normal_3HW[:, rows, columns],
    )  # fmt: skip


def render_pairs(seeds: Sequence[int], config: PairConfig | None = None, device: torch.device | str = "cpu") -> Pairs:
    """Render one pair per seed; each depends on its own seed and the config alone.

    Raises ValueError for an empty list of seeds.
    """
    if not seeds:
        raise ValueError("seeds: expected at least one, found none")
    config = config or PairConfig()
    pairs = [_render_pair(seed, config, device) for seed in seeds]
    return Pairs(*(torch.stack(parts) for parts in zip(*pairs, strict=True)))


def sample_cameras(seed: int, config: PairConfig) -> tuple[Scene, Camera, Camera]:
    """Scene, target camera and reference camera of one seed."""
    scene_draw, draw = Draw(seed, SCENE_STREAM), Draw(seed, _PAIR_STREAM + CAMERA_STREAM)
    if is_outdoors(seed, config.outdoor):
        scene = build_outdoor_scene(scene_draw)
        reference = sample_outdoor_camera(scene, draw, config.height, config.width)
    else:
        scene = build_scene(scene_draw)
        reference = sample_camera(scene, draw, config.height, config.width, config.views)
    target = sample_target(
        scene, reference, draw, overlap=config.overlap, yaw=config.yaw, tilt=config.tilt,
        baseline=(config.least_baseline, config.baseline),
    )  # fmt: skip
    return scene, target, reference


def _render_pair(seed: int, config: PairConfig, device: torch.device | str) -> tuple[Tensor, ...]:
    height, width = config.height, config.width
    scene, target_camera, camera = sample_cameras(seed, config)
    scene = scene.to(device)
    target = render_view(scene, target_camera, config.antialias, device)

    pixel, z, flow, region = warp_truth(scene, target_camera, camera, target.hits)
    valid = region != INVALID
    inverse_depth = torch.where(valid, 1.0 / z.clamp(min=NEAR), torch.zeros_like(z))

    canvas_size = math.ceil(1.5 * height), 2 * width
    x0, y0 = _canvas_offset(pixel, valid, (height, width), canvas_size)
    left, right, top, bottom = _union(pixel, valid, (x0, y0), (height, width), canvas_size)
    part_camera = camera.extended(bottom - top, right - left, x0 - left, y0 - top)
    part = render_view(scene, part_camera, config.antialias, device)
    reference = _crop(part, x0 - left, y0 - top, height, width)

    seen = torch.zeros(canvas_size, dtype=torch.uint8, device=device)
    back_pixel, back_z = project(part_camera, target_camera, part.hits.t)
    _, back_free = visible(scene, target_camera, back_pixel, back_z, part.hits.which)
    seen[top:bottom, left:right] = back_free.to(torch.uint8) * SEEN_BY_TARGET
    seen[y0 : y0 + height, x0 : x0 + width] |= SEEN_BY_REFERENCE

    draw = Draw(seed, _PAIR_STREAM + PHOTO_STREAM)
    settings = sample_photometrics(draw, config.photometrics, metered_gain(reference.radiance_3HW))
    other = _second_photo(draw, config, settings)
    stitched = torch.zeros(3, *canvas_size, device=device)
    stitched[:, top:bottom, left:right] = develop(part.radiance_3HW, settings)
    turn, step = relative_pose(target_camera, camera)
    return (
        develop(target.radiance_3HW, other, draw.generator),
        develop(reference.radiance_3HW, settings, draw.generator),
        flow.float(),
        region,
        inverse_depth.float(),
        target_camera.matrix().to(device),
        camera.matrix().to(device),
        turn.float().to(device),
        step.float().to(device),
        stitched,
        torch.tensor([float(x0), float(y0)], device=device),
        seen,
    )


def _union(
    pixel_2HW: Tensor, valid_HW: Tensor, offset: tuple[int, int], size: tuple[int, int], canvas: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Canvas box (left, right, top, bottom), ends excluded, around the reference frame and the warped target."""
    box: list[int] = []
    for axis in (0, 1):
        values = pixel_2HW[axis][valid_HW]
        low = float(values.min()) if len(values) else 0.0
        high = float(values.max()) if len(values) else 0.0
        first = min(offset[axis], math.floor(low) + offset[axis] - _MARGIN)
        last = max(offset[axis] + size[1 - axis], math.ceil(high) + offset[axis] + _MARGIN + 1)
        box += [max(first, 0), min(last, canvas[1 - axis])]
    return box[0], box[1], box[2], box[3]

"""Frames of furnished rooms with exact depth, labels, normals and intrinsics.

Convention: camera frame x right, y down, z forward; depth is z in metres; normals point towards the camera.
Windows: the pane is the surface; its depth and normal are the pane's, the view behind it is painted on it.

Shape suffixes: B frames, H, W image size, N primitives, P points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.camera import Camera
from training.data.caster import Hits, cast_image
from training.data.draw import Draw
from training.data.layout import build_scene
from training.data.lighting import flash
from training.data.outdoor.ignored import IGNORED
from training.data.outdoor.scene import build_outdoor_scene, sample_outdoor_camera
from training.data.outdoor.sky import paint_sky, too_far
from training.data.photometrics import PhotometricConfig, develop, metered_gain, sample_photometrics
from training.data.plates import Plates, load_plates
from training.data.primitives import Scene
from training.data.shading import Samples, shade
from training.data.viewpoint import ViewConfig, sample_camera

SCENE_STREAM, CAMERA_STREAM, PHOTO_STREAM, FLASH_STREAM, PLACE_STREAM = 0, 1, 2, 3, 4
_BRIGHTEST = 20.0  # a sample may not outshine its pixel's neighbours for ever
_CREASE = 4e-4
_FLASH = 0.08  # share of rooms taken with a flash


@dataclass(frozen=True, kw_only=True)
class RoomConfig:
    """Size of the frames in pixels, whether colour is antialiased, and how pictures and viewpoints vary.

    outdoor: share of seeds whose frame is a street, square, garden or country scene; the others are not changed by it.
    """

    height: int = 192
    width: int = 256
    antialias: bool = True
    photometrics: PhotometricConfig = field(default_factory=PhotometricConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    outdoor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.outdoor <= 1:
            raise ValueError(f"outdoor: expected a share in [0, 1], found {self.outdoor}")


class Frames(NamedTuple):
    """Colour in [0, 1] sRGB; depth in metres; labels 0..12 (NYU-13); unit normals; intrinsics in pixels.

    Outdoors, label 255 is what has no name in NYU-13; sky and far things also have depth 0 and a zero normal.
    """

    image_B3HW: Tensor
    depth_BHW: Tensor
    label_BHW: Tensor
    normal_B3HW: Tensor
    intrinsics_B33: Tensor


class View(NamedTuple):
    """One rendered camera: linear radiance [3, H, W], hits [H, W], normals in the camera frame [3, H, W]."""

    radiance_3HW: Tensor
    hits: Hits
    normal_3HW: Tensor


def even_pixels(fine: Hits) -> Tensor:
    """Pixels [H, W] whose 3 x 3 half pixels lie on one smooth surface, so that one sample of colour will do.

    Along a plane 1 / depth is linear in the image: a crease inside a primitive shows in its second difference.
    """
    which = fine.which.float()[None, None]
    same = F.max_pool2d(which, 3, 2) == -F.max_pool2d(-which, 3, 2)
    inverse = 1.0 / fine.t
    middle = inverse[1::2, 1::2]
    bend_x = inverse[1::2, 2::2] + inverse[1::2, :-1:2] - 2 * middle
    bend_y = inverse[2::2, 1::2] + inverse[:-1:2, 1::2] - 2 * middle
    return same[0, 0] & (torch.maximum(bend_x.abs(), bend_y.abs()) < _CREASE * middle)


def choose_samples(even_HW: Tensor) -> Samples:
    """All pixel centres, row by row, then the half pixels around the uneven ones."""
    height, width = even_HW.shape
    wide = 2 * width + 1
    y, x = torch.arange(height, device=even_HW.device), torch.arange(width, device=even_HW.device)
    centres = ((2 * y[:, None] + 1) * wide + 2 * x[None, :] + 1).reshape(-1)
    wanted = F.conv_transpose2d((~even_HW).float()[None, None], torch.ones(1, 1, 3, 3, device=y.device), stride=2)
    wanted = wanted[0, 0] > 0
    wanted[1::2, 1::2] = False
    extra = wanted.reshape(-1).nonzero()[:, 0]
    size = torch.where(even_HW.reshape(-1), 2.0, 1.0)
    return Samples(torch.cat([centres, extra]), torch.cat([size, torch.ones(len(extra), device=y.device)]))


def render_view(scene: Scene, camera: Camera, antialias: bool, device: torch.device | str = "cpu") -> View:
    """Cast and shade one camera.

    Geometry is that of pixel centres; antialiasing filters colour over 3 x 3 half pixels.
    """
    plates = load_plates(str(device))
    grid = camera.refined() if antialias else camera
    rays = grid.rays(device)
    hits = cast_image(scene, grid, rays)
    shape = (3, camera.height, camera.width)
    count = camera.height * camera.width
    if not antialias:
        everywhere = Samples(torch.arange(count, device=rays.device), torch.ones(count, device=rays.device))
        radiance, normal = shade(scene, grid, plates, rays, hits, everywhere, 2)
        radiance = _with_sky(scene, camera, plates, rays, hits, everywhere, radiance)
        radiance, normal = radiance.view(shape), normal.view(shape)
    else:
        even = even_pixels(hits)
        samples = choose_samples(even)
        colour, normal = shade(scene, grid, plates, rays, hits, samples, 4)
        colour = _with_sky(scene, camera, plates, rays, hits, samples, colour)
        colour, normal = colour.clamp(max=_BRIGHTEST), normal[:, :count].view(shape)
        fine = torch.zeros(3, grid.height * grid.width, device=rays.device)
        fine[:, samples.pixel_P] = colour
        taps = torch.tensor([0.25, 0.5, 0.25], device=rays.device)
        kernel = taps[:, None] * taps[None, :]
        filtered = F.conv2d(fine.view(3, 1, grid.height, grid.width), kernel[None, None], stride=2)[:, 0]
        radiance = torch.where(even, colour[:, :count].view(shape), filtered)
        hits = Hits(hits.t[1::2, 1::2].contiguous(), hits.which[1::2, 1::2].contiguous())
    normal = torch.einsum("ij,ihw->jhw", camera.rotation.to(normal.device), normal).contiguous()
    return View(radiance, hits, normal)


def _with_sky(
    scene: Scene, camera: Camera, plates: Plates, rays_3HW: Tensor, hits: Hits, samples: Samples, radiance_3P: Tensor
) -> Tensor:
    if scene.outdoors is None:
        return radiance_3P
    pixel = samples.pixel_P
    chosen = Hits(hits.t.reshape(-1)[pixel], hits.which.reshape(-1)[pixel])
    rays_3P = rays_3HW.reshape(3, -1)[:, pixel]
    return paint_sky(scene.outdoors.sky, plates, camera.position, rays_3P, chosen, radiance_3P)


def is_outdoors(seed: int, share: float) -> bool:
    """Whether a seed's frame is outdoors when `share` of all seeds are; a stream of its own decides."""
    return share > 0 and Draw(seed, PLACE_STREAM).chance(share)


def render_rooms(seeds: Sequence[int], config: RoomConfig | None = None, device: torch.device | str = "cpu") -> Frames:
    """Render one frame per seed; each depends on its own seed and the config alone.

    Returns float32 images [B, 3, H, W], depth [B, H, W] in metres, uint8 labels, normals [B, 3, H, W], K [B, 3, 3].
    Raises ValueError for an empty list of seeds.
    """
    if not seeds:
        raise ValueError("seeds: expected at least one, found none")
    config = config or RoomConfig()
    frames = [_render_room(seed, config, device) for seed in seeds]
    return Frames(*(torch.stack(parts) for parts in zip(*frames, strict=True)))


def _render_room(seed: int, config: RoomConfig, device: torch.device | str) -> tuple[Tensor, ...]:
    scene_draw, camera_draw = Draw(seed, SCENE_STREAM), Draw(seed, CAMERA_STREAM)
    if is_outdoors(seed, config.outdoor):
        scene = build_outdoor_scene(scene_draw)
        camera = sample_outdoor_camera(scene, camera_draw, config.height, config.width)
    else:
        scene = build_scene(scene_draw)
        camera = sample_camera(scene, camera_draw, config.height, config.width, config.views)
    chance = Draw(seed, FLASH_STREAM)
    if chance.chance(_FLASH):
        scene = replace(scene, lights=(*scene.lights, flash(chance, camera.position)))
    view = render_view(scene.to(device), camera, config.antialias, device)
    draw = Draw(seed, PHOTO_STREAM)
    settings = sample_photometrics(draw, config.photometrics, metered_gain(view.radiance_3HW))
    image = develop(view.radiance_3HW, settings, draw.generator, view.hits.t, camera.focal)
    label, depth, normal = scene.label_N.to(device)[view.hits.which], view.hits.t, view.normal_3HW
    if scene.outdoors is not None:
        unknown = too_far(view.hits)
        label = label.masked_fill(unknown, IGNORED)
        depth, normal = depth.masked_fill(unknown, 0.0), normal.masked_fill(unknown, 0.0)
    return image, depth, label, normal, camera.matrix().to(device)

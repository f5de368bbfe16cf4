"""Frames of furnished rooms with exact depth, labels, normals and intrinsics.

Convention: camera frame x right, y down, z forward; depth is z in metres; normals point towards the camera.
Windows: the pane is the surface; its depth and normal are the pane's, the view behind it is painted on it.

Shape suffixes: B frames, H, W image size, N primitives, P points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.camera import Camera
from training.data.caster import Hits, cast_image
from training.data.draw import Draw
from training.data.layout import build_scene
from training.data.photometrics import PhotometricConfig, develop, metered_gain, sample_photometrics
from training.data.plates import load_plates
from training.data.primitives import Scene
from training.data.shading import Samples, shade
from training.data.viewpoint import ViewConfig, sample_camera

SCENE_STREAM, CAMERA_STREAM, PHOTO_STREAM, FLASH_STREAM = 0, 1, 2, 3
_BRIGHTEST = 20.0  # a sample may not outshine its pixel's neighbours for ever
_CREASE = 4e-4


@dataclass(frozen=True, kw_only=True)
class RoomConfig:
    """Size of the frames in pixels, whether colour is antialiased, and how pictures and viewpoints vary."""

    height: int = 192
    width: int = 256
    antialias: bool = True
    photometrics: PhotometricConfig = field(default_factory=PhotometricConfig)
    views: ViewConfig = field(default_factory=ViewConfig)


class Frames(NamedTuple):
    """Colour in [0, 1] sRGB; depth in metres; labels 0..12 (NYU-13); unit normals; intrinsics in pixels."""

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
        radiance, normal = radiance.view(shape), normal.view(shape)
    else:
        even = even_pixels(hits)
        samples = choose_samples(even)
        colour, normal = shade(scene, grid, plates, rays, hits, samples, 4)
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
    scene = build_scene(Draw(seed, SCENE_STREAM))
    camera = sample_camera(scene, Draw(seed, CAMERA_STREAM), config.height, config.width, config.views)
    view = render_view(scene.to(device), camera, config.antialias, device)
    draw = Draw(seed, PHOTO_STREAM)
    settings = sample_photometrics(draw, config.photometrics, metered_gain(view.radiance_3HW))
    image = develop(view.radiance_3HW, settings, draw.generator, view.hits.t, camera.focal)
    label = scene.label_N.to(device)[view.hits.which]
    return image, view.hits.t, label, view.normal_3HW, camera.matrix().to(device)

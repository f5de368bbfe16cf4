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
from torch import Tensor

from training.data.antialiasing import BRIGHTEST, choose_samples, even_pixels, half_pixels_filtered
from training.data.batched.render import render_views
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
        check_frame(self.height, self.width, self.outdoor)


def check_frame(height: int, width: int, outdoor: float) -> None:
    """Raises ValueError for a frame without pixels, and for a share of seeds outdoors that is none."""
    for name, side in (("height", height), ("width", width)):
        if side < 1:
            raise ValueError(f"{name}: expected at least 1 pixel, found {side}")
    if not 0 <= outdoor <= 1:
        raise ValueError(f"outdoor: expected a share in [0, 1], found {outdoor}")


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
        even = even_pixels(hits.t, hits.which)
        samples = choose_samples(even)
        colour, normal = shade(scene, grid, plates, rays, hits, samples, 4)
        colour = _with_sky(scene, camera, plates, rays, hits, samples, colour)
        colour, normal = colour.clamp(max=BRIGHTEST), normal[:, :count].view(shape)
        fine = torch.zeros(3, grid.height * grid.width, device=rays.device)
        fine[:, samples.pixel_P] = colour
        filtered = half_pixels_filtered(fine.view(3, grid.height, grid.width))
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


def render_rooms(
    seeds: Sequence[int], config: RoomConfig | None = None, device: torch.device | str = "cpu",
    batched: bool | None = None,
) -> Frames:  # fmt: skip
    """Render one frame per seed; each depends on its own seed and the config alone.

    Returns float32 images [B, 3, H, W], depth [B, H, W] in metres, uint8 labels, normals [B, 3, H, W], K [B, 3, 3].
    `batched` casts and shades all indoor frames at once: the same pictures up to rounding, by default on CUDA, where
    frames one by one would wait for kernel launches. Raises ValueError for an empty list of seeds.
    """
    if not seeds:
        raise ValueError("seeds: expected at least one, found none")
    config = config or RoomConfig()
    return render_shots([sample_shot(seed, config) for seed in seeds], config, device, batched)


def render_shots(
    shots: Sequence[Shot], config: RoomConfig, device: torch.device | str = "cpu", batched: bool | None = None
) -> Frames:
    """Frames of scenes that are built and cameras that are placed; see `render_rooms`."""
    batched = torch.device(device).type == "cuda" if batched is None else batched
    shown = _show_together(shots, config, device) if batched else [_show(shot, config, device) for shot in shots]
    frames = [_develop_room(*pair, config) for pair in zip(shots, shown, strict=True)]
    return Frames(*(torch.stack(parts) for parts in zip(*frames, strict=True)))


class Shot(NamedTuple):
    """All of a frame that is decided before rendering, on the CPU, and most of the work that a GPU would wait for."""

    seed: int
    scene: Scene
    camera: Camera


class _Shown(NamedTuple):
    """What a camera saw: linear radiance [3, H, W], where rays ended [H, W] (also far outdoors, where depth is 0),
    labels uint8, depth [H, W], normals [3, H, W]."""

    radiance_3HW: Tensor
    t_HW: Tensor
    label_HW: Tensor
    depth_HW: Tensor
    normal_3HW: Tensor


def sample_shot(seed: int, config: RoomConfig) -> Shot:
    """The scene, indoors or outdoors, and the camera of a seed."""
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
    return Shot(seed, scene, camera)


def _show(shot: Shot, config: RoomConfig, device: torch.device | str) -> _Shown:
    view = render_view(shot.scene.to(device), shot.camera, config.antialias, device)
    label, depth, normal = shot.scene.label_N.to(device)[view.hits.which], view.hits.t, view.normal_3HW
    if shot.scene.outdoors is not None:
        unknown = too_far(view.hits)
        label = label.masked_fill(unknown, IGNORED)
        depth, normal = depth.masked_fill(unknown, 0.0), normal.masked_fill(unknown, 0.0)
    return _Shown(view.radiance_3HW, view.hits.t, label, depth, normal)


def _show_together(shots: Sequence[Shot], config: RoomConfig, device: torch.device | str) -> list[_Shown]:
    """All rooms at once, scenes outdoors one by one."""
    indoors = [number for number, shot in enumerate(shots) if shot.scene.outdoors is None]
    shown = {n: _show(shot, config, device) for n, shot in enumerate(shots) if shot.scene.outdoors is not None}
    if indoors:
        scenes, cameras = [shots[n].scene for n in indoors], [shots[n].camera for n in indoors]
        views = render_views(scenes, cameras, config.antialias, device)
        fields = (views.radiance_B3HW, views.depth_BHW, views.label_BHW, views.depth_BHW, views.normal_B3HW)
        shown |= {n: _Shown(*parts) for n, parts in zip(indoors, zip(*fields, strict=True), strict=True)}
    return [shown[number] for number in range(len(shots))]


def _develop_room(shot: Shot, shown: _Shown, config: RoomConfig) -> tuple[Tensor, ...]:
    draw = Draw(shot.seed, PHOTO_STREAM)
    settings = sample_photometrics(draw, config.photometrics, metered_gain(shown.radiance_3HW))
    image = develop(shown.radiance_3HW, settings, draw.generator, shown.t_HW, shot.camera.focal)
    matrix = shot.camera.matrix().to(shown.depth_HW.device)
    return image, shown.depth_HW, shown.label_HW, shown.normal_3HW, matrix

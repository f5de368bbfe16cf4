"""B views at once on one device, the same pictures as `rooms.render_view` gives one by one.

Shape suffixes: B scenes, P samples of a grid, H, W image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from training.data.antialiasing import BRIGHTEST, even_pixels, half_pixels_filtered
from training.data.batched.cast import camera_rays, cast_images
from training.data.batched.scenes import SceneBatch, batch_scenes
from training.data.batched.shade import shade_images
from training.data.camera import Camera
from training.data.plates import Plates, load_plates
from training.data.primitives import Scene


class Views(NamedTuple):
    """Linear radiance [B, 3, H, W], depth in metres [B, H, W], labels uint8 and numbers of the solids met int64
    [B, H, W], unit normals in the camera frame [B, 3, H, W]."""

    radiance_B3HW: Tensor
    depth_BHW: Tensor
    label_BHW: Tensor
    which_BHW: Tensor
    normal_B3HW: Tensor


def render_batch(batch: SceneBatch, plates: Plates, antialias: bool, compiled: bool = False) -> Views:
    """Cast and shade packed scenes whose grid is the cameras' own, or with `antialias` the refined one."""
    rays = camera_rays(batch)
    t, which = cast_images(batch, rays, compiled)
    grid = (len(t), batch.height, batch.width)
    width = torch.ones_like(t)
    even = None
    if antialias:
        even = even_pixels(t.view(grid), which.view(grid))
        width.view(grid)[:, 1::2, 1::2] += even.float()
    radiance, normal = shade_images(batch, plates, rays, t, which, width, 4 if antialias else 2, compiled)
    radiance, normal, t, which = radiance.view(3, *grid), normal.view(3, *grid), t.view(grid), which.view(grid)
    if even is not None:
        radiance = radiance.clamp(max=BRIGHTEST)
        centre = (..., slice(1, None, 2), slice(1, None, 2))
        radiance = torch.where(even, radiance[centre], half_pixels_filtered(radiance))
        normal, t, which = normal[centre], t[centre].contiguous(), which[centre]
    normal = torch.einsum("bij,ibhw->bjhw", batch.camera_rotation_B33, normal)
    label = torch.gather(batch.label_BN, 1, which.flatten(1)).view_as(which)
    number = torch.gather(batch.original_BN, 1, which.flatten(1)).view_as(which)
    return Views(radiance.transpose(0, 1).contiguous(), t, label, number, normal.contiguous())


def render_views(
    scenes: Sequence[Scene], cameras: Sequence[Camera], antialias: bool, device: torch.device | str,
    compiled: bool | None = None,
) -> Views:  # fmt: skip
    """Cast and shade B indoor scenes (on the CPU) with one camera each; steps are compiled on CUDA unless told.

    Raises ValueError as `batch_scenes` does.
    """
    grids = [camera.refined() for camera in cameras] if antialias else list(cameras)
    batch = batch_scenes(scenes, grids).to(device)
    compiled = torch.device(device).type == "cuda" if compiled is None else compiled
    return render_batch(batch, load_plates(str(device)), antialias, compiled)

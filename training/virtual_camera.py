"""Geometric augmentation of frames by an exact virtual camera: rotation, zoom and mirror, with consistent labels.

A camera that turns about its centre and changes its focal length sees the same points, so the picture changes by the
homography K R^T K'^-1 and depth, normals and focal length follow exactly; a shifted crop would leave the principal
point off the centre, which no photograph at the service has. The new picture may have another size: training can begin
at a reduced one.

Shapes: B batch, 3 RGB or xyz, H and W of the source, P and Q of the new image, h = P / stride and w = Q / stride of the
labels, N pixels, 2 coordinates.
Convention: pixel centres are integers, the principal point is ((W-1)/2, (H-1)/2); a label pixel (i, j) lies at image
pixel (stride * i + (stride - 1) / 2, ...), the half-pixel convention.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class VirtualCameraConfig:
    """zoom: largest factor on the focal length. pan, tilt, roll: largest angles in degrees. overhang: how far the
    corners of the new view may lie outside the picture, as a share of its half size. probability: share of images that
    are changed (the mirror is drawn apart, with probability `mirror`)."""

    probability: float = 0.75
    zoom: float = 1.5
    pan: float = 12.0
    tilt: float = 10.0
    roll: float = 15.0
    overhang: float = 0.06
    mirror: float = 0.5


class CameraFrames(NamedTuple):
    """Frames and labels seen by the virtual cameras; outside the original picture depth is 0 and label 255."""

    image_B3HW: Tensor  # of the new size
    depth_Bhw: Tensor
    label_Bhw: Tensor
    normal_B3hw: Tensor
    focal_B: Tensor


def virtual_camera(
    image_B3HW: Tensor,
    depth_BHW: Tensor,
    label_BHW: Tensor,
    normal_B3HW: Tensor,
    focal_B: Tensor,
    config: VirtualCameraConfig,
    generator: torch.Generator,
    stride: int = 2,
    size: tuple[int, int] | None = None,
) -> CameraFrames:
    """Draws one camera per frame; images bilinear at the new size, labels nearest at 1 / stride of it.

    image_B3HW: float32 [0, 1]; depth_BHW: float32 metres, 0 invalid; label_BHW: integer; normal_B3HW: float32;
    focal_B: float32 pixels of the image. size: (height, width) of the new image, the source's if None; before zoom it
    shows as much of the source as its aspect ratio allows. The new focal lengths are in pixels of the new image. Of
    every drawn rotation only as much is used as keeps the view inside the picture. Random numbers come from
    `generator`, on the CPU. Raises ValueError for a size that the stride does not divide.
    """
    batch, _, height, width = image_B3HW.shape
    device = image_B3HW.device
    new = size or (height, width)
    if size is not None and (size[0] % stride or size[1] % stride or min(size) < stride):
        raise ValueError(f"size: expected positive multiples of the stride {stride}, found {size}")
    scale = max(new[0] / height, new[1] / width)

    def draw(*shape: int, low: float = -1.0) -> Tensor:
        return low + (1 - low) * torch.rand(batch, *shape, generator=generator)

    applied = (torch.rand(batch, generator=generator) < config.probability).float()
    zoom_B = 1 + (config.zoom - 1) * draw(low=0.0) * applied
    angles_B3 = draw(3) * torch.tensor([config.tilt, config.pan, config.roll]) * (math.pi / 180) * applied[:, None]
    mirror_B = torch.rand(batch, generator=generator) < config.mirror
    focal = focal_B.detach().cpu().float()
    reach = (1 + config.overhang) * torch.tensor([(width - 1) / 2, (height - 1) / 2]) + 0.5
    angles_B3 = angles_B3 * _share_inside(angles_B3, zoom_B * scale, focal, new, reach)[:, None]
    rotation_B33 = rotation_from_angles(angles_B3).to(device)
    mirror_B, focal_new_B = mirror_B.to(device), focal_B * zoom_B.to(device) * scale

    rays_BN3 = _rays(*new, 1, focal_new_B, mirror_B)
    x_BN, y_BN = _project(rays_BN3 @ rotation_B33, focal_B, height, width)
    grid_BN2 = torch.stack(((2 * x_BN + 1) / width - 1, (2 * y_BN + 1) / height - 1), dim=-1)
    source_B3HW = image_B3HW
    if scale <= 0.5:
        # Bilinear samples further than two pixels apart would skip some: average to about the new size first.
        source_B3HW = F.interpolate(image_B3HW, size=(int(height * scale), int(width * scale)), mode="area")
    image = F.grid_sample(source_B3HW, grid_BN2.view(batch, *new, 2), padding_mode="border", align_corners=False)

    h, w = new[0] // stride, new[1] // stride
    rays_BN3 = _rays(*new, stride, focal_new_B, mirror_B)
    turned_BN3 = rays_BN3 @ rotation_B33
    x_BN, y_BN = _project(turned_BN3, focal_B, height, width)
    # Labels of an unchanged camera lie between pixels; half a pixel of jitter keeps rounding from favouring one side.
    jitter = (torch.rand(2, batch, 1, generator=generator) - 0.5).to(device)
    column_BN, row_BN = (x_BN + jitter[0]).round().long(), (y_BN + jitter[1]).round().long()
    slack = 1  # rounding may step one pixel over the border
    inside_BN = (column_BN >= -slack) & (column_BN < width + slack) & (row_BN >= -slack) & (row_BN < height + slack)
    index_BN = row_BN.clamp(0, height - 1) * width + column_BN.clamp(0, width - 1)

    depth_BN = depth_BHW.flatten(1).gather(1, index_BN)
    # A point of depth z in the source lies at z times this factor along the new axis.
    factor_BN = rays_BN3[..., 2] / turned_BN3[..., 2]
    depth_BN = torch.where(inside_BN, depth_BN * factor_BN, torch.zeros_like(depth_BN))
    label_BN = label_BHW.flatten(1).gather(1, index_BN)
    label_BN = torch.where(inside_BN, label_BN, torch.full_like(label_BN, 255))
    normal_B3N = normal_B3HW.flatten(2).gather(2, index_BN[:, None].expand(-1, 3, -1))
    normal_B3N = rotation_B33 @ normal_B3N * inside_BN[:, None]
    sign_B3 = torch.ones(batch, 3, device=device)
    sign_B3[:, 0] = torch.where(mirror_B, -1.0, 1.0)
    return CameraFrames(
        image_B3HW=image,
        depth_Bhw=depth_BN.view(batch, h, w),
        label_Bhw=label_BN.view(batch, h, w),
        normal_B3hw=(normal_B3N * sign_B3[..., None]).view(batch, 3, h, w),
        focal_B=focal_new_B,
    )


def rotation_from_angles(angles_B3: Tensor) -> Tensor:
    """Rotation matrices Rz(roll) Ry(pan) Rx(tilt) from (tilt, pan, roll) in radians; source frame to new frame."""
    (cx, cy, cz), (sx, sy, sz) = angles_B3.cos().unbind(-1), angles_B3.sin().unbind(-1)
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _rays(height: int, width: int, stride: int, focal_B: Tensor, mirror_B: Tensor) -> Tensor:
    """Rays (x, y, 1) [B,N,3] of the label pixels of the new camera, mirrored back where the picture is mirrored."""
    device = focal_B.device
    offset = (stride - 1) / 2
    columns = torch.arange(width // stride, device=device) * stride + offset - (width - 1) / 2
    rows = torch.arange(height // stride, device=device) * stride + offset - (height - 1) / 2
    y_N, x_N = (grid.reshape(-1) for grid in torch.meshgrid(rows.float(), columns.float(), indexing="ij"))
    sign_B = torch.where(mirror_B, -1.0, 1.0)
    x_BN = x_N * (sign_B / focal_B)[:, None]
    y_BN = y_N / focal_B[:, None]
    return torch.stack((x_BN, y_BN, torch.ones_like(x_BN)), dim=-1)


def _project(rays_BN3: Tensor, focal_B: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    scale_BN = focal_B[:, None] / rays_BN3[..., 2].clamp(min=1e-3)
    return rays_BN3[..., 0] * scale_BN + (width - 1) / 2, rays_BN3[..., 1] * scale_BN + (height - 1) / 2


def _share_inside(angles_B3: Tensor, zoom_B: Tensor, focal_B: Tensor, size: tuple[int, int], reach_2: Tensor) -> Tensor:
    """The largest of 9 shares of the rotation at which all four corners of the view lie within `reach_2` (x, y)."""
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    half = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2])
    rays_B43 = F.pad(corners * half, (0, 1), value=1.0).expand(len(zoom_B), 4, 3).clone()
    rays_B43[..., :2] /= (focal_B * zoom_B)[:, None, None]
    share_B = torch.zeros_like(zoom_B)
    for share in torch.linspace(0.125, 1, 8):
        turned = rays_B43 @ rotation_from_angles(angles_B3 * share)
        xy = turned[..., :2] / turned[..., 2:].clamp(min=1e-3) * focal_B[:, None, None]
        inside_B = (xy.abs() <= reach_2).all(dim=-1).all(dim=-1)
        share_B = torch.where(inside_B, share, share_B)
    return share_B

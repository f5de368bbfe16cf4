"""Pinhole cameras, and the same with a simple lens distortion.

Convention: camera frame x right, y down, z forward; pixel centres are integers; the ray of pixel (x, y) is
((x - cx) / f, (y - cy) / f, 1), so a ray parameter is a depth z in metres. `rotation` maps camera to world.
With a distortion k the first two coordinates of that ray are multiplied by 1 + k r^2, r their length: k > 0 is a
barrel, k < 0 a pincushion. Labels follow exactly, because they are cast along the same rays.

Shape suffixes: H, W image size; N boxes; 3 coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from training.data.primitives import Vector


@dataclass(frozen=True, kw_only=True)
class Camera:
    """One camera: world-from-camera rotation (float32 [3, 3], CPU), position in metres, intrinsics in pixels.

    Raises ValueError for a distortion that folds the picture within the frame.
    """

    rotation: Tensor
    position: Vector
    focal: float
    height: int
    width: int
    cx: float
    cy: float
    distortion: float = 0.0

    def __post_init__(self) -> None:
        if 1 + 3 * self.distortion * self._corner() ** 2 <= 0:
            raise ValueError(f"distortion: expected more than {-1 / 3 / self._corner() ** 2}, found {self.distortion}")

    @classmethod
    def centred(cls, rotation: Tensor, position: Vector, focal: float, height: int, width: int) -> Camera:
        """A camera whose principal point is the middle of the frame."""
        return cls(
            rotation=rotation, position=position, focal=focal, height=height, width=width,
            cx=(width - 1) / 2, cy=(height - 1) / 2,
        )  # fmt: skip

    def rays(self, device: torch.device | str = "cpu") -> Tensor:
        """World directions of all pixels, float32 [3, H, W], with camera z = 1."""
        x = (torch.arange(self.width, dtype=torch.float32, device=device) - self.cx) / self.focal
        y = (torch.arange(self.height, dtype=torch.float32, device=device) - self.cy) / self.focal
        r = self.rotation.to(device)[:, :, None, None]
        if self.distortion == 0:
            return r[:, 0] * x[None, None, :] + r[:, 1] * y[None, :, None] + r[:, 2]
        scale = 1 + self.distortion * (x[None, :] ** 2 + y[:, None] ** 2)
        return r[:, 0] * (x * scale) + r[:, 1] * (y[:, None] * scale) + r[:, 2]

    def bounds(self, low_N2: Tensor, high_N2: Tensor) -> tuple[Tensor, Tensor]:
        """Pixel boxes (x, y) that hold whatever a pinhole shows within the boxes low to high, float32 [N, 2] each."""
        if self.distortion == 0:
            return low_N2, high_N2
        centre = torch.tensor([self.cx, self.cy])
        low, high = low_N2 - centre, high_N2 - centre
        # Between the middle and the corner a point keeps this share of its distance from the middle, or all of it.
        share = 1 / (1 + self.distortion * self._corner() ** 2)
        return torch.minimum(low, low * share) + centre, torch.maximum(high, high * share) + centre

    def _corner(self) -> float:
        """The largest length of (x, y) over all pixels' rays before distortion."""
        across, down = max(self.cx, self.width - 1 - self.cx), max(self.cy, self.height - 1 - self.cy)
        return math.hypot(across, down) / self.focal

    def matrix(self) -> Tensor:
        """Intrinsics K, float32 [3, 3]."""
        return torch.tensor([[self.focal, 0.0, self.cx], [0.0, self.focal, self.cy], [0.0, 0.0, 1.0]])

    def refined(self) -> Camera:
        """The same view on a grid of half pixels: fine pixel 2 x + 1 is pixel x, with one more row around it."""
        return replace(
            self, focal=2 * self.focal, height=2 * self.height + 1, width=2 * self.width + 1,
            cx=2 * self.cx + 1, cy=2 * self.cy + 1,
        )  # fmt: skip

    def extended(self, height: int, width: int, x0: int, y0: int) -> Camera:
        """The same camera with another frame: new pixel = old pixel + (x0, y0)."""
        return replace(self, height=height, width=width, cx=self.cx + x0, cy=self.cy + y0)


def look(yaw: float, pitch: float, roll: float) -> Tensor:
    """World-from-camera rotation: yaw 0 looks along world z, positive pitch looks up, positive roll turns clockwise."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    about_y = torch.tensor([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]], dtype=torch.float64)
    about_x = torch.tensor([[1.0, 0.0, 0.0], [0.0, cp, -sp], [0.0, sp, cp]], dtype=torch.float64)
    about_z = torch.tensor([[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return (about_y @ about_x @ about_z).float()

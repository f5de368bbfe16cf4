"""From linear radiance to what a camera stores: exposure, white balance, vignetting, tone curve, blur, noise.

Shape suffixes: H, W image size; 3 colour channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.draw import Draw


@dataclass(frozen=True, kw_only=True)
class PhotometricConfig:
    """How strongly pictures vary; 0 everywhere gives the plain exposed picture."""

    exposure_ev: float = 0.5
    white_balance: float = 0.12
    vignetting: float = 0.35
    gamma: float = 0.15
    blur: float = 0.6
    noise: float = 0.03


@dataclass(frozen=True, kw_only=True)
class Photometrics:
    """One camera's settings. `gain` is the linear factor per channel; blur in pixels; noise at mid grey, in [0, 1]."""

    gain: tuple[float, float, float]
    vignetting: float
    gamma: float
    contrast: float
    saturation: float
    blur: float
    noise: float


CLEAN = PhotometricConfig(exposure_ev=0.0, white_balance=0.0, vignetting=0.0, gamma=0.0, blur=0.0, noise=0.0)


def metered_gain(radiance_3HW: Tensor) -> float:
    """The exposure that puts the picture's typical brightness at mid grey."""
    grey = radiance_3HW.mean(0).clamp(min=1e-4)
    return 0.2 / float(grey.log().mean().exp() * 0.6 + grey.mean().clamp(max=3.0) * 0.4)


def sample_photometrics(draw: Draw, config: PhotometricConfig, metered: float, ev: float = 0.0) -> Photometrics:
    """Settings around a metered exposure; `ev` is added to the drawn exposure error."""
    exposure = metered * 2.0 ** (config.exposure_ev * draw.normal(0.0, 0.7) + ev)
    warmth, tint = draw.normal(0, config.white_balance / 2), draw.normal(0, config.white_balance / 4)
    return Photometrics(
        gain=(exposure * (1 + warmth), exposure * (1 + tint), exposure * (1 - warmth)),
        vignetting=config.vignetting * draw.uniform() ** 2,
        gamma=1.0 + config.gamma * draw.normal(0, 0.5),
        contrast=1.0 + config.gamma * draw.normal(0, 0.6),
        saturation=1.0 + config.gamma * draw.normal(0, 1.0),
        blur=config.blur * draw.uniform(),
        noise=config.noise * draw.uniform() ** 2,
    )


def _blur(image_3HW: Tensor, sigma: float) -> Tensor:
    taps = torch.arange(-2, 3, dtype=torch.float32, device=image_3HW.device)
    kernel = torch.exp(-0.5 * (taps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(image_3HW[:, None], (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))[:, 0]


def develop(radiance_3HW: Tensor, settings: Photometrics, noise: torch.Generator | None = None) -> Tensor:
    """Expose linear radiance into sRGB float32 [3, H, W] in [0, 1]; no noise and no vignetting without a generator.

    The vignette is centred on the frame. Highlights roll off smoothly above 0.8 of white.
    """
    device = radiance_3HW.device
    linear = radiance_3HW * torch.tensor(settings.gain, device=device)[:, None, None]
    if noise is not None and settings.vignetting > 0:
        height, width = linear.shape[1:]
        y = torch.linspace(-1, 1, height, device=device)[:, None]
        x = torch.linspace(-1, 1, width, device=device)[None, :]
        linear = linear * (1 - settings.vignetting * 0.5 * (x * x + y * y))
    rolled = 0.8 + 0.2 * (1 - torch.exp(-(linear - 0.8).clamp(min=0) / 0.2))
    linear = torch.where(linear > 0.8, rolled, linear).clamp(min=0)
    image = torch.where(linear < 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=1e-6) ** (1 / 2.4) - 0.055)
    image = image.clamp(1e-4, 1) ** settings.gamma
    image = 0.5 + (image - 0.5) * settings.contrast
    grey = image.mean(0, keepdim=True)
    image = grey + (image - grey) * settings.saturation
    if settings.blur > 0.25:
        image = _blur(image, settings.blur)
    if noise is not None and settings.noise > 0:
        grain = torch.randn(image.shape, generator=noise).to(device)
        image = image + grain * settings.noise * (0.4 + 0.6 * image.clamp(0, 1).sqrt())
    return image.clamp(0, 1)

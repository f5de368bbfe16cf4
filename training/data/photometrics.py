"""From linear radiance to the picture file a camera leaves: optics, exposure, sensor, tone, sharpening, compression.

Order: exposure and white balance, defocus, hand shake, vignetting, flare, sensor noise, clipping, sRGB curve, tone,
saturation, softness, sharpening, JPEG. Every effect changes colour alone; depth, labels and normals stay exact.

Shape suffixes: H, W image size; 3 colour channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.draw import Draw
from training.data.jpeg import jpeg_artefacts
from training.data.lens import Path, defocused, gaussian_blur, sample_shake, shaken, vignetted

_TYPICAL_GAIN = 0.8
_NOISE_FLOOR = 0.15
_SOFT_KNEE = 0.8


@dataclass(frozen=True, kw_only=True)
class PhotometricConfig:
    """How strongly pictures vary; every value is switched off by 0.

    exposure_ev: error of the exposure meter in stops. clipping: share of cameras whose highlights clip hard, after a
    brighter exposure. white_balance: everyday error of the channel gains. cast: share of pictures under uncorrected
    tungsten, shade or fluorescent light. vignetting: largest loss in the corners. gamma: spread of gamma, contrast and
    saturation. tone_curve: spread of the S-curve. haze: largest flare, as a share of white. blur: largest softness
    (demosaicing, weak lenses) in pixels. aperture: largest diameter of the lens in metres, for defocus. shake: largest
    path of the hand during exposure, as a share of the width. noise: largest deviation at mid grey in [0, 1]; dark
    pictures have more. sharpening: largest gain of the edges. jpeg: share of pictures compressed at quality 30 to 95.
    """

    exposure_ev: float = 0.6
    clipping: float = 0.4
    white_balance: float = 0.12
    cast: float = 0.25
    vignetting: float = 0.35
    gamma: float = 0.15
    tone_curve: float = 0.35
    haze: float = 0.05
    blur: float = 0.7
    aperture: float = 0.012
    shake: float = 0.02
    noise: float = 0.03
    sharpening: float = 1.0
    jpeg: float = 0.7


@dataclass(frozen=True, kw_only=True)
class Photometrics:
    """One camera's settings.

    gain: linear factor per channel. knee: where highlights begin to roll off, 1 for a hard clip. tone: share of an
    S-curve, negative for a flat picture. blur in pixels; noise at mid grey, in [0, 1]. aperture in metres, focused at
    the quantile `focus` of the depths; shake: path in pixels at a width of 1. quality: of the JPEG file, 0 for none.
    """

    gain: tuple[float, float, float]
    vignetting: float = 0.0
    gamma: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    knee: float = _SOFT_KNEE
    tone: float = 0.0
    haze: float = 0.0
    aperture: float = 0.0
    focus: float = 0.5
    shake: Path = ()
    sharpening: float = 0.0
    quality: float = 0.0


CLEAN = PhotometricConfig(
    exposure_ev=0.0, clipping=0.0, white_balance=0.0, cast=0.0, vignetting=0.0, gamma=0.0, tone_curve=0.0, haze=0.0,
    blur=0.0, aperture=0.0, shake=0.0, noise=0.0, sharpening=0.0, jpeg=0.0,
)  # fmt: skip
"""The plain exposed picture."""

STEADY = PhotometricConfig(
    exposure_ev=0.5, clipping=0.0, cast=0.0, tone_curve=0.0, haze=0.0, blur=0.6, aperture=0.0, shake=0.0, noise=0.03,
    sharpening=0.0, jpeg=0.0,
)  # fmt: skip
"""A careful photographer: exposure, colour, vignetting, softness and noise vary, nothing else."""


def metered_gain(radiance_3HW: Tensor) -> float:
    """The exposure that puts the picture's typical brightness at mid grey."""
    grey = radiance_3HW.mean(0).clamp(min=1e-4)
    return 0.2 / float(grey.log().mean().exp() * 0.6 + grey.mean().clamp(max=3.0) * 0.4)


def _sample_cast(draw: Draw, share: float) -> tuple[float, float, float]:
    """Logarithmic gains of red, green, blue under light that white balance missed; mostly none."""
    kind = draw.weighted((("tungsten", 0.55), ("shade", 0.2), ("fluorescent", 0.25)))
    strength, present = draw.uniform(0.2, 1.0), draw.chance(share)
    if not present:
        return 0.0, 0.0, 0.0
    if kind == "tungsten":
        return 0.28 * strength, 0.02 * strength, -0.6 * strength
    if kind == "shade":
        return -0.22 * strength, 0.0, 0.25 * strength
    return -0.08 * strength, 0.14 * strength, -0.12 * strength


def sample_photometrics(draw: Draw, config: PhotometricConfig, metered: float, ev: float = 0.0) -> Photometrics:
    """Settings around a metered exposure; `ev` is added to the drawn exposure error.

    The number of draws does not depend on the configuration, so one effect can change without the others.
    """
    hard = draw.chance(config.clipping)
    brighter = draw.uniform(0.0, 0.5)
    exposure = metered * 2.0 ** (config.exposure_ev * draw.normal(0.0, 0.7) + ev + (brighter if hard else 0.0))
    warmth, tint = draw.normal(0, config.white_balance / 2), draw.normal(0, config.white_balance / 4)
    red, green, blue = (math.exp(value) for value in _sample_cast(draw, config.cast))
    darkness = math.sqrt(min(4.0, max(0.25, metered / _TYPICAL_GAIN)))
    shake_share, opening, haze = draw.uniform(), draw.uniform(), draw.uniform()
    path = sample_shake(draw, config.shake * shake_share**2)
    quality, compressed = 30 + 65 * draw.uniform() ** 0.6, draw.chance(config.jpeg)
    return Photometrics(
        gain=(exposure * (1 + warmth) * red, exposure * (1 + tint) * green, exposure * (1 - warmth) * blue),
        vignetting=config.vignetting * draw.uniform() ** 2,
        gamma=1.0 + config.gamma * draw.normal(0, 0.5),
        contrast=1.0 + config.gamma * draw.normal(0, 0.6),
        saturation=1.0 + config.gamma * draw.normal(0, 1.0),
        blur=config.blur * draw.uniform(),
        noise=config.noise * draw.uniform() ** 3 * darkness,
        knee=1.0 if hard else _SOFT_KNEE,
        tone=config.tone_curve * draw.normal(0.2, 0.7),
        haze=config.haze * max(0.0, 1.6 * haze - 0.6) ** 2,
        aperture=config.aperture * opening**4,
        focus=draw.uniform(0.1, 0.9),
        shake=path if config.shake > 0 else (),
        sharpening=config.sharpening * draw.uniform() ** 1.5,
        quality=quality if compressed else 0.0,
    )


def _with_noise(linear_3HW: Tensor, settings: Photometrics, generator: torch.Generator) -> Tensor:
    """Shot and read noise in linear light, partly grey and partly in coarser patches of colour.

    The deviation grows with the square root of the light; channels that white balance lifts have more.
    """
    height, width = linear_3HW.shape[1:]
    device = linear_3HW.device
    grain = torch.randn((1, height, width), generator=generator)
    patches = torch.randn((1, 3, height // 2 + 1, width // 2 + 1), generator=generator)
    patches = F.interpolate(patches, scale_factor=2, mode="bilinear", align_corners=False)[0, :, :height, :width]
    lift = torch.tensor(settings.gain, device=device)
    lift = (lift / lift.mean().clamp(min=1e-9)).sqrt()[:, None, None]
    # At mid grey, 0.2 of white, the sRGB curve has a slope of 1.1, so that `noise` is the deviation after it.
    deviation = settings.noise / 1.1 * ((linear_3HW.clamp(min=0) / 0.2).sqrt() + _NOISE_FLOOR) / (1 + _NOISE_FLOOR)
    return linear_3HW + (0.8 * grain + 0.7 * patches).to(device) * deviation * lift


def _tone_mapped(linear_3HW: Tensor, settings: Photometrics) -> Tensor:
    """Linear light to sRGB values with this camera's highlights, gamma, contrast, curve and saturation."""
    linear = linear_3HW
    if settings.knee < 1:
        room = 1 - settings.knee
        rolled = settings.knee + room * (1 - torch.exp(-(linear - settings.knee).clamp(min=0) / room))
        linear = torch.where(linear > settings.knee, rolled, linear)
    linear = linear.clamp(0, 1)
    image = linear.clamp(min=0.0031308).pow_(1 / 2.4).mul_(1.055).sub_(0.055)
    image = torch.where(linear < 0.0031308, linear * 12.92, image)
    if settings.gamma != 1:
        image = image.clamp_(min=1e-4).pow_(settings.gamma)
    if settings.contrast != 1:
        image = image.mul_(settings.contrast).add_(0.5 - 0.5 * settings.contrast)
    if settings.tone != 0:
        image = image.clamp(0, 1)
        image = image + settings.tone * image * (1 - image) * (2 * image - 1)
    if settings.saturation != 1:
        image = torch.lerp(image.mean(0, keepdim=True), image, settings.saturation)
    return image


def develop(
    radiance_3HW: Tensor,
    settings: Photometrics,
    noise: torch.Generator | None = None,
    depth_HW: Tensor | None = None,
    focal: float | None = None,
) -> Tensor:
    """Expose linear radiance into sRGB float32 [3, H, W] in [0, 1].

    Without a generator the picture has no noise, vignetting, defocus, shake and compression: only what is the same for
    any frame around the same scene. Defocus needs the depth in metres and the focal length in pixels. The vignette is
    centred on the frame; soft highlights roll off smoothly above 0.8 of white.
    """
    linear = radiance_3HW * torch.tensor(settings.gain, device=radiance_3HW.device)[:, None, None]
    if noise is not None:
        if settings.aperture > 0 and depth_HW is not None and focal is not None:
            distance = float(depth_HW[::8, ::8].flatten().quantile(settings.focus))
            linear = defocused(linear.clamp(max=8.0), depth_HW, settings.aperture * focal, distance)
        width = linear.shape[2]
        if settings.shake and _reach(settings.shake) * width > 0.25:
            linear = shaken(linear.clamp(max=8.0), tuple((x * width, y * width) for x, y in settings.shake))
        if settings.vignetting > 0:
            linear = vignetted(linear, settings.vignetting)
    if settings.haze > 0:
        linear = linear * (1 - settings.haze) + settings.haze
    if noise is not None and settings.noise > 0:
        linear = _with_noise(linear, settings, noise)
    image = _tone_mapped(linear, settings)
    if settings.blur > 0.25:
        image = gaussian_blur(image, settings.blur)
    if settings.sharpening > 0:
        image = torch.lerp(gaussian_blur(image, 1.0), image, 1 + settings.sharpening)
    image = image.clamp_(0, 1)
    if noise is not None and settings.quality > 0:
        image = jpeg_artefacts(image[None], torch.tensor([settings.quality]))[0]
    return image


def _reach(path: Path) -> float:
    """The largest coordinate of a path."""
    return max(max(abs(x), abs(y)) for x, y in path)

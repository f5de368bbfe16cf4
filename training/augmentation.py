"""Appearance augmentation of image batches: every image gets its own light, colour, sharpness, noise and compression.

Shapes: B batch, 3 RGB, H height, W width, P pixels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.jpeg import jpeg_artefacts

_WAVES = 4


@dataclass(frozen=True, kw_only=True)
class PhotometricConfig:
    """Largest strength of each change; every image draws uniformly between none and that, in both directions.

    exposure: stops. gamma: exponent exp(+-gamma). contrast, saturation: factor 1 +- value. channel: gain exp(+-value)
    per channel (white balance). shift: offset per channel. hue: turn in degrees. grey: share of images without colour.
    shading: logarithm of a smooth field of light. blur, sharpen: largest share of a 5x5 binomial blur added or taken
    away. noise: largest standard deviation. jpeg: share of images compressed, at quality 25 to 90. probability: share
    of images that are changed at all.
    """

    probability: float = 0.8
    exposure: float = 0.4
    gamma: float = 0.25
    contrast: float = 0.25
    saturation: float = 0.4
    channel: float = 0.12
    shift: float = 0.03
    hue: float = 0.0
    grey: float = 0.0
    shading: float = 0.0
    blur: float = 1.0
    sharpen: float = 0.0
    noise: float = 0.03
    jpeg: float = 0.0


STRONG = PhotometricConfig(
    probability=0.85, exposure=0.7, gamma=0.35, contrast=0.35, saturation=0.6, channel=0.12, shift=0.03, hue=8.0,
    grey=0.07, shading=0.4, blur=1.0, sharpen=0.7, noise=0.035, jpeg=0.25,
)  # fmt: skip
"""For networks that see only generated pictures and must work on photographs."""


def photometric(image_B3HW: Tensor, config: PhotometricConfig, generator: torch.Generator) -> Tensor:
    """A new batch with random appearance; the geometry is untouched.

    image_B3HW: float32 in [0, 1]. Answers float32 in [0, 1] of the same shape. Random numbers come from `generator`,
    which must live on the CPU, so that the draw is the same on every device.
    """
    batch, device = image_B3HW.shape[0], image_B3HW.device

    def draw(*shape: int, low: float = -1.0) -> Tensor:
        return low + (1 - low) * torch.rand(batch, *shape, generator=generator)

    applied = (torch.rand(batch, 1, 1, 1, generator=generator) < config.probability).float()
    gamma = torch.exp(config.gamma * draw(1, 1, 1) * applied)
    gain = torch.exp2(config.exposure * draw(1, 1, 1) * applied / 2.2)
    gain = gain * torch.exp(config.channel * draw(3, 1, 1) * applied)
    shift = config.shift * draw(3, 1, 1) * applied
    contrast = 1 + config.contrast * draw(1, 1, 1) * applied
    saturation = 1 + config.saturation * draw(1, 1, 1) * applied
    saturation = saturation * (1 - (draw(1, 1, 1, low=0.0) < config.grey).float() * applied)
    hue = config.hue * (torch.pi / 180) * draw(1, 1, 1) * applied
    blur = config.blur * draw(1, 1, 1, low=0.0).pow(3) * applied
    sharpen = config.sharpen * draw(1, 1, 1, low=0.0).square() * applied
    blur = torch.where(draw(1, 1, 1) < 0, blur, -sharpen) if config.sharpen > 0 else blur
    noise = config.noise * draw(1, 1, 1, low=0.0).square() * applied
    shading = config.shading * draw(1, 1, low=0.0) * applied[..., 0] * _smooth_spectrum(batch, generator)
    compressed = ((draw(low=0.0) < config.jpeg) & (applied.flatten() > 0)).nonzero()[:, 0]
    quality = 25 + 65 * draw(low=0.0)
    noise_seed = int(torch.randint(2**62, (), generator=generator))

    image = image_B3HW.clamp(min=1e-4).pow_(gamma.to(device))
    if config.shading > 0:
        image = image.mul_(torch.exp(_smooth_field(shading.to(device), *image.shape[-2:])))
    level = image.mean(dim=(1, 2, 3)).view(batch, 1, 1, 1)
    # One affine map per image: hue and saturation about grey, contrast about the mean level, then gain and shift.
    colour_B33 = _colour_matrix(saturation.flatten(), hue.flatten()) * (contrast * gain).view(batch, 3, 1)
    offset_B31 = (gain * (1 - contrast)).to(device) * level + shift.to(device)
    image = torch.baddbmm(offset_B31.view(batch, 3, 1), colour_B33.to(device), image.flatten(2)).view_as(image)
    if config.blur > 0 or config.sharpen > 0:
        image = torch.lerp(image, _binomial_blur(image), blur.to(device))
    if config.noise > 0:
        noise_generator = torch.Generator(device=device).manual_seed(noise_seed)
        grain = torch.randn(image.shape, generator=noise_generator, device=device)
        image = torch.addcmul(image, grain, noise.to(device))
    image = image.clamp_(0, 1)
    if len(compressed):
        chosen = compressed.to(device)
        image[chosen] = jpeg_artefacts(image[chosen], quality[compressed].to(device))
    return image


def _colour_matrix(saturation_B: Tensor, hue_B: Tensor) -> Tensor:
    """Matrices [B, 3, 3] that keep grey, scale the distance from it and turn about it by `hue` in radians."""
    grey_33 = torch.full((3, 3), 1 / 3)
    side_33 = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / 3**0.5
    cosine, sine = ((saturation_B * part)[:, None, None] for part in (hue_B.cos(), hue_B.sin()))
    return grey_33 + cosine * (torch.eye(3) - grey_33) + sine * side_33


def _smooth_spectrum(batch: int, generator: torch.Generator) -> Tensor:
    """Random weights of the lowest cosine waves, float32 [B, down, across], lower ones larger, none for the mean."""
    number = torch.arange(_WAVES)
    scale = 0.7 / (number[:, None] + number[None, :]).clamp(min=1)
    scale[0, 0] = 0
    return torch.randn(batch, _WAVES, _WAVES, generator=generator) * scale


def _smooth_field(spectrum_B: Tensor, height: int, width: int) -> Tensor:
    """Sums of cosine waves over the image, float32 [B, 1, H, W]."""
    number = torch.arange(_WAVES, device=spectrum_B.device)
    rows, columns = (
        torch.cos(torch.pi * (torch.arange(size, device=number.device) + 0.5)[:, None] / size * number)
        for size in (height, width)
    )
    return (rows @ spectrum_B @ columns.T)[:, None]


def _binomial_blur(image_B3HW: Tensor) -> Tensor:
    """The 5x5 binomial filter, as repeated sums of neighbours: on a CPU much faster than pooling."""
    blurred = F.pad(image_B3HW, (2, 2, 2, 2), mode="replicate")
    for _ in range(4):
        blurred = blurred[..., :-1] + blurred[..., 1:]
    for _ in range(4):
        blurred = blurred[..., :-1, :] + blurred[..., 1:, :]
    return blurred / 256

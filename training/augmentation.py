"""Appearance augmentation of image batches: every image gets its own exposure, colour, sharpness and noise.

Shapes: B batch, 3 RGB, H height, W width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PhotometricConfig:
    """Largest strength of each change; every image draws uniformly between none and that, in both directions.

    exposure: stops. gamma: exponent exp(+-gamma). contrast, saturation: factor 1 +- value. channel: gain exp(+-value)
    per channel (white balance). shift: offset per channel. blur: largest share of a 5x5 binomial blur. noise:
    largest standard deviation. probability: share of images that are changed at all.
    """

    probability: float = 0.8
    exposure: float = 0.4
    gamma: float = 0.25
    contrast: float = 0.25
    saturation: float = 0.4
    channel: float = 0.12
    shift: float = 0.03
    blur: float = 1.0
    noise: float = 0.03


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
    blur = config.blur * draw(1, 1, 1, low=0.0).pow(3) * applied
    noise = config.noise * draw(1, 1, 1, low=0.0).square() * applied
    noise_seed = int(torch.randint(2**62, (), generator=generator))

    image = image_B3HW.clamp(min=1e-4).pow(gamma.to(device))
    grey = image.mean(dim=1, keepdim=True)
    level = grey.mean(dim=(2, 3), keepdim=True)
    # One affine map per image: saturation towards grey, contrast about the mean level, then gain and shift.
    colour = (contrast * saturation).to(device)
    image = image * (colour * gain.to(device))
    grey_weight = (contrast * (1 - saturation) * gain).to(device)
    offset = (1 - contrast).to(device) * level * gain.to(device) + shift.to(device)
    image = torch.addcmul(image, grey, grey_weight).add_(offset)
    if config.blur > 0:
        image = torch.lerp(image, _binomial_blur(image), blur.to(device))
    if config.noise > 0:
        noise_generator = torch.Generator(device=device).manual_seed(noise_seed)
        grain = torch.randn(image.shape, generator=noise_generator, device=device)
        image = torch.addcmul(image, grain, noise.to(device))
    return image.clamp_(0, 1)


def _binomial_blur(image_B3HW: Tensor) -> Tensor:
    """The 5x5 binomial filter, as repeated sums of neighbours: on a CPU much faster than pooling."""
    blurred = F.pad(image_B3HW, (2, 2, 2, 2), mode="replicate")
    for _ in range(4):
        blurred = blurred[..., :-1] + blurred[..., 1:]
    for _ in range(4):
        blurred = blurred[..., :-1, :] + blurred[..., 1:, :]
    return blurred / 256

"""Photometrics: every effect can be absent, keeps its promise when present, and never moves anything."""

import io
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from training.data.draw import Draw
from training.data.jpeg import jpeg_artefacts, tables
from training.data.lens import defocused, gaussian_blur, sample_shake, shaken, vignetted
from training.data.photometrics import (
    CLEAN,
    PhotometricConfig,
    Photometrics,
    develop,
    metered_gain,
    sample_photometrics,
)

PLAIN = Photometrics(gain=(1.0, 1.0, 1.0))
STRONG: dict[str, Any] = {
    "vignetting": 0.5, "gamma": 1.3, "contrast": 1.3, "saturation": 0.4, "blur": 1.0, "noise": 0.05, "knee": 1.0,
    "tone": 0.8, "haze": 0.1, "aperture": 0.05, "shake": ((-0.05, 0.0), (0.05, 0.02)), "sharpening": 1.0,
    "quality": 30.0,
}  # fmt: skip


def radiance(height: int = 40, width: int = 56) -> torch.Tensor:
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0] * 1.2


def developed(settings: Photometrics, image: torch.Tensor | None = None) -> torch.Tensor:
    image = radiance() if image is None else image
    depth = torch.linspace(0.5, 4.0, image.shape[2]).expand(image.shape[1:])
    return develop(image, settings, torch.Generator().manual_seed(3), depth, 50.0)


def test_clean_settings_are_the_plain_picture_with_every_effect_absent():
    settings = sample_photometrics(Draw(5), CLEAN, 0.7)
    assert settings == replace(PLAIN, gain=(0.7, 0.7, 0.7), focus=settings.focus)
    image = radiance()
    linear = image[:, image.amax(0) < 0.79]
    expected = torch.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=1e-9) ** (1 / 2.4) - 0.055)
    torch.testing.assert_close(develop(image, PLAIN)[:, image.amax(0) < 0.79], expected)
    assert torch.equal(developed(PLAIN), develop(image, PLAIN))


@pytest.mark.parametrize("name", STRONG)
def test_each_setting_alone_changes_the_picture_and_stays_in_range(name):
    changed = developed(replace(PLAIN, **{name: STRONG[name]}))
    assert changed.shape == (3, 40, 56)
    assert torch.isfinite(changed).all()
    assert 0 <= changed.min() <= changed.max() <= 1
    assert (changed - developed(PLAIN)).abs().max() > 0.01


def test_without_a_generator_the_picture_does_not_depend_on_its_frame():
    settings = Photometrics(gain=(1.0, 0.9, 1.2), **{**STRONG, "blur": 0.5})
    whole, part = develop(radiance(), settings), develop(radiance()[:, 8:32, 8:48], settings)
    torch.testing.assert_close(whole[:, 14:26, 14:42], part[:, 6:18, 6:34])


def test_a_configuration_switches_single_effects_and_leaves_the_other_draws():
    full = sample_photometrics(Draw(8), PhotometricConfig(), 1.0)
    for entry in fields(PhotometricConfig):
        less = sample_photometrics(Draw(8), PhotometricConfig(**{entry.name: 0.0}), 1.0)
        changed = {e.name for e in fields(Photometrics) if getattr(less, e.name) != getattr(full, e.name)}
        assert len(changed) <= (3 if entry.name == "gamma" else 2), (entry.name, changed)


def test_settings_follow_the_seed_and_vary_within_bounds():
    assert sample_photometrics(Draw(2), PhotometricConfig(), 1.0) == sample_photometrics(
        Draw(2), PhotometricConfig(), 1.0
    )
    draws = [sample_photometrics(Draw(seed), PhotometricConfig(), 1.0) for seed in range(400)]
    quality = torch.tensor([s.quality for s in draws])
    assert 0.6 < (quality > 0).float().mean() < 0.8
    assert quality[quality > 0].min() >= 30
    assert quality.max() <= 95
    ratio = torch.tensor([s.gain[0] / s.gain[2] for s in draws])
    assert (ratio > 1.5).float().mean() > 0.04
    assert (ratio < 0.75).float().mean() > 0.01
    assert 0.8 < ratio.median() < 1.25
    noise = [sample_photometrics(Draw(seed), PhotometricConfig(), 8.0).noise for seed in range(400)]
    assert sum(noise) > 1.5 * sum(s.noise for s in draws)


def test_noise_has_the_deviation_asked_for_and_grows_in_the_dark():
    spread = []
    for level in (0.2, 0.02):
        flat = torch.full((3, 96, 128), level)
        image = developed(replace(PLAIN, noise=0.03), flat)
        spread.append(float(image.std()))
        assert abs(float(image.mean() - developed(PLAIN, flat).mean())) < 0.01
    assert 0.02 < spread[0] < 0.04
    assert spread[1] > 1.2 * spread[0]


def test_shake_is_centred_and_keeps_light():
    path = sample_shake(Draw(4), 6.0)
    assert torch.tensor(path).mean(0).abs().max() < 1e-6
    steps = torch.tensor(path).diff(dim=0).norm(dim=1)
    torch.testing.assert_close(steps.sum(), torch.tensor(6.0))
    dot = torch.zeros(3, 31, 31)
    dot[:, 15, 15] = 1.0
    blurred = shaken(dot, path)[0]
    y, x = torch.meshgrid(torch.arange(31.0), torch.arange(31.0), indexing="ij")
    torch.testing.assert_close(blurred.sum(), torch.tensor(1.0))
    torch.testing.assert_close((blurred * x).sum(), torch.tensor(15.0), atol=0.01, rtol=0)
    torch.testing.assert_close((blurred * y).sum(), torch.tensor(15.0), atol=0.01, rtol=0)
    assert torch.equal(shaken(dot, ((0.0, 0.0),)), dot)


def test_shifts_by_whole_pixels_are_exact():
    image = radiance()
    assert torch.equal(shaken(image, ((2.0, -1.0),))[:, 5:30, 5:40], image[:, 6:31, 3:38])


def test_defocus_leaves_the_plane_in_focus_and_blurs_by_distance():
    image = torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(0))
    depth = torch.full((32, 48), 2.0)
    depth[:, 24:] = 0.5
    blurred = defocused(image, depth, 2.0, 2.0)
    assert torch.equal(blurred[:, :, :24], image[:, :, :24])
    # diameter 2 * |1 / 0.5 - 1 / 2| = 3 px: a deviation of 0.75, halfway between the levels 0.5 and 1
    expected = (gaussian_blur(image, 0.5) + gaussian_blur(image, 1.0)) / 2
    torch.testing.assert_close(blurred[:, :, 24:], expected[:, :, 24:])


def test_gaussian_blur_keeps_flat_pictures_and_has_its_variance():
    torch.testing.assert_close(gaussian_blur(torch.full((3, 8, 9), 0.3), 1.5), torch.full((3, 8, 9), 0.3))
    line = torch.zeros(1, 1, 41)
    line[..., 20] = 1
    x = torch.arange(41.0) - 20
    torch.testing.assert_close((gaussian_blur(line, 2.0)[0, 0] * x * x).sum(), torch.tensor(4.0), atol=0.4, rtol=0)


def test_vignetting_takes_its_share_from_the_corners_alone():
    image = vignetted(torch.ones(3, 21, 31), 0.4)
    assert float(image[0, 10, 15]) == 1
    assert float(image[0, 0, 0]) == pytest.approx(0.6)


def test_meter_brings_the_typical_brightness_to_mid_grey():
    assert metered_gain(torch.full((3, 4, 4), 0.5)) == pytest.approx(0.4)
    assert metered_gain(radiance() * 3) == pytest.approx(metered_gain(radiance()) / 3, rel=0.02)


def test_jpeg_tables_follow_the_standard():
    luma, chroma = tables(torch.tensor([50.0, 95.0]))
    assert luma[0, 0].tolist() == [16, 11, 10, 16, 24, 40, 51, 61]
    assert chroma[0, 0, :5].tolist() == [17, 18, 24, 47, 99]
    assert luma[1, 0, :3].tolist() == [2, 1, 1]


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_jpeg_artefacts_are_those_of_a_real_encoder(quality):
    image = (radiance(48, 64) / 1.3 + 0.02).clamp(0, 1)
    pixels = (image.permute(1, 2, 0) * 255 + 0.5).to(torch.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(file, "JPEG", quality=quality)
    real = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255
    start = pixels.permute(2, 0, 1)[None] / 255
    ours = jpeg_artefacts(start, torch.tensor([float(quality)]))[0]
    assert (ours - real).abs().mean() < 0.25 * (start[0] - real).abs().mean() + 2.5 / 255


def test_jpeg_takes_each_image_at_its_own_quality_and_any_size():
    image = radiance(37, 51)[:, :, :50].clamp(0, 1).repeat(2, 1, 1, 1)
    result = jpeg_artefacts(image, torch.tensor([20.0, 100.0]))
    assert result.shape == image.shape
    error = (result - image).abs().mean((1, 2, 3))
    assert error[0] > 2 * error[1]
    torch.testing.assert_close(result[:1], jpeg_artefacts(image[:1], torch.tensor([20.0])), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="quality_B: expected 2"):
        jpeg_artefacts(image, torch.tensor([20.0]))

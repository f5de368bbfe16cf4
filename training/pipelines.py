"""The two augmentation and test pipelines of multi-task dense prediction, as published.

A (MTI-Net, MTFormer, MT-CP): flip, zoom or rotation about the centre, direct resize; the test resizes the image alone,
so that predictions are resized back and scored at the labels' native size.
B (ATRC, InvPT and later): random scale, random crop, flip, photometric jitter, centre-pad; the test only pads.

Every draw of a sample comes from the generator that is handed in, so that a sample follows from its seed, whoever
reads it and in which order.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from training.readers.files import IGNORE, Array
from training.readers.reader import Arrays, DepthUnit
from training.sample_transforms import Interpolation, crop, flip, pad, resize, scaled_depth, size_of, warp

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Pads the image of pipeline B: the published order is normalise, then pad with 0; networks here normalise inside."""
STRIDE = 32
HUE_STEPS = 180
"""The published hue shift counts in steps of two degrees (8-bit HSV)."""


@dataclass(frozen=True, kw_only=True)
class PipelineA:
    """size: height and width that the network sees. flip: probability. zooms: one of them is drawn; none for no zoom.

    scale, rotation: uniform range of the zoom, and largest angle in degrees. normals: interpolation of normals.
    ignore_uncovered: pixels that a rotation or shrinking uncovers become 255 in class maps; False gives the published
    0, which says background there.
    """

    kind: Literal["A"] = "A"
    size: tuple[int, int]
    flip: float = 0.5
    zooms: tuple[float, ...] = ()
    scale: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0
    normals: Interpolation = "cubic"
    ignore_uncovered: bool = True


@dataclass(frozen=True, kw_only=True)
class PipelineB:
    """size: of the crop, and the least size of a padded test image. scale: uniform range of the random scale.

    largest_share, attempts: a crop is drawn again, at most so often, while one class covers that share or more of its
    labelled pixels. brightness: largest offset, of 255. contrast, saturation: ranges of a factor. hue: largest shift in
    steps of two degrees. Each of the four changes happens to half of the images.
    """

    kind: Literal["B"] = "B"
    size: tuple[int, int]
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    largest_share: float = 0.75
    attempts: int = 10
    brightness: float = 32.0
    contrast: tuple[float, float] = (0.5, 1.5)
    saturation: tuple[float, float] = (0.5, 1.5)
    hue: float = 18.0


Pipeline = PipelineA | PipelineB

NYUD_A = PipelineA(size=(480, 640), zooms=(1.0, 1.2, 1.5))
PASCAL_A = PipelineA(size=(512, 512), scale=(0.75, 1.25), rotation=20.0)
NYUD_B = PipelineB(size=(448, 576))
PASCAL_B = PipelineB(size=(512, 512))


def training_sample(
    pipeline: Pipeline, sample: Arrays, generator: np.random.Generator, depth_unit: DepthUnit = "metres"
) -> Arrays:
    """The sample as the network trains on it, of exactly the pipeline's size."""
    if isinstance(pipeline, PipelineA):
        return _train_a(pipeline, sample, generator, depth_unit)
    return _train_b(pipeline, sample, generator, depth_unit)


def evaluation_sample(pipeline: Pipeline, sample: Arrays, depth_unit: DepthUnit = "metres") -> Arrays:
    """The sample as the network is scored on it.

    A: the image at the pipeline's size, the labels at their native size; a disparity counts pixels of the network's
    input, as in training. B: image and labels padded to the pipeline's size, or, where they are larger, to the next
    multiple of 32; padded pixels are ignored.
    """
    if isinstance(pipeline, PipelineA):
        image = resize({"image": sample["image"]}, pipeline.size)["image"]
        factor = pipeline.size[1] / size_of(sample)[1]
        scored = {**sample, "image": image}
        if depth_unit == "disparity" and "depth" in scored:
            scored["depth"] = scored["depth"] * np.float32(factor)
        return scored
    height, width = (-(-side // STRIDE) * STRIDE for side in size_of(sample))
    return pad(sample, (max(pipeline.size[0], height), max(pipeline.size[1], width)), IMAGENET_MEAN)


def _train_a(pipeline: PipelineA, sample: Arrays, generator: np.random.Generator, depth_unit: DepthUnit) -> Arrays:
    flipped = generator.random() < pipeline.flip
    zoom = float(generator.choice(pipeline.zooms)) if pipeline.zooms else 1.0
    zoom *= float(generator.uniform(*pipeline.scale))
    angle = float(generator.uniform(-pipeline.rotation, pipeline.rotation))
    sample = flip(sample) if flipped else sample
    fill = IGNORE if pipeline.ignore_uncovered else 0
    sample = warp(sample, zoom, angle, normals=pipeline.normals, depth_unit=depth_unit, fill=fill)
    return resize(sample, pipeline.size, normals=pipeline.normals, depth_unit=depth_unit)


def _train_b(pipeline: PipelineB, sample: Arrays, generator: np.random.Generator, depth_unit: DepthUnit) -> Arrays:
    scale = float(generator.uniform(*pipeline.scale))
    height, width = (max(int(side * scale), 1) for side in size_of(sample))
    sample = resize(sample, (height, width), image="linear", normals="nearest")  # depth in metres: left as it is
    if "depth" in sample:
        sample = {**sample, "depth": scaled_depth(sample["depth"], scale, depth_unit)}
    sample = _random_crop(pipeline, sample, generator)
    sample = flip(sample) if generator.random() < pipeline.flip else sample
    sample = {**sample, "image": _jittered(pipeline, sample["image"], generator)}
    return pad(sample, pipeline.size, IMAGENET_MEAN)


def _random_crop(pipeline: PipelineB, sample: Arrays, generator: np.random.Generator) -> Arrays:
    height, width = size_of(sample)
    room = max(height - pipeline.size[0], 0), max(width - pipeline.size[1], 0)
    for attempt in range(pipeline.attempts + 1):
        top, left = (int(generator.integers(0, free + 1)) for free in room)
        cropped = crop(sample, top, left, pipeline.size)
        if attempt == pipeline.attempts or "segmentation" not in cropped:
            break
        if _largest_share(cropped["segmentation"]) < pipeline.largest_share:
            break
    return cropped


def _largest_share(segmentation_HW: Array) -> float:
    """Of the commonest class among labelled pixels; 1 where none is labelled."""
    counts = np.bincount(segmentation_HW.reshape(-1), minlength=IGNORE + 1)[:IGNORE]
    total = int(counts.sum())
    return int(counts.max()) / total if total else 1.0


def _jittered(pipeline: PipelineB, image_HW3: Array, generator: np.random.Generator) -> Array:
    """Photometric distortion of Liu et al., SSD, ECCV 2016, without exchanging channels: contrast before or after
    the changes of saturation and hue, each of the four with probability one half."""
    offset = float(generator.uniform(-pipeline.brightness, pipeline.brightness)) / 255
    contrast = float(generator.uniform(*pipeline.contrast))
    saturation = float(generator.uniform(*pipeline.saturation))
    shift = float(generator.uniform(-pipeline.hue, pipeline.hue)) * 360 / HUE_STEPS
    brighten, stretch, saturate, shift_hue, stretch_first = generator.random(5) < 0.5
    image = image_HW3
    if brighten:
        image = (image + np.float32(offset)).clip(0, 1)
    if stretch and stretch_first:
        image = (image * np.float32(contrast)).clip(0, 1)
    if saturate or shift_hue:
        hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
        if saturate:
            hsv[..., 1] = (hsv[..., 1] * np.float32(saturation)).clip(0, 1)
        if shift_hue:
            hsv[..., 0] = (hsv[..., 0] + np.float32(shift)) % 360
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).clip(0, 1)
    if stretch and not stretch_first:
        image = (image * np.float32(contrast)).clip(0, 1)
    return image

"""The pixel-wise warp on pairs without ground truth: photometric, epipolar and line terms, and smoothness.

Inspired by "Pixel-Wise Warping for Deep Image Stitching" (Kweon et al., AAAI 2023): the epipolar and the line loss need
no label. What both photographs show is compared by local correlation; the homography and the fundamental matrix come
from feature matches (training.feature_matches), and where the latter is unknown its term is off. Smoothness is our
addition: a plain wall looks alike everywhere.

Shapes: B batch, H and W of the images.
Convention: as in training.objectives.pixel_warp.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.augmentation import PhotometricConfig, photometric
from training.losses.line_segments import detect_segments
from training.losses.pixel_warp import (
    PixelWarpLossWeights,
    epipolar_distance,
    epipolar_loss,
    line_loss,
)
from training.losses.unlabelled_pairs import fetch, photometric_loss, smoothness_loss, unlikeness
from training.objectives.objective import Batch, Pictures
from training.pictures import flow_picture, grey_picture, image_picture, sheet
from training.prealignment import disturbed, is_usable, warp_reference
from training.regions import OUTSIDE, OVERLAP


class UnlabelledInputs(NamedTuple):
    """A pair as the network sees it, pre-aligned: the reference in the target's frame and where it shows anything, and
    the fundamental matrix of this pair (zero where unknown)."""

    target_B3HW: Tensor
    reference_B3HW: Tensor
    shown_B1HW: Tensor
    fundamental_B33: Tensor


def is_unlabelled(batch: Batch) -> bool:
    """Whether the batch comes without flow."""
    return "flow" not in batch


def prepare_unlabelled(
    batch: Batch, generator: torch.Generator, *, jitter: float, augmentation: PhotometricConfig | None
) -> UnlabelledInputs:
    """Inputs pre-aligned by the homographies of the matches, their corners moved by up to `jitter` of the longer side.

    An unusable homography is replaced by the identity.
    """
    target_B3HW, reference_B3HW = batch["target"], batch["reference"]
    height, width = target_B3HW.shape[-2:]
    if augmentation is not None:
        target_B3HW = photometric(target_B3HW, augmentation, generator)
        reference_B3HW = photometric(reference_B3HW, augmentation, generator)
    homography_B33 = batch["homography"].double()
    identity_33 = torch.eye(3, dtype=torch.float64, device=homography_B33.device)
    usable_B = is_usable(homography_B33, height, width)
    homography_B33 = torch.where(usable_B[:, None, None], homography_B33, identity_33)
    homography_B33 = disturbed(homography_B33, height, width, jitter, generator)
    return UnlabelledInputs(
        target_B3HW,
        warp_reference(reference_B3HW, homography_B33),
        warp_reference(torch.ones_like(reference_B3HW[:, :1]), homography_B33),
        (homography_B33.transpose(1, 2) @ batch["fundamental"].double()).float(),
    )


def region_of(flow_B2HW: Tensor, shown_B1HW: Tensor) -> Tensor:
    """uint8 [B, H, W]: 1 where a flow leads to what the reference shows, else 3."""
    seen_BHW = fetch(shown_B1HW, flow_B2HW.detach().float())[:, 0] > 0.99
    return torch.where(seen_BHW, OVERLAP, OUTSIDE).to(torch.uint8)


def unlabelled_loss(
    model: nn.Module,
    batch: Batch,
    generator: torch.Generator,
    *,
    weights: PixelWarpLossWeights,
    jitter: float,
    augmentation: PhotometricConfig,
) -> dict[str, Tensor]:
    """Every iterate's likeness and smoothness, discounted as in training.losses.pixel_warp.sequence_loss; the epipolar
    and line terms of the last flow, outside the reference."""
    inputs = prepare_unlabelled(batch, generator, jitter=jitter, augmentation=augmentation)
    prediction = model(inputs.target_B3HW, inputs.reference_B3HW)
    flow_B2HW = prediction.flow_B2HW
    region_BHW = region_of(flow_B2HW, inputs.shown_B1HW)
    likeness, smoothness = flow_B2HW.new_zeros(()), flow_B2HW.new_zeros(())
    for index, iterate_B2HW in enumerate(prediction.iterates):
        share = weights.decay ** (len(prediction.iterates) - 1 - index)
        seen_BHW = region_of(iterate_B2HW, inputs.shown_B1HW) == OVERLAP
        likeness = likeness + share * photometric_loss(
            inputs.target_B3HW, inputs.reference_B3HW, iterate_B2HW.float(), seen_BHW
        )
        smoothness = smoothness + share * smoothness_loss(iterate_B2HW.float(), inputs.target_B3HW)
    known_B = inputs.fundamental_B33.flatten(1).norm(dim=1) > 0
    segments = detect_segments(inputs.target_B3HW, region_BHW)
    terms = {
        "photometric": likeness,
        "smoothness": smoothness,
        "epipolar": epipolar_loss(flow_B2HW, inputs.fundamental_B33, region_BHW, known_B),
        "line": line_loss(flow_B2HW, segments.sample_BSJ2, segments.valid_BS),
    }
    total = (
        weights.photometric * terms["photometric"]
        + weights.smoothness * terms["smoothness"]
        + weights.epipolar * terms["epipolar"]
        + weights.line * terms["line"]
    )
    return {"total": total, **terms}


@torch.no_grad()
def evaluate_unlabelled(model: nn.Module, batches: Iterable[Batch], *, jitter: float) -> dict[str, float]:
    """How unlike the pictures are, 1 - correlation, over what the homography already puts inside the reference: by the
    warp and by the homography alone; and, where the epipolar geometry is known, the distance from the lines beyond the
    reference, in pixels at long side 512. score: the warp's unlikeness."""
    unlike = {"warp": 0.0, "homography": 0.0}
    pixels, lines, line_pixels = 0.0, 0.0, 0.0
    generator = torch.Generator().manual_seed(0)
    for batch in batches:
        inputs = prepare_unlabelled(batch, generator, jitter=jitter, augmentation=None)
        flow_B2HW = model(inputs.target_B3HW, inputs.reference_B3HW).flow_B2HW.float()
        seen_BHW = inputs.shown_B1HW[:, 0] > 0.99
        pixels += float(seen_BHW.sum())
        for name, flow in (("warp", flow_B2HW), ("homography", torch.zeros_like(flow_B2HW))):
            difference_BHW = unlikeness(inputs.target_B3HW, fetch(inputs.reference_B3HW, flow))
            unlike[name] += float(difference_BHW[seen_BHW].double().sum())
        distance_BHW, defined_BHW = epipolar_distance(flow_B2HW, inputs.fundamental_B33)
        beyond_BHW = defined_BHW & (region_of(flow_B2HW, inputs.shown_B1HW) == OUTSIDE)
        lines += float(distance_BHW[beyond_BHW].double().sum()) * 512 / max(flow_B2HW.shape[-2:])
        line_pixels += float(beyond_BHW.sum())
    result = {f"{name}/unlike_overlap": total / max(pixels, 1.0) for name, total in unlike.items()}
    if line_pixels:
        result["warp/epipolar512_beyond"] = lines / line_pixels
    return result | {"score": result["warp/unlike_overlap"]}


@torch.no_grad()
def unlabelled_images(model: nn.Module, batch: Batch, *, jitter: float) -> Pictures:
    """One row per pair: target, aligned reference, that reference fetched by the flow, flow, confidence."""
    seeded = torch.Generator().manual_seed(0)
    inputs = prepare_unlabelled(batch, seeded, jitter=jitter, augmentation=None)
    prediction = model(inputs.target_B3HW, inputs.reference_B3HW)
    fetched_B3HW = fetch(inputs.reference_B3HW, prediction.flow_B2HW)
    rows = []
    for b in range(min(6, len(fetched_B3HW))):
        flow_2HW = prediction.flow_B2HW[b]
        rows.append(
            [
                image_picture(inputs.target_B3HW[b]),
                image_picture(inputs.reference_B3HW[b]),
                image_picture(fetched_B3HW[b]),
                flow_picture(flow_2HW, max(4.0, float(flow_2HW.norm(dim=0).quantile(0.95)))),
                grey_picture(prediction.confidence_B1HW[b, 0]),
            ]
        )
    return {"predictions": sheet(rows)}

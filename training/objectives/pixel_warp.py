"""The pixel-wise warp of pairs with true flow, on raw pairs and on pairs pre-aligned by a homography; pairs without
labels go to training.objectives.unlabelled_pairs.

Inspired by "Pixel-Wise Warping for Deep Image Stitching" (Kweon et al., AAAI 2023). Training on pre-aligned pairs, as
the service aligns them, is our choice: the homography is fitted to the true flow of the overlap, sometimes robustly,
and disturbed, as an estimate from features would be.

Shapes: B batch, H and W of the images.
Convention: flow target -> reference in pixels; see training.prealignment for the homography.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from training.augmentation import PhotometricConfig, photometric
from training.losses.line_segments import detect_segments, drop_bent
from training.losses.pixel_warp import (
    PixelWarpLossWeights,
    confidence_loss,
    epipolar_loss,
    importance_loss,
    line_loss,
    matching_loss,
    sequence_loss,
)
from training.losses.unlabelled_pairs import fetch
from training.metrics.pairs import EndPointMeter
from training.moved_patches import MovedPatchesConfig, displacement_field, move_patches
from training.objectives.objective import Batch, Pictures
from training.objectives.unlabelled_pairs import (
    evaluate_unlabelled,
    is_unlabelled,
    unlabelled_images,
    unlabelled_loss,
)
from training.pair_geometry import WarpInputs, align, mirrored, pair_fundamental, pair_has_parallax
from training.pictures import flow_picture, grey_picture, image_picture, sheet
from training.prealignment import (
    disturbed,
    draw_homography,
    fit_homography,
    full_flow,
    warp_reference,
)
from training.regions import OVERLAP


@dataclass(frozen=True, kw_only=True)
class PixelWarpOptions:
    """prealign: share of pairs that are pre-aligned; robust: share of those fitted robustly; jitter: of the corners, as
    a share of the longer side. mirror: probability of a mirrored pair. Lines are sought in the target of every pair."""

    kind: Literal["pixel_warp"] = "pixel_warp"
    prealign: float = 0.9
    robust: float = 0.5
    jitter: float = 0.05
    mirror: float = 0.5
    weights: PixelWarpLossWeights = field(default_factory=PixelWarpLossWeights)
    photometric: PhotometricConfig = field(default_factory=PhotometricConfig)
    patches: MovedPatchesConfig = field(default_factory=MovedPatchesConfig)


class PixelWarpObjective:
    """The objective of the pixel-wise warp; see `Objective`."""

    best_metric = "score"
    best_is_lower = True

    def __init__(self, options: PixelWarpOptions) -> None:
        self.options = options

    def to(self, device: torch.device) -> None:
        """Nothing to move."""

    def prepare(self, batch: Batch, generator: torch.Generator) -> tuple[WarpInputs, Tensor]:
        """Augmented inputs and the fundamental matrices of the pairs as the network sees them."""
        batch = mirrored(batch, torch.rand(len(batch["flow"]), generator=generator) < self.options.mirror)
        target_B3HW = photometric(batch["target"], self.options.photometric, generator)
        reference_B3HW = photometric(batch["reference"], self.options.photometric, generator)
        homography_B33 = draw_homography(
            batch["flow"],
            batch["region"] == OVERLAP,
            generator,
            prealign=self.options.prealign,
            robust=self.options.robust,
            jitter=self.options.jitter,
        )
        inputs = align(
            target_B3HW, reference_B3HW, batch["flow"], batch["region"], batch["inverse_depth"], homography_B33
        )
        count, height, width = batch["region"].shape
        field_B2HW = displacement_field(count, height, width, self.options.patches, generator)
        moved = move_patches(
            inputs.target_B3HW, inputs.flow_B2HW, inputs.region_BHW, inputs.inverse_depth_BHW, field_B2HW
        )
        inputs = inputs._replace(
            target_B3HW=moved.target_B3HW,
            flow_B2HW=moved.flow_B2HW,
            region_BHW=moved.region_BHW,
            inverse_depth_BHW=moved.inverse_depth_BHW,
            rigid_B=~moved.moved_B,
        )
        return inputs, (homography_B33.transpose(1, 2) @ pair_fundamental(batch)).float()

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Supervision of every iterate, the epipolar and line terms, importance and confidence; of a batch without
        flow, the terms of training.objectives.unlabelled_pairs."""
        if is_unlabelled(batch):
            return unlabelled_loss(
                model,
                batch,
                generator,
                weights=self.options.weights,
                jitter=self.options.jitter,
                augmentation=self.options.photometric,
            )
        inputs, fundamental_B33 = self.prepare(batch, generator)
        weights = self.options.weights
        prediction = model(inputs.target_B3HW, inputs.reference_B3HW)
        flow_B2HW = prediction.flow_B2HW
        parallax_B = pair_has_parallax(batch) & inputs.rigid_B
        segments = detect_segments(inputs.target_B3HW, inputs.region_BHW)
        segments = drop_bent(segments, inputs.flow_B2HW, inputs.region_BHW)
        terms = {
            "supervised": sequence_loss(
                prediction.iterates,
                inputs.flow_B2HW,
                inputs.region_BHW,
                decay=weights.decay,
                outside=weights.outside,
            ),
            "epipolar": epipolar_loss(flow_B2HW, fundamental_B33, inputs.region_BHW, parallax_B),
            "line": line_loss(flow_B2HW, segments.sample_BSJ2, segments.valid_BS),
            "matching": matching_loss(prediction.correlation_BQhw, inputs.flow_B2HW, inputs.region_BHW),
            "importance": importance_loss(prediction.importance_B1HW, inputs.inverse_depth_BHW),
            "confidence": confidence_loss(prediction.confidence_B1HW, flow_B2HW, inputs.flow_B2HW, inputs.region_BHW),
        }
        total = (
            terms["supervised"]
            + weights.epipolar * terms["epipolar"]
            + weights.line * terms["line"]
            + weights.matching * terms["matching"]
            + weights.importance * terms["importance"]
            + weights.confidence * terms["confidence"]
        )
        return {"total": total, **terms}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """End-point errors at long side 512: `warp` on pre-aligned pairs, `raw` without, `homography` of the overlap.

        The pre-alignment is disturbed by half the training jitter, the same for every model. score: `warp` on the
        overlap plus half of it outside. Without labels, what training.objectives.unlabelled_pairs measures.
        """
        batches = iter(batches)
        first = next(batches)
        batches = chain((first,), batches)
        if is_unlabelled(first):
            return evaluate_unlabelled(model, batches, jitter=self.options.jitter / 2)
        warp, raw, plane = EndPointMeter("warp"), EndPointMeter("raw"), EndPointMeter("homography")
        generator = torch.Generator().manual_seed(0)
        for batch in batches:
            height, width = batch["flow"].shape[-2:]
            limit = 1.5 * max(height, width)
            fitted_B33, _ = fit_homography(batch["flow"], batch["region"] == OVERLAP)
            homography_B33 = disturbed(fitted_B33, height, width, self.options.jitter / 2, generator)
            aligned_B3HW = warp_reference(batch["reference"], homography_B33)
            residual_B2HW = model(batch["target"], aligned_B3HW).flow_B2HW
            raw_B2HW = model(batch["target"], batch["reference"]).flow_B2HW
            none_B2HW = torch.zeros_like(residual_B2HW)
            for meter, flow_B2HW in (
                (warp, full_flow(residual_B2HW, homography_B33)),
                (raw, raw_B2HW),
                (plane, full_flow(none_B2HW, fitted_B33)),
            ):
                meter.add(flow_B2HW, batch["flow"], batch["region"], limit)
        result = warp.result() | raw.result() | plane.result()
        result["score"] = result.get("warp/epe512_ov", 0.0) + 0.5 * result.get("warp/epe512_nov", 0.0)
        return result

    @torch.no_grad()
    def images(self, model: nn.Module, batch: Batch) -> Pictures:
        """One row per pair: target, aligned reference, that reference fetched by the residual flow (to compare with the
        target), predicted and true residual, confidence, error up to 8 pixels; without labels, all but truth and error.
        """
        if is_unlabelled(batch):
            return unlabelled_images(model, batch, jitter=self.options.jitter / 2)
        height, width = batch["flow"].shape[-2:]
        homography_B33, _ = fit_homography(batch["flow"], batch["region"] == OVERLAP)
        jittered_B33 = disturbed(
            homography_B33, height, width, self.options.jitter / 2, torch.Generator().manual_seed(0)
        )
        inputs = align(
            batch["target"],
            batch["reference"],
            batch["flow"],
            batch["region"],
            batch["inverse_depth"],
            jittered_B33,
        )
        prediction = model(inputs.target_B3HW, inputs.reference_B3HW)
        fetched_B3HW = fetch(inputs.reference_B3HW, prediction.flow_B2HW)
        error_BHW = (prediction.flow_B2HW - inputs.flow_B2HW).norm(dim=1) * (inputs.region_BHW > 0)
        rows = []
        for b in range(min(6, len(error_BHW))):
            largest = max(4.0, float(inputs.flow_B2HW[b].norm(dim=0).quantile(0.95)))
            rows.append(
                [
                    image_picture(inputs.target_B3HW[b]),
                    image_picture(inputs.reference_B3HW[b]),
                    image_picture(fetched_B3HW[b]),
                    flow_picture(prediction.flow_B2HW[b], largest),
                    flow_picture(inputs.flow_B2HW[b] * (inputs.region_BHW[b] > 0), largest),
                    grey_picture(prediction.confidence_B1HW[b, 0]),
                    grey_picture(error_BHW[b] / 8),
                ]
            )
        return {"predictions": sheet(rows)}

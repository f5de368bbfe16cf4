"""The composition of a reference and a warped target (SIGMo) over three branches with one set of weights.

Inspired by "Pixel-Wise Warping for Deep Image Stitching" (Kweon et al., AAAI 2023); the branches are our reading:
gt_warp warps the target by the true flow, predicted_warp by a frozen pixel-wise warp (or, without its checkpoint, by
the true flow disturbed smoothly), clean shows the truth itself where the target covers. The target is warped and
exposure-compensated as the service does it. A network that generates is judged by the same losses over the same
branches, once for its composition and once for its image.

Shapes: B batch, H and W of the photographs, h and w of the canvas, K branches.
Convention: canvas pixel = reference pixel + offset; flow target -> reference in pixels.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.global_matching import GlobalMatching
from models.pixel_warp import MAX_IMPORTANCE, PixelWarp
from models.stitched_image import COVERED, Composition, compose, generate
from training.canvases import compensate, crop_around, place, smooth_noise
from training.dense_warp import dense_gather
from training.feather import feather
from training.losses.stitched_image import (
    CLEAN,
    GT_WARP,
    PREDICTED_WARP,
    StitchedImageLossWeights,
    stitched_image_loss,
    supervision_weight,
)
from training.metrics.pairs import MaskedPsnrMeter
from training.objectives.objective import Batch, Pictures
from training.pictures import grey_picture, image_picture, sheet
from training.prealignment import disturbed, draw_homography, fit_homography, full_flow, warp_reference
from training.regions import OVERLAP, SEEN_BY_BOTH, SEEN_BY_TARGET


@dataclass(frozen=True, kw_only=True)
class StitchedImageOptions:
    """pixel_warp: checkpoint or run folder of the frozen warp, None for a disturbed true flow of up to `disturbance`
    pixels. robust, jitter: of the pre-alignment, as in PixelWarpOptions. crop: height and width of the part of each
    canvas that is trained on, around a random pixel of the overlap; None for all of it."""

    kind: Literal["stitched_image"] = "stitched_image"
    pixel_warp: str | None = None
    disturbance: float = 3.0
    robust: float = 0.5
    jitter: float = 0.02
    crop: tuple[int, int] | None = (192, 256)
    weights: StitchedImageLossWeights = field(default_factory=StitchedImageLossWeights)


class Canvas(NamedTuple):
    """One branch on its canvas: what the network receives."""

    canvas_B8hw: Tensor
    feather_B1hw: Tensor


class StitchedImageObjective:
    """The objective of the composition; see `Objective`. generates: whether the generated image chooses the best
    checkpoint."""

    best_is_lower = False

    def __init__(
        self,
        options: StitchedImageOptions,
        warp: PixelWarp | GlobalMatching | None,
        *,
        half_precision: bool = False,
        generates: bool = False,
    ) -> None:
        self.options = options
        self.best_metric = "generate/psnr_union" if generates else "compose/psnr_union"
        self.warp = warp.eval().requires_grad_(False) if warp is not None else None
        self.half_precision = half_precision

    def to(self, device: torch.device) -> None:
        """Moves the frozen warp."""
        if self.warp is not None:
            self.warp.to(device)

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The losses of all branches, which go through the network as one batch; those of a generated image carry the
        prefix "generate_"."""
        names = (GT_WARP, PREDICTED_WARP, CLEAN)
        with torch.no_grad():
            homography_B33 = draw_homography(
                batch["flow"],
                batch["region"] == OVERLAP,
                generator,
                prealign=1.0,
                robust=self.options.robust,
                jitter=self.options.jitter,
            )
            true, predicted = self.branches(batch, homography_B33, generator)
            clean_B8hw = true.canvas_B8hw.clone()
            clean_B8hw[:, 4:7] = batch["stitched"] * (clean_B8hw[:, 7:8] > COVERED)
            canvas_B24hw = torch.cat((true.canvas_B8hw, predicted.canvas_B8hw, clean_B8hw), dim=1)
            maps = (true.feather_B1hw, predicted.feather_B1hw, batch["stitched"], batch["seen"].unsqueeze(1).float())
            stack = torch.cat((canvas_B24hw, *maps), dim=1)
            if self.options.crop is not None:
                stack = crop_around(stack, batch["seen"] == SEEN_BY_BOTH, self.options.crop, generator)
            canvas_K8hw = torch.cat(stack[:, :24].chunk(3, dim=1))
            feather_K1hw = torch.cat((stack[:, 24:25], stack[:, 25:26], stack[:, 24:25]))
            stitched_B3hw, seen_Bhw = stack[:, 26:29], stack[:, 29]
        composition, generated_K3hw = _compose(model, Canvas(canvas_K8hw, feather_K1hw))
        union_K1hw = _union(canvas_K8hw)
        hole_K1hw = (composition.corrected_B1HW > 0) & (union_K1hw == 0)
        # Where neither photograph lies and no hole is, a composition cannot be right.
        possible_K1hw = torch.maximum(union_K1hw, hole_K1hw.float())
        seen_Khw = seen_Bhw.repeat(len(names), 1, 1)
        weight_K1hw = possible_K1hw * supervision_weight(seen_Khw, hole_K1hw, self.options.weights.holes)

        def judged(image_K3hw: Tensor) -> dict[str, Tensor]:
            return stitched_image_loss(
                dict(zip(names, image_K3hw.chunk(len(names)), strict=True)),
                stitched_B3hw,
                dict(zip(names, weight_K1hw.chunk(len(names)), strict=True)),
                (seen_Bhw == SEEN_BY_BOTH).unsqueeze(1),
                self.options.weights,
            )

        terms = judged(composition.image_B3HW)
        if generated_K3hw is not None:
            more = judged(generated_K3hw)
            terms["total"] = terms["total"] + more.pop("total")
            terms |= {f"generate_{name}": term for name, term in more.items()}
        return terms

    @torch.no_grad()
    def branches(
        self, batch: Batch, homography_B33: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Canvas, Canvas]:
        """The canvases by the true flow and by the predicted one, of pairs pre-aligned by the homographies.

        generator: draws the disturbance where there is no frozen warp (seed 0 if None).
        """
        target_B3HW = compensate(batch["target"], batch["reference"], batch["flow"], batch["region"] == OVERLAP)
        inverse_BHW = batch["inverse_depth"]
        nearest_B11 = inverse_BHW.flatten(1).amax(dim=1).clamp(min=1e-9)[:, None, None]
        importance_B1HW = MAX_IMPORTANCE * (inverse_BHW / nearest_B11)[:, None]
        flow_B2HW = torch.where(batch["region"][:, None] > 0, batch["flow"], torch.zeros_like(batch["flow"]))
        valid_BHW = batch["region"] > 0
        true = self._canvas(batch, target_B3HW, flow_B2HW, importance_B1HW, valid_BHW, inverse_BHW)
        if self.warp is None:
            generator = generator or torch.Generator().manual_seed(0)
            flow_B2HW = flow_B2HW + smooth_noise(flow_B2HW, self.options.disturbance, generator)
            return true, self._canvas(batch, target_B3HW, flow_B2HW, importance_B1HW, valid_BHW, inverse_BHW)
        aligned_B3HW = warp_reference(batch["reference"], homography_B33)
        device_type = target_B3HW.device.type
        with torch.autocast(device_type, dtype=torch.bfloat16, enabled=self.half_precision):
            prediction = self.warp(target_B3HW, aligned_B3HW)
        flow_B2HW = full_flow(prediction.flow_B2HW.float(), homography_B33)
        return true, self._canvas(batch, target_B3HW, flow_B2HW, prediction.importance_B1HW.float())

    @torch.no_grad()
    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """mPSNR over what a camera sees and the pair covers, by the predicted and the true warp, beside feathering."""
        meters = {
            (way, kind, area): MaskedPsnrMeter(f"{way}/psnr_{area}{'' if kind else '_true_warp'}")
            for way in ("compose", "feather", "generate")
            for kind in (0, 1)
            for area in ("union", "overlap", "outside")
        }
        generator = torch.Generator().manual_seed(0)
        for batch in batches:
            height, width = batch["flow"].shape[-2:]
            fitted_B33, _ = fit_homography(batch["flow"], batch["region"] == OVERLAP)
            homography_B33 = disturbed(fitted_B33, height, width, self.options.jitter / 2, generator)
            for kind, canvas in enumerate(self.branches(batch, homography_B33, generator)):
                union_Bhw = (batch["seen"] > 0) & (_union(canvas.canvas_B8hw)[:, 0] > 0.5)
                masks = {
                    "union": union_Bhw,
                    "overlap": batch["seen"] == SEEN_BY_BOTH,
                    "outside": batch["seen"] == SEEN_BY_TARGET,
                }
                composition, generated = _compose(model, canvas)
                pictures = {"compose": composition.image_B3HW, "feather": _feathered(canvas)}
                if generated is not None:
                    pictures["generate"] = generated
                for area, mask_Bhw in masks.items():
                    mask_Bhw = _eroded(mask_Bhw & union_Bhw)
                    for way, picture in pictures.items():
                        meters[way, kind, area].add(picture, batch["stitched"], mask_Bhw)
        result: dict[str, float] = {}
        for meter in meters.values():
            result |= meter.result()
        return result

    @torch.no_grad()
    def images(self, model: nn.Module, batch: Batch) -> Pictures:
        """One row per pair: warped target by the predicted flow, feathering, composition, truth, alpha, error x 4, and
        the generated image where there is one."""
        fitted_B33, _ = fit_homography(batch["flow"], batch["region"] == OVERLAP)
        _, canvas = self.branches(batch, fitted_B33)
        (composed, generated_B3hw), feathered_B3hw = _compose(model, canvas), _feathered(canvas)
        seen_B1hw = (batch["seen"] > 0).unsqueeze(1)
        error_Bhw = ((composed.image_B3HW - batch["stitched"]).abs() * seen_B1hw).mean(dim=1)
        rows = [
            [
                image_picture(canvas.canvas_B8hw[b, 4:7]),
                image_picture(feathered_B3hw[b]),
                image_picture(composed.image_B3HW[b]),
                image_picture(batch["stitched"][b]),
                grey_picture(composed.alpha_B1HW[b, 0]),
                grey_picture(4 * error_Bhw[b]),
                *([] if generated_B3hw is None else [image_picture(generated_B3hw[b])]),
            ]
            for b in range(min(5, len(error_Bhw)))
        ]
        return {"compositions": sheet(rows)}

    def _canvas(
        self,
        batch: Batch,
        target_B3HW: Tensor,
        flow_B2HW: Tensor,
        importance_B1HW: Tensor,
        valid_BHW: Tensor | None = None,
        inverse_depth_BHW: Tensor | None = None,
    ) -> Canvas:
        height, width = batch["stitched"].shape[-2:]
        offset_B2 = batch["canvas_offset"].round()
        warped = dense_gather(
            target_B3HW,
            flow_B2HW,
            (height, width),
            offset_B2,
            importance_B1HW=importance_B1HW,
            valid_BHW=valid_BHW,
            inverse_depth_BHW=inverse_depth_BHW,
        )
        reference_B4hw = place(batch["reference"], offset_B2, height, width)
        coverage_B1hw = warped.coverage_B1hw
        canvas_B8hw = torch.cat((reference_B4hw, warped.value_BChw, coverage_B1hw), dim=1)
        feather_B1hw = feather(reference_B4hw[:, 3:4], coverage_B1hw > COVERED)
        return Canvas(canvas_B8hw, feather_B1hw)


def _compose(model: nn.Module, canvas: Canvas) -> tuple[Composition, Tensor | None]:
    """The composition, and the generated image of a network that has one."""
    alpha_B1hw, delta_B3hw, *image = model(canvas.canvas_B8hw, canvas.feather_B1hw)
    generated = generate(canvas.canvas_B8hw, image[0]) if image else None
    return compose(canvas.canvas_B8hw, alpha_B1hw, delta_B3hw), generated


def _feathered(canvas: Canvas) -> Tensor:
    none_B3hw = torch.zeros_like(canvas.canvas_B8hw[:, :3])
    return compose(canvas.canvas_B8hw, canvas.feather_B1hw, none_B3hw).image_B3HW


def _union(canvas_B8hw: Tensor) -> Tensor:
    return ((canvas_B8hw[:, 3:4] > 0.5) | (canvas_B8hw[:, 7:8] > COVERED)).float()


def _eroded(mask_Bhw: Tensor) -> Tensor:
    return F.max_pool2d((~mask_Bhw).float()[:, None], 3, stride=1, padding=1)[:, 0] < 0.5

"""Depth, segmentation and normals of generated rooms from one network.

Shapes: B batch, C classes, H and W of the image, h and w of the network's answer.
Convention: depth labels become canonical before the loss, z_c = z f_c / f with f_c = canonical_focal_ratio *
max(H, W), so that the network need not know the focal length (Yin et al., Metric3D, ICCV 2023, the label
transformation); normals and labels are those of the camera frame x right, y down, z forward.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.augmentation import PhotometricConfig, photometric
from training.losses.dense import (
    DepthLossWeights,
    balanced_class_weights,
    coherence_loss,
    depth_loss,
    normal_loss,
    segmentation_loss,
)
from training.metrics.dense import DepthMeter, NormalMeter, SegmentationMeter
from training.objectives.objective import Batch, Pictures
from training.pictures import depth_picture, image_picture, label_picture, normal_picture, sheet
from training.virtual_camera import CameraFrames, VirtualCameraConfig, virtual_camera

CANONICAL_FOCAL_RATIO = 0.9
MODEL_STRIDE = 2
COARSEST_STRIDE = 32
"""Of the encoder, whose input's sides are multiples of it."""


@dataclass(frozen=True, kw_only=True)
class PerceiveOptions:
    """Weights of the tasks, augmentation, and the canonical focal length as a share of the image's longer side.

    coherence_weight: of the agreement between the predicted depth's own normals and the labelled ones. class_balance:
    exponent of the classes' weights, see `balanced_class_weights`. reduced: share of the batches that are seen at half
    the size, at a quarter of the cost: more images in the same time, and a network for several sizes. upright: share of
    the batches of which only an upright part is seen, as of a photograph in portrait format.
    """

    kind: Literal["perceive"] = "perceive"
    depth_weight: float = 1.0
    segmentation_weight: float = 1.0
    normal_weight: float = 2.0
    coherence_weight: float = 0.5
    class_balance: float = 0.3
    reduced: float = 0.0
    upright: float = 0.0
    depth_terms: DepthLossWeights = field(default_factory=DepthLossWeights)
    canonical_focal_ratio: float = CANONICAL_FOCAL_RATIO
    photometric: PhotometricConfig = field(default_factory=PhotometricConfig)
    camera: VirtualCameraConfig = field(default_factory=VirtualCameraConfig)


class PerceiveObjective:
    """The objective of the dense tasks; see `Objective`."""

    best_metric = "score"
    best_is_lower = False

    def __init__(self, options: PerceiveOptions, classes: int) -> None:
        self.options = options
        self.classes = classes

    def to(self, device: torch.device) -> None:
        """Nothing to move."""

    def canonical(self, depth: Tensor, focal_B: Tensor, side: int) -> Tensor:
        """Metric depth [B,...] to canonical depth; 0 stays 0. side: the longer one of the image, in pixels."""
        factor_B = self.options.canonical_focal_ratio * side / focal_B
        return depth * factor_B.view(-1, *(1,) * (depth.ndim - 1))

    def prepare(self, batch: Batch, generator: torch.Generator) -> CameraFrames:
        """An augmented batch: image at full or half size, maybe upright, labels at the answer's, depth canonical."""
        height, width = batch["depth"].shape[-2:]
        if float(torch.rand((), generator=generator)) < self.options.reduced:
            height, width = height // 2, width // 2
        if self.options.upright and float(torch.rand((), generator=generator)) < self.options.upright:
            width = max(1, round(height * height / width / COARSEST_STRIDE)) * COARSEST_STRIDE
        frames = virtual_camera(
            batch["image"],
            batch["depth"],
            batch["label"],
            batch["normal"],
            batch["intrinsics"][:, 0, 0],
            self.options.camera,
            generator,
            MODEL_STRIDE,
            (height, width),
        )
        image_B3HW = photometric(frames.image_B3HW, self.options.photometric, generator)
        depth_Bhw = self.canonical(frames.depth_Bhw, frames.focal_B, max(image_B3HW.shape[-2:]))
        return frames._replace(image_B3HW=image_B3HW, depth_Bhw=depth_Bhw)

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Weighted sum of the three tasks' losses and their coherence."""
        inputs = self.prepare(batch, generator)
        depth_Bhw, logits_BChw, normals_B3hw = model(inputs.image_B3HW)
        depth = depth_loss(depth_Bhw, inputs.depth_Bhw, self.options.depth_terms)
        weights_C = balanced_class_weights(inputs.label_Bhw, self.classes, self.options.class_balance)
        segmentation = segmentation_loss(logits_BChw, inputs.label_Bhw, weights_C)
        normals = normal_loss(normals_B3hw, inputs.normal_B3hw)
        # The answer's pixels are larger than the image's, so the focal length is fewer of them.
        focal_B = inputs.focal_B * depth_Bhw.shape[-1] / inputs.image_B3HW.shape[-1]
        coherence = coherence_loss(depth_Bhw, inputs.depth_Bhw, inputs.normal_B3hw, focal_B)
        total = (
            self.options.depth_weight * depth
            + self.options.segmentation_weight * segmentation
            + self.options.normal_weight * normals
            + self.options.coherence_weight * coherence
        )
        return {
            "total": total,
            "depth": depth,
            "segmentation": segmentation,
            "normals": normals,
            "coherence": coherence,
        }

    @torch.no_grad()
    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Metrics at the label's size: metric depth, median-scaled depth, segmentation, normals; `score` sums up."""
        metric, scaled = DepthMeter(), DepthMeter(median_scaled=True)
        segmentation, normals = SegmentationMeter(self.classes), NormalMeter()
        for batch in batches:
            size = batch["depth"].shape[-2:]
            depth_Bhw, logits_BChw, normals_B3hw = model(batch["image"])
            focal_B = batch["intrinsics"][:, 0, 0]
            to_metres_B = focal_B / (self.options.canonical_focal_ratio * max(size))
            depth_BHW = _resize(depth_Bhw[:, None], size)[:, 0] * to_metres_B[:, None, None]
            metric.add(depth_BHW, batch["depth"])
            scaled.add(depth_BHW, batch["depth"])
            segmentation.add(_resize(logits_BChw, size).argmax(dim=1), batch["label"])
            normals.add(_resize(normals_B3hw, size), batch["normal"])
        result = metric.result() | scaled.result() | segmentation.result() | normals.result()
        result["score"] = (
            result["depth/delta1"] + result["segmentation/miou"] + result.get("normals/under_11.25", 0.0)
        ) / 3
        return result

    @torch.no_grad()
    def images(self, model: nn.Module, batch: Batch) -> Pictures:
        """One row per image: image; depth, segmentation and normals as predicted and as labelled."""
        size = batch["depth"].shape[-2:]
        depth_Bhw, logits_BChw, normals_B3hw = model(batch["image"])
        label_depth_BHW = self.canonical(batch["depth"], batch["intrinsics"][:, 0, 0], max(size))
        depth_BHW = _resize(depth_Bhw[:, None], size)[:, 0]
        classes_BHW = _resize(logits_BChw, size).argmax(dim=1)
        normals_B3HW = _resize(normals_B3hw, size)
        rows = []
        for b in range(min(6, len(depth_BHW))):
            valid = label_depth_BHW[b][label_depth_BHW[b] > 0]
            near, far = (float(valid.quantile(q)) for q in (0.02, 0.98)) if len(valid) else (0.5, 5.0)
            rows.append(
                [
                    image_picture(batch["image"][b]),
                    depth_picture(depth_BHW[b], near, far),
                    depth_picture(label_depth_BHW[b], near, far),
                    label_picture(classes_BHW[b]),
                    label_picture(batch["label"][b]),
                    normal_picture(normals_B3HW[b]),
                    normal_picture(batch["normal"][b]),
                ]
            )
        return {"predictions": sheet(rows)}


def _resize(value_BCHW: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(value_BCHW.float(), size=size, mode="bilinear", align_corners=False)

"""Accumulators of the evaluation protocol: sums over a whole set of images, in float64.

Definitions follow the multi-task dense prediction literature (MTI-Net, ECCV 2020, and its successors) for depth,
normals and mIoU, and the optical-flow literature for end-point error; PSNR is taken on a mask, never with the empty
area counted as perfect.

Shapes: B batch, H height, W width. Every `add` takes float or integer tensors on any device.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE_LABEL = 255


class DepthMeter:
    """absRel, sqRel, rmse, rmse_log and delta_k over valid pixels; with `median_scaled`, each prediction is first
    multiplied by median(label) / median(prediction) of its image, which removes the unknown scale."""

    def __init__(self, *, median_scaled: bool = False) -> None:
        self.median_scaled = median_scaled
        self._sums = torch.zeros(7, dtype=torch.float64)
        self._count = 0

    def add(self, depth_BHW: Tensor, label_BHW: Tensor) -> None:
        """depth_BHW: metres > 0; label_BHW: metres, 0 = invalid."""
        for depth, label in zip(depth_BHW, label_BHW, strict=True):
            valid = (label > 0) & torch.isfinite(label)
            p, g = depth[valid].double().clamp(min=1e-9), label[valid].double()
            if not len(g):
                continue
            if self.median_scaled:
                p = p * (g.median() / p.median())
            ratio = torch.maximum(p / g, g / p)
            error = (p - g).abs()
            sums = [error / g, error.square() / g, error.square(), (p.log() - g.log()).square()]
            sums += [(ratio < 1.25**k).double() for k in (1, 2, 3)]
            self._sums += torch.stack([s.sum() for s in sums]).cpu()
            self._count += len(g)

    def result(self) -> dict[str, float]:
        abs_rel, sq_rel, square, square_log, d1, d2, d3 = (self._sums / max(self._count, 1)).tolist()
        prefix = "scaled_" if self.median_scaled else ""
        values = {"abs_rel": abs_rel, "sq_rel": sq_rel, "rmse": math.sqrt(square), "rmse_log": math.sqrt(square_log)}
        values |= {"delta1": d1, "delta2": d2, "delta3": d3}
        return {f"depth/{prefix}{name}": value for name, value in values.items()}


class NormalMeter:
    """Angle between normals in degrees, 2 atan2(|p-g|, |p+g|): mean, median, rms and shares under 11.25, 22.5, 30."""

    def __init__(self) -> None:
        self._angles: list[Tensor] = []

    def add(self, normal_B3HW: Tensor, label_B3HW: Tensor) -> None:
        """Vectors of any length; labels shorter than 0.1 are invalid."""
        valid_BHW = label_B3HW.norm(dim=1) > 0.1
        p, g = F.normalize(normal_B3HW, dim=1), F.normalize(label_B3HW, dim=1)
        angle_BHW = 2 * torch.atan2((p - g).norm(dim=1), (p + g).norm(dim=1))
        self._angles.append(torch.rad2deg(angle_BHW[valid_BHW]).float().cpu())

    def result(self) -> dict[str, float]:
        angles = torch.cat(self._angles).double() if self._angles else torch.zeros(0, dtype=torch.float64)
        if not len(angles):
            return {}
        values = {"mean": angles.mean(), "median": angles.median(), "rms": angles.square().mean().sqrt()}
        values |= {f"under_{limit:g}": (angles < limit).double().mean() for limit in (11.25, 22.5, 30.0)}
        return {f"normals/{name}": float(value) for name, value in values.items()}


class SegmentationMeter:
    """mIoU over the classes that occur in prediction or label, pixel accuracy, and IoU per class."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._confusion = torch.zeros(classes, classes, dtype=torch.int64)

    def add(self, prediction_BHW: Tensor, label_BHW: Tensor) -> None:
        """Class indices; label 255 is ignored. The row of the confusion matrix is the label."""
        valid = label_BHW != IGNORE_LABEL
        pairs = label_BHW[valid].long() * self.classes + prediction_BHW[valid].long()
        counts = torch.bincount(pairs.flatten(), minlength=self.classes**2)
        self._confusion += counts.view(self.classes, self.classes).cpu()

    def iou(self) -> Tensor:
        """IoU per class, NaN for a class that occurs neither in prediction nor in label."""
        true = self._confusion.diag().double()
        union = self._confusion.sum(0).double() + self._confusion.sum(1).double() - true
        return torch.where(union > 0, true / union.clamp(min=1), torch.full_like(true, math.nan))

    def result(self) -> dict[str, float]:
        total = int(self._confusion.sum())
        if not total:
            return {}
        accuracy = float(self._confusion.diag().sum()) / total
        return {
            "segmentation/miou": float(self.iou().nanmean()),
            "segmentation/pixel_accuracy": accuracy,
        }


class EndPointMeter:
    """Mean end-point error and outlier shares of a flow, by region, scaled to a long side of `long_side` pixels."""

    REGIONS = {1: "ov", 2: "occ", 3: "nov"}

    def __init__(self, name: str, long_side: int = 512) -> None:
        self.name, self.long_side = name, long_side
        self._sums = {region: torch.zeros(5, dtype=torch.float64) for region in self.REGIONS}

    def add(self, flow_B2HW: Tensor, label_B2HW: Tensor, region_BHW: Tensor, limit: float = math.inf) -> None:
        """Flows in pixels of the image; pixels whose label is longer than `limit` pixels are left out."""
        scale = self.long_side / max(flow_B2HW.shape[-2:])
        error_BHW = (flow_B2HW - label_B2HW).double().norm(dim=1) * scale
        kept_BHW = label_B2HW.double().norm(dim=1) <= limit
        for region, sums in self._sums.items():
            error = error_BHW[(region_BHW == region) & kept_BHW]
            parts = [error.sum(), *((error > px).double().sum() for px in (1, 3, 5)), error.new_tensor(len(error))]
            sums += torch.stack(parts).cpu()

    def result(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for region, sums in self._sums.items():
            if sums[-1] > 0:
                epe, *outliers = (sums[:-1] / sums[-1]).tolist()
                name = self.REGIONS[region]
                values[f"{self.name}/epe512_{name}"] = epe
                values |= {f"{self.name}/over{px}_{name}": share for px, share in zip((1, 3, 5), outliers, strict=True)}
        return values


class MaskedPsnrMeter:
    """Mean over images of -10 log10(mean squared error on a mask), images in [0, 1]."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._values: list[float] = []

    def add(self, image_B3HW: Tensor, label_B3HW: Tensor, mask_BHW: Tensor) -> None:
        """Images whose mask is empty are left out; an error below 1e-10 counts as that."""
        for image, label, mask in zip(image_B3HW, label_B3HW, mask_BHW, strict=True):
            if mask.any():
                error = float((image - label)[:, mask].double().square().mean())
                self._values.append(-10 * math.log10(max(error, 1e-10)))

    def result(self) -> dict[str, float]:
        return {self.name: sum(self._values) / len(self._values)} if self._values else {}

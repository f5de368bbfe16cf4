"""Accumulators of the dense tasks: sums over the pixels of a whole set, in float64.

Definitions follow the multi-task dense prediction literature (MTI-Net, ECCV 2020, and its successors). They are written
here rather than taken from torchmetrics, which has only two of them (mIoU and rmse, the tests hold ours equal to its),
sums in float32 by default and would triple the time to import this module.

Shapes: B batch, H height, W width. Every `add` takes float or integer tensors on any device.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE_LABEL = 255
NEAR_LIMIT = 6.5535
"""Metres; MTFormer (ECCV 2022) and MT-CP leave out labels from here on, which lowers rmse."""


class DepthMeter:
    """absRel, sqRel, rmse, rmse_log and delta_k over valid pixels.

    median_scaled: each prediction is first multiplied by median(label) / median(prediction) of its image, which removes
    the unknown scale. limit: labels from there on, in metres, are left out. Keys are `depth/<prefix>...` with prefix
    `scaled_` for the former and `near_` for the latter.
    """

    def __init__(self, *, median_scaled: bool = False, limit: float = math.inf) -> None:
        self.median_scaled, self.limit = median_scaled, limit
        self._sums = torch.zeros(7, dtype=torch.float64)
        self._count = 0

    def add(self, depth_BHW: Tensor, label_BHW: Tensor) -> None:
        """depth_BHW: metres; less than 1e-9 counts as that. label_BHW: metres, 0 = invalid."""
        for depth, label in zip(depth_BHW, label_BHW, strict=True):
            valid = (label > 0) & (label < self.limit)
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
        """The means; empty when no pixel was valid."""
        if not self._count:
            return {}
        abs_rel, sq_rel, square, square_log, d1, d2, d3 = (self._sums / self._count).tolist()
        prefix = ("scaled_" if self.median_scaled else "") + ("near_" if math.isfinite(self.limit) else "")
        values = {"abs_rel": abs_rel, "sq_rel": sq_rel, "rmse": math.sqrt(square), "rmse_log": math.sqrt(square_log)}
        values |= {"delta1": d1, "delta2": d2, "delta3": d3}
        return {f"depth/{prefix}{name}": value for name, value in values.items()}


class NormalMeter:
    """Angle between normals in degrees, 2 atan2(|p-g|, |p+g|): mean, median, rms and shares under 11.25, 22.5, 30.

    The median is read from a histogram of steps of 0.001 degrees, so that a set of any size fits in memory; everything
    else is exact.
    """

    LIMITS = (11.25, 22.5, 30.0)
    STEPS_PER_DEGREE = 1000

    def __init__(self) -> None:
        self._sums = torch.zeros(2 + len(self.LIMITS), dtype=torch.float64)
        self._histogram = torch.zeros(180 * self.STEPS_PER_DEGREE + 1, dtype=torch.int64)

    def add(self, normal_B3HW: Tensor, label_B3HW: Tensor) -> None:
        """Vectors of any length; labels shorter than 0.1 are invalid."""
        valid_BHW = label_B3HW.norm(dim=1) > 0.1
        p, g = F.normalize(normal_B3HW, dim=1), F.normalize(label_B3HW, dim=1)
        angle_BHW = 2 * torch.atan2((p - g).norm(dim=1), (p + g).norm(dim=1))
        angle = torch.rad2deg(angle_BHW[valid_BHW]).double().cpu()
        parts = [angle.sum(), angle.square().sum(), *((angle < limit).double().sum() for limit in self.LIMITS)]
        self._sums += torch.stack(parts)
        steps = (angle * self.STEPS_PER_DEGREE).round().long().clamp(max=len(self._histogram) - 1)
        self._histogram += torch.bincount(steps, minlength=len(self._histogram))

    def result(self) -> dict[str, float]:
        """The statistics; empty when no pixel was valid."""
        count = int(self._histogram.sum())
        if not count:
            return {}
        mean, square, *shares = (self._sums / count).tolist()
        # For an even count the median lies halfway between the two middle angles.
        ranks = torch.tensor([(count - 1) // 2 + 1, count // 2 + 1])
        middle = torch.searchsorted(self._histogram.cumsum(0), ranks).double().mean() / self.STEPS_PER_DEGREE
        values = {"mean": mean, "median": float(middle), "rms": math.sqrt(square)}
        values |= {f"under_{limit:g}": share for limit, share in zip(self.LIMITS, shares, strict=True)}
        return {f"normals/{name}": value for name, value in values.items()}


class SegmentationMeter:
    """mIoU, pixel accuracy, and IoU per class.

    A class that occurs neither in prediction nor in label is left out of the mean, or counts 0 with `absent_is_zero`,
    as in the published evaluations. name: prefix of the keys.
    """

    def __init__(self, classes: int, *, name: str = "segmentation", absent_is_zero: bool = False) -> None:
        self.classes, self.name, self.absent_is_zero = classes, name, absent_is_zero
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
        """The means; empty when no pixel was valid."""
        total = int(self._confusion.sum())
        if not total:
            return {}
        iou = self.iou()
        miou = iou.nan_to_num(nan=0.0).mean() if self.absent_is_zero else iou.nanmean()
        accuracy = float(self._confusion.diag().sum()) / total
        return {f"{self.name}/miou": float(miou), f"{self.name}/pixel_accuracy": accuracy}

"""Accumulators for pairs of images: end-point error of a flow, and PSNR on a mask.

End-point error follows the optical-flow literature; PSNR is taken on a mask, never with the empty area counted as
perfect. Sums run over a whole set, in float64.

Shapes: B batch, H height, W width.
"""

import math

import torch
from torch import Tensor


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

"""How much a pair's warp differs from its best homography: the level of parallax (stitching specification, section 6).

Shapes: B pairs, H, W image size.
"""

import torch
from torch import Tensor

from training.pixel_grid import pixel_grid
from training.prealignment import fit_homography, transform
from training.regions import OVERLAP

LEVELS = ("low", "mid", "high", "extreme")
LIMITS = (2.0, 8.0, 20.0)
"""Upper limits of all levels but the last, in pixels of an image whose longer side is 512."""

_LONG_SIDE = 512


def parallax(flow_B2HW: Tensor, region_BHW: Tensor) -> Tensor:
    """The 95th percentile of |flow - homography| over what both see, float32 [B], in pixels at a longer side of 512.

    flow_B2HW: target to reference in pixels; region_BHW: as generated pairs hold it. The homography is the geometric
    least squares over the same pixels. NaN where too little is seen by both (under 3 %), or no sensible homography
    exists.
    """
    height, width = region_BHW.shape[1:]
    seen_BHW = region_BHW == OVERLAP
    homography_B33, usable_B = fit_homography(flow_B2HW, seen_BHW, step=2)
    grid = pixel_grid(height, width, flow_B2HW.double())
    landed_B2HW, _ = transform(homography_B33, grid.expand(len(flow_B2HW), -1, -1, -1))
    gap_BHW = (landed_B2HW - grid - flow_B2HW).norm(dim=1) * (_LONG_SIDE / max(height, width))
    share = [gap[seen].quantile(0.95) if usable else gap.new_tensor(torch.nan)
             for gap, seen, usable in zip(gap_BHW, seen_BHW, usable_B.tolist(), strict=True)]  # fmt: skip
    return torch.stack(share).float()


def parallax_level(parallax_B: Tensor) -> Tensor:
    """Numbers of LEVELS, int64 [B]; -1 for NaN."""
    level_B = torch.bucketize(parallax_B, torch.tensor(LIMITS, device=parallax_B.device), right=True)
    return torch.where(parallax_B.isnan(), -1, level_B)

"""Straight segments of a target image for the line-preservation loss.

Detector: von Gioi et al., "LSD: A Fast Line Segment Detector with a False Detection Control", PAMI 2010, in OpenCV.

Shapes: B batch, S segments (padded), J samples along each, H and W of the image.
Convention: points are (x, y) in pixels, pixel centres are integers.
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from training.losses.pixel_warp import line_spread, sample_at
from training.regions import OUTSIDE


class LineSegments(NamedTuple):
    """Even samples along segments, float32, and which segments are real."""

    sample_BSJ2: Tensor
    valid_BS: Tensor


def detect_segments(
    image_B3HW: Tensor,
    region_BHW: Tensor,
    *,
    most: int = 64,
    samples: int = 16,
    shortest: float = 30.0,
) -> LineSegments:
    """The longest segments at least half of whose samples lie outside the reference.

    image_B3HW: float in [0, 1]. region_BHW: 0 invalid, 1 overlap, 2 occluded, 3 outside. At most `most` per image, each
    at least `shortest` pixels long.
    """
    batch, _, height, width = image_B3HW.shape
    sample_BSJ2 = torch.zeros(batch, most, samples, 2)
    valid_BS = torch.zeros(batch, most, dtype=torch.bool)
    step_J1 = np.linspace(0.0, 1.0, samples, dtype=np.float32)[:, None]
    detector = cv2.createLineSegmentDetector()
    for b in range(batch):
        grey = (image_B3HW[b].detach().float().mean(dim=0) * 255.0).clamp(0, 255).byte().cpu().numpy()
        found = detector.detect(grey)[0]
        if found is None:
            continue
        ends_S4 = np.asarray(found, dtype=np.float32).reshape(-1, 4)
        lengths_S = np.hypot(ends_S4[:, 2] - ends_S4[:, 0], ends_S4[:, 3] - ends_S4[:, 1])
        ends_S4 = ends_S4[np.argsort(-lengths_S, kind="stable")][: int((lengths_S >= shortest).sum())]
        points_SJ2 = ends_S4[:, None, :2] * (1.0 - step_J1) + ends_S4[:, None, 2:] * step_J1
        points_SJ2 = points_SJ2.clip(0.0, np.array([width - 1, height - 1], dtype=np.float32))
        region_HW = region_BHW[b].cpu().numpy()
        column, row = points_SJ2.round().astype(np.int64).transpose(2, 0, 1)
        outside_S = (region_HW[row, column] == OUTSIDE).mean(axis=1) >= 0.5
        kept_SJ2 = points_SJ2[outside_S][:most]
        sample_BSJ2[b, : len(kept_SJ2)] = torch.from_numpy(np.ascontiguousarray(kept_SJ2))
        valid_BS[b, : len(kept_SJ2)] = True
    return LineSegments(sample_BSJ2.to(image_B3HW.device), valid_BS.to(image_B3HW.device))


def drop_bent(segments: LineSegments, flow_B2HW: Tensor, region_BHW: Tensor, *, most_bend: float = 0.5) -> LineSegments:
    """Segments that stay straight under the true flow: a bent one crosses a depth edge and is no line of the scene.

    Bent: a sample lands more than `most_bend` pixels from the principal axis of all. Segments that touch pixels without
    a label are dropped too.
    """
    sample_BSJ2, valid_BS = segments
    landed_BSJ2 = sample_BSJ2 + sample_at(torch.nan_to_num(flow_B2HW), sample_BSJ2)
    centred_BSJ2 = landed_BSJ2 - landed_BSJ2.mean(dim=2, keepdim=True)
    _, larger_BS = line_spread(landed_BSJ2)
    c11_BS = centred_BSJ2[..., 0].square().mean(dim=2)
    c22_BS = centred_BSJ2[..., 1].square().mean(dim=2)
    c12_BS = (centred_BSJ2[..., 0] * centred_BSJ2[..., 1]).mean(dim=2)
    wide_BS = (c11_BS >= c22_BS)[..., None]
    axis_BS2 = torch.where(
        wide_BS,
        torch.stack((larger_BS - c22_BS, c12_BS), dim=-1),
        torch.stack((c12_BS, larger_BS - c11_BS), dim=-1),
    )
    axis_BS12 = torch.nn.functional.normalize(axis_BS2, dim=-1)[:, :, None]
    bend_BSJ = (centred_BSJ2[..., 0] * axis_BS12[..., 1] - centred_BSJ2[..., 1] * axis_BS12[..., 0]).abs()
    labelled_B1HW = (region_BHW != 0).to(flow_B2HW.dtype)[:, None].expand(-1, 2, -1, -1)
    labelled_BS = sample_at(labelled_B1HW, sample_BSJ2).amin(dim=(2, 3)) > 0.999
    return LineSegments(sample_BSJ2, valid_BS & labelled_BS & (bend_BSJ.amax(dim=2) <= most_bend))

"""Feathering by distance: the seam that a composition starts from.

The classical weight of image mosaics (Szeliski, "Image Alignment and Stitching", 2006, section 6.2); the service holds
a NumPy twin in `service.stitching.composition.feather`.

Shapes: B batch, H and W of the canvas.
Convention: distances are Euclidean, in canvas pixels; the canvas' rim counts as outside every mask.
"""

import cv2
import numpy as np
import torch
from torch import Tensor


def rim_distance(mask_B1HW: Tensor) -> Tensor:
    """Distance of every pixel of a mask to the nearest pixel outside it, float32; 0 outside the mask."""
    distances = []
    for mask_HW in mask_B1HW[:, 0].detach().cpu().numpy():
        padded = np.pad(mask_HW > 0.5, 1).astype(np.uint8)
        distances.append(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1])
    return torch.from_numpy(np.stack(distances)).unsqueeze(1).to(mask_B1HW.device)


def feather(reference_mask_B1HW: Tensor, target_mask_B1HW: Tensor) -> Tensor:
    """The reference's weight d_r / (d_r + d_t), float32 [B, 1, H, W] in [0, 1].

    Masks are boolean or float with 0.5 as the limit. 1 where only the reference covers, 0 where only the target does,
    0.5 where neither. Raises ValueError if the shapes differ.
    """
    if reference_mask_B1HW.shape != target_mask_B1HW.shape:
        raise ValueError(
            f"target_mask: expected shape {list(reference_mask_B1HW.shape)}, found {list(target_mask_B1HW.shape)}"
        )
    reference_B1HW, target_B1HW = rim_distance(reference_mask_B1HW), rim_distance(target_mask_B1HW)
    total_B1HW = reference_B1HW + target_B1HW
    return torch.where(total_B1HW > 0, reference_B1HW / total_B1HW.clamp(min=1e-6), torch.full_like(total_B1HW, 0.5))

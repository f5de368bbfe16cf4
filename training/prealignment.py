"""Pre-alignment of a pair by a homography: the network then estimates only what the homography leaves.

Shapes: B batch, C channels, H height, W width.
Convention: a homography maps target pixels to reference pixels, q ~ H p, pixel centres integers, H scaled so that the
image centre has denominator 1. The reference is warped into the target's frame, R'(p) = R(H p), black outside; a
residual r on (T, R') gives the full flow f(p) = H(p + r(p)) - p.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.pixel_grid import pixel_grid

SMALLEST_DENOMINATOR = 0.15


def fit_homography(
    flow_B2HW: Tensor, mask_BHW: Tensor, *, robust_B: Tensor | None = None, step: int = 4
) -> tuple[Tensor, Tensor]:
    """Least-squares homographies of masked flow, in reference pixels, and whether each is usable.

    flow_B2HW: float, target -> reference in pixels, finite. mask_BHW: bool, pixels that count; every `step`-th is used.
    robust_B: bool, images whose fit is reweighted by a Cauchy kernel of 1 % of the longer side, which lets it settle on
    a dominant surface as a feature-based estimate does. Answers H_B33 float64 and bool_B; an unusable one is the
    identity. Usable: at least 3 % of the pixels count, and the image's corners keep their orientation and a
    denominator over SMALLEST_DENOMINATOR. The algebraic system is reweighted by the last denominators, so that it
    converges to the geometric least squares (Hartley and Zisserman, 2004, section 4.2).
    """
    batch, _, height, width = flow_B2HW.shape
    offset = step // 2
    grid_2HW = pixel_grid(height, width, flow_B2HW.double())
    point_2N = grid_2HW[:, offset::step, offset::step].reshape(2, -1)
    landing_B2N = point_2N + flow_B2HW.double()[:, :, offset::step, offset::step].flatten(2)
    mask_BN = mask_BHW[:, offset::step, offset::step].flatten(1).double()
    normalise_33 = _normalisation(height, width).to(flow_B2HW.device)
    scale = float(normalise_33[0, 0])
    centre_21 = torch.tensor([[(width - 1) / 2], [(height - 1) / 2]], dtype=torch.float64, device=flow_B2HW.device)
    x_BN, y_BN = (((point_2N - centre_21) * scale).expand(batch, -1, -1)).unbind(1)
    u_BN, v_BN = ((landing_B2N - centre_21) * scale).unbind(1)

    zero, one = torch.zeros_like(x_BN), torch.ones_like(x_BN)
    row_u = torch.stack((x_BN, y_BN, one, zero, zero, zero, -u_BN * x_BN, -u_BN * y_BN), dim=-1)
    row_v = torch.stack((zero, zero, zero, x_BN, y_BN, one, -v_BN * x_BN, -v_BN * y_BN), dim=-1)
    kernel = 0.01 * max(height, width) * scale
    weight_BN = mask_BN
    for iteration in range(6):
        h_B33 = _solve(row_u, row_v, u_BN, v_BN, weight_BN)
        px_BN, py_BN, w_BN = (h_B33 @ torch.stack((x_BN, y_BN, one), dim=1)).unbind(1)
        w_BN = w_BN.clamp(min=0.05)
        weight_BN = mask_BN / w_BN.square()
        if robust_B is not None and iteration >= 1:
            error_BN = (px_BN / w_BN - u_BN).square() + (py_BN / w_BN - v_BN).square()
            weight_BN = weight_BN / torch.where(robust_B[:, None], 1 + error_BN / kernel**2, one)
    homography_B33 = torch.linalg.inv(normalise_33) @ h_B33 @ normalise_33
    usable_B = (mask_BN.mean(dim=1) >= 0.03) & is_usable(homography_B33, height, width)
    identity_B33 = torch.eye(3, dtype=torch.float64, device=flow_B2HW.device).expand(batch, 3, 3)
    return torch.where(usable_B[:, None, None], homography_B33, identity_B33), usable_B


def jitter_homography(
    homography_B33: Tensor, height: int, width: int, share: float, generator: torch.Generator
) -> Tensor:
    """H G with G moving each corner of the target by up to `share` of the longer side in x and y."""
    batch = len(homography_B33)
    corners_42 = _corners(height, width)
    moved_B42 = (torch.rand(batch, 4, 2, generator=generator, dtype=torch.float64) * 2 - 1) * share * max(height, width)
    change_B33 = homography_of_corners(corners_42.expand(batch, 4, 2), corners_42 + moved_B42)
    return homography_B33 @ change_B33.to(homography_B33.device)


def disturbed(homography_B33: Tensor, height: int, width: int, share: float, generator: torch.Generator) -> Tensor:
    """`jitter_homography` where the result is usable, the homography as given elsewhere."""
    jittered_B33 = jitter_homography(homography_B33, height, width, share, generator)
    usable_B = is_usable(jittered_B33, height, width)
    return torch.where(usable_B[:, None, None], jittered_B33, homography_B33)


def draw_homography(
    flow_B2HW: Tensor,
    overlap_BHW: Tensor,
    generator: torch.Generator,
    *,
    prealign: float,
    robust: float,
    jitter: float,
) -> Tensor:
    """Homographies as an estimator from features might give them, float64: fitted to the overlap, a share `robust` of
    them robustly, disturbed by up to `jitter`; the identity for all but a share `prealign` and where a fit fails."""
    batch, _, height, width = flow_B2HW.shape
    device = flow_B2HW.device
    aligned_B = (torch.rand(batch, generator=generator) < prealign).to(device)
    robust_B = (torch.rand(batch, generator=generator) < robust).to(device)
    fitted_B33, usable_B = fit_homography(flow_B2HW, overlap_BHW, robust_B=robust_B)
    share = jitter * float(torch.rand((), generator=generator))
    drawn_B33 = disturbed(fitted_B33, height, width, share, generator)
    identity_33 = torch.eye(3, dtype=torch.float64, device=device)
    return torch.where((aligned_B & usable_B)[:, None, None], drawn_B33, identity_33)


def homography_of_corners(source_B42: Tensor, destination_B42: Tensor) -> Tensor:
    """The homographies that take four points to four points, exactly; float64."""
    x, y = source_B42.double().unbind(-1)
    u, v = destination_B42.double().unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    row_u = torch.stack((x, y, one, zero, zero, zero, -u * x, -u * y), dim=-1)
    row_v = torch.stack((zero, zero, zero, x, y, one, -v * x, -v * y), dim=-1)
    h_B8 = torch.linalg.solve(torch.cat((row_u, row_v), dim=1), torch.cat((u, v), dim=1)[..., None])[..., 0]
    return F.pad(h_B8, (0, 1), value=1.0).view(-1, 3, 3)


def is_usable(homography_B33: Tensor, height: int, width: int) -> Tensor:
    """Whether denominators at the corners exceed SMALLEST_DENOMINATOR of the centre's, nothing is mirrored, and areas
    change by a factor between 1/9 and 9 at the centre."""
    matrix_B33 = homography_B33.double()
    corners_43 = F.pad(_corners(height, width), (0, 1), value=1.0).to(matrix_B33.device)
    centre_3 = matrix_B33.new_tensor([(width - 1) / 2, (height - 1) / 2, 1.0])
    denominator_B = matrix_B33[:, 2] @ centre_3
    corner_B4 = matrix_B33[:, 2] @ corners_43.T
    area_B = torch.linalg.det(matrix_B33) / denominator_B**3
    corners_kept_B = (corner_B4 > SMALLEST_DENOMINATOR * denominator_B[:, None]).all(dim=1)
    finite_B = torch.isfinite(matrix_B33).flatten(1).all(dim=1)
    return finite_B & (denominator_B > 0) & corners_kept_B & (area_B > 1 / 9) & (area_B < 9)


def warp_reference(reference_BCHW: Tensor, homography_B33: Tensor) -> Tensor:
    """R'(p) = R(H p), bilinear, 0 outside; float32 of the same shape."""
    height, width = reference_BCHW.shape[-2:]
    points_B2HW, depth_BHW = transform(homography_B33, pixel_grid(height, width, homography_B33)[None])
    size = points_B2HW.new_tensor([width, height]).view(1, 2, 1, 1)
    grid_B2HW = (2 * points_B2HW + 1) / size - 1
    grid_B2HW = torch.where(depth_BHW[:, None] > 0, grid_B2HW, 9.0).clamp(-9, 9)
    grid_BHW2 = grid_B2HW.permute(0, 2, 3, 1).to(reference_BCHW.dtype)
    return F.grid_sample(reference_BCHW, grid_BHW2, padding_mode="zeros", align_corners=False)


def residual_target(flow_B2HW: Tensor, homography_B33: Tensor) -> tuple[Tensor, Tensor]:
    """r*(p) = H^-1(p + f*(p)) - p, float32, and where it is defined (H^-1 keeps the landing point in front).

    flow_B2HW: float, finite, target -> reference in pixels. Where undefined r* is 0.
    """
    height, width = flow_B2HW.shape[-2:]
    grid_2HW = pixel_grid(height, width, homography_B33)
    inverse_B33 = torch.linalg.inv(homography_B33)
    centre_3 = inverse_B33.new_tensor([(width - 1) / 2, (height - 1) / 2, 1.0])
    at_centre_B = 1 / (homography_B33[:, 2] @ centre_3)  # denominator of H^-1 where the target's centre lands
    points_B2HW, depth_BHW = transform(inverse_B33, grid_2HW + flow_B2HW.double())
    defined_BHW = depth_BHW > SMALLEST_DENOMINATOR * at_centre_B[:, None, None]
    residual_B2HW = torch.where(defined_BHW[:, None], points_B2HW - grid_2HW, 0.0)
    return residual_B2HW.float(), defined_BHW


def full_flow(residual_B2HW: Tensor, homography_B33: Tensor) -> Tensor:
    """f(p) = H(p + r(p)) - p, float32, in pixels target -> reference."""
    height, width = residual_B2HW.shape[-2:]
    grid_2HW = pixel_grid(height, width, homography_B33)
    points_B2HW, _ = transform(homography_B33, grid_2HW + residual_B2HW.double())
    return (points_B2HW - grid_2HW).float()


def transform(homography_B33: Tensor, points_B2HW: Tensor) -> tuple[Tensor, Tensor]:
    """H applied to points (x, y), and the denominators; those under 1e-6 are taken as 1e-6."""
    rows = [row[:, None, None] for row in homography_B33.flatten(1).unbind(1)]
    x_BHW, y_BHW = points_B2HW.unbind(1)
    u_BHW, v_BHW, w_BHW = (rows[i] * x_BHW + rows[i + 1] * y_BHW + rows[i + 2] for i in (0, 3, 6))
    safe_BHW = w_BHW.clamp(min=1e-6)
    return torch.stack((u_BHW / safe_BHW, v_BHW / safe_BHW), dim=1), w_BHW


def _solve(row_u: Tensor, row_v: Tensor, u_BN: Tensor, v_BN: Tensor, weight_BN: Tensor) -> Tensor:
    weighted_u, weighted_v = row_u * weight_BN[..., None], row_v * weight_BN[..., None]
    normal_B88 = weighted_u.transpose(1, 2) @ row_u + weighted_v.transpose(1, 2) @ row_v
    right_B81 = weighted_u.transpose(1, 2) @ u_BN[..., None] + weighted_v.transpose(1, 2) @ v_BN[..., None]
    ridge_88 = 1e-9 * torch.eye(8, dtype=torch.float64, device=u_BN.device)
    total_B11 = weight_BN.sum(dim=1).clamp(min=1)[:, None, None]
    h_B8 = torch.linalg.solve(normal_B88 / total_B11 + ridge_88, right_B81 / total_B11)[..., 0]
    return F.pad(h_B8, (0, 1), value=1.0).view(-1, 3, 3)


def _normalisation(height: int, width: int) -> Tensor:
    """Pixels to coordinates about the centre in which the longer side spans [-1, 1]."""
    scale = 2 / max(height, width)
    return torch.tensor(
        [[scale, 0, -scale * (width - 1) / 2], [0, scale, -scale * (height - 1) / 2], [0, 0, 1]], dtype=torch.float64
    )


def _corners(height: int, width: int) -> Tensor:
    right, bottom = width - 1.0, height - 1.0
    return torch.tensor([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]], dtype=torch.float64)

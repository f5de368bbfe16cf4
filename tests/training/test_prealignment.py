"""Homographies of a flow and the residual that they leave."""

import pytest
import torch
from torch import Tensor

from training.pixel_grid import pixel_grid
from training.prealignment import (
    draw_homography,
    fit_homography,
    full_flow,
    homography_of_corners,
    is_usable,
    jitter_homography,
    residual_target,
    transform,
    warp_reference,
)

H, W = 48, 64
MATRICES = torch.tensor(
    [
        [[1.05, 0.1, 9.0], [-0.06, 0.95, -4.0], [4e-4, -6e-4, 1.0]],
        [[1.0, 0.0, -20.0], [0.0, 1.0, 3.0], [0.0, 0.0, 1.0]],
    ],
    dtype=torch.float64,
)


def flow_of(matrices_B33: Tensor) -> Tensor:
    grid = pixel_grid(H, W, matrices_B33)
    return transform(matrices_B33, grid[None])[0] - grid


def test_an_exact_homography_is_recovered_also_from_a_part() -> None:
    mask = torch.zeros(2, H, W, dtype=torch.bool)
    mask[:, 5:30, 20:50] = True
    fitted, usable = fit_homography(flow_of(MATRICES), mask)
    assert usable.all()
    assert torch.allclose(full_flow(torch.zeros(2, 2, H, W), fitted).double(), flow_of(MATRICES), atol=2e-3)


def test_a_robust_fit_settles_on_the_larger_surface() -> None:
    flow = flow_of(MATRICES[1:]).repeat(2, 1, 1, 1)
    flow[:, 0, :16, 40:] += 10.0
    mask = torch.ones(2, H, W, dtype=torch.bool)
    fitted, _ = fit_homography(flow, mask, robust_B=torch.tensor([False, True]))
    error = (full_flow(torch.zeros(2, 2, H, W), fitted) - flow).norm(dim=1)[:, :, :40].mean(dim=(1, 2))
    assert error[1] < 0.1 < error[0]


def test_too_little_overlap_gives_the_identity() -> None:
    fitted, usable = fit_homography(flow_of(MATRICES), torch.zeros(2, H, W, dtype=torch.bool))
    assert not usable.any()
    assert torch.equal(fitted, torch.eye(3, dtype=torch.float64).repeat(2, 1, 1))


def test_residual_and_full_flow_are_inverse() -> None:
    flow = flow_of(MATRICES) + 3 * torch.rand(2, 2, H, W, dtype=torch.float64)
    residual, defined = residual_target(flow, MATRICES)
    assert defined.all()
    assert torch.allclose(full_flow(residual, MATRICES).double(), flow, atol=2e-4)
    exact, _ = residual_target(flow_of(MATRICES), MATRICES)
    assert exact.abs().max() < 1e-5


def test_the_reference_is_moved_to_where_the_target_sees_it() -> None:
    image = torch.rand(1, 3, H, W)
    shifted = warp_reference(image, MATRICES[1:])
    assert torch.allclose(shifted[..., : H - 3, 20:], image[..., 3:, : W - 20], atol=1e-5)
    assert shifted[..., :19].abs().max() == 0
    assert torch.allclose(warp_reference(image, torch.eye(3, dtype=torch.float64)[None]), image, atol=1e-5)


def test_corners_move_by_at_most_the_jitter() -> None:
    generator = torch.Generator().manual_seed(0)
    identity = torch.eye(3, dtype=torch.float64).repeat(16, 1, 1)
    moved = jitter_homography(identity, H, W, 0.05, generator)
    corners = torch.tensor([[0.0, W - 1, 0.0, W - 1], [0.0, 0.0, H - 1, H - 1]], dtype=torch.float64).view(1, 2, 2, 2)
    distance = (transform(moved, corners)[0] - corners).abs()
    assert 0.5 * 0.05 * W < distance.max() <= 0.05 * W + 1e-9
    points = torch.rand(2, 4, 2, dtype=torch.float64) * 6
    square = torch.tensor([[0.0, 0.0], [40.0, 1.0], [2.0, 40.0], [41.0, 39.0]], dtype=torch.float64).repeat(2, 1, 1)
    back = transform(homography_of_corners(square, square + points), square.mT.reshape(2, 2, 2, 2))[0]
    assert torch.allclose(back.reshape(2, 2, 4).mT, square + points, atol=1e-8)


@pytest.mark.parametrize(
    "matrix",
    [
        [[-1.0, 0, W], [0, 1, 0], [0, 0, 1]],
        [[1.0, 0, 0], [0, 1, 0], [-0.03, 0, 1]],
        [[5.0, 0, 0], [0, 5, 0], [0, 0, 1]],
        [[float("nan"), 0, 0], [0, 1, 0], [0, 0, 1]],
    ],
)
def test_mirrored_folded_huge_and_broken_homographies_are_refused(matrix: list[list[float]]) -> None:
    assert not is_usable(torch.tensor([matrix], dtype=torch.float64), H, W).any()
    assert is_usable(MATRICES, H, W).all()


def test_drawn_homographies_follow_from_the_generator() -> None:
    mask = torch.ones(2, H, W, dtype=torch.bool)

    def draw(seed: int, prealign: float) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return draw_homography(flow_of(MATRICES), mask, generator, prealign=prealign, robust=0.5, jitter=0.04)

    assert torch.equal(draw(1, 1.0), draw(1, 1.0))
    assert not torch.equal(draw(1, 1.0), draw(2, 1.0))
    assert torch.equal(draw(1, 0.0), torch.eye(3, dtype=torch.float64).repeat(2, 1, 1))

"""Warp losses: exact geometry, straight lines under homographies, masks and gradients."""

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from training.losses.line_segments import LineSegments, detect_segments, drop_bent
from training.losses.pixel_warp import (
    confidence_loss,
    epipolar_distance,
    epipolar_loss,
    fundamental_matrix,
    has_parallax,
    importance_loss,
    line_loss,
    line_spread,
    matching_loss,
    sequence_loss,
)
from training.pixel_grid import pixel_grid
from training.regions import OVERLAP

HEIGHT, WIDTH = 24, 32


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rotation(yaw: float, pitch: float, roll: float) -> Tensor:
    generator = torch.tensor([[0.0, -roll, yaw], [roll, 0.0, -pitch], [-yaw, pitch, 0.0]], dtype=torch.float64)
    return torch.linalg.matrix_exp(generator)


class Scene(NamedTuple):
    """Two cameras and the exact flow of a bumpy surface."""

    target_k: Tensor
    reference_k: Tensor
    rotation: Tensor
    translation: Tensor
    flow: Tensor
    inverse_depth: Tensor

    def fundamental(self) -> Tensor:
        return fundamental_matrix(self.target_k, self.reference_k, self.rotation, self.translation)


def scene(translation: tuple[float, float, float] = (0.3, -0.1, 0.05)) -> Scene:
    ks = []
    for focal in (30.0, 27.0):
        ks.append(torch.tensor([[focal, 0, 15.5], [0, focal, 11.5], [0, 0, 1]], dtype=torch.float64)[None])
    turn, shift = rotation(0.2, -0.05, 0.03)[None], torch.tensor([translation], dtype=torch.float64)
    grid = pixel_grid(HEIGHT, WIDTH, noise(1))
    ray = torch.einsum("ij,jhw->ihw", torch.linalg.inv(ks[0][0]), torch.cat((grid, torch.ones_like(grid[:1]))))
    depth = 2 + 0.5 * torch.sin(grid[0] / 5) + 0.3 * torch.cos(grid[1] / 3)
    point = torch.einsum("ij,jhw->ihw", turn[0], ray * depth) + shift[0][:, None, None]
    landed = torch.einsum("ij,jhw->ihw", ks[1][0], point)
    return Scene(ks[0], ks[1], turn, shift, (landed[:2] / landed[2:] - grid)[None], 1 / point[2:3])


def test_true_flow_lies_on_its_epipolar_line() -> None:
    given = scene()
    distance, defined = epipolar_distance(given.flow, given.fundamental())
    assert defined.float().mean() > 0.9
    assert distance.max() < 1e-12


def test_distance_counts_motion_across_the_line_alone() -> None:
    given = scene()
    matrix = given.fundamental()
    grid = pixel_grid(HEIGHT, WIDTH, given.flow)
    line = torch.einsum("ij,jhw->ihw", matrix[0], torch.cat((grid, torch.ones_like(grid[:1]))))[:2]
    normal = (line / line.norm(dim=0))[None]
    along = torch.stack((-normal[:, 1], normal[:, 0]), dim=1)
    across, defined = epipolar_distance(given.flow + 1.7 * normal, matrix)
    torch.testing.assert_close(across[defined], torch.full_like(across[defined], 1.7), rtol=0, atol=1e-12)
    assert epipolar_distance(given.flow + 25 * along, matrix)[0].max() < 1e-12


def test_pure_rotation_switches_the_term_off_without_nan() -> None:
    given = scene(translation=(0.0, 0.0, 0.0))
    assert not has_parallax(given.translation, given.inverse_depth).any()
    flow = (given.flow + noise(1, 2, HEIGHT, WIDTH)).requires_grad_()
    region = torch.full((1, HEIGHT, WIDTH), 3, dtype=torch.uint8)
    loss = epipolar_loss(flow, given.fundamental(), region, torch.ones(1, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0
    assert flow.grad is not None
    assert (flow.grad == 0).all()
    assert has_parallax(scene().translation, scene().inverse_depth).all()


def test_epipolar_loss_skips_the_overlap_and_inactive_images() -> None:
    given = scene()
    wrong, region = given.flow + 2.0, torch.full((1, HEIGHT, WIDTH), 3, dtype=torch.uint8)
    on, off = torch.ones(1, dtype=torch.bool), torch.zeros(1, dtype=torch.bool)
    assert float(epipolar_loss(wrong, given.fundamental(), region, on)) > 1e-3
    assert float(epipolar_loss(wrong, given.fundamental(), region, off)) == 0
    assert float(epipolar_loss(wrong, given.fundamental(), torch.ones_like(region), on)) == 0
    far = epipolar_loss(given.flow + 1e4, given.fundamental(), region, on)
    assert float(far) <= 0.1 + 1e-12


def test_a_resampled_reference_has_the_matrix_h_transposed_f() -> None:
    given = scene()
    homography = torch.eye(3, dtype=torch.float64) + 0.02 * noise(3, 3, seed=5) * torch.tensor([1, 1, 0.01])[:, None]
    grid = pixel_grid(HEIGHT, WIDTH, given.flow)
    landed = torch.cat((grid + given.flow[0], torch.ones_like(grid[:1])))
    back = torch.einsum("ij,jhw->ihw", torch.linalg.inv(homography), landed)
    residual = (back[:2] / back[2:] - grid)[None]
    assert epipolar_distance(residual, homography.T[None] @ given.fundamental())[0].max() < 1e-9


def lines(count: int) -> Tensor:
    start = 60 * noise(1, count, 1, 2) + 100
    angle = 7 * noise(1, count, 1, seed=1)
    end = start + 80 * torch.stack((angle.cos(), angle.sin()), dim=-1)
    step = torch.linspace(0, 1, 16, dtype=torch.float64)[None, None, :, None]
    return start + step * (end - start)


def test_lines_stay_lines_under_affine_maps_and_homographies() -> None:
    points = lines(200)
    affine = points @ (torch.eye(2, dtype=torch.float64) + 0.2 * noise(2, 2)).T + 7
    homography = torch.tensor([[1.1, 0.1, 5], [-0.05, 0.9, 3], [4e-4, -3e-4, 1]], dtype=torch.float64)
    mapped = torch.cat((points, torch.ones_like(points[..., :1])), dim=-1) @ homography.T
    for warped in (affine, mapped[..., :2] / mapped[..., 2:]):
        smaller, larger = line_spread(warped)
        assert (smaller / larger.clamp(min=1)).abs().max() <= 1e-13
    waved = points + torch.stack((2 * torch.sin(points[..., 1] / 10), 2 * torch.sin(points[..., 0] / 10)), dim=-1)
    assert line_spread(waved)[0].max() > 0.3


def test_line_gradients_are_finite_on_exact_lines_and_right_elsewhere() -> None:
    exact = lines(20).requires_grad_()
    line_spread(exact)[0].sum().backward()
    assert exact.grad is not None
    assert exact.grad.isfinite().all()
    points = 5 + 3 * torch.rand(1, 3, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    flow = noise(1, 2, 12, 12).requires_grad_()
    valid = torch.tensor([[True, True, False]])
    assert torch.autograd.gradcheck(lambda value: line_loss(value, points, valid), (flow,))


def test_line_loss_of_a_homography_flow_on_detected_segments() -> None:
    image = torch.zeros(1, 3, 96, 128)
    image[..., 30:70, 40:100] = 1.0
    region = torch.full((1, 96, 128), 3, dtype=torch.uint8)
    segments = detect_segments(image, region)
    assert int(segments.valid_BS.sum()) >= 4
    assert not detect_segments(image, torch.ones_like(region)).valid_BS.any()
    grid = pixel_grid(96, 128, torch.zeros(1))
    affine = torch.stack((0.1 * grid[0] - 0.2 * grid[1], 0.05 * grid[0] + 3))[None]
    assert float(line_loss(affine, *segments)) < 1e-6
    bent = affine.clone()
    bent[:, 1] += 4 * torch.sin(grid[0] / 6)
    assert float(line_loss(bent, *segments)) > 1e-4
    assert drop_bent(segments, affine, region).valid_BS.sum() == segments.valid_BS.sum()
    assert drop_bent(segments, bent, region).valid_BS.sum() < segments.valid_BS.sum()
    assert not drop_bent(segments, affine, torch.zeros_like(region)).valid_BS.any()
    assert float(line_loss(bent, *LineSegments(segments[0], torch.zeros_like(segments[1])))) == 0


def test_sequence_loss_weighs_iterates_and_regions() -> None:
    truth = noise(1, 2, 4, 4)
    region = torch.ones(1, 4, 4, dtype=torch.uint8)
    region[0, 0], region[0, 1], region[0, 2] = 0, 2, 3
    one = torch.tensor([1.0, 0.0], dtype=torch.float64).view(1, 2, 1, 1)
    found = sequence_loss([truth + 2 * one, truth + one], truth, region)
    assert float(found) == pytest.approx(1.5 * (0.8 * 2 + 1), abs=1e-12)
    wild = truth.clone()
    wild[0, :, 3, 3], wild[0, :, 3, 2] = torch.nan, 1e5
    assert float(sequence_loss([wild.nan_to_num() + one], wild, region)) == pytest.approx(1.5, abs=1e-9)
    with pytest.raises(ValueError, match="iterates"):
        sequence_loss([], truth, region)
    flow = (truth + noise(1, 2, 4, 4, seed=3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: sequence_loss([value], wild, region), (flow,))


def test_importance_follows_relative_nearness() -> None:
    inverse = torch.tensor([[[0.5, 0.25, 0.0]]], dtype=torch.float64)
    exact = torch.tensor([[[[30.0, 15.0, 4.0]]]], dtype=torch.float64)
    assert float(importance_loss(exact, inverse)) == 0
    assert float(importance_loss(exact, 7 * inverse)) == 0
    assert float(importance_loss(exact + 3, inverse)) == pytest.approx(0.1)
    assert float(importance_loss(exact, torch.zeros_like(inverse))) == 0


def test_confidence_is_a_probability_of_being_right_in_the_overlap() -> None:
    truth = torch.zeros(1, 2, 2, 2, dtype=torch.float64)
    flow = truth.clone()
    flow[0, 0, 0, 1] = 5
    region = torch.tensor([[[1, 1], [3, 0]]], dtype=torch.uint8)
    confidence = torch.tensor([[[[0.9, 0.2], [0.1, 0.5]]]], dtype=torch.float64)
    expected = -(math.log(0.9) + math.log(0.8) + math.log(0.9)) / 3
    assert float(confidence_loss(confidence, flow, truth, region)) == pytest.approx(expected, abs=1e-12)


def test_matching_loss_is_small_only_for_the_true_place() -> None:
    """Correlations that peak at a flow of one coarse pixel to the right: the loss knows them from no flow."""
    height, width = 4, 6
    place = torch.arange(height * width).view(height, width)
    volume = torch.zeros(1, height * width, height * width)
    volume[0, place[:, :-1].flatten(), place[:, 1:].flatten()] = 40.0
    correlation = volume.view(1, -1, height, width)
    region = torch.full((1, 8 * height, 8 * width), OVERLAP, dtype=torch.uint8)
    flow = torch.zeros(1, 2, 8 * height, 8 * width)
    flow[:, 0] = 8.0
    assert matching_loss(correlation, flow, region) < 1e-5
    assert matching_loss(correlation, torch.zeros_like(flow), region) > 30
    halfway = matching_loss(correlation, flow * 0.5, region)
    torch.testing.assert_close(halfway, torch.tensor(20.0), atol=0.1, rtol=0)

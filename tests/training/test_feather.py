"""Feathering weights: forced where one photograph sees, symmetric in the overlap, falling towards its own rim."""

import pytest
import torch

from training.feather import feather, rim_distance


def test_weights_of_two_overlapping_frames() -> None:
    reference, target = torch.zeros(1, 1, 40, 100), torch.zeros(1, 1, 40, 100)
    reference[..., :60] = 1
    target[..., 40:] = 1
    weight = feather(reference, target)
    assert (weight[..., :40] == 1).all()
    assert (weight[..., 60:] == 0).all()
    row = weight[0, 0, 20, 40:60]
    assert (row.diff() < 0).all()
    torch.testing.assert_close(row + row.flip(0), torch.ones(20), atol=1e-5, rtol=0)
    torch.testing.assert_close(feather(target, reference), 1 - weight, atol=1e-5, rtol=0)


def test_neither_photograph_gives_half() -> None:
    empty = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    assert (feather(empty, empty) == 0.5).all()


def test_the_rim_of_the_canvas_counts_as_outside() -> None:
    distance = rim_distance(torch.ones(1, 1, 9, 9))
    assert distance[0, 0, 0, 4] == pytest.approx(1, abs=0.05)
    assert distance[0, 0, 4, 4] == pytest.approx(5, abs=0.2)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="target_mask"):
        feather(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 5))

"""Composition: an untrained network is feathering, and only holes and the seam's band may be corrected."""

import pytest
import torch
from torch import Tensor

from models.stitched_image import StitchedImage, StitchedImageConfig, close_gaps, compose
from training.feather import feather

TINY = StitchedImageConfig(widths=(8, 12, 16))


def canvas(height: int = 48, width: int = 80, gap: int = 0) -> Tensor:
    """Reference on the left, target on the right, overlapping unless there is a gap between them."""
    colours = torch.rand(1, 8, height, width, generator=torch.Generator().manual_seed(4))
    reference, target = torch.zeros(1, 1, height, width), torch.zeros(1, 1, height, width)
    reference[..., : 50 if not gap else 40] = 1
    target[..., 30 if not gap else 40 + gap :] = 1
    return torch.cat((colours[:, 0:3] * reference, reference, colours[:, 4:7] * target, target), dim=1)


def test_an_untrained_network_answers_the_feathering_it_was_given() -> None:
    given = canvas()
    weight = feather(given[:, 3:4], given[:, 7:8])
    alpha, delta = StitchedImage(TINY)(given, weight)
    torch.testing.assert_close(alpha, weight.clamp(1e-3, 1 - 1e-3))
    assert (delta == 0).all()


def test_alpha_is_forced_where_one_photograph_sees() -> None:
    given = canvas()
    composition = compose(given, torch.full((1, 1, 48, 80), 0.3), torch.zeros(1, 3, 48, 80))
    assert (composition.alpha_B1HW[..., :30] == 1).all()
    assert (composition.alpha_B1HW[..., 50:] == 0).all()
    assert (composition.alpha_B1HW[..., 30:50] == 0.3).all()
    torch.testing.assert_close(composition.image_B3HW[..., :30], given[:, 0:3, :, :30], rtol=0, atol=0)
    torch.testing.assert_close(composition.image_B3HW[..., 50:], given[:, 4:7, :, 50:], rtol=0, atol=0)


def test_the_correction_acts_in_the_band_alone() -> None:
    given = canvas()
    alpha = feather(given[:, 3:4], given[:, 7:8])
    plain = compose(given, alpha, torch.zeros(1, 3, 48, 80))
    changed = compose(given, alpha, torch.full((1, 3, 48, 80), 0.5))
    difference = (plain.image_B3HW != changed.image_B3HW).any(dim=1, keepdim=True)
    allowed = changed.corrected_B1HW > 0
    assert not (difference & ~allowed).any()
    columns = allowed[0, 0, 24].nonzero().flatten()
    assert 8 <= len(columns) <= 9
    assert columns.min() >= 34
    assert columns.max() <= 45


def test_interior_holes_are_filled_and_the_outside_stays_black() -> None:
    given = canvas(gap=6)
    given[..., :4, :] = 0
    composition = compose(given, torch.full((1, 1, 48, 80), 0.5), torch.full((1, 3, 48, 80), 0.25))
    assert (composition.image_B3HW[..., 20, 40:46] == 0.25).all()
    assert (composition.image_B3HW[..., :4, :] == 0).all()
    assert (composition.corrected_B1HW[..., :4, :] == 0).all()


def test_compose_of_identical_images_is_exact() -> None:
    image = torch.rand(1, 3, 32, 32)
    ones = torch.ones(1, 1, 32, 32)
    composition = compose(
        torch.cat((image, ones, image, ones), dim=1), torch.rand(1, 1, 32, 32), torch.zeros(1, 3, 32, 32)
    )
    torch.testing.assert_close(composition.image_B3HW, image, rtol=0, atol=1e-6)


def test_closing_fills_gaps_up_to_its_width() -> None:
    mask = torch.zeros(1, 1, 40, 60)
    mask[..., 4:38, 2:58] = 1
    closed = mask.clone()
    mask[..., 10:30, 20:27] = 0
    assert (close_gaps(mask, 4) == closed).all()
    assert (close_gaps(mask, 2) == mask).all()


def test_wrong_inputs_are_refused() -> None:
    network = StitchedImage(TINY)
    with pytest.raises(ValueError, match="canvas"):
        network(torch.rand(1, 7, 32, 32), torch.rand(1, 1, 32, 32))
    with pytest.raises(ValueError, match="feather"):
        network(torch.rand(1, 8, 32, 32), torch.rand(1, 3, 32, 32))
    with pytest.raises(ValueError, match="multiples of 4"):
        network(torch.rand(1, 8, 30, 32), torch.rand(1, 1, 30, 32))

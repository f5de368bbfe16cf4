"""The service composes with NumPy what training composed with PyTorch."""

import numpy as np
import torch

from models.stitched_image import close_gaps, compose
from service.stitching import composition as service
from training.feather import feather


def masks(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two ragged frames with a gap between them in places, away from the rim of the canvas."""
    generator = torch.Generator().manual_seed(seed)
    reference, target = torch.zeros(1, 1, 90, 140), torch.zeros(1, 1, 90, 140)
    for row in range(34, 56):
        first, second = (int(torch.randint(0, 24, (1,), generator=generator)) for _ in range(2))
        reference[..., row, 34 : 60 + first] = 1
        target[..., row, 66 + second // 2 : 104] = 1
    return reference, target


def test_feathering_agrees() -> None:
    for seed in range(3):
        reference, target = masks(seed)
        ours = feather(reference, target)[0, 0].numpy()
        theirs = service.feather(reference[0, 0].numpy() > 0.5, target[0, 0].numpy() > 0.5)
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_composition_agrees_to_the_rounding_of_bytes() -> None:
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        reference_mask, target_mask = masks(seed)
        colours = torch.randint(0, 256, (2, 3, 90, 140), generator=generator)
        pair = [colours[k : k + 1] / 255.0 * mask for k, mask in enumerate((reference_mask, target_mask))]
        canvas = torch.cat((pair[0], reference_mask, pair[1], target_mask), dim=1)
        alpha, delta = (
            torch.rand(1, 1, 90, 140, generator=generator),
            torch.rand(1, 3, 90, 140, generator=generator) - 0.5,
        )
        ours = compose(canvas, alpha, delta)
        bytes_r, bytes_t = (colours[k].permute(1, 2, 0).numpy().astype(np.uint8) for k in range(2))
        mask_r, mask_t = reference_mask[0, 0].numpy() > 0.5, target_mask[0, 0].numpy() > 0.5
        union = torch.maximum(reference_mask, target_mask)
        holes = (close_gaps(union, 15) > union)[0, 0].numpy()
        image, forced, corrected = service.compose(
            bytes_r, mask_r, bytes_t, mask_t, alpha[0, 0].numpy(), delta[0].permute(1, 2, 0).numpy(), holes
        )
        assert np.array_equal(corrected, ours.corrected_B1HW[0, 0].numpy() > 0.5)
        np.testing.assert_allclose(forced, ours.alpha_B1HW[0, 0].numpy(), atol=1e-6)
        np.testing.assert_allclose(image / 255.0, ours.image_B3HW[0].permute(1, 2, 0).numpy(), atol=0.5 / 255 + 1e-5)


def test_the_service_fills_those_closed_gaps_that_are_enclosed() -> None:
    reference, target = masks(5)
    union = torch.maximum(reference, target)
    union[..., 42:46, 90:95] = 0  # a gap inside the target
    union[..., 30:40, 98:100] = 0  # a notch in its outline
    closed = (close_gaps(union, 15) > union)[0, 0].numpy()
    holes = service.interior_holes(union[0, 0].numpy() > 0.5, 15)
    assert holes[42:46, 90:95].all()
    assert not (holes & ~closed).any()
    assert closed[38:40, 98:100].all()
    assert not holes[30:40, 98:100].any()

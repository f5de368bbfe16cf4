"""Composition: real pixels stay real, seams and holes alone are corrected, and training does the same."""

import numpy as np
import pytest

from service.stitching.composition import CompositionOptions, blend, compose, feather, interior_holes
from tests.service.stitching.scenes import Feather, Vivid, texture


def two_masks(width: int = 160, height: int = 96) -> tuple[np.ndarray, np.ndarray]:
    mask_r, mask_t = np.zeros((2, height, width), bool)
    mask_r[8:80, 60:150] = True
    mask_t[20:90, 5:110] = True
    mask_t[40:50, 30:38] = False
    return mask_r, mask_t


@pytest.mark.parametrize("scale", [1, 6])
def test_every_pixel_outside_holes_and_seam_is_real(scale: int) -> None:
    mask_r, mask_t = (np.kron(mask, np.ones((scale, scale))) > 0 for mask in two_masks())
    height, width = mask_r.shape
    reference, target = (texture(width, height, seed) * mask[..., None] for seed, mask in ((1, mask_r), (2, mask_t)))
    plain = blend(Feather(), reference, mask_r, target, mask_t, CompositionOptions()).panorama_HW3
    vivid = blend(Vivid(), reference, mask_r, target, mask_t, CompositionOptions())
    changed = (plain != vivid.panorama_HW3).any(-1)
    only_r, only_t = mask_r & ~mask_t, mask_t & ~mask_r
    assert vivid.holes_HW.any()
    assert not (vivid.holes_HW & (mask_r | mask_t)).any()
    assert changed[vivid.holes_HW].all()
    seam = changed & ~vivid.holes_HW
    assert 0 < seam.mean() < 0.15
    assert np.array_equal(vivid.panorama_HW3[only_r & ~changed], reference[only_r & ~changed])
    assert np.array_equal(vivid.panorama_HW3[only_t & ~changed], target[only_t & ~changed])
    assert np.array_equal(plain[only_r], reference[only_r])
    assert np.array_equal(plain[only_t], target[only_t])
    assert vivid.holes_HW[45 * scale, 34 * scale]
    outside = ~(mask_r | mask_t | vivid.holes_HW)
    assert not vivid.panorama_HW3[outside].any()


def test_equal_photographs_compose_to_themselves() -> None:
    image = texture(90, 70)
    everywhere = np.ones((70, 90), bool)
    made = blend(Vivid(), image, everywhere, image, everywhere, CompositionOptions())
    assert np.array_equal(made.panorama_HW3, image)


def test_feather_and_compose_agree_with_training() -> None:
    torch = pytest.importorskip("torch")
    from models.stitched_image import compose as torch_compose
    from training.feather import feather as torch_feather

    mask_r, mask_t = two_masks()
    rng = np.random.default_rng(0)
    reference, target = (texture(160, 96, seed) * mask[..., None] for seed, mask in ((1, mask_r), (2, mask_t)))
    alpha, delta = rng.random((96, 160)).astype(np.float32), rng.uniform(-1, 1, (96, 160, 3)).astype(np.float32)
    masks = [torch.from_numpy(mask)[None, None] for mask in (mask_r, mask_t)]
    assert np.abs(torch_feather(*masks)[0, 0].numpy() - feather(mask_r, mask_t)).max() < 1e-6
    layers = [reference.transpose(2, 0, 1) / 255, mask_r[None], target.transpose(2, 0, 1) / 255, mask_t[None]]
    canvas = torch.from_numpy(np.concatenate(layers).astype(np.float32))[None]
    theirs = torch_compose(
        canvas, torch.from_numpy(alpha)[None, None], torch.from_numpy(delta.transpose(2, 0, 1))[None]
    )
    # The service fills enclosed gaps only, training the tips of notches too.
    holes = (theirs.corrected_B1HW[0, 0].numpy() > 0.5) & ~(mask_r | mask_t)
    assert not (interior_holes(mask_r | mask_t, 15) & ~holes).any()
    image, forced, corrected = compose(reference, mask_r, target, mask_t, alpha, delta, holes)
    assert np.array_equal(corrected, theirs.corrected_B1HW[0, 0].numpy() > 0.5)
    assert np.abs(forced - theirs.alpha_B1HW[0, 0].numpy()).max() < 1e-6
    assert np.abs(image / 255 - theirs.image_B3HW[0].numpy().transpose(1, 2, 0)).max() < 0.51 / 255

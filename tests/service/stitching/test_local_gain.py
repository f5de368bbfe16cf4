"""What one gain per channel leaves is evened out, without a step, without a trace of moving things."""

import cv2
import numpy as np

from service.stitching.local_gain import even_out
from tests.service.stitching.scenes import texture

HEIGHT, WIDTH = 240, 480


def photographs() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A scene seen whole by the target and in its left half by the reference, with the masks of both."""
    scene = (texture(WIDTH, HEIGHT) * 0.5 + 60).astype(np.uint8)
    mask_t, mask_r = np.ones((HEIGHT, WIDTH), bool), np.zeros((HEIGHT, WIDTH), bool)
    mask_r[:, :260] = True
    return scene, mask_t, scene * mask_r[..., None], mask_r


def vignetted(image: np.ndarray, strength: float = 0.25) -> np.ndarray:
    x = np.linspace(-1, 1, WIDTH)[None, :, None]
    return np.rint(image * (1 - strength * x**2)).astype(np.uint8)


def test_photographs_in_one_light_stay_as_they_are() -> None:
    scene, mask_t, reference, mask_r = photographs()
    assert np.array_equal(even_out(scene, mask_t, reference, mask_r), scene)
    apart = np.zeros_like(mask_r)
    apart[:, :40] = True
    assert np.array_equal(
        even_out(scene * ~apart[..., None], ~apart, scene * apart[..., None], apart), scene * ~apart[..., None]
    )


def test_vignetting_leaves_no_step_at_the_rim_and_fades_beyond_it() -> None:
    scene, mask_t, reference, mask_r = photographs()
    for light in (vignetted(scene), np.rint(scene * [0.9, 1.0, 1.1]).clip(0, 255).astype(np.uint8)):
        evened = even_out(light, mask_t, reference, mask_r)
        inside = slice(20, 240)
        before = np.abs(light[:, inside].astype(float) - scene[:, inside]).mean()
        assert np.abs(evened[:, inside].astype(float) - scene[:, inside]).mean() < 0.35 * before
        # Where the reference ends the gain is near that of the overlap; far from there it tends to one, and slowly.
        gain = evened.astype(float).mean((0, 2)) / light.mean((0, 2))
        assert np.abs(np.diff(cv2.blur(gain[:, None], (1, 9)).ravel())).max() < 0.005
        assert np.abs(gain[-20:] - 1).max() < 0.3 * np.abs(gain[:260] - 1).max() + 0.01
    tenth_less = even_out(np.rint(scene * 0.9).astype(np.uint8), mask_t, reference, mask_r)
    assert np.abs(tenth_less[:, 260:268].astype(float) - scene[:, 260:268]).mean() < 3


def test_what_moved_leaves_no_trace() -> None:
    scene, mask_t, reference, mask_r = photographs()
    light = vignetted(scene)
    moved = light.copy()
    moved[80:160, 100:160] = 250
    still, other = (even_out(image, mask_t, reference, mask_r) for image in (light, moved))
    beside = np.ones((HEIGHT, WIDTH), bool)
    beside[80:160, 100:160] = False
    assert np.abs(still.astype(int) - other)[beside].mean() < 1
    assert np.abs(still.astype(int) - other)[beside].max() < 12


def test_any_size_and_any_share_of_the_canvas() -> None:
    for height, width in ((3, 5), (40, 700), (700, 40)):
        scene = texture(width, height)
        mask_t = np.ones((height, width), bool)
        mask_r = mask_t.copy()
        mask_r[:, width // 2 :] = False
        evened = even_out(scene, mask_t, (scene * mask_r[..., None] * 0.8).astype(np.uint8), mask_r)
        assert evened.shape == scene.shape
        assert evened.dtype == np.uint8
        assert not even_out(np.zeros_like(scene), ~mask_t, scene, mask_t).any()

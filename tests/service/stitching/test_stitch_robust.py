"""Whatever comes in, the answer is a panorama that keeps the contract or a named refusal."""

import warnings

import cv2
import numpy as np
import pytest

from service.errors import Impossible
from service.stitching.answer import encode_answer
from service.stitching.pipeline import Stitcher
from service.stitching.result import StitchOptions
from tests.service.stitching.scenes import Feather, Residual, texture


def odd_image(rng: np.random.Generator) -> np.ndarray:
    width, height = (int(side) for side in rng.integers(32, 330, 2))
    kind = rng.integers(0, 6)
    if kind == 0:
        return np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    if kind == 1:
        return rng.integers(0, 256, (height, width, 3), np.uint8)
    if kind == 2:
        return np.broadcast_to(np.linspace(0, 255, width)[None, :, None], (height, width, 3)).astype(np.uint8)
    if kind == 3:
        return (np.indices((height, width)).sum(0) // 8 % 2 * 255).astype(np.uint8)[..., None].repeat(3, -1)
    image = texture(600, 500, 3)[: height + 100, : width + 100]
    if kind == 4:
        angle = cv2.getRotationMatrix2D(
            (width / 2, height / 2), float(rng.uniform(-180, 180)), float(rng.uniform(0.4, 2))
        )
        return cv2.warpAffine(image, angle, (width, height))
    return np.ascontiguousarray(image[:height, ::-1][:, :width])


@pytest.mark.parametrize("seed", [*range(10), *(pytest.param(s, marks=pytest.mark.full) for s in range(10, 120))])
def test_odd_photographs_are_answered_or_refused(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def noise(width: int, height: int) -> np.ndarray:
        flow = rng.normal(0, 10.0 ** rng.uniform(-2, 3), (height, width, 2))
        flow[rng.random(flow.shape) < 0.001] = rng.choice([np.nan, np.inf, -1e30])
        return flow

    images = [odd_image(rng) for _ in range(int(rng.choice([2, 2, 3])))]
    if rng.random() < 0.5:
        images[1] = np.roll(images[0], int(rng.integers(-30, 30)), 1)
    service = Stitcher({"pwm": Residual(noise), "sigmo": Feather()})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            result = service.stitch(images, StitchOptions(profile=str(rng.choice(["default", "fast"]))))
        except Impossible:
            return
    assert result.report["status"] == "ok"
    assert 0 <= result.overlap <= 1
    assert list(result.panorama_HW3.shape[1::-1]) == result.report["canvas"]
    assert not result.panorama_HW3[~(result.union_HW | result.hole_mask_HW)].any()
    for image in result.warped:
        assert np.isfinite(image.flow()).all()
        colours, valid = image.render()
        assert not colours[~valid].any()
    assert encode_answer(result, "zip").body


def test_the_same_request_has_the_same_answer() -> None:
    wide = texture(460, 240)
    images = [wide[:, 140:], wide[6:, :320]]
    bodies = {
        encode_answer(
            Stitcher({"pwm": Residual(lambda w, h: np.ones((h, w, 2), np.float32)), "sigmo": Feather()}).stitch(
                images, StitchOptions()
            ),
            "png",
        ).body
        for _ in range(2)
    }
    assert len(bodies) == 1

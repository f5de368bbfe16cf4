"""The panorama's counterpart by plain homographies, and where the seam runs."""

import numpy as np

from service.stitching.pair import PairOptions
from service.stitching.pipeline import Stitcher
from service.stitching.pixel_flow import FlowOptions
from service.stitching.result import StitchOptions
from service.stitching.settings import StitchSettings
from service.stitching.sharpening import SharpeningOptions
from tests.service.stitching.scenes import Feather, Residual, TwoPlanes, nothing, oracle, psnr, texture, translation


def stitcher(answer: object = nothing) -> Stitcher:
    settings = StitchSettings(
        pair=PairOptions(flow=FlowOptions(refine=False)), sharpening=SharpeningOptions(enabled=False)
    )
    return Stitcher({"pwm": Residual(answer), "sigmo": Feather()}, settings)


def test_where_homographies_are_the_truth_both_agree() -> None:
    wide = texture(460, 200, seed=5)
    parts = [wide[:, 110 * i : 110 * i + 240] for i in range(3)]
    service = stitcher()
    result = service.stitch(parts, StitchOptions())
    plain = service.with_homographies(result, parts[1])
    assert result.report["reference_index"] == 1
    assert np.array_equal(plain, wide)
    assert np.array_equal(result.panorama_HW3, wide)


def test_parallax_is_what_the_counterpart_gets_wrong() -> None:
    scene = TwoPlanes()
    shift = translation(*scene.flow[0, 0])
    service = stitcher(oracle(shift, scene.flow))
    result = service.stitch([scene.reference, scene.target], StitchOptions())
    plain = service.with_homographies(result, scene.reference)
    assert result.report["method"] == "pixel_warp"
    assert plain.shape == result.panorama_HW3.shape
    mask = result.reference_mask_HW
    truth = np.zeros_like(plain)
    truth[mask] = scene.reference.reshape(-1, 3)
    near = np.zeros_like(mask)
    x, y = result.offset
    near[y + 80 : y + 170, x + 60 : x + 160] = True  # the near square and a little around it
    assert psnr(truth, result.panorama_HW3, near) > psnr(truth, plain, near) + 3


def test_seam_lies_where_both_see_and_divides_them() -> None:
    wide = texture(460, 200, seed=6)
    result = stitcher().stitch([wide[:, 140:], wide[:, :320]], StitchOptions())
    seam, band = result.seam_mask_HW, 4
    assert not seam[:, : 140 - band].any()
    assert not seam[:, 320 + band :].any()
    inner = seam[20:180]  # along the rim of the picture the feather is undecided
    assert inner.any(axis=1).all()
    assert inner.sum(axis=1).max() <= 4 * band

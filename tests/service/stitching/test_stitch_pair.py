"""The pair pipeline on scenes whose answer is known, with graphs that answer without a network."""

import io
import json
import zipfile

import cv2
import numpy as np
import pytest

from service.errors import CanvasTooLarge, DegenerateFlow, InvalidField, LowOverlap, PolyviewError, TooManyPixels
from service.pieces import Pieces
from service.stitching.alignment import AlignmentOptions, align, find_features
from service.stitching.answer import encode_answer, encode_image
from service.stitching.canvas import Canvas, CanvasOptions, lay_out
from service.stitching.geometry import reduced_grid, vector
from service.stitching.pair import PairOptions
from service.stitching.pipeline import Stitcher
from service.stitching.pixel_flow import FlowOptions
from service.stitching.result import StitchOptions
from service.stitching.settings import StitchSettings
from tests.service.stitching.scenes import Feather, Residual, TwoPlanes, Vivid, nothing, oracle, psnr, texture

PLAIN = PairOptions(flow=FlowOptions(refine=False))


def stitcher(*answers: object, sigmo: object = None, pair: PairOptions = PLAIN, **settings: object) -> Stitcher:
    """A service whose flow is the graph's alone, unless `pair` says otherwise."""
    graphs = {"pwm": Residual(*(answers or (nothing,))), "sigmo": sigmo or Feather()}
    return Stitcher(graphs, StitchSettings(pair=pair, **settings))


def crops(shift: int = 140, rows: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A wide picture, and the reference (right) and target (left) cut from it."""
    wide = texture(460, 240)
    return wide, wide[: 240 - rows, shift:], wide[rows:, : 460 - shift]


@pytest.mark.parametrize("profile", ["default", "fast"])
@pytest.mark.parametrize(("pair", "method"), [(PLAIN, "pixel_warp"), (PairOptions(), "pixel_warp+refined")])
def test_crops_of_one_picture_give_it_back(profile: str, pair: PairOptions, method: str) -> None:
    wide, reference, target = crops()
    result = stitcher(pair=pair).stitch([reference, target], StitchOptions(profile=profile))
    assert result.panorama_HW3.shape == wide.shape
    assert result.offset == (140, 0)
    seen = result.union_HW
    assert seen.sum() == 460 * 240 - 140 * 12 - 140 * 12
    assert np.array_equal(result.panorama_HW3[seen], wide[seen])
    assert not result.panorama_HW3[~seen & ~result.hole_mask_HW].any()
    assert np.abs(result.warped[0].flow() - (-140, 12)).max() < 0.05
    assert result.overlap == pytest.approx((180 / 320) * (216 / 228), abs=0.02)
    assert result.report["method"] == method


def test_exact_flow_beats_the_homography_where_planes_move_differently() -> None:
    scene = TwoPlanes()
    options = AlignmentOptions()
    aligned = align(find_features(scene.target, options), find_features(scene.reference, options), options)
    homography = aligned.homography_33
    assert homography is not None
    exact = stitcher(oracle(homography, scene.flow), oracle(np.linalg.inv(homography), scene.back))
    scores = {}
    for name, service in (("exact", exact), ("homography", stitcher())):
        result = service.stitch([scene.reference, scene.target], StitchOptions())
        colours, valid = result.warped[0].render()
        x, y = result.offset
        height, width = scene.reference.shape[:2]
        near = np.zeros(valid.shape, bool)
        near[y + 80 : y + 170, x + 72 : x + 144] = True
        canvas = np.zeros_like(colours)
        canvas[y : y + height, x : x + width] = scene.reference
        scores[name] = psnr(colours, canvas, near & valid)
        if name == "exact":
            error = np.abs(result.warped[0].flow() - scene.flow).max(-1)
            assert np.median(error) < 0.1
            assert (error < 1).mean() > 0.95
            assert result.report["method"] == "pixel_warp"
    assert scores["exact"] > scores["homography"] + 6


def test_identical_photographs_are_their_own_panorama() -> None:
    image = texture(300, 200)
    for picture in (image, np.full((80, 120, 3), 90, np.uint8)):
        result = stitcher(sigmo=Vivid()).stitch([picture, picture.copy()], StitchOptions())
        assert result.overlap == 1.0
        assert result.offset == (0, 0)
        assert np.array_equal(result.panorama_HW3, picture)


def test_photographs_of_different_sizes() -> None:
    _, reference, target = crops()
    half = cv2.resize(target, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    result = stitcher().stitch([reference, half], StitchOptions())
    flow = result.warped[0].flow()
    assert flow.shape == (114, 160, 2)
    # Target pixel (x, y) of the half-size photograph is (2x + 0.5, 2y + 0.5) of the whole.
    grid = np.dstack(np.meshgrid(np.arange(160), np.arange(114)))
    assert np.abs(grid + flow - (2 * grid + 0.5 + (-140, 12))).max() < 0.7
    x, y = result.offset
    assert abs(x - 140) <= 1
    shown = result.panorama_HW3[y : y + 228, x : x + 320]
    assert psnr(shown, reference, np.ones((228, 320), bool)) > 25


def test_flow_scales_with_the_photographs() -> None:
    _, reference, target = crops()
    larger = [cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for image in (reference, target)]
    once, twice = (stitcher().stitch(pair, StitchOptions()) for pair in ([reference, target], larger))
    small = cv2.resize(twice.warped[0].flow(), (320, 228), interpolation=cv2.INTER_AREA)
    assert np.abs(small - 2 * once.warped[0].flow()).max() < 0.5


def test_gain_is_undone_in_the_panorama() -> None:
    wide, reference, target = crops()
    brighter = np.clip(np.rint(target * 1.2), 0, 255).astype(np.uint8)
    result = stitcher().stitch([reference, brighter], StitchOptions())
    seen = result.union_HW
    assert np.abs(result.panorama_HW3[seen].astype(int) - wide[seen]).max() <= 2
    assert result.report["gain"] == pytest.approx([1 / 1.2] * 3, rel=0.01)


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        (texture(300, 200, 1), texture(300, 200, 2)),
        (np.full((200, 300, 3), 90, np.uint8), np.full((200, 300, 3), 120, np.uint8)),
        (texture(300, 200, 1), np.zeros((200, 300, 3), np.uint8)),
        (texture(33, 32, 1), texture(32, 40, 2)),
    ],
    ids=["unrelated", "textureless", "black", "tiny"],
)
def test_what_cannot_be_joined_is_refused(reference: np.ndarray, target: np.ndarray) -> None:
    with pytest.raises(LowOverlap) as caught:
        stitcher().stitch([reference, target], StitchOptions())
    assert caught.value.message
    assert caught.value.hint


def test_a_wild_flow_falls_back_to_the_homography_or_is_refused() -> None:
    _, reference, target = crops()
    rng = np.random.default_rng(0)

    def wild(width: int, height: int) -> np.ndarray:
        return rng.normal(0, 30, (height, width, 2)).astype(np.float32)

    result = stitcher(wild).stitch([reference, target], StitchOptions())
    assert result.report["method"] == "homography"
    assert np.abs(result.warped[0].flow() - (-140, 12)).max() < 0.05
    with pytest.raises(PolyviewError) as caught:
        stitcher(lambda w, h: np.full((h, w, 2), np.nan, np.float32)).stitch(
            [texture(300, 200, 3), texture(300, 200, 4)], StitchOptions()
        )
    assert isinstance(caught.value, LowOverlap | DegenerateFlow)


def test_a_canvas_beyond_the_limits_is_refused() -> None:
    _, reference, target = crops()
    with pytest.raises(CanvasTooLarge, match="pixels; the limit is 50000"):
        stitcher(canvas=CanvasOptions(pixel_limit=50_000)).stitch([reference, target], StitchOptions())


def test_the_canvas_holds_three_times_the_reference_and_no_more() -> None:
    frame = reduced_grid((100, 80), (100, 80))
    canvas = lay_out((100, 80), [frame + vector(-120, 30)], CanvasOptions(margin=0, percentile=0))
    assert canvas == Canvas(offset=(120, 0), size=(220, 110))
    with pytest.raises(CanvasTooLarge, match="outside 3W x 3H"):
        lay_out((100, 80), [frame * 3.5], CanvasOptions())
    wide = [frame + vector(-120, 0), frame + vector(-230, 0)]
    assert lay_out((100, 80), wide, CanvasOptions(margin=0, percentile=0)).size == (330, 80)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (StitchOptions(compose="generate"), "compose"),
        (StitchOptions(profile="slow"), "profile"),
        (StitchOptions(reference_index=2), "reference_index"),
        (StitchOptions(calibration_id="../up"), "calibration_id"),
    ],
)
def test_wrong_choices_are_named(options: StitchOptions, named: str) -> None:
    _, reference, target = crops()
    with pytest.raises(InvalidField, match=named):
        stitcher().stitch([reference, target], options)


def test_a_format_holds_the_panorama_or_says_so() -> None:
    for format, side in (("jpeg", 65_501), ("webp", 16_384)):
        with pytest.raises(CanvasTooLarge, match=f"{format} holds at most {side - 1} pixels a side"):
            encode_image(np.zeros((1, side, 3), np.uint8), format)
        assert len(encode_image(np.zeros((1, side - 1, 3), np.uint8), format)) > 0


def test_a_photograph_that_cannot_be_warped_is_refused() -> None:
    photo = texture(32_767, 40)
    with pytest.raises(TooManyPixels, match="32767 x 40 pixels: a side has at most 32766"):
        stitcher().stitch([photo, photo], StitchOptions())
    assert stitcher().stitch([photo[:, 1:], photo[:, 1:]], StitchOptions()).report["method"] == "identical"


def test_zip_holds_the_contract() -> None:
    wide, reference, target = crops()
    result = stitcher().stitch([reference, target], StitchOptions())
    maps, large = Pieces(), np.arange(1 << 20, dtype=np.float32)
    maps.write(large.data)
    answer = encode_answer(result, "zip", {"perceive.npz": maps})
    assert isinstance(answer.body, Pieces)
    shared = [part for part in answer.body.portions() if np.shares_memory(np.frombuffer(part, np.uint8), large)]
    assert sum(map(len, shared)) == large.nbytes, "maps were copied"
    with zipfile.ZipFile(io.BytesIO(bytes(answer.body))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    masks = ("reference_mask.png", "target_mask.png", "hole_mask.png")
    assert set(files) == {"panorama.png", "warped_target.png", *masks, "flow.npz", "report.json", "perceive.npz"}
    picture = cv2.imdecode(np.frombuffer(files["panorama.png"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(picture, result.panorama_HW3)
    for name in masks:
        mask = cv2.imdecode(np.frombuffer(files[name], np.uint8), cv2.IMREAD_UNCHANGED)
        assert mask.shape == wide.shape[:2]
        assert set(np.unique(mask)) <= {0, 255}
    assert files["perceive.npz"] == large.tobytes()
    flow = np.load(io.BytesIO(files["flow.npz"]), allow_pickle=False)["flow"]
    assert flow.dtype == np.float32
    assert flow.shape == (*target.shape[:2], 2)
    report = json.loads(files["report.json"])
    assert report["status"] == "ok"
    assert report["canvas"] == [460, 240]
    assert report["offset"] == [140, 0]
    assert len(report["gain"]) == 3
    assert {"overlap", "method", "clipped", "flow", "seconds"} <= set(report)
    assert answer.headers == {
        "X-Stitch-Status": "ok",
        "X-Stitch-Offset": "140,0",
        "X-Stitch-Overlap": f"{result.overlap:.4f}",
    }


@pytest.mark.parametrize(("format", "close"), [("png", 0), ("jpeg", 12), ("webp", 12)])
def test_image_answers_can_be_read(format: str, close: int) -> None:
    _, reference, target = crops()
    result = stitcher().stitch([reference, target], StitchOptions())
    answer = encode_answer(result, format)
    picture = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert answer.media_type == f"image/{format}"
    assert np.abs(picture.astype(int) - result.panorama_HW3).mean() <= close
    with pytest.raises(InvalidField, match="format"):
        encode_answer(result, "gif")


class Brighter(Feather):
    """SIGMo that generates: the reference's colours, half as dark."""

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return super().run(inputs) | {"image": 0.5 + 0.5 * inputs["canvas"][:, :3]}


def test_a_graph_that_generates_is_asked_only_when_generation_is() -> None:
    wide, reference, target = crops()
    graphs = {"pwm": Residual(nothing), "sigmo": Brighter()}
    able = Stitcher(graphs, StitchSettings(pair=PLAIN), modes=("compose", "generate"))
    composed = able.stitch([reference, target], StitchOptions())
    generated = able.stitch([reference, target], StitchOptions(compose="generate"))
    assert generated.report["compose"] == "generate"
    seen, mask = composed.union_HW, composed.reference_mask_HW
    assert np.array_equal(composed.panorama_HW3[seen], wide[seen])
    assert generated.panorama_HW3[mask].mean() > composed.panorama_HW3[mask].mean() + 30
    assert not generated.panorama_HW3[~seen & ~generated.hole_mask_HW].any()

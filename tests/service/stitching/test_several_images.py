"""More than two photographs, and calibrated rigs."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from service.errors import CalibrationMismatch, LowOverlap
from service.stitching.answer import encode_answer
from service.stitching.calibration import load_rig
from service.stitching.pair import PairOptions
from service.stitching.pair_warp import PairWarp, full_flow
from service.stitching.pipeline import Stitcher
from service.stitching.pixel_flow import FlowOptions
from service.stitching.result import StitchOptions
from service.stitching.settings import StitchSettings
from service.stitching.several import central_image, compose_warps, spanning_tree, walk
from tests.service.stitching.scenes import Feather, Residual, nothing, texture, translation


def stitcher(folder: Path | None = None) -> tuple[Stitcher, Residual]:
    network = Residual(nothing)
    pair = PairOptions(flow=FlowOptions(refine=False))
    settings = StitchSettings(pair=pair, calibration_folder=folder)
    return Stitcher({"pwm": network, "sigmo": Feather()}, settings), network


def strip(count: int = 3, step: int = 110) -> tuple[np.ndarray, list[np.ndarray]]:
    wide = texture(240 + step * (count - 1), 200, seed=5)
    return wide, [wide[:, step * i : step * i + 240] for i in range(count)]


def test_three_crops_in_any_order_give_the_picture_back() -> None:
    wide, (left, middle, right) = strip()
    result = stitcher()[0].stitch([right, left, middle], StitchOptions())
    assert result.report["reference_index"] == 2
    assert result.offset == (110, 0)
    assert np.array_equal(result.panorama_HW3, wide)
    assert sorted(image.index for image in result.warped) == [0, 1]


def test_a_chain_to_its_end_composes_exact_shifts() -> None:
    wide, parts = strip(4)
    result = stitcher()[0].stitch(parts, StitchOptions(reference_index=0))
    assert np.array_equal(result.panorama_HW3, wide)
    last = next(image for image in result.warped if image.index == 3)
    assert np.abs(last.flow() - (330, 0)).max() < 0.1
    with zipfile.ZipFile(io.BytesIO(bytes(encode_answer(result, "zip").body))) as archive:
        names = set(archive.namelist())
        report = json.loads(archive.read("report.json"))
    assert {"target_mask_3.png", "flow_2.npz", "warped_target_1.png", "reference_mask.png"} <= names
    assert report["reference_index"] == 0
    assert sorted(entry["index"] for entry in report["images"]) == [1, 2, 3]


def test_the_stranger_is_named() -> None:
    _, parts = strip()
    with pytest.raises(LowOverlap, match="image 1 "):
        stitcher()[0].stitch([parts[0], texture(240, 200, seed=9), parts[1], parts[2]], StitchOptions())


def test_tree_takes_the_strongest_links_and_its_middle() -> None:
    tree = spanning_tree(4, {(0, 1): 50, (1, 2): 40, (0, 2): 10, (2, 3): 30, (0, 3): 5})
    assert tree == {0: [1], 1: [0, 2], 2: [1, 3], 3: [2]}
    assert central_image(tree) == 1
    assert walk(tree, 3) == [(2, 3), (1, 2), (0, 1)]


def test_composed_integer_shifts_are_exact() -> None:
    def shift(x: float, y: float) -> PairWarp:
        ones = np.ones((32, 48), np.float32)
        residual = np.full((32, 48, 2), (1.0, -2.0), np.float32)
        return PairWarp(
            homography_33=translation(x, y), residual_hw2=residual, visible_hw=ones > 0, weight_hw=ones,
            size_t=(96, 64), size_r=(96, 64), method="pixel_warp", overlap=0.5, statistics={},
        )  # fmt: skip

    flow = full_flow(compose_warps(shift(-10, 4), shift(-7, -3)))
    # Elsewhere the first warp leaves the second's frame, and the second's residual fades out.
    assert np.abs(flow[6:-6, 16:] - (-15, -3)).max() < 1e-4


def test_a_calibrated_rig_needs_no_network_and_survives_a_restart(tmp_path: Path) -> None:
    _, (left, right, _) = strip()
    options = StitchOptions(calibration_id="rig-1")
    service, network = stitcher(tmp_path)
    first = service.stitch([right, left], options)
    assert first.report["calibration"] == "stored"
    assert network.calls == 1
    # The second pair is another scene: only the stored geometry can place it.
    other = texture(350, 200, seed=8)
    pair = [other[:, 110:350], other[:, :240]]
    again = service.stitch(pair, options)
    restarted, fresh_network = stitcher(tmp_path)
    loaded = restarted.stitch(pair, options)
    for result in (again, loaded):
        assert result.report["calibration"] == "reused"
        assert np.array_equal(result.panorama_HW3, other)
    assert network.calls == 1
    assert fresh_network.calls == 0
    with pytest.raises(CalibrationMismatch, match="240x200"):
        restarted.stitch([right[:, :-2], left], options)
    with pytest.raises(CalibrationMismatch, match="reference"):
        restarted.stitch([right, left], StitchOptions(calibration_id="rig-1", reference_index=1))
    for swapped in (pair[::-1], [right, other[:, :240]]):
        with pytest.raises(CalibrationMismatch, match=r"do not show the same things \(correlation -?0\.[01]"):
            restarted.stitch(swapped, options)
    assert [path.name for path in tmp_path.iterdir()] == ["rig-1.npz"]


def test_calibrations_of_other_keys_and_profiles_are_apart(tmp_path: Path) -> None:
    _, (left, right, _) = strip()
    for owner in (None, "ann", "bob"):
        for profile in ("default", "fast"):
            options = StitchOptions(calibration_id="rig", calibration_owner=owner, profile=profile)
            for stored in ("stored", "reused"):
                assert stitcher(tmp_path)[0].stitch([right, left], options).report["calibration"] == stored
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.npz"))
    assert found == ["ann/rig.fast.npz", "ann/rig.npz", "bob/rig.fast.npz", "bob/rig.npz", "rig.fast.npz", "rig.npz"]


def test_a_pair_is_answered_when_its_calibration_cannot_be_stored(tmp_path: Path) -> None:
    _, (left, right, _) = strip()
    (tmp_path / "file").write_text("no folder")
    service, network = stitcher(tmp_path / "file")
    for stored in ("stored", "reused"):
        result = service.stitch([right, left], StitchOptions(calibration_id="rig"))
        assert result.report["calibration"] == stored
    assert network.calls == 1


def test_a_damaged_calibration_file_is_made_anew(tmp_path: Path) -> None:
    _, (left, right, _) = strip()
    stitcher(tmp_path)[0].stitch([right, left], StitchOptions(calibration_id="rig"))
    path = tmp_path / "rig.npz"
    whole = path.read_bytes()
    for damaged in (b"", whole[:-200], b"text"):
        path.write_bytes(damaged)
        assert load_rig(tmp_path, "rig") is None
    result = stitcher(tmp_path)[0].stitch([right, left], StitchOptions(calibration_id="rig"))
    assert result.report["calibration"] == "stored"
    assert load_rig(tmp_path, "rig") is not None

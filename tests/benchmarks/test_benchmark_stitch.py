"""The stitching benchmark on tiny synthetic pairs: truths, peers, and services whose score is known."""

import dataclasses
import io
import json
import zipfile

import cv2
import numpy as np
import pytest

from benchmarks import peers, stitch
from benchmarks.client import encode_png
from benchmarks.geometry import canvas_box, pixel_grid, project
from benchmarks.sample_photographs import overlapping_pair, texture
from benchmarks.stitch_items import OV, StitchItem, level_of
from benchmarks.stitch_local import Unmoved
from benchmarks.stitch_scores import flow_errors, rim_step, score
from benchmarks.stitch_truth import sequence_pairs, stereo_crops
from benchmarks.stitched import RefusalError, Stitched
from tests.service.stitching.scenes import Residual

NEAR, FAR = 24, 8  # disparities in pixels of the two planes


def write(path, rgb):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR) if rgb.ndim == 3 else rgb)


@pytest.fixture
def stereo(tmp_path):
    """A near square before a far wall, seen by two exact cameras, in the Middlebury layout."""
    height, width = 160, 320
    wall, square = texture(height, width + 80, seed=1), texture(height, width + 80, seed=2)
    views, disparities = [], []
    for shift in (0, 1):  # left, right: the right view sees scene column x + d at x
        view, disparity = wall[:, FAR * shift :][:, :width].copy(), np.full((height, width), FAR, np.uint8)
        columns = slice(150 - NEAR * shift, 200 - NEAR * shift)
        view[40:120, columns] = square[40:120, 150:200]
        disparity[40:120, columns] = NEAR
        views.append(view)
        disparities.append(disparity)
    for name, view, disparity in zip(("left", "right"), views, disparities, strict=True):
        write(tmp_path / "middlebury" / "scene" / f"{name}.png", view)
        write(tmp_path / "middlebury" / "scene" / f"disp_{name}.png", disparity * 4)
    manifest = {"pairs": [{"pair": "scene", "disp_scale": 4}, {"pair": "absent", "disp_scale": 4}]}
    (tmp_path / "middlebury" / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


@pytest.fixture
def real(tmp_path):
    """Three scenes in the stitch_pairs layout, each a pair related by a homography."""
    names = ["a", "b", "c"]
    for k, name in enumerate(names):
        wide = texture(240, 480, seed=10 + k)
        write(tmp_path / "stitch_pairs" / name / "1.png", wide[:, 160:])
        write(tmp_path / "stitch_pairs" / name / "2.png", wide[:, :320])
    entries = [{"pair": name, "parallax": "low"} for name in names]
    (tmp_path / "stitch_pairs" / "manifest.json").write_text(json.dumps({"pairs": entries}))
    return tmp_path


def zip_answer(item: StitchItem, exact: bool) -> bytes:
    """The contract's zip: the scene itself when `exact`, else the gather through the exact flow."""
    result = peers.truth_gather(item)
    mask, warped, panorama = result.target_mask_HW, result.warped_target_HW3, result.panorama_HW3
    if exact:
        warped, panorama = np.where(mask[..., None], item.scene_HW3, 0), item.scene_HW3
    body = io.BytesIO()
    flow = io.BytesIO()
    np.savez(flow, flow=result.flow_HW2)
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("panorama.png", encode_png(panorama))
        archive.writestr("warped_target.png", encode_png(warped.astype(np.uint8)))
        for name, area in (("target_mask", mask), ("reference_mask", result.reference_mask_HW)):
            archive.writestr(f"{name}.png", cv2.imencode(".png", area.astype(np.uint8) * 255)[1].tobytes())
        archive.writestr("flow.npz", flow.getvalue())
        archive.writestr("report.json", json.dumps({"status": "ok", "offset": item.origin}))
    return body.getvalue()


def serve_items(fake, items, exact):
    truths = {encode_png(item.target): item for item in items}
    fake.models = [{"name": "oracle", "kind": "stitch", "version": "1"}]

    def answer(parts):
        assert parts["format"] == b"zip"
        return 200, zip_answer(truths[parts["target"]], exact)

    fake.routes["/v1/stitch"] = answer


def rows_of(out, method):
    return [r for r in json.loads(out.with_suffix(".json").read_text())["rows"] if r["method"] == method]


def test_stereo_truth_is_exact(stereo):
    items = [lazy.load() for lazy in stereo_crops(stereo / "middlebury", seeds=1)]
    assert [i.dataset for i in items] == ["middlebury", "middlebury_exposure"]
    item = items[0]
    bound = score(item, peers.truth_gather(item))
    # the target was resampled once by the random homography, the gather resamples it again
    assert bound["mPSNR"] > 26
    assert bound["EPE OV"] < 1e-4
    assert bound["OV coverage"] == 1
    assert bound["coverage"] == 1
    assert bound["mPSNR"] > score(item, peers.truth_homography(item))["mPSNR"] + 3
    regions = np.bincount(item.truth.region_hw.ravel(), minlength=4)
    assert (regions[1:] > 100).all()  # every kind of pixel occurs
    assert item.truth.parallax_px > 2
    darker = items[1]
    assert darker.target.mean() == pytest.approx(item.target.mean() * 2**-0.5, abs=1)


def test_identity_flow_error_is_the_mean_flow(stereo):
    item = next(stereo_crops(stereo / "middlebury")).load()
    overlap = item.truth.region_hw == OV
    expected = np.linalg.norm(item.truth.flow_hw2[overlap], axis=-1).mean() * 512 / max(item.target.shape)
    assert flow_errors(np.zeros_like(item.truth.flow_hw2), item)["EPE OV"] == pytest.approx(expected)
    with pytest.raises(ValueError, match="flow: expected"):
        flow_errors(np.zeros((4, 4, 2)), item)


@pytest.mark.parametrize("exact", [True, False])
def test_an_oracle_scores_as_it_must(stereo, fake_service, tmp_path, exact):
    items = [lazy.load() for lazy in stereo_crops(stereo / "middlebury", seeds=1)][:1]
    serve_items(fake_service, items, exact)
    out = tmp_path / "s.md"
    command = ["--data", str(stereo), "--url", fake_service.url, "--out", str(out), "--sets", "middlebury"]
    serve_all = [lazy.load() for lazy in stereo_crops(stereo / "middlebury")]
    serve_items(fake_service, serve_all, exact)
    stitch.main(command)
    rows = rows_of(out, "service")
    assert [r["ok"] for r in rows] == [True] * 4
    for row in rows:
        assert row["EPE OV"] == pytest.approx(0, abs=1e-4)
        assert row["coverage"] == 1
        if exact:
            assert row["mPSNR"] == row["full mPSNR"] == 60
            assert row["full mSSIM"] == pytest.approx(1, abs=1e-4)
    assert all(row["mPSNR"] < 20 for row in rows_of(out, "identity"))
    text = out.read_text()
    assert "by parallax" in text
    assert str(stereo) not in text + out.with_suffix(".json").read_text()


def test_refusals_count_and_score_as_identity(stereo, real, fake_service, tmp_path):
    fake_service.models = []
    fake_service.routes["/v1/stitch"] = lambda parts: (422, b'{"error": {"code": "low_overlap"}}')
    out = tmp_path / "s.md"
    stitch.main(["--data", str(stereo), "--url", fake_service.url, "--out", str(out), "--limit", "2"])
    service, identity = rows_of(out, "service"), rows_of(out, "identity")
    assert not any(row["ok"] for row in service)
    assert {row["reason"] for row in service} == {"422 low_overlap"}
    for mine, reference in zip(service, identity, strict=True):
        assert mine["mPSNR"] == reference["mPSNR"]
    unrelated = [row for row in rows_of(out, "homography") if row["set"] == "unrelated"]
    assert unrelated
    assert not any(row["ok"] for row in unrelated)
    assert "Unrelated pairs that must be refused" in out.read_text()


@pytest.mark.parametrize("across", ["left", "top"])
def test_the_step_at_the_rim_is_told_from_the_scene(across):
    height, width = 200, 240
    scene = np.add.outer(np.arange(height) * 0.4, np.arange(width) * 0.2)[..., None].repeat(3, -1) + 40
    reference = np.zeros((height, width), bool)
    reference[(slice(None), slice(100, None)) if across == "left" else (slice(80, None), slice(None))] = True
    rows, columns = np.flatnonzero(reference.any(1)), np.flatnonzero(reference.any(0))
    for step in (0, 12):
        panorama = np.rint(scene + step * ~reference[..., None]).astype(np.uint8)
        stitched = Stitched(
            panorama_HW3=panorama, warped_target_HW3=panorama, target_mask_HW=np.ones((height, width), bool),
            reference_mask_HW=reference, offset=(int(columns[0]), int(rows[0])),
        )  # fmt: skip
        assert rim_step(stitched, (len(rows), len(columns))) == pytest.approx(step, abs=0.5)
    assert np.isnan(rim_step(dataclasses.replace(stitched, target_mask_HW=reference), (len(rows), len(columns))))


def test_homography_peer_recovers_a_homography():
    pair = overlapping_pair(480, 360)
    item = StitchItem(
        dataset="x", name="x", level="low", reference=pair.reference_HW3, target=pair.target_HW3,
        frame=pair.reference_HW3.shape[:2], origin=(0, 0), scene_HW3=pair.reference_HW3,
    )  # fmt: skip
    identity, found, refined = (
        score(item, peer(item)) for peer in (peers.identity, peers.homography, peers.homography_dis)
    )
    assert found["mPSNR"] > max(28, identity["mPSNR"] + 10)
    assert refined["mPSNR"] > 28
    assert 0.4 < found["own overlap"] < 0.75
    result = peers.homography(item)
    where = (slice(result.offset[1], result.offset[1] + 360), slice(result.offset[0], result.offset[0] + 480))
    alone = ~result.target_mask_HW[where]
    assert (result.panorama_HW3[where][alone] == pair.reference_HW3[alone]).all()


def test_peers_refuse_what_is_unrelated():
    images = [texture(240, 320, seed=s) for s in (1, 2)]
    item = StitchItem(
        dataset="x", name="x", level="-", reference=images[0], target=images[1], frame=(240, 320), origin=(0, 0),
        scene_HW3=images[0],
    )  # fmt: skip
    for peer in (peers.homography, peers.homography_dis, peers.opencv_stitcher):
        with pytest.raises(RefusalError) as refusal:
            peer(item)
        assert refusal.value.seconds > 0


def test_folding_homographies_are_refused():
    image = texture(100, 100)
    for h in (np.diag([-1.0, 1, 1]), np.array([[1, 0, 0], [0, 1, 0], [0.02, 0, -1.0]]), np.diag([40.0, 40, 1])):
        with pytest.raises(RefusalError):
            peers.checked(h, image, image)
    assert (peers.checked(np.eye(3), image, image) == np.eye(3)).all()


def test_sequence_truth_of_a_turning_camera(tmp_path):
    """A plane seen by two cameras: the flow is the plane's homography."""
    root, (height, width), f = tmp_path, (120, 160), 150.0
    camera = np.array([[f, 0, 79.5], [0, f, 59.5], [0, 0, 1]])
    angle = np.radians(6)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, (0.1, 0.02, 0.0)
    normal, distance = np.array([0, 0, 1.0]), 2.0  # the plane z = 2 of camera a
    plane = camera @ (rotation + np.outer(pose[:3, 3], normal) / distance) @ np.linalg.inv(camera)
    grid = pixel_grid(height, width)
    rays = np.concatenate([grid, np.ones((height, width, 1))], -1) @ np.linalg.inv(camera).T
    depth_b = (distance + normal @ rotation.T @ pose[:3, 3]) / (rays @ (rotation @ normal))
    for k, depth in ((1, np.full((height, width), distance)), (2, depth_b)):
        write(root / f"frame-{k:06d}.color.jpg", texture(height, width, seed=k))
        cv2.imwrite(str(root / f"frame-{k:06d}.depth_rgb.png"), np.rint(depth * 1000).astype(np.uint16))
    entry = {"a": 1, "b": 2, "T_b_from_a": pose.tolist()}
    (root / "manifest.json").write_text(
        json.dumps({"intrinsics_color": [f, f, 79.5, 59.5], "pairs": [entry, {**entry, "a": 7}]})
    )
    (lazy,) = sequence_pairs(root)
    item = lazy.load()
    flow = project(plane, grid) - grid
    assert np.abs(item.truth.flow_hw2 - flow).max() < 1e-6
    assert item.level == "low"
    back = item.truth.source_HW2[item.overlap_HW]
    there = pixel_grid(*item.frame)[item.overlap_HW] - item.origin
    assert np.abs(project(plane, back) - there).max() < 0.2
    assert item.beyond_HW.sum() > 100


def test_levels_and_boxes():
    assert [level_of(x) for x in (1.9, 2, 8, 25)] == ["low", "mid", "high", "extreme"]
    assert canvas_box((10, 20, 3), np.zeros((0, 2))) == (-8, -8, 36, 26)
    far = np.array([[1e6, 5.0], [3.0, 5.0]])
    assert canvas_box((10, 20, 3), far)[2] <= 3 * 20 + 17


def test_an_unmoved_network_answers_all_but_its_flow() -> None:
    pictures = {name: np.zeros((1, 32, 48, 3), np.uint8) for name in ("target", "reference")}
    graph = Residual(lambda width, height: np.full((height, width, 2), 3.0, np.float32))
    before, after = graph.run(pictures), Unmoved(graph).run(pictures)
    assert before["flow"].any()
    assert not after["flow"].any()
    assert {name: after[name].shape for name in after} == {name: before[name].shape for name in before}
    assert np.array_equal(after["confidence"], before["confidence"])

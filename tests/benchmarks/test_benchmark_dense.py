"""The dense benchmark on a tiny folder in the real layouts, against servers whose score is known."""

import io
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from benchmarks import dense
from benchmarks.dense_baselines import floor_and_wall
from benchmarks.dense_scores import angle_degrees
from benchmarks.plane_normals import PlaneFit, plane_normals
from benchmarks.real_data import NYU13, Photograph, read_photographs

H, W = 96, 128
CAMERA = (110.0, 110.0, 63.5, 47.5)
CLASSES = ["Wall", "Television", "couch", "spaceship", *(c for c in NYU13 if c not in ("wall", "tv", "sofa"))]


def plane_depth(normal: np.ndarray, distance: float) -> np.ndarray:
    """Depth in metres of the plane n.X = -distance."""
    y, x = np.mgrid[:H, :W]
    rays = np.stack([(x - CAMERA[2]) / CAMERA[0], (y - CAMERA[3]) / CAMERA[1], np.ones((H, W))], -1)
    return -distance / (rays @ normal)


def unit(*vector: float) -> np.ndarray:
    return np.array(vector) / np.linalg.norm(vector)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (H, W, 3), dtype=np.uint8)


@pytest.fixture
def data(tmp_path):
    """Two labelled NYU photographs, three kitchen frames and a stereo scene."""
    nyu, kitchen, stereo = tmp_path / "nyuv2", tmp_path / "sevenscenes_kitchen", tmp_path / "middlebury"
    labels13 = np.arange(40) % 13 + 1
    names = np.array([[name] for name in NYU13], dtype=object)
    for k, (normal, distance) in enumerate([(unit(0.2, -0.1, -1), 2.0), (unit(0, -0.5, -1), 3.0)]):
        save(nyu / f"{k:04d}_rgb.png", picture(k))
        save(nyu / f"{k:04d}_depth5000.png", np.rint(plane_depth(normal, distance) * 5000).astype(np.uint16))
        label = np.random.default_rng(k).integers(0, 40, (H // 8, W // 8)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        label[:5] = 255
        save(nyu / f"{k:04d}_segm40.png", label)
    savemat(nyu / "class13Mapping.mat", {"classMapping13": {"labels13": labels13, "class13Names": names}})
    frames = [{"id": "labelled/0000", "K": CAMERA}, {"id": "labelled/0001", "K": CAMERA}]
    (nyu / "manifest.json").write_text(json.dumps({"frames": frames}))
    for k in range(3):
        depth = plane_depth(unit(-0.3, 0.1, -1), 1.5 + 0.5 * k)
        depth[:, :20] = 0
        save(kitchen / f"frame-{k:06d}.color.jpg", picture(10 + k))
        save(kitchen / f"frame-{k:06d}.depth_rgb.png", np.rint(depth * 1000).astype(np.uint16))
    (kitchen / "manifest.json").write_text(json.dumps({"intrinsics_color": CAMERA}))
    save(stereo / "cone" / "left.png", picture(20))
    disparity = np.random.default_rng(5).integers(20, 200, (H, W), dtype=np.uint8)
    disparity[:, :9] = 0
    save(stereo / "cone" / "disp_left.png", disparity)
    (stereo / "manifest.json").write_text(json.dumps({"pairs": [{"pair": "cone", "disp_scale": 4}]}))
    return tmp_path


def perfect(photo: Photograph) -> dict[str, np.ndarray]:
    """What was measured for a photograph, without holes, in the bundle's class order."""
    depth, normal, label = np.ones((H, W)), np.tile(np.float32([0, 0, -1]), (H, W, 1)), np.zeros((H, W), np.uint8)
    if photo.depth_HW is not None:
        depth = np.where(photo.depth_HW > 0, photo.depth_HW, 1.0)
        # the fit is piecewise constant here: one plane a photograph
        normal[:] = np.nanmedian(plane_normals(photo.depth_HW, CAMERA).reshape(-1, 3), axis=0)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    if photo.disparity_HW is not None:
        depth = np.nan_to_num(1 / (photo.disparity_HW + 3), nan=1.0)
    if photo.label_HW is not None:
        own = {"wall": "Wall", "tv": "Television", "sofa": "couch"}
        table = np.array([CLASSES.index(own.get(name, name)) for name in NYU13] + [3] * 243, np.uint8)
        label = table[photo.label_HW]
    return {"depth": depth.astype(np.float32), "normals": normal, "segmentation": label}


def serve_truth(fake, photographs, scale=1.0):
    answers = {zlib.crc32(p.path.read_bytes()): p for p in photographs}

    def perceive(parts):
        photo = answers[zlib.crc32(parts["image"])]
        arrays = perfect(photo)
        arrays["depth"] = arrays["depth"] * np.float32(scale)
        if photo.focal_px:
            assert float(parts["focal_px"]) == photo.focal_px
        body = io.BytesIO()
        np.savez(body, meta=np.array(json.dumps({"model": "oracle", "classes": CLASSES})), **arrays)
        return 200, body.getvalue()

    fake.models = [{"name": "oracle", "kind": "perceive"}]
    fake.routes["/v1/perceive"] = perceive


def test_the_floor_and_wall_prior_is_two_planes(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(0))
    maps = floor_and_wall(Photograph(dataset="d", name="a", path=tmp_path / "a.png", intrinsics=CAMERA))
    assert maps.depth_HW is not None
    assert maps.normal_HW3 is not None
    assert maps.label_HW is not None
    for label, distance in (("floor", 1.4), ("wall", 3.0)):
        on = maps.label_HW == NYU13.index(label)
        assert on.any()
        normal = maps.normal_HW3[on][0].astype(float)
        assert np.linalg.norm(normal) == pytest.approx(1)
        assert np.allclose(maps.depth_HW[on], plane_depth(normal, distance)[on], rtol=1e-5)


def test_readers_find_what_is_there(data):
    photos = {p.name: p for p in read_photographs(data)}
    assert set(photos) == {"0000", "0001", "frame-000000", "frame-000001", "frame-000002", "cone"}
    assert photos["0000"].depth_HW[48, 64] == pytest.approx(plane_depth(unit(0.2, -0.1, -1), 2.0)[48, 64], abs=2e-4)
    assert (photos["0000"].label_HW[:5] == 255).all()
    assert photos["0000"].label_HW[5:].max() <= 12
    assert photos["frame-000001"].valid_HW.sum() == H * (W - 20)
    assert np.isnan(photos["cone"].disparity_HW[:, :9]).all()
    assert photos["cone"].disparity_HW[0, 9] >= 5
    assert len(read_photographs(data, limit=1)) == 3
    with pytest.raises(ValueError, match=r"manifest\.json"):
        read_photographs(data / "cone")


@pytest.mark.parametrize("normal", [unit(0.2, -0.1, -1), unit(0.7, 0.3, -0.6)])
def test_plane_normals_recover_a_noisy_plane(normal):
    depth = plane_depth(normal, 2.0)
    depth[:, 60:] = plane_depth(unit(0, 0, -1), 3.5)[:, 60:]
    random = np.random.default_rng(0)
    depth *= 1 + random.normal(0, 1e-3, depth.shape)
    depth[random.random(depth.shape) < 0.03] = 0
    found = plane_normals(depth.astype(np.float32), CAMERA, PlaneFit(stride=3))
    left = found[:, :14].reshape(-1, 3)
    left = left[np.isfinite(left[:, 0])]
    assert len(left) > 150
    assert angle_degrees(left, np.broadcast_to(normal, left.shape)).max() < 3
    assert (found[np.isfinite(found[..., 0])][:, 2] < 0).all()


def test_a_perfect_service_scores_perfectly(data, fake_service, tmp_path):
    serve_truth(fake_service, read_photographs(data))
    out = tmp_path / "out" / "dense.md"
    command = ["--data", str(data), "--url", fake_service.url, "--out", str(out), "--sheet", str(tmp_path / "s.png")]
    dense.main(command)
    methods = json.loads(out.with_suffix(".json").read_text())["methods"]
    for sets in methods["service"]["depth"].values():
        for scores in sets.values():
            assert scores["absRel"][0] == pytest.approx(0, abs=1e-6)
            assert scores["delta1"][0] == 1
    for scores in methods["service"]["normals"].values():
        assert scores["mean"][0] < 0.5
        assert scores["below 11.25"][0] == 1
    assert methods["service"]["segmentation"]["nyuv2"]["mIoU"][0] == 1
    assert methods["service"]["disparity"]["cone"] == [pytest.approx(1, abs=1e-5)] * 2
    for baseline in ("constant", "mean map"):
        assert methods[baseline]["depth"]["metric"]["sevenscenes"]["absRel"][0] > 0.05
        assert methods[baseline]["segmentation"]["nyuv2"]["mIoU"][0] < 0.5
    text = out.read_text()
    assert str(data) not in text + out.with_suffix(".json").read_text()
    assert "| service | 0.000 [0.000, 0.000]" in text
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.width == 1400


def test_a_scaled_service_is_wrong_only_in_metres(data, fake_service, tmp_path):
    serve_truth(fake_service, read_photographs(data), scale=1.5)
    dense.main(["--data", str(data), "--url", fake_service.url, "--out", str(tmp_path / "d.md")])
    depth = json.loads((tmp_path / "d.json").read_text())["methods"]["service"]["depth"]
    assert depth["metric"]["nyuv2"]["absRel"][0] == pytest.approx(0.5, abs=1e-4)
    assert depth["metric"]["nyuv2"]["delta1"][0] == 0
    assert depth["median scale"]["nyuv2"]["absRel"][0] == pytest.approx(0, abs=1e-5)
    assert depth["affine in inverse depth"]["nyuv2"]["absRel"][0] == pytest.approx(0, abs=1e-5)


def test_a_service_that_breaks_the_contract_is_named(data, fake_service, tmp_path):
    fake_service.routes["/v1/perceive"] = lambda parts: (503, b'{"error": {"code": "busy"}}')
    with pytest.raises(ValueError, match=r"0000_rgb\.png: expected 200, found 503"):
        dense.main(["--data", str(data), "--url", fake_service.url, "--out", str(tmp_path / "d.md")])

"""`python -m training inspect`: what is reported of whole and of damaged data sets, and with which exit status."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers.tiny_datasets import write_cityscapes, write_mtan, write_nyud, write_pascal
from training.__main__ import main
from training.inspection import inspect_dataset


def inspect(
    dataset: str, path: Path, work: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, dict[str, Any], str]:
    options = ["--sheet", str(work / "sheet.png"), "--cache", str(work / "cache"), "--quiet", *more]
    status = main(["inspect", dataset, str(path), *options])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else {}, err


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("dataset", ["nyud", "pascal_context", "cityscapes", "mtan"])
def test_a_whole_set_is_reported_and_left_alone(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    if dataset == "nyud":
        truth = write_nyud(data, "atrc")
    else:
        truth = {"pascal_context": write_pascal, "cityscapes": write_cityscapes, "mtan": write_mtan}[dataset](data)
    before = files(data)
    status, report, words = inspect("auto", data, tmp_path, capsys)
    assert status == 0
    assert (report["dataset"], report["damaged"], report["damage"]) == (dataset, False, {})
    assert files(data) == before
    for split, samples in truth.items():
        counts = report["splits"][split]
        assert counts["listed"] == counts["decoded"] == counts["whole"] == len(samples)
        assert set(counts["good_files"].values()) == {len(samples)}
    labels = [label for samples in truth.values() for sample in samples.values() for label in (sample["segmentation"],)]
    pixels = np.concatenate([label.reshape(-1) for label in labels])
    assert report["invalid_share"]["segmentation"] == pytest.approx((pixels == 255).mean(), abs=1e-4)
    names = list(report["class_share"])
    number = int(pixels[pixels != 255][0])
    expected = (pixels[pixels != 255] == number).mean()
    assert report["class_share"][names[number]] == pytest.approx(expected, abs=1e-4)
    with Image.open(report["sheet"]) as sheet:
        assert sheet.width > 160 * 2
    assert f"layout {report['layout']}" in words
    assert ("depth is taken for" in words) == (report["depth_unit"] is not None)


def test_ranges_and_normals_are_measured(tmp_path: Path) -> None:
    truth = write_mtan(tmp_path / "data")
    report = inspect_dataset("mtan", tmp_path / "data", sheet=tmp_path / "sheet.png")
    samples = [sample for split in truth.values() for sample in split.values()]
    depth = np.concatenate([sample["depth"].reshape(-1) for sample in samples])
    assert report["ranges"]["depth"] == pytest.approx([depth[depth > 0].min(), depth.max()], abs=1e-3)
    assert report["invalid_share"]["depth"] == pytest.approx((depth == 0).mean(), abs=1e-4)
    normals = np.concatenate([sample["normals"].reshape(-1, 3) for sample in samples])
    valid = normals[(normals != 0).any(axis=1)]
    assert report["normals"]["mean"] == pytest.approx(valid.mean(axis=0), abs=1e-3)
    assert report["normals"]["share_of_negative_z"] == pytest.approx((valid[:, 2] < 0).mean(), abs=1e-3)
    assert report["image_sizes"] == {"32x48": 5}


def test_every_damage_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    truth = write_nyud(data, "vandenhende", counts=(6, 2))
    one, two, three, four, five, six = truth["train"]
    truncated = data / "segmentation" / f"{one}.png"
    truncated.write_bytes(truncated.read_bytes()[:-20])
    (data / "depth" / f"{two}.npy").unlink()
    np.save(data / "normals" / f"{three}.npy", np.zeros((48, 64, 3), np.int32))
    np.save(data / "depth" / f"{four}.npy", np.ones((24, 32), np.float32))
    (data / "images" / f"{five}.jpg").write_bytes(b"not a picture")
    lists = data / "gt_sets" / "train.txt"
    lists.write_text(lists.read_text() + f"{six}\nabsent\n{next(iter(truth['validation']))}\n")
    status, report, words = inspect("nyud", data, tmp_path, capsys)
    assert status == 1
    damage = report["damage"]
    assert {kind: found["count"] for kind, found in damage.items()} == {
        "missing": 6, "unreadable": 2, "wrong": 1, "size": 1, "list": 2,
    }  # fmt: skip
    assert str(data / "depth" / f"{two}.npy") in damage["missing"]["first"][0]
    assert any(str(truncated) in line for line in damage["unreadable"]["first"])
    assert "int32" in damage["wrong"]["first"][0]
    assert "48x64, found 24x32" in damage["size"]["first"][0]
    assert any(repr(six) in line for line in damage["list"]["first"])
    assert any("train and validation" in line for line in damage["list"]["first"])
    assert report["splits"]["train"]["whole"] == 2
    for found in damage.values():
        for message in found["first"]:
            assert message in words


def test_many_missing_files_are_counted_and_the_first_twenty_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    truth = write_nyud(data, "atrc", size=(16, 16), counts=(30, 1))
    for name in truth["train"]:
        (data / "edge" / f"{name}.png").unlink()
    status, report, words = inspect("auto", data, tmp_path, capsys, "--limit", "3")
    assert status == 1
    assert report["damage"]["missing"]["count"] == 30
    assert len(report["damage"]["missing"]["first"]) == 20
    assert "and 10 more" in words
    assert report["splits"]["train"]["decoded"] == 3
    assert report["splits"]["train"]["good_files"]["edges"] == 0


def test_an_empty_list_and_an_absent_folder_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    write_nyud(data, "vandenhende")
    (data / "gt_sets" / "val.txt").write_text("\n")
    for path in (data / "edge").iterdir():
        path.unlink()
    (data / "edge").rmdir()
    status, report, words = inspect("auto", data, tmp_path, capsys)
    assert status == 1
    assert report["damage"]["list"]["count"] == 1
    assert "val.txt" in report["damage"]["list"]["first"][0]
    assert report["labels_absent"] == ["edges"]
    assert "lacks: edges" in words


def test_damaged_matlab_and_arrays_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = write_pascal(tmp_path / "pascal")
    name = next(iter(truth["train"]))
    label_map = tmp_path / "pascal/pascal-context/trainval" / f"{name}.mat"
    label_map.write_bytes(label_map.read_bytes()[:150])
    status, report, _ = inspect("auto", tmp_path / "pascal", tmp_path, capsys)
    assert status == 1
    assert report["damage"]["unreadable"]["count"] == 1  # once, although edges and normals both need it
    write_mtan(tmp_path / "mtan")
    np.save(tmp_path / "mtan/train/image/0.npy", np.full((32, 48, 3), 200.0))
    status, report, _ = inspect("auto", tmp_path / "mtan", tmp_path, capsys)
    assert status == 1
    assert "200" in report["damage"]["wrong"]["first"][0]


def test_empty_and_boundless_arrays_are_listed_with_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    write_mtan(data, counts=(4, 2))
    np.save(data / "train/image/0.npy", np.zeros((0, 64, 3), np.float32))
    np.save(data / "train/normal/1.npy", np.zeros((0, 64, 3), np.float32))
    with (data / "train/depth/2.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    status, report, _ = inspect("mtan", data, tmp_path, capsys)
    assert status == 1
    assert {kind: found["count"] for kind, found in report["damage"].items()} == {"wrong": 2, "unreadable": 1}
    assert report["splits"]["train"]["whole"] == 1


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mtan(tmp_path / "data")
    assert main(["inspect", "auto", str(tmp_path / "data"), "--sheet", str(tmp_path / "data/s.png"), "--quiet"]) == 2
    assert "outside the data folder" in capsys.readouterr().err
    assert main(["inspect", "auto", str(tmp_path), "--quiet"]) == 2
    assert "expected the folders of one data set" in capsys.readouterr().err

"""Readers of public data sets on tiny sets in their layouts: values, layouts, and complaints about damage."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from skimage.morphology import thin as reference_thin

from tests.helpers.tiny_datasets import Truth, photograph, write_cityscapes, write_mtan, write_nyud, write_pascal
from training.readers.build import open_reader
from training.readers.context_classes import CONTEXT_CLASSES, NORMALS_CLASSES
from training.readers.files import DamagedFile, read_colour
from training.readers.label_edges import label_edges, thin
from training.readers.nyud import NyudReader
from training.readers.pascal_context import PascalContextReader
from training.readers.reader import Reader


def agree(reader: Reader, truth: Truth, normals: float = 1e-6) -> None:
    """Every label of every sample; normals within `normals`."""
    for split, samples in truth.items():
        assert reader.names(split) == tuple(samples)  # type: ignore[arg-type]
        for name, labels in samples.items():
            arrays = reader.read(split, name, tuple(labels))  # type: ignore[arg-type]
            assert arrays["image"].dtype == np.float32
            assert 0 <= arrays["image"].min() <= arrays["image"].max() <= 1
            for task, label in labels.items():
                found = arrays[task]
                assert found.shape == label.shape
                assert found.dtype == (np.float32 if task in ("depth", "normals") else np.uint8)
                if task == "normals":
                    np.testing.assert_allclose(found, label, atol=normals)
                    assert set(np.unique(np.linalg.norm(found, axis=2).round(4))) <= {0.0, 1.0}
                elif task == "depth":
                    np.testing.assert_allclose(found, label, rtol=1e-6)
                else:
                    np.testing.assert_array_equal(found, label)


@pytest.mark.parametrize(("layout", "coding"), [("vandenhende", 1e-6), ("atrc", 0.009), ("astmt", 0.05)])
def test_nyud_layouts_are_told_apart_and_read(layout: str, coding: float, tmp_path: Path) -> None:
    truth = write_nyud(tmp_path, layout)
    if layout == "astmt":  # JPEG blurs the border of the invalid rows, so these count nowhere in this comparison
        for samples in truth.values():
            for labels in samples.values():
                del labels["normals"]
    reader = open_reader("auto", tmp_path)
    assert (reader.dataset, reader.layout) == ("nyud", layout)
    assert set(reader.tasks) == {"segmentation", "depth", "normals", "edges"}
    assert len(reader.class_names) == 40
    agree(reader, truth, coding)
    normals = reader.load("train", reader.names("train")[0], "normals")
    np.testing.assert_allclose(np.linalg.norm(normals[:30], axis=2), 1, atol=1e-5)
    assert (normals[-6:] == 0).all()


def test_pictures_are_read_as_sRGB_shares(tmp_path: Path) -> None:
    write_nyud(tmp_path, "atrc")
    picture = photograph(np.random.default_rng(5), (48, 64))
    Image.fromarray(picture).save(tmp_path / "images" / "1001.png")
    write_names(tmp_path, ["1001"])
    image = NyudReader(tmp_path).load("train", "1001", "image")
    np.testing.assert_array_equal(np.rint(image * 255), picture)


def test_grey_pictures_of_sixteen_bits_keep_their_range(tmp_path: Path) -> None:
    grey = np.array([[0, 255, 256], [1000, 32768, 65535]], np.uint16)
    for name in ("grey.png", "grey.tif", "wide.tif"):
        Image.fromarray(grey.astype(np.int32) if name == "wide.tif" else grey).save(tmp_path / name)
        image = read_colour(tmp_path / name)
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, np.repeat(grey[..., None] / 65535, 3, axis=2), atol=1e-7)


def test_the_layout_follows_most_folders(tmp_path: Path) -> None:
    write_nyud(tmp_path, "vandenhende")
    for path in (tmp_path / "edge").iterdir():
        path.rename(path.with_suffix(".png"))
    assert NyudReader(tmp_path).layout == "vandenhende"
    for folder in ("edge", "normals", "depth", "segmentation", "images"):
        for path in (tmp_path / folder).iterdir():
            path.rename(path.with_suffix(".bin"))
    with pytest.raises(ValueError, match=r"normals \.bin"):
        NyudReader(tmp_path)


def test_pascal_is_read(tmp_path: Path) -> None:
    truth = write_pascal(tmp_path / "data")
    reader = open_reader("auto", tmp_path / "data", cache=tmp_path / "cache")
    assert reader.dataset == "pascal_context"
    agree(reader, truth, 0.009)
    cached = sorted((tmp_path / "cache").glob("*/*.png"))
    assert len(cached) == sum(len(samples) for samples in truth.values())
    agree(reader, truth, 0.009)  # from the cache
    cached[0].write_bytes(b"")
    agree(reader, truth, 0.009)  # a damaged entry is made anew
    assert cached[0].stat().st_size > 0


def test_the_cache_stays_outside_the_data(tmp_path: Path) -> None:
    write_pascal(tmp_path)
    with pytest.raises(ValueError, match="outside the data folder"):
        PascalContextReader(tmp_path, tmp_path / "cache")


def test_a_changed_label_map_is_not_answered_from_the_cache(tmp_path: Path) -> None:
    write_pascal(tmp_path / "data")
    reader = PascalContextReader(tmp_path / "data", tmp_path / "cache")
    name = reader.names("train")[0]
    assert reader.load("train", name, "edges").any()
    savemat(tmp_path / "data/pascal-context/trainval" / f"{name}.mat", {"LabelMap": np.ones((48, 64), np.uint16)})
    assert not reader.load("train", name, "edges").any()


def test_an_image_without_objects_has_no_parts(tmp_path: Path) -> None:
    write_pascal(tmp_path / "data")
    reader = PascalContextReader(tmp_path / "data", tmp_path / "cache")
    name = reader.names("train")[0]
    savemat(tmp_path / "data/human_parts" / f"{name}.mat", {"anno": {"imname": name, "objects": np.zeros((0, 0))}})
    parts = reader.load("train", name, "parts")
    assert parts.shape == (48, 64)
    assert (parts == 255).all()


@pytest.mark.parametrize("classes", [19, 7])
def test_cityscapes_is_read(classes: int, tmp_path: Path) -> None:
    truth = write_cityscapes(tmp_path)
    reader = open_reader("auto", tmp_path, classes=classes)
    assert (reader.dataset, reader.depth_unit, len(reader.class_names)) == ("cityscapes", "disparity", classes)
    if classes == 7:
        groups = np.full(256, 255, np.uint8)
        groups[[0, 10, 13, 18]] = [0, 4, 6, 6]
        for samples in truth.values():
            for labels in samples.values():
                labels["segmentation"] = groups[labels["segmentation"]]
    agree(reader, truth)


def test_a_disparity_map_of_another_width_is_in_pixels_of_its_image(tmp_path: Path) -> None:
    truth = write_cityscapes(tmp_path)
    reader = open_reader("cityscapes", tmp_path)
    name, labels = next(iter(truth["train"].items()))
    for field in ("segmentation", "depth"):
        path = reader.paths("train", name, field)[0]
        Image.fromarray(np.kron(np.asarray(Image.open(path)), np.ones((2, 2), np.uint16))).save(path)
    found = reader.read("train", name, ["segmentation", "depth"])
    np.testing.assert_allclose(found["depth"], labels["depth"] / 2, rtol=1e-6)
    np.testing.assert_array_equal(found["segmentation"], labels["segmentation"])
    reader.depth_unit = "inverse"  # of no unit that a picture's size would change
    np.testing.assert_allclose(reader.read("train", name, ["depth"])["depth"], labels["depth"], rtol=1e-6)


@pytest.mark.parametrize("indoor", [True, False])
def test_mtan_arrays_are_read(indoor: bool, tmp_path: Path) -> None:
    truth = write_mtan(tmp_path, indoor)
    reader = open_reader("auto", tmp_path, classes=None if indoor else 7)
    assert reader.layout == ("nyuv2" if indoor else "cityscapes")
    assert reader.depth_unit == ("metres" if indoor else "inverse")
    assert len(reader.class_names) == (13 if indoor else 7)
    agree(reader, truth)
    if not indoor:
        with pytest.raises(ValueError, match=r"expected one of \[7, 19\]"):
            open_reader("mtan", tmp_path)


def test_class_numbers_outside_the_set_are_named_as_they_stand_in_the_file(tmp_path: Path) -> None:
    """Void is -1 there, and the classes of the file begin with 0."""
    write_mtan(tmp_path)
    path = tmp_path / "train" / "label" / "0.npy"
    np.save(path, np.where(np.load(path) == 6, 13, -1))
    with pytest.raises(DamagedFile, match=r"expected class numbers -1\.\.12, found -1\.\.13"):
        open_reader("mtan", tmp_path).load("train", "0", "segmentation")


@pytest.mark.parametrize("stray", [np.nan, np.inf, -np.inf])
def test_class_numbers_that_are_not_finite_are_told(stray: float, tmp_path: Path) -> None:
    write_mtan(tmp_path / "mtan")
    path = tmp_path / "mtan/train/label/0.npy"
    labels = np.load(path)
    labels[0, 0] = stray
    np.save(path, labels)
    with pytest.raises(DamagedFile, match="expected whole numbers, found values that are not finite"):
        open_reader("mtan", tmp_path / "mtan").load("train", "0", "segmentation")
    write_pascal(tmp_path / "pascal")
    reader = PascalContextReader(tmp_path / "pascal", tmp_path / "cache")
    name = reader.names("train")[0]
    label_map = np.full((48, 64), 187.0)
    label_map[0, 0] = stray
    savemat(tmp_path / "pascal/pascal-context/trainval" / f"{name}.mat", {"LabelMap": label_map})
    for task in ("edges", "normals"):
        with pytest.raises(DamagedFile, match="expected whole numbers, found values that are not finite"):
            reader.load("train", name, task)


def test_signs_turn_normals_into_another_frame(tmp_path: Path) -> None:
    truth = write_mtan(tmp_path)
    reader = open_reader("mtan", tmp_path)
    reader.normal_signs = (1, -1, -1)
    expected = truth["train"]["0"]["normals"] * np.array([1, -1, -1], np.float32)
    np.testing.assert_allclose(reader.read("train", "0", ["normals"])["normals"], expected, atol=1e-6)


def write_names(root: Path, names: list[str], split: str = "train") -> None:
    (root / "gt_sets" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


def npy_header(shape: tuple[int, ...]) -> bytes:
    """A NumPy file without its numbers."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue()


def test_a_byte_order_mark_is_no_part_of_an_id(tmp_path: Path) -> None:
    write_nyud(tmp_path, "atrc")
    names = NyudReader(tmp_path).names("train")
    (tmp_path / "gt_sets" / "train.txt").write_text("\r\n".join(names), encoding="utf-8-sig")
    assert NyudReader(tmp_path).names("train") == names


def test_damage_is_named(tmp_path: Path) -> None:
    write_nyud(tmp_path, "vandenhende")
    reader = NyudReader(tmp_path)
    name = reader.names("train")[0]
    picture = tmp_path / "segmentation" / f"{name}.png"
    content = picture.read_bytes()
    damages: list[tuple[str, str, bytes | np.ndarray, str, str]] = [
        ("segmentation", "segmentation", content[: len(content) // 2], "unreadable", "expected a picture"),
        ("segmentation", "segmentation", content[:-14], "unreadable", "expected a picture"),
        ("segmentation", "segmentation", b"", "unreadable", "expected a picture"),
        ("depth", "depth", np.zeros((4, 4), "S3"), "wrong", "expected an array of numbers"),
        ("depth", "depth", np.zeros((4, 4, 2), np.float32), "wrong", r"\(4, 4, 2\)"),
        ("depth", "depth", b"\x93NUMPY", "unreadable", "expected a NumPy array"),
        ("depth", "depth", npy_header((10**12,)), "unreadable", "expected a NumPy array"),
        ("depth", "depth", npy_header((10**30, 2)), "unreadable", "expected a NumPy array"),
        ("normals", "normals", np.zeros((0, 64, 3), np.float32), "wrong", r"\(0, 64, 3\)"),
        ("normals", "normals", np.zeros((48, 64, 3), np.uint8), "wrong", "expected floats"),
        ("depth", "depth", np.ones((48, 48), np.float32), "size", "found 48x48"),
    ]
    for task, folder, damage, kind, message in damages:
        path = next((tmp_path / folder).glob(f"{name}.*"))
        whole = path.read_bytes()
        if isinstance(damage, bytes):
            path.write_bytes(damage)
        else:
            np.save(path, damage)
        with pytest.raises(DamagedFile, match=message) as caught:
            reader.read("train", name, [task])
        assert (caught.value.kind, caught.value.path) == (kind, path)
        path.write_bytes(whole)
    Image.fromarray(np.full((48, 64), 41, np.uint8)).save(picture)
    with pytest.raises(DamagedFile, match=r"0\.\.40, found 41\.\.41"):
        reader.load("train", name, "segmentation")
    picture.unlink()
    with pytest.raises(DamagedFile, match="found none"):
        reader.load("train", name, "segmentation")
    write_names(tmp_path, [])
    with pytest.raises(DamagedFile, match="one id a line"):
        reader.names("train")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    write_mtan(tmp_path)
    np.save(tmp_path / "train/depth/0.npy", np.array([[{"a": 1}]], dtype=object))
    with pytest.raises(DamagedFile, match="Object arrays"):
        open_reader("mtan", tmp_path).load("train", "0", "depth")


def test_a_label_of_another_scale_fits_its_image(tmp_path: Path) -> None:
    write_nyud(tmp_path, "vandenhende")
    reader = NyudReader(tmp_path)
    name = reader.names("train")[0]
    np.save(tmp_path / "depth" / f"{name}.npy", np.kron([[1, 2], [3, 4]], np.ones((12, 16))))
    depth = reader.read("train", name, ["depth"])["depth"]
    np.testing.assert_array_equal(depth, np.kron([[1, 2], [3, 4]], np.ones((24, 32))))


def test_a_label_without_pixels_is_of_the_wrong_size(tmp_path: Path) -> None:
    write_pascal(tmp_path / "data")
    reader = PascalContextReader(tmp_path / "data", tmp_path / "cache")
    name = reader.names("train")[0]
    things = np.empty((1, 1), [(key, "O") for key in ("class", "class_ind", "mask", "parts")])
    things[0, 0] = ("cow", np.uint8(10), np.zeros((0, 4), np.uint8), np.empty((1, 0)))
    savemat(tmp_path / "data/human_parts" / f"{name}.mat", {"anno": {"imname": name, "objects": things}})
    with pytest.raises(DamagedFile, match="expected the size of its image, 48x64, found 0x4"):
        reader.read("train", name, ["parts"])


def test_another_folder_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found none"):
        open_reader("auto", tmp_path / "absent")
    (tmp_path / "holiday").mkdir()
    with pytest.raises(ValueError, match="holiday"):
        open_reader("auto", tmp_path)
    with pytest.raises(ValueError, match="expected nyud"):
        open_reader("nyud", tmp_path)


def test_edges_are_thinned_as_in_the_reference() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        mask = rng.random((40, 50)) < rng.uniform(0.4, 0.95)
        np.testing.assert_array_equal(thin(mask), reference_thin(mask))
    assert not label_edges(np.full((9, 9), 7)).any()


def test_normals_are_trusted_on_classes_that_both_sets_know() -> None:
    assert len(NORMALS_CLASSES) == 170
    assert {18, 68, 158, 440, 427} <= NORMALS_CLASSES  # bed, ceiling, floor, wall, monitor
    assert not {0, 187, 360, 431} & NORMALS_CLASSES  # none, grass, sky, unknown
    assert max(NORMALS_CLASSES) <= CONTEXT_CLASSES

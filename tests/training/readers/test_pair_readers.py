"""Pairs on disk: what the readers give back, and what they say when something is missing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.helpers.pair_sets import BASELINE, FOCAL, OFFSET, plane_disparity, write_stereo, write_udis
from training.readers.files import DamagedFile
from training.readers.pair_build import open_pair_reader, pair_layout
from training.readers.stereo_scenes import StereoScenesReader, read_pfm
from training.readers.user_pairs import UserPairsReader


def test_a_folder_of_pairs_gives_references_and_targets(tmp_path: Path) -> None:
    write_udis(tmp_path, counts=(3, 2))
    reader = open_pair_reader("udis", tmp_path)
    assert isinstance(reader, UserPairsReader)
    assert reader.names("train") == ("000000", "000001", "000002")
    assert reader.names("validation") == ("000000", "000001")
    reference, target = reader.load("train", "000001")
    assert reference.shape == target.shape == (240, 320, 3)
    # The target shows the reference from its sixtieth column on.
    assert np.abs(target[40:200, 20:200] - reference[46:206, 80:260]).mean() < 0.2
    reference_path, _ = reader.paths("train", "000001")
    assert reference_path == tmp_path / "training" / "input1" / "000001.jpg"


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
def test_photographs_are_turned_as_they_were_held(ending: str, tmp_path: Path) -> None:
    """EXIF orientation 6: the stored picture is turned by a quarter, clockwise, to be looked at."""
    write_udis(tmp_path, counts=(1, 1))
    reference, expected = UserPairsReader(tmp_path).load("train", "000000")
    path = tmp_path / "training" / "input2" / "000000.jpg"
    held = Image.open(path)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path.unlink()
    held.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(f".{ending}"), quality=98, exif=exif)
    found = UserPairsReader(tmp_path).load("train", "000000")
    assert found[0].shape == reference.shape
    assert found[1].shape == expected.shape
    assert np.abs(found[1] - expected).mean() < 0.02


def test_a_pair_with_one_photograph_is_named(tmp_path: Path) -> None:
    write_udis(tmp_path)
    lost = tmp_path / "training" / "input2" / "000001.jpg"
    lost.unlink()
    reader = UserPairsReader(tmp_path)
    assert reader.names("train") == ("000000", "000001", "000002")
    with pytest.raises(DamagedFile, match=r"000001\.jpg") as caught:
        reader.load("train", "000001")
    assert (caught.value.kind, caught.value.path) == ("missing", lost)


def test_stereo_scenes_give_disparity_whatever_the_header_scales(tmp_path: Path) -> None:
    write_stereo(tmp_path, scenes=7, size=(120, 80))
    reader = open_pair_reader("middlebury", tmp_path)
    assert isinstance(reader, StereoScenesReader)
    assert reader.names("validation") == ("Scene0", "Scene5")
    assert set(reader.names("train")) == {f"Scene{number}" for number in (1, 2, 3, 4, 6)}
    scene = reader.load("train", "Scene1")
    assert np.array_equal(scene.disparity_HW[:-4], plane_disparity(120, 80)[:-4])
    assert np.isnan(scene.disparity_HW[-4:]).all()
    assert scene.offset == OFFSET
    # z = baseline f / (d + doffs), in metres.
    depth = BASELINE / 1000 * FOCAL / (scene.disparity_HW[0, 0] + OFFSET)
    assert scene.nearness * (scene.disparity_HW[0, 0] + OFFSET) == pytest.approx(1 / depth)


def test_the_benchmarks_name_of_the_disparity_is_known(tmp_path: Path) -> None:
    write_stereo(tmp_path, size=(64, 48), disparity="disp0GT.pfm")
    assert np.isfinite(StereoScenesReader(tmp_path).load("train", "Scene1").disparity_HW[0]).all()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("short", "bytes of pixels"),
        ("colour", "grey PFM"),
        ("absent", "expected a file, found none"),
        ("calibration", "expected numbers for baseline"),
        ("size", "expected the size of im0.png, 48x64"),
    ],
)
def test_damaged_scenes_are_named(tmp_path: Path, damage: str, words: str) -> None:
    write_stereo(tmp_path, size=(64, 48))
    folder = tmp_path / "Scene1"
    disparity = folder / "disp0.pfm"
    if damage == "short":
        disparity.write_bytes(disparity.read_bytes()[:-5])
    elif damage == "colour":
        disparity.write_bytes(b"PF" + disparity.read_bytes()[2:])
    elif damage == "absent":
        disparity.unlink()
    elif damage == "calibration":
        text = (folder / "calib.txt").read_text()
        (folder / "calib.txt").write_text(text.replace(f"baseline={BASELINE}", "baseline=none"))
    else:
        write_stereo(tmp_path / "other", size=(32, 48))
        disparity.write_bytes((tmp_path / "other" / "Scene1" / "disp0.pfm").read_bytes())
    with pytest.raises(DamagedFile, match=words) as caught:
        StereoScenesReader(tmp_path).load("train", "Scene1")
    assert caught.value.path.parent == folder


def test_a_folder_of_neither_layout_is_described(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(ValueError, match=r"input1.*im0.png.*found holiday"):
        pair_layout(tmp_path)
    with pytest.raises(ValueError, match="found none"):
        pair_layout(tmp_path / "nothing")
    write_stereo(tmp_path / "stereo", size=(32, 24))
    with pytest.raises(ValueError, match=r"expected udis .* found middlebury"):
        open_pair_reader("udis", tmp_path / "stereo")
    write_stereo(tmp_path / "lonely", scenes=1, size=(32, 24))
    with pytest.raises(DamagedFile, match="at least two scenes"):
        StereoScenesReader(tmp_path / "lonely").names("train")


def test_byte_order_follows_the_sign_of_the_scale(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for name, order, scale in (("little", "<f4", "-1.0"), ("big", ">f4", "255")):
        path = tmp_path / f"{name}.pfm"
        path.write_bytes(f"Pf\n3 2\n{scale}\n".encode() + values[::-1].astype(order).tobytes())
        assert np.array_equal(read_pfm(path), values)

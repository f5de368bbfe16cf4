"""The benchmark of codecs on a tiny bundle and small pictures."""

from pathlib import Path

import pytest

from benchmarks import codecs
from benchmarks.sample_photographs import jpeg, photograph


def test_every_codec_is_timed_and_reduction_compared(
    perceive_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "DECODED_SIZES", ((64, 48),))
    monkeypatch.setattr(codecs, "TURNS", 1)
    images = tmp_path / "images" / "below"
    images.mkdir(parents=True)
    for width in (100, 1600, 2000):  # the first is too small to be reduced
        (images / f"{width}.jpg").write_bytes(jpeg(photograph(width, width * 3 // 4)))
    out = tmp_path / "codecs.md"
    report = codecs.main(["--bundle", str(perceive_bundle), "--images", str(tmp_path / "images"), "--out", str(out)])
    assert report.numbers["photographs"] == 2
    assert all(len(values) == 3 and min(values) >= 0 for values in report.numbers["reduction"].values())
    text = out.read_text()
    for name in ("Pillow draft", "OpenCV, level 6", "segmentation, palette", "compression=deflate"):
        assert name in text
    with pytest.raises(ValueError, match="found none"):
        codecs.main(["--bundle", str(perceive_bundle), "--images", str(tmp_path / "none"), "--out", str(out)])

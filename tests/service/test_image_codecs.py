import contextlib
import io
import math
import struct

import numpy as np
import pytest
from PIL import Image

from service import image_codecs
from service.errors import NotAnImage, TooManyPixels, TooSmall
from service.image_codecs import LONGEST_SIDE, ImageLimits, encode_palette_png, encode_png, read_photo
from tests.helpers.pictures import encoded, png_header_only, scene, sixteen_bit, with_exif

LIMITS = ImageLimits()
SCENE = scene()
GREY = SCENE.mean(2).astype(np.uint8)


def grey_tiff(samples: bytes, bits: int, photometric: int = 1, sample_format: int = 1) -> bytes:
    """Uncompressed samples of a grey picture of 64 x 64."""
    tags = {256: 64, 257: 64, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 64, 279: len(samples)}
    tags[339] = sample_format
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(samples)) + samples + struct.pack("<H", len(tags)) + entries + b"\0" * 4


def same(found: np.ndarray, expected: np.ndarray, tolerance: float = 0) -> None:
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected.astype(int)).mean() <= tolerance


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (encoded(SCENE, "PNG"), 0),
        (encoded(SCENE, "BMP"), 0),
        (encoded(SCENE, "TIFF"), 0),
        (encoded(SCENE, "TIFF", compression="tiff_lzw"), 0),
        (encoded(SCENE, "WEBP", lossless=True), 0),
        (encoded(SCENE, "WEBP", quality=95), 6),
        (encoded(SCENE, "JPEG", quality=98, subsampling=0), 3),
        (encoded(SCENE, "JPEG", quality=98, subsampling=0, progressive=True), 3),
        (sixteen_bit(SCENE, ".png"), 0),
        (sixteen_bit(SCENE, ".tiff"), 0),
    ],
)
def test_every_format_gives_the_same_pixels(data: bytes, tolerance: float) -> None:
    photo = read_photo(data, LIMITS)
    same(photo.rgb_HW3, SCENE, tolerance)
    assert photo.size == (96, 64)
    assert photo.focal_px is None
    assert photo.rgb_HW3.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize(
    "data",
    [encoded(GREY, "PNG"), encoded(GREY, "TIFF"), sixteen_bit(GREY, ".png"), sixteen_bit(GREY, ".tiff")],
)
def test_grey_becomes_equal_channels(data: bytes) -> None:
    same(read_photo(data, LIMITS).rgb_HW3, np.repeat(GREY[:, :, None], 3, axis=2))


def test_sixteen_bit_grey_uses_its_whole_range() -> None:
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    pixels = read_photo(encoded(Image.fromarray(ramp)), LIMITS).rgb_HW3
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert (np.diff(pixels[0, :, 0].astype(int)) >= 3).all()


RAMP = np.tile(np.arange(64, dtype=np.uint16) * 65, (64, 1))  # 0 to 4095


@pytest.mark.parametrize(("photometric", "first", "last"), [(1, 0, 255), (0, 255, 0)])
def test_sixteen_bit_grey_tiff_may_count_from_white(photometric: int, first: int, last: int) -> None:
    """As one of 8 bits, which Pillow turns itself."""
    wide = ((RAMP.astype(np.uint32) * 65535 + 2047) // 4095).astype("<u2")
    found = read_photo(grey_tiff(wide.tobytes(), 16, photometric), LIMITS).rgb_HW3
    narrow = read_photo(grey_tiff((wide >> 8).astype(np.uint8).tobytes(), 8, photometric), LIMITS).rgb_HW3
    assert (found[0, 0, 0], found[0, -1, 0]) == (first, last)
    assert np.abs(found.astype(int) - narrow).max() <= 1


def test_twelve_bit_grey_uses_its_whole_range() -> None:
    even, odd = RAMP[:, ::2], RAMP[:, 1::2]
    packed = np.stack([even >> 4, (even & 15) << 4 | odd >> 8, odd & 255], axis=2).astype(np.uint8)
    found = read_photo(grey_tiff(packed.tobytes(), 12), LIMITS).rgb_HW3
    same(found[:, :, 0], ((RAMP.astype(int) * 255 + 2047) // 4095).astype(np.uint8))


@pytest.mark.parametrize("key", [0, 40_000, 65_535])
def test_transparent_sixteen_bit_grey_lies_on_white(key: int) -> None:
    samples = np.full((64, 64), 20_000, np.uint16)
    samples[:, 32:] = key
    found = read_photo(encoded(Image.fromarray(samples), "PNG", transparency=key), LIMITS).rgb_HW3
    assert (found[:, 32:] == 255).all()
    assert (found[:, :32] == 78).all()


def test_palette_transparency_and_cmyk() -> None:
    colours = np.zeros((40, 40, 3), np.uint8)
    colours[:20] = (200, 10, 20)
    colours[20:] = (0, 90, 250)
    palette = Image.fromarray(colours).quantize(4)
    same(read_photo(encoded(palette, "PNG"), LIMITS).rgb_HW3, colours)
    clear = encoded(palette, "PNG", transparency=palette.getpixel((0, 0)))
    expected = colours.copy()
    expected[:20] = 255
    same(read_photo(clear, LIMITS).rgb_HW3, expected)
    alpha = np.dstack([colours, np.full((40, 40), 255, np.uint8)])
    alpha[20:, :, 3] = 0
    expected = colours.copy()
    expected[20:] = 255
    for file_format in ("PNG", "TIFF"):
        same(read_photo(encoded(alpha, file_format), LIMITS).rgb_HW3, expected)
    cmyk = Image.fromarray(colours).convert("CMYK")
    same(read_photo(encoded(cmyk, "JPEG", quality=98), LIMITS).rgb_HW3, colours, 4)
    same(read_photo(encoded(cmyk, "TIFF"), LIMITS).rgb_HW3, colours, 2)


@pytest.mark.parametrize(("file_format", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_first_picture_of_several(file_format: str, options: dict[str, object]) -> None:
    others = [Image.fromarray(scene(seed=seed)) for seed in (1, 2)]
    data = encoded(SCENE, file_format, save_all=True, append_images=others, **options)
    same(read_photo(data, LIMITS).rgb_HW3, SCENE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_orientation_is_applied_once(orientation: int, file_format: str) -> None:
    """Pillow's own reading of the tag is the reference."""
    data = with_exif(SCENE, file_format, orientation)
    from PIL import ImageOps

    reference = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    photo = read_photo(data, LIMITS)
    same(photo.rgb_HW3, reference, 1)
    assert photo.size == ((64, 96) if orientation >= 5 else (96, 64))
    assert (photo.rgb_HW3.shape[1], photo.rgb_HW3.shape[0]) == photo.size


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
def test_an_orientation_that_only_xmp_tells_is_left_alone(file_format: str) -> None:
    """As browsers do: what is shown beside the maps would lie otherwise."""
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    file = io.BytesIO()
    Image.fromarray(SCENE).save(file, file_format, xmp=packet)
    with Image.open(io.BytesIO(file.getvalue())) as image:
        assert image.getexif().get(0x0112) == 6
    assert read_photo(file.getvalue(), LIMITS).size == (96, 64)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_focal_length_from_exif(file_format: str) -> None:
    photo = read_photo(with_exif(SCENE, file_format, orientation=6, focal_35mm=26), LIMITS)
    assert photo.focal_px == pytest.approx(26 / math.hypot(36, 24) * math.hypot(96, 64))


def test_reduced_jpeg_keeps_its_full_size_and_content() -> None:
    picture = scene(1201, 803)
    data = with_exif(picture, orientation=6, focal_35mm=35)
    full, reduced = read_photo(data, LIMITS), read_photo(data, LIMITS, enough=256)
    assert reduced.size == full.size == (803, 1201)
    assert reduced.focal_px == full.focal_px
    height, width = reduced.rgb_HW3.shape[:2]
    assert 256 <= height < 512
    again = np.asarray(Image.fromarray(full.rgb_HW3).resize((width, height), Image.Resampling.BOX))
    same(reduced.rgb_HW3, again, 2)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_truncated_files_are_refused(file_format: str) -> None:
    data = encoded(scene(200, 150), file_format)
    for share in (0.02, 0.3, 0.6, 0.9):
        with pytest.raises(NotAnImage):
            read_photo(data[: int(len(data) * share)], LIMITS)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_damaged_files_end_in_pixels_or_our_errors(file_format: str) -> None:
    rng = np.random.default_rng(0)
    data = with_exif(SCENE, file_format, 6, 30) if file_format != "BMP" else encoded(SCENE, "BMP")
    for _ in range(60):
        broken = bytearray(data)
        for position in rng.integers(0, len(broken), 1 + int(rng.integers(8))):
            broken[position] = rng.integers(256)
        with contextlib.suppress(NotAnImage, TooSmall, TooManyPixels):
            assert read_photo(bytes(broken), LIMITS).rgb_HW3.ndim == 3


def photograph() -> np.ndarray:
    """With detail everywhere, so that all of its file is needed."""
    noise = np.random.default_rng(0).integers(0, 40, (240, 320, 3))
    return np.clip(scene(320, 240).astype(int) + noise - 20, 0, 255).astype(np.uint8)


WHOLE_JPEGS = {
    "colour": encoded(photograph(), "JPEG"),
    "full chroma": encoded(photograph(), "JPEG", subsampling=0, optimize=True),
    "grey": encoded(photograph()[:, :, 0], "JPEG"),
    "CMYK": encoded(Image.fromarray(photograph()).convert("CMYK"), "JPEG"),
    "restarts": encoded(photograph(), "JPEG", restart_marker_rows=2),
    "bytes after its end": encoded(photograph(), "JPEG") + b"x" * 200,
}


@pytest.mark.parametrize("enough", [None, 40])
@pytest.mark.parametrize("kind", WHOLE_JPEGS)
def test_a_jpeg_whose_data_end_early_is_refused_in_spite_of_its_end_marker(kind: str, enough: int | None) -> None:
    """Decoders fill up with grey, and only warn."""
    whole = WHOLE_JPEGS[kind]
    end = whole.rfind(b"\xff\xd9")
    for share in (0.3, 0.6, 0.9):
        middle = int(end * share)
        cut_off, cut_out = whole[:middle] + whole[end:], whole[: middle - 1500] + whole[middle:]
        # After a hole, decoders find the right place again at a restart marker.
        for damaged in (cut_off,) if kind == "restarts" else (cut_off, cut_out):
            with pytest.raises(NotAnImage, match="truncated or damaged"):
                read_photo(damaged, LIMITS, enough=enough)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("tail", [b"", b"\0" * 10, b"x" * 200])
def test_a_picture_that_ends_in_grey_is_whole(progressive: bool, mode: str, tail: bytes) -> None:
    """What decoders fill up with may as well be what was photographed."""
    grey = {"RGB": (128,) * 3, "L": 128, "CMYK": (127,) * 4}
    for height in range(57, 66):
        picture = Image.fromarray(scene(97, height)).convert(mode)
        picture.paste(grey[mode], (0, height // 2, 97, height))
        for quality in (50, 95):
            data = encoded(picture, "JPEG", quality=quality, progressive=progressive) + tail
            assert read_photo(data, LIMITS).size == (97, height)


@pytest.mark.parametrize("data", [b"", b"\0" * 1000, b"hello", encoded(SCENE, "GIF"), encoded(SCENE, "PPM")])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(NotAnImage) as caught:
        read_photo(data, LIMITS)
    assert "JPEG, PNG, WebP, TIFF or BMP" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (encoded(SCENE, "GIF"), "GIF"),
        (b"\0\0\0\x24ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "AVIF"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "video"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_the_message_says_what_was_sent(data: bytes, kind: str) -> None:
    with pytest.raises(NotAnImage, match=f"images\\[3\\]: the file is {kind}, which"):
        read_photo(data, LIMITS, name="images[3]")


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
        grey_tiff(RAMP.astype("<u4").tobytes(), 32),
        grey_tiff(RAMP.astype("<i2").tobytes(), 16, sample_format=2),
        grey_tiff(np.full((64, 64), -1, np.int8).tobytes(), 8, sample_format=2),
    ],
)
def test_samples_without_an_agreed_range_are_refused(data: bytes) -> None:
    with pytest.raises(NotAnImage, match="image: signed samples, and those of 32 bits") as refused:
        read_photo(data, LIMITS)
    assert "unsigned samples of 8 or 16 bits" in refused.value.hint


def test_uncompressed_ycbcr_in_a_tiff_is_refused_for_what_it_is() -> None:
    """Pillow takes it for RGBX: with bytes after it, for whole."""
    picture = Image.fromarray(SCENE).convert("YCbCr")
    for tail in (b"", b"\0" * 100_000):
        with pytest.raises(NotAnImage, match="image: the TIFF file holds uncompressed YCbCr"):
            read_photo(encoded(picture, "TIFF") + tail, LIMITS)
    same(read_photo(encoded(picture, "TIFF", compression="tiff_lzw"), LIMITS).rgb_HW3, SCENE, 2)


def test_sizes_are_decided_from_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_codecs, "_to_rgb", lambda image: pytest.fail("decoded"))
    with pytest.raises(TooManyPixels, match="20000 x 20000"):
        read_photo(png_header_only(20_000, 20_000), LIMITS)
    with pytest.raises(TooManyPixels, match=r"40 x 1000001 pixels: a side has at most 1000000\."):
        read_photo(png_header_only(40, 1_000_001), LIMITS)
    with pytest.raises(TooSmall, match="1 x 1"):
        read_photo(encoded(np.zeros((1, 1, 3), np.uint8)), LIMITS)
    with pytest.raises(TooSmall, match="400 x 31"):
        read_photo(png_header_only(400, 31), LIMITS)


def test_encoders_round_trip() -> None:
    depth = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    assert (np.asarray(Image.open(io.BytesIO(encode_png(depth)))) == depth).all()
    assert (np.asarray(Image.open(io.BytesIO(encode_png(SCENE)))) == SCENE).all()
    longest = np.zeros((1, LONGEST_SIDE), np.uint8)
    assert Image.open(io.BytesIO(encode_png(longest))).size == (LONGEST_SIDE, 1)
    index = (np.arange(64 * 64) % 3).astype(np.uint8).reshape(64, 64)
    image = Image.open(io.BytesIO(encode_palette_png(index, ((1, 2, 3), (4, 5, 6), (7, 8, 9)))))
    assert image.mode == "P"
    assert (np.asarray(image) == index).all()
    assert (np.asarray(image.convert("RGB"))[0, 1] == (4, 5, 6)).all()

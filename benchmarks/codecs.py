"""What decoding and encoding cost by library and setting, and what decoding at reduced size does to the maps.

    python -m benchmarks.codecs [--images FOLDER] [--most 40] [--bundle weights/perceive-rooms] [--out FILE.md]

Processor milliseconds, the least of several: other load on the machine changes them little. Without --images the maps
are compared on one photograph, enlarged.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.sample_photographs import jpeg, photograph
from benchmarks.table import ROOT, Report, dated, markdown_table
from service.bundle import load_bundle
from service.image_codecs import ImageLimits, encode_palette_png, encode_png, read_photo
from service.palette import normals_picture
from service.perceive import OVERSAMPLING, DenseMaps, PerceivePipeline
from service.perceive_answer import depth_millimetres, encode_npz, encode_preview
from service.runtime import RuntimeOptions
from service.timing import Stopwatch

LIMITS = ImageLimits(max_pixels=200_000_000)
DECODED_SIZES = ((640, 480), (4000, 3000))
TURNS = 5
RLE = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE, cv2.IMWRITE_PNG_FILTER]
PNG_SETTINGS: dict[str, list[int]] = {
    "OpenCV, its own settings": [],
    "OpenCV, level 1": [cv2.IMWRITE_PNG_COMPRESSION, 1],
    "OpenCV, level 6": [cv2.IMWRITE_PNG_COMPRESSION, 6],
    "OpenCV, runs, Paeth": [*RLE, cv2.IMWRITE_PNG_FILTER_PAETH],
}
PILLOW_LEVELS = (1, 6)


def processor_ms(work: Callable[[], object], turns: int = TURNS) -> float:
    """Milliseconds of this process's processors, the least of several turns."""
    work()
    times = []
    for _ in range(turns):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return 1000 * min(times)


def decoders(data: bytes, enough: int) -> dict[str, Callable[[], object]]:
    """Ways to read a JPEG: whole, or with at least `enough` pixels along its longer side."""

    def draft() -> np.ndarray:
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", (enough, enough))
        return np.asarray(image)

    return {
        "service, whole": lambda: read_photo(data, LIMITS),
        f"service, {enough} pixels suffice": lambda: read_photo(data, LIMITS, enough=enough),
        "Pillow, whole": lambda: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
        f"Pillow draft, {enough} pixels suffice": draft,
    }


def encoders(pixels: np.ndarray) -> dict[str, Callable[[], bytes]]:
    """Ways to write a PNG of uint8 or uint16 [H,W] or RGB uint8 [H,W,3]."""
    bgr = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)

    def by_opencv(parameters: list[int]) -> Callable[[], bytes]:
        return lambda: cv2.imencode(".png", bgr, parameters)[1].tobytes()

    def by_pillow(level: int) -> Callable[[], bytes]:
        def encode() -> bytes:
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG", compress_level=level)
            return buffer.getvalue()

        return encode

    found: dict[str, Callable[[], bytes]] = {"service": lambda: encode_png(pixels)}
    found |= {name: by_opencv(parameters) for name, parameters in PNG_SETTINGS.items()}
    return found | {f"Pillow, level {level}": by_pillow(level) for level in PILLOW_LEVELS}


def decoding_table(enough: int) -> str:
    """Processor milliseconds per size and way."""
    rows = []
    for width, height in DECODED_SIZES:
        data = jpeg(photograph(width, height))
        for name, decode in decoders(data, enough).items():
            rows.append([f"{width}x{height}", name, f"{processor_ms(decode):.1f}"])
    return markdown_table(["JPEG", "decoder", "CPU ms"], rows)


def encoding_table(pipeline: PerceivePipeline) -> str:
    """Processor milliseconds and kilobytes per content and way, of the maps of a 640x480 photograph."""
    rgb = photograph()
    maps, manifest = pipeline.predict(rgb), pipeline.manifest
    rows = []

    def row(content: str, name: str, encode: Callable[[], bytes]) -> None:
        rows.append([content, name, f"{processor_ms(encode):.1f}", f"{len(encode()) / 1000:.0f}"])

    preview = np.asarray(Image.open(io.BytesIO(encode_preview(maps, rgb, manifest, Stopwatch()).content)))
    pictures: dict[str, np.ndarray] = {
        "depth, 16 bit": depth_millimetres(maps.by_task["depth"]),
        "normals, 8 bit": normals_picture(maps.by_task["normals"]),
        "preview": preview,
    }
    for content, pixels in pictures.items():
        for name, encode in encoders(pixels).items():
            row(content, name, encode)
    labels, palette = maps.by_task["segmentation"], manifest.palette_of("segmentation")
    row("segmentation, palette", "service", lambda: encode_palette_png(labels, palette))
    for name, compress in (("none", False), ("deflate", True)):
        row("npz", f"service, compression={name}", lambda: _npz(maps, pipeline, compress))  # noqa: B023
    return markdown_table(["content", "encoder", "CPU ms", "kB"], rows)


def _npz(maps: DenseMaps, pipeline: PerceivePipeline, compress: bool) -> bytes:
    nothing = np.empty((0, 0, 3), np.uint8)
    return encode_npz(maps, nothing, pipeline.manifest, Stopwatch(), compress=compress).content


def photographs(folder: Path | None, most: int, enough: int) -> Iterator[bytes]:
    """JPEG files large enough to be decoded at reduced size, evenly picked from a folder and what is below it."""
    if folder is None:
        yield from (jpeg(photograph(factor * enough, factor * enough * 3 // 4)) for factor in (2, 4))
        return
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    large = [path for path in files if _longer_side(path) >= 2 * enough]
    for index in np.unique(np.linspace(0, len(large) - 1, min(most, len(large))).astype(int)):
        yield large[index].read_bytes()


def _longer_side(path: Path) -> int:
    with Image.open(path) as image:
        return max(image.size)


def difference(found: DenseMaps, expected: DenseMaps) -> tuple[float, float, float]:
    """(mean relative difference of depth in %, pixels of another class in %, mean angle between normals in degrees)."""
    depth, truth = found.by_task["depth"], expected.by_task["depth"]
    cosine = (found.by_task["normals"] * expected.by_task["normals"]).sum(-1).clip(-1, 1)
    return (
        100 * float(np.mean(np.abs(depth - truth) / truth)),
        100 * float(np.mean(found.by_task["segmentation"] != expected.by_task["segmentation"])),
        float(np.degrees(np.arccos(cosine)).mean()),
    )


def reduction_table(pipeline: PerceivePipeline, images: Sequence[bytes]) -> tuple[str, dict[str, list[float]]]:
    """What reduced decoding changes in the network's maps, beside what saving the photograph again at 90 % changes."""
    found: dict[str, list[tuple[float, float, float]]] = {"decoded at reduced size": [], "saved again, quality 90": []}
    for data in images:
        whole = read_photo(data, LIMITS)
        again = cv2.imencode(".jpg", cv2.cvtColor(whole.rgb_HW3, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        reduced = read_photo(data, LIMITS, enough=pipeline.enough_pixels)
        others = (reduced.rgb_HW3, read_photo(again.tobytes(), LIMITS).rgb_HW3)
        expected, *answers = (
            pipeline.predict(rgb, resolution="model", size=whole.size) for rgb in (whole.rgb_HW3, *others)
        )
        for name, maps in zip(found, answers, strict=True):
            found[name].append(difference(maps, expected))
    means = {name: [float(value) for value in np.mean(values, axis=0)] for name, values in found.items()}
    rows = [[name, *(f"{value:.2f}" for value in values)] for name, values in means.items()]
    return markdown_table(["photograph", "depth, %", "other class, % of pixels", "normals, °"], rows), means


def main(argv: Sequence[str] | None = None) -> Report:
    """Measures, prints and writes the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codecs", description=__doc__)
    parser.add_argument("--images", type=Path, help="folder of JPEG photographs")
    parser.add_argument("--most", type=int, default=40, help="photographs to compare maps on")
    parser.add_argument("--bundle", type=Path, default=ROOT / "weights" / "perceive-rooms")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    options = parser.parse_args(argv)
    pipeline = PerceivePipeline(load_bundle(options.bundle), RuntimeOptions())
    enough = pipeline.enough_pixels
    images = list(photographs(options.images, options.most, enough))
    if not images:
        raise ValueError(f"--images: expected JPEG files of at least {2 * enough} pixels, found none")
    table, means = reduction_table(pipeline, images)
    report = Report(title="Decoding and encoding", module="benchmarks.codecs", argv=argv)
    report.notes.append(
        f"Processor milliseconds, least of {TURNS}. A JPEG is decoded at a half, a quarter or an eighth of its size "
        f"where that leaves at least {enough} pixels along the longer side, {OVERSAMPLING} times what the network sees."
    )
    report.section("Decoding", decoding_table(enough))
    report.section("Encoding the maps of 640x480", encoding_table(pipeline))
    report.section(f"Maps after reduced decoding, {len(images)} photographs", table)
    report.numbers |= {"reduction": means, "photographs": len(images)}
    report.write(options.out or dated("codecs"))
    return report


if __name__ == "__main__":
    print(main().text())

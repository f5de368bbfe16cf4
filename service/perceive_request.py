"""POST /v1/perceive, from the parts of the request to the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from service.errors import InvalidField, TooManyPixels
from service.fields import Form
from service.image_codecs import read_photo
from service.manifest import TASKS
from service.perceive import PerceivePipeline, answer_size
from service.perceive_answer import ENCODERS, PREVIEW_SIDE, encode_npz
from service.registry import Registry
from service.responses import Answer
from service.settings import Settings
from service.timing import Stopwatch

FORMATS = tuple(ENCODERS)
COMPRESSIONS = ("none", "deflate")
FOCAL_RANGE_PX = (1.0, 1e6)


@dataclass(frozen=True, kw_only=True)
class PerceiveOptions:
    """What a request asks for besides its photograph. focal_px: None where it was not sent."""

    output: str
    resolution: str | int
    focal_px: float | None
    tasks: tuple[str, ...]
    pipeline: PerceivePipeline
    compress: bool = False


def perceive_options(form: Form, registry: Registry) -> PerceiveOptions:
    """The text fields of a request. Raises InvalidField, UnknownModel."""
    output = form.choice("format", FORMATS)
    compress = form.choice("compression", COMPRESSIONS) == "deflate"
    if compress and output != "npz":
        raise InvalidField("compression: it is for format=npz only.", "PNG files are compressed anyway.")
    resolution = read_resolution(form.texts.get("resolution", "native"))
    focal_px = form.optional_number("focal_px", *FOCAL_RANGE_PX)
    pipeline = registry.perceive(form.texts.get("model"))
    tasks = read_tasks(form.texts.get("tasks"), pipeline.tasks, pipeline.name)
    return PerceiveOptions(
        output=output, resolution=resolution, focal_px=focal_px, tasks=tasks, pipeline=pipeline, compress=compress
    )


def answer_perceive(form: Form, registry: Registry, settings: Settings) -> Answer:
    """Decode, predict, encode. Raises PolyviewError."""
    options = perceive_options(form, registry)
    pipeline, output = options.pipeline, options.output
    form.ticket.bundle = pipeline.name
    watch = Stopwatch()
    with watch.stage("decode"):
        # The same for every format, so that all show the same maps.
        enough = max(pipeline.enough_pixels, PREVIEW_SIDE)
        photo = read_photo(form.one_file("image"), settings.limits, enough=enough)
    width, height = answer_size(photo.size, options.resolution, (1, 1))
    if width * height > settings.limits.max_pixels:
        raise TooManyPixels(
            f"resolution: maps of {width} x {height} are over the limit of "
            f"{settings.limits.max_pixels / 1e6:g} megapixels.",
            "Ask for a smaller resolution.",
        )
    form.ticket.check()
    focal_px, focal_source = pipeline.focal(photo.size, options.focal_px, photo.focal_px)
    resolution = shown_resolution(options.resolution, photo.size) if output == "preview" else options.resolution
    maps = pipeline.predict(
        photo.rgb_HW3, focal_px, focal_source, options.tasks, resolution, size=photo.size, stopwatch=watch
    )
    form.ticket.check()
    if options.compress:
        answer = encode_npz(maps, photo.rgb_HW3, pipeline.manifest, watch, compress=True)
    else:
        answer = ENCODERS[output](maps, photo.rgb_HW3, pipeline.manifest, watch)
    form.ticket.stages = watch.milliseconds()
    return dataclasses.replace(answer, headers={"Server-Timing": watch.header()})


def shown_resolution(resolution: str | int, size: tuple[int, int]) -> str | int:
    """What a preview shows of maps at `resolution`, for a photograph of `size` (width, height): no more than it has."""
    longest = max(answer_size(size, resolution, (1, 1)))
    return PREVIEW_SIDE if longest > PREVIEW_SIDE else resolution


def read_resolution(text: str) -> str | int:
    """`native`, `model`, or the longest side in pixels."""
    if text in ("native", "model"):
        return text
    if text.isascii() and text.isdigit() and 1 <= len(text) <= 6 and int(text) > 0:
        return int(text)
    raise InvalidField(
        f"resolution: {text[:80]!r} is not native, model, or the longest side in pixels.",
        "For instance resolution=640.",
    )


def check_focal(focal_px: float | None) -> None:
    """Raises InvalidField for a number that is no focal length in pixels."""
    if focal_px is not None and not FOCAL_RANGE_PX[0] <= focal_px <= FOCAL_RANGE_PX[1]:
        low, high = FOCAL_RANGE_PX
        raise InvalidField(
            f"focal_px: {focal_px:g} is not a number from {low:g} to {high:g}.", "Leave it out if it is not known."
        )


def read_tasks(text: str | None, available: Sequence[str], model: str) -> tuple[str, ...]:
    """The tasks asked for, in the fixed order; all of the model's where the field was not sent.

    Raises InvalidField for a name that is no task, or a task that the model does not have.
    """
    if text is None:
        return tuple(available)
    wanted = [task.strip() for task in text.split(",")]
    for task in wanted:
        if task not in available:
            raise InvalidField(
                f"tasks: {task[:80]!r} is not one of {', '.join(available)}, which the model {model} has.",
                "Separate tasks by commas; GET /v1/models lists those of every model.",
            )
    return tuple(task for task in TASKS if task in wanted)

"""POST /v1/stitch, from the parts of the request to the answer.

Legend: H, W height and width of an image or of the canvas; 3 = RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import InvalidField, MalformedRequest
from service.fields import Form
from service.image_codecs import Photo, read_photo
from service.panorama_maps import panorama_maps
from service.perceive import PerceivePipeline
from service.perceive_answer import encode_npz
from service.pieces import Pieces
from service.registry import Registry
from service.responses import Answer
from service.settings import Settings
from service.stitching.answer import MEDIA_TYPES, encode_answer, encode_image, encode_mask
from service.stitching.pipeline import Stitcher
from service.stitching.result import COMPOSE_MODES, MOST_IMAGES, StitchOptions, StitchResult
from service.stitching.settings import PROFILES
from service.timing import Stopwatch

FORMATS = tuple(MEDIA_TYPES)
IMAGES_HINT = "Send the files reference and target, or images two to sixteen times."


@dataclass(frozen=True, kw_only=True)
class StitchRequest:
    """What a request asks for besides its photographs.

    pipeline: None unless `perceive` was asked for. inspect: the zip also has what to judge the panorama by.
    """

    output: str
    options: StitchOptions
    stitcher: Stitcher
    pipeline: PerceivePipeline | None
    inspect: bool


def stitch_request(form: Form, registry: Registry) -> StitchRequest:
    """The text fields of a request. Raises InvalidField, UnknownModel."""
    output = form.choice("format", FORMATS)
    options = StitchOptions(
        profile=form.choice("profile", PROFILES),
        compose=form.choice("compose", COMPOSE_MODES),
        reference_index=_reference_index(form),
        calibration_id=form.texts.get("calibration_id"),
        calibration_owner=form.ticket.caller,
        indexed="images" in form.files,
    )
    perceive, inspect = (_zip_only(form, name, output) for name in ("perceive", "inspect"))
    stitcher = registry.stitch(form.texts.get("model"))
    stitcher.check(options)
    pipeline = registry.perceive(None) if perceive else None
    return StitchRequest(output=output, options=options, stitcher=stitcher, pipeline=pipeline, inspect=inspect)


def answer_stitch(form: Form, registry: Registry, settings: Settings) -> Answer:
    """Decode, stitch, encode. Raises PolyviewError."""
    request = stitch_request(form, registry)
    form.ticket.bundle = request.stitcher.bundle.manifest.name
    watch = Stopwatch()
    with watch.stage("decode"):
        photos = _photos(form, settings)
    form.ticket.check()
    with watch.stage("stitch"):
        result = request.stitcher.stitch([photo.rgb_HW3 for photo in photos], request.options)
    form.ticket.check()
    extra: dict[str, bytes | Pieces] = {}
    if request.pipeline is not None:
        extra["perceive.npz"] = _perceive(request.pipeline, result, photos[result.report["reference_index"]])
    if request.inspect:
        with watch.stage("inspect"):
            plain = request.stitcher.with_homographies(result, photos[result.report["reference_index"]].rgb_HW3)
            extra["homography.png"] = encode_image(plain, "png")
            extra["seam_mask.png"] = encode_mask(result.seam_mask_HW)
        form.ticket.check()
    with watch.stage("encode"):
        answer = encode_answer(result, request.output, extra)
    form.ticket.stages = watch.milliseconds()
    return Answer(
        body=answer.body,
        media_type=answer.media_type,
        filename=f"panorama.{request.output}",
        headers={**answer.headers, "Server-Timing": watch.header()},
    )


def _zip_only(form: Form, name: str, output: str) -> bool:
    """A switch that adds files to the zip."""
    wanted = form.choice(name, ("false", "true")) == "true"
    if wanted and output != "zip":
        raise InvalidField(f"{name}: true is for format=zip only.", f"Add format=zip, or leave {name} out.")
    return wanted


def _reference_index(form: Form) -> int | None:
    text = form.texts.get("reference_index")
    if text is None:
        return None
    if "images" not in form.files:
        raise InvalidField("reference_index: it belongs to images.", "With reference and target it is known.")
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) < len(form.files["images"])):
        last = len(form.files["images"]) - 1
        raise InvalidField(
            f"reference_index: {text[:80]!r} is not a whole number from 0 to {last}.",
            "It counts the uploaded images from zero.",
        )
    return int(text)


def _photos(form: Form, settings: Settings) -> list[Photo]:
    """The decoded uploads: reference first, then target; or the images in their order."""
    pair = [name for name in ("reference", "target") if name in form.files]
    several = form.files.get("images", [])
    if pair and several:
        raise MalformedRequest(f"Found {' and '.join(pair)} together with images.", IMAGES_HINT)
    if several:
        if len(several) < 2:
            raise MalformedRequest(f"images: expected 2 to {MOST_IMAGES} files, found {len(several)}.", IMAGES_HINT)
        return [read_photo(file.read(), settings.limits, name=f"images[{index}]") for index, file in enumerate(several)]
    if not pair:
        raise MalformedRequest("The files are missing.", IMAGES_HINT)
    return [read_photo(form.one_file(name), settings.limits, name=name) for name in ("reference", "target")]


def _perceive(pipeline: PerceivePipeline, result: StitchResult, reference: Photo) -> bytes | Pieces:
    """perceive.npz: the maps of the panorama, 0 outside of it."""
    watch = Stopwatch()
    maps = panorama_maps(pipeline, result, reference, watch)
    return encode_npz(maps, result.panorama_HW3, pipeline.manifest, watch).body

"""The OpenAPI description of everything under /v1/, health and metrics, exactly as the service behaves.

BentoML derives one from annotations, but that one cannot say which fields are files, which answers an endpoint has per
`format`, or that errors have one shape. Values of fields and codes of errors come from the code that checks them.
"""

from __future__ import annotations

from typing import Any

from service.jobs.archive import KINDS
from service.openapi_parts import (
    FILE,
    TEXT,
    choice_of,
    error_schema,
    header_texts,
    job_schema,
    json_answer,
    model_field,
    model_schema,
    multipart,
    operation,
    perceive_json,
    plain,
)
from service.perceive_request import COMPRESSIONS, FOCAL_RANGE_PX, FORMATS
from service.settings import Settings
from service.stitch_request import FORMATS as STITCH_FORMATS
from service.stitching.answer import MEDIA_TYPES
from service.stitching.calibration import ID_PATTERN as CALIBRATION_PATTERN
from service.stitching.result import COMPOSE_MODES, MOST_IMAGES
from service.stitching.settings import PROFILES

VERSION = "1.0.0"
# Refusals that only requests with a body may meet.
WITH_BODY = (400, 413, 503, 504)
IMAGE_FORMATS = "JPEG, PNG (8 or 16 bit), WebP, TIFF or BMP"


def describe(settings: Settings) -> dict[str, Any]:
    """The whole description, OpenAPI 3.1. Keys are described where they are configured."""
    paths = {
        "/v1/perceive": {"post": _perceive()},
        "/v1/stitch": {"post": _stitch()},
        "/v1/models": {"get": _models()},
        "/v1/jobs": {"post": _create_job(settings)},
        "/v1/jobs/{id}": {"get": _job_status(), "delete": _cancel_job()},
        "/v1/jobs/{id}/result": {"get": _job_result()},
        "/livez": {"get": plain("liveness", "Whether the service can go on by itself.", 503)},
        "/readyz": {"get": plain("readiness", "Whether the models are loaded.", 503)},
        "/metrics": {"get": plain("metrics", "Prometheus metrics.")},
    }
    description: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Polyview",
            "version": VERSION,
            "description": "One photograph to depth, segmentation and normals; overlapping photographs to a panorama.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": {"Error": error_schema(), "Job": job_schema(), "Model": model_schema()}},
    }
    if settings.door.keys:
        description["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in paths.items():
            if path.startswith("/v1/"):
                for entry in operations.values():
                    entry["security"] = [{"key": []}]
    return description


def _perceive() -> dict[str, Any]:
    fields = {
        "image": {**FILE, "description": f"The photograph: {IMAGE_FORMATS}."},
        "format": choice_of(FORMATS),
        "tasks": {**TEXT, "description": "Comma list of the model's tasks; default: all of them."},
        "resolution": {
            **TEXT,
            "pattern": "^(native|model|[1-9][0-9]{0,5})$",
            "default": "native",
            "description": "Size of the maps: native, model, or the longest side in pixels.",
        },
        "focal_px": {
            "type": "number",
            "minimum": FOCAL_RANGE_PX[0],
            "maximum": FOCAL_RANGE_PX[1],
            "description": "Focal length in pixels of the upload; default: from EXIF, else assumed.",
        },
        "compression": {**choice_of(COMPRESSIONS), "description": "Of an npz."},
        "model": model_field("perceive"),
    }
    content = {
        "application/x-npz": {"schema": FILE},
        "application/zip": {"schema": FILE},
        "application/json": {"schema": perceive_json()},
        "image/png": {"schema": FILE},
    }
    answer = {
        "description": "npz, png (a zip of PNG files), json, or preview (one PNG), as `format` says.",
        "headers": header_texts("Server-Timing"),
        "content": content,
    }
    return operation(
        "perceive",
        "Metric depth, segmentation, surface normals and whatever else the model answers of one photograph.",
        body=multipart(fields, ["image"]),
        responses={"200": answer},
        errors=(*WITH_BODY, 404, 415, 422),
    )


def _stitch() -> dict[str, Any]:
    fields = {
        "reference": {**FILE, "description": f"The photograph that keeps its place: {IMAGE_FORMATS}."},
        "target": {**FILE, "description": "The photograph that is warped to it."},
        "images": {
            "type": "array",
            "items": FILE,
            "minItems": 2,
            "maxItems": MOST_IMAGES,
            "description": "Instead of reference and target.",
        },
        "reference_index": {
            "type": "integer",
            "minimum": 0,
            "maximum": MOST_IMAGES - 1,
            "description": "Which of `images` is the reference; default: the central one.",
        },
        "format": choice_of(STITCH_FORMATS),
        "profile": choice_of(PROFILES),
        "compose": choice_of(COMPOSE_MODES),
        "perceive": {**choice_of(("false", "true")), "description": "With format=zip: adds perceive.npz."},
        "inspect": {
            **choice_of(("false", "true")),
            "description": "With format=zip: adds homography.png and seam_mask.png.",
        },
        "calibration_id": {**TEXT, "pattern": f"^{CALIBRATION_PATTERN.pattern}$"},
        "model": model_field("stitch"),
    }
    body = multipart(fields, [])
    body["content"]["multipart/form-data"]["schema"]["oneOf"] = [
        {"required": ["reference", "target"]},
        {"required": ["images"]},
    ]
    answer = {
        "description": "One panorama, or with format=zip everything that is known about it.",
        "headers": header_texts("Server-Timing", "X-Stitch-Status", "X-Stitch-Offset", "X-Stitch-Overlap"),
        "content": {media_type: {"schema": FILE} for media_type in MEDIA_TYPES.values()},
    }
    return operation(
        "stitch",
        "One panorama of two or more overlapping photographs.",
        body=body,
        responses={"200": answer},
        errors=(*WITH_BODY, 404, 415, 422),
    )


def _models() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["models"],
        "additionalProperties": False,
        "properties": {"models": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}},
    }
    return operation(
        "models", "The loaded models.", responses={"200": json_answer("The models.", schema)}, errors=(503,)
    )


def _create_job(settings: Settings) -> dict[str, Any]:
    fields = {
        "kind": {"type": "string", "enum": list(KINDS)},
        "archive": {**FILE, "description": "One zip: images, or for stitch a folder per pair or a manifest.csv."},
        "files": {
            "type": "array",
            "items": FILE,
            "minItems": 1,
            "maxItems": settings.jobs.most_items,
            "description": "Instead of archive: the same files one by one, their names being paths.",
        },
        "options": {
            **TEXT,
            "contentMediaType": "application/json",
            "default": "{}",
            "description": "JSON object of the single endpoint's text fields.",
        },
    }
    body = multipart(fields, ["kind"])
    body["content"]["multipart/form-data"]["schema"]["oneOf"] = [{"required": ["archive"]}, {"required": ["files"]}]
    schema = {
        "type": "object",
        "required": ["id", "status", "total"],
        "additionalProperties": False,
        "properties": {name: job_schema()["properties"][name] for name in ("id", "status", "total")},
    }
    accepted = json_answer("The job is stored and will be worked on.", schema) | {"headers": header_texts("Location")}
    return operation(
        "create_job",
        "Many photographs or pairs at once, worked on in the background.",
        body=body,
        responses={"202": accepted},
        errors=(*WITH_BODY, 404, 422),
    )


def _job_status() -> dict[str, Any]:
    answer = json_answer("How far the job is.", {"$ref": "#/components/schemas/Job"})
    return operation("job_status", "How far a job is.", responses={"200": answer}, errors=(404, 503), parameters=True)


def _cancel_job() -> dict[str, Any]:
    answer = {"description": "The job is cancelled and its files are gone, now or since an earlier call."}
    return operation(
        "cancel_job",
        "Cancel a job and delete its files.",
        responses={"204": answer},
        errors=(404, 503),
        parameters=True,
    )


def _job_result() -> dict[str, Any]:
    answer = {
        "description": "`<id>/…` per item that is done, and report.jsonl with a line per finished item.",
        "content": {"application/zip": {"schema": FILE}},
    }
    return operation(
        "job_result",
        "What is finished so far.",
        responses={"200": answer},
        errors=(404, 409, 410, 503),
        parameters=True,
    )

"""The OpenAPI description of everything under /v1/, health and metrics, exactly as the service behaves.

BentoML derives one from annotations, but that one cannot say which fields are files, which answers an endpoint has per
`format`, or that errors have one shape. Values of fields and codes of errors come from the code that checks them.
"""

from __future__ import annotations

from typing import Any

from service.errors import all_errors
from service.jobs.archive import KINDS
from service.jobs.store import ID_PATTERN
from service.middleware import CODE_HEADER
from service.observation import ID_HEADER
from service.perceive_request import FOCAL_RANGE_PX, FORMATS
from service.settings import Settings
from service.stitch_request import FORMATS as STITCH_FORMATS
from service.stitching.answer import MEDIA_TYPES
from service.stitching.calibration import ID_PATTERN as CALIBRATION_PATTERN
from service.stitching.pipeline import COMPOSE_MODES, MOST_IMAGES, PROFILES

VERSION = "1.0.0"
# What any request may meet, and what only requests with a body may.
ALWAYS = (401, 429, 500)
WITH_BODY = (400, 413, 503, 504)
FILE = {"type": "string", "format": "binary"}
TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
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
        "/livez": {"get": _plain("liveness", "Whether the process answers.")},
        "/readyz": {"get": _plain("readiness", "Whether the models are loaded.", 503)},
        "/metrics": {"get": _plain("metrics", "Prometheus metrics.")},
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
        "components": {"schemas": {"Error": _error_schema(), "Job": _job_schema(), "Model": _model_schema()}},
    }
    if settings.door.keys:
        description["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in paths.items():
            if path.startswith("/v1/"):
                for operation in operations.values():
                    operation["security"] = [{"key": []}]
    return description


# ------------------------------------------------------------------------------------------------------- operations


def _perceive() -> dict[str, Any]:
    fields = {
        "image": {**FILE, "description": f"The photograph: {IMAGE_FORMATS}."},
        "format": _choice(FORMATS),
        "tasks": {**TEXT, "description": "Comma list of the model's tasks; default: all of them."},
        "resolution": {
            **TEXT,
            "pattern": "^(native|model|0{0,5}[1-9][0-9]{0,5})$",
            "default": "native",
            "description": "Size of the maps: native, model, or the longest side in pixels.",
        },
        "focal_px": {
            "type": "number",
            "minimum": FOCAL_RANGE_PX[0],
            "maximum": FOCAL_RANGE_PX[1],
            "description": "Focal length in pixels of the upload; default: from EXIF, else assumed.",
        },
        "model": _model_field("perceive"),
    }
    content = {
        "application/x-npz": {"schema": FILE},
        "application/zip": {"schema": FILE},
        "application/json": {"schema": _perceive_json()},
        "image/png": {"schema": FILE},
    }
    answer = {
        "description": "npz, png (a zip of PNG files), json, or preview (one PNG), as `format` says.",
        "headers": _headers("Server-Timing"),
        "content": content,
    }
    return _operation(
        "perceive",
        "Metric depth, segmentation, surface normals and whatever else the model answers of one photograph.",
        body=_multipart(fields, ["image"]),
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
        "format": _choice(STITCH_FORMATS),
        "profile": _choice(PROFILES),
        "compose": _choice(COMPOSE_MODES),
        "perceive": {**_choice(("false", "true")), "description": "With format=zip: adds perceive.npz."},
        "calibration_id": {**TEXT, "pattern": f"^{CALIBRATION_PATTERN.pattern}$"},
        "model": _model_field("stitch"),
    }
    body = _multipart(fields, [])
    body["content"]["multipart/form-data"]["schema"]["oneOf"] = [
        {"required": ["reference", "target"]},
        {"required": ["images"]},
    ]
    answer = {
        "description": "One panorama, or with format=zip everything that is known about it.",
        "headers": _headers("Server-Timing", "X-Stitch-Status", "X-Stitch-Offset", "X-Stitch-Overlap"),
        "content": {media_type: {"schema": FILE} for media_type in MEDIA_TYPES.values()},
    }
    return _operation(
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
    return _operation("models", "The loaded models.", responses={"200": _json("The models.", schema)}, errors=(503,))


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
    body = _multipart(fields, ["kind"])
    body["content"]["multipart/form-data"]["schema"]["oneOf"] = [{"required": ["archive"]}, {"required": ["files"]}]
    schema = {
        "type": "object",
        "required": ["id", "status", "total"],
        "additionalProperties": False,
        "properties": {name: _job_schema()["properties"][name] for name in ("id", "status", "total")},
    }
    accepted = _json("The job is stored and will be worked on.", schema) | {"headers": _headers("Location")}
    return _operation(
        "create_job",
        "Many photographs or pairs at once, worked on in the background.",
        body=body,
        responses={"202": accepted},
        errors=(*WITH_BODY, 404, 422),
    )


def _job_status() -> dict[str, Any]:
    answer = _json("How far the job is.", {"$ref": "#/components/schemas/Job"})
    return _operation("job_status", "How far a job is.", responses={"200": answer}, errors=(404, 503), parameters=True)


def _cancel_job() -> dict[str, Any]:
    answer = {"description": "The job is cancelled and its files are gone, now or since an earlier call."}
    return _operation(
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
    return _operation(
        "job_result",
        "What is finished so far.",
        responses={"200": answer},
        errors=(404, 409, 503),
        parameters=True,
    )


def _plain(name: str, summary: str, *errors: int) -> dict[str, Any]:
    answer = {"description": summary, "content": {"text/plain": {"schema": TEXT}}}
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": answer, **{str(s): _error_answer(s) for s in errors}},
    }


def _operation(
    name: str,
    summary: str,
    *,
    responses: dict[str, Any],
    errors: tuple[int, ...] = (),
    body: dict[str, Any] | None = None,
    parameters: bool = False,
) -> dict[str, Any]:
    """One operation; `parameters` if it has the id of a job in its path."""
    operation: dict[str, Any] = {"operationId": name, "summary": summary}
    if parameters:
        schema = {"type": "string", "pattern": f"^{ID_PATTERN.pattern}$"}
        operation["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": schema}]
    if body is not None:
        operation["requestBody"] = body
    refusals = {str(status): _error_answer(status) for status in sorted({*ALWAYS, *errors})}
    return {**operation, "responses": {**responses, **refusals}}


# ---------------------------------------------------------------------------------------------------------- pieces


def _multipart(fields: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": fields, "additionalProperties": False}
    if required:
        schema["required"] = required
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _choice(values: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "string", "enum": list(values), "default": values[0]}


def _model_field(kind: str) -> dict[str, Any]:
    return {**TEXT, "description": f"A loaded bundle of kind {kind}; default: the first one."}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"schema": TEXT} for name in names}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _error_answer(status: int) -> dict[str, Any]:
    codes = sorted(error.code for error in all_errors() if error.status == status)
    answer = _json(", ".join(codes), {"$ref": "#/components/schemas/Error"})
    names = [CODE_HEADER, ID_HEADER]
    if status in (429, 503):
        names.append("Retry-After")
    if status == 401:
        names.append("WWW-Authenticate")
    return {**answer, "headers": _headers(*names)}


def _error_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["error"],
        "additionalProperties": False,
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "hint"],
                "additionalProperties": False,
                "properties": {
                    "code": {"type": "string", "enum": sorted(error.code for error in all_errors())},
                    "message": TEXT,
                    "hint": TEXT,
                },
            }
        },
    }


def _job_schema() -> dict[str, Any]:
    moment = {"type": "string", "format": "date-time"}
    properties = {
        "id": {"type": "string", "pattern": f"^{ID_PATTERN.pattern}$"},
        "kind": {"type": "string", "enum": list(KINDS)},
        "status": {"type": "string", "enum": ["queued", "running", "done", "failed", "cancelled", "expired"]},
        "total": {"type": "integer", "minimum": 1},
        "done": COUNT,
        "failed": COUNT,
        "created": moment,
        "expires": moment,
    }
    return {"type": "object", "required": list(properties), "additionalProperties": False, "properties": properties}


def _model_schema() -> dict[str, Any]:
    properties = {
        "name": TEXT,
        "kind": {"type": "string", "enum": ["perceive", "stitch"]},
        "version": TEXT,
        "tasks": {"type": "object", "additionalProperties": {"type": "object"}},
        "precision": TEXT,
        "provider": TEXT,
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    }
    return {"type": "object", "required": list(properties), "additionalProperties": False, "properties": properties}


def _perceive_json() -> dict[str, Any]:
    picture = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
    return {
        "type": "object",
        "required": ["preview_png", "meta"],
        "properties": {"preview_png": picture, "meta": {"type": "object"}},
        "additionalProperties": picture,
    }

"""What the API description is made of: shapes of operations, bodies and answers, and the schemas they share."""

from __future__ import annotations

from typing import Any

from service.errors import all_errors
from service.jobs.archive import KINDS
from service.jobs.store import ID_PATTERN
from service.middleware import CODE_HEADER
from service.observation import ID_HEADER

# Refusals that any request may meet.
ALWAYS = (401, 429, 500)
FILE = {"type": "string", "format": "binary"}
TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}


def plain(name: str, summary: str, *errors: int) -> dict[str, Any]:
    answer = {"description": summary, "content": {"text/plain": {"schema": TEXT}}}
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": answer, **{str(s): error_answer(s) for s in errors}},
    }


def operation(
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
    refusals = {str(status): error_answer(status) for status in sorted({*ALWAYS, *errors})}
    return {**operation, "responses": {**responses, **refusals}}


def multipart(fields: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": fields, "additionalProperties": False}
    if required:
        schema["required"] = required
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def choice_of(values: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "string", "enum": list(values), "default": values[0]}


def model_field(kind: str) -> dict[str, Any]:
    return {**TEXT, "description": f"A loaded bundle of kind {kind}; default: the first one."}


def header_texts(*names: str) -> dict[str, Any]:
    return {name: {"schema": TEXT} for name in names}


def json_answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def error_answer(status: int) -> dict[str, Any]:
    codes = sorted(error.code for error in all_errors() if error.status == status)
    answer = json_answer(", ".join(codes), {"$ref": "#/components/schemas/Error"})
    names = [CODE_HEADER, ID_HEADER]
    if status in (429, 503):
        names.append("Retry-After")
    if status == 401:
        names.append("WWW-Authenticate")
    return {**answer, "headers": header_texts(*names)}


def error_schema() -> dict[str, Any]:
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


def job_schema() -> dict[str, Any]:
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


def model_schema() -> dict[str, Any]:
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


def perceive_json() -> dict[str, Any]:
    picture = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
    return {
        "type": "object",
        "required": ["preview_png", "meta"],
        "properties": {"preview_png": picture, "meta": {"type": "object"}},
        "additionalProperties": picture,
    }

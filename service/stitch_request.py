"""POST /v1/stitch, from the parts of the request to the response."""

from __future__ import annotations

from starlette.responses import Response

from service.fields import Form
from service.registry import Registry
from service.settings import Settings


def answer_stitch(form: Form, registry: Registry, settings: Settings) -> Response:
    """Decode, stitch, encode. Raises PolyviewError."""
    registry.stitch(form.texts.get("model"))
    raise NotImplementedError

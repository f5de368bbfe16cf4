"""The multipart bodies of the endpoints: BentoML describes them to its clients, `read_form` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import bentoml
from starlette.requests import Request

from service.errors import PolyviewError
from service.fields import read_form


class Upload(bentoml.IODescriptor):
    """A multipart body. Subclasses name its fields; `most_files` says which are files, and how many of each."""

    __root_input__: ClassVar[bool] = True
    most_files: ClassVar[dict[str, int]] = {}

    @classmethod
    def text_fields(cls) -> tuple[str, ...]:
        return tuple(name for name in cls.model_fields if name not in cls.most_files)

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Any:
        """A Form, or the PolyviewError that the endpoint is to answer with."""
        try:
            return await read_form(request, texts=cls.text_fields(), files=cls.most_files)
        except PolyviewError as error:
            return error


class PerceiveUpload(Upload):
    most_files: ClassVar[dict[str, int]] = {"image": 1}

    image: Path
    format: Literal["npz", "png", "json", "preview"] = "npz"
    tasks: str | None = None
    resolution: str = "native"
    focal_px: float | None = None
    compression: Literal["none", "deflate"] = "none"
    model: str | None = None


class StitchUpload(Upload):
    most_files: ClassVar[dict[str, int]] = {"reference": 1, "target": 1, "images": 16}

    # Not `Path | None`: BentoML's client sends files only to fields that are files and nothing else.
    reference: Path = None  # type: ignore[assignment]
    target: Path = None  # type: ignore[assignment]
    images: list[Path] = []
    reference_index: int | None = None
    format: Literal["png", "jpeg", "webp", "zip"] = "png"
    profile: Literal["default", "fast"] = "default"
    compose: Literal["compose", "generate"] = "compose"
    perceive: bool = False
    inspect: bool = False
    calibration_id: str | None = None
    model: str | None = None

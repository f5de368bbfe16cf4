"""The service: BentoML is the door, the metrics and the API description; the work is done in plain functions.

Endpoints are synchronous and run on as many threads as there are cores. Uploads are read by `service.fields`, errors
shaped by `service.middleware`; an endpoint only decodes, computes and encodes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import bentoml
from bentoml.validators import ContentType
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from service.errors import BundleFailed, PolyviewError
from service.fields import Form, read_form
from service.middleware import Door, error_response
from service.perceive_request import answer_perceive
from service.registry import Registry, load_registry
from service.settings import Settings, read_settings
from service.stitch_request import answer_stitch

PAGE = Path(__file__).resolve().parent / "page"
SETTINGS = read_settings()


class Upload(bentoml.IODescriptor):
    """A multipart body. Subclasses name its fields for the API description; `read_form` is what reads it."""

    __root_input__: ClassVar[bool] = True
    most_files: ClassVar[dict[str, int]] = {}

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Any:
        """A Form, or the PolyviewError that the endpoint is to answer with."""
        texts = tuple(name for name in cls.model_fields if name not in cls.most_files)
        try:
            return await read_form(request, texts=texts, files=cls.most_files)
        except PolyviewError as error:
            return error


class PerceiveUpload(Upload):
    most_files: ClassVar[dict[str, int]] = {"image": 1}

    image: Path
    format: Literal["npz", "png", "json", "preview"] = "npz"
    tasks: str | None = None
    resolution: str = "native"
    focal_px: float | None = None
    model: str | None = None


class StitchUpload(Upload):
    most_files: ClassVar[dict[str, int]] = {"reference": 1, "target": 1, "images": 16}

    reference: Path | None = None
    target: Path | None = None
    images: list[Path] = []
    reference_index: int | None = None
    format: Literal["png", "jpeg", "webp", "zip"] = "png"
    profile: Literal["default", "fast"] = "default"
    compose: Literal["compose", "generate"] = "compose"
    perceive: bool = False
    calibration_id: str | None = None
    model: str | None = None


class Doorstep:
    """What needs the loaded bundles but is no BentoML endpoint: GET /v1/models. Filled when the service starts."""

    registry: Registry | None = None

    async def models(self, request: Request) -> Response:
        if self.registry is None:
            return error_response(BundleFailed("The service is still starting.", "Try again shortly."))
        return JSONResponse(self.registry.listing())


async def index(request: Request) -> Response:
    """The web page."""
    return FileResponse(PAGE / "index.html")


DOORSTEP = Doorstep()
PAGES = Starlette(
    routes=[
        Route("/v1/models", DOORSTEP.models),
        Route("/", index),
        Mount("/page", StaticFiles(directory=PAGE, check_dir=False)),
    ]
)


@bentoml.service(
    name="polyview",
    workers=1,
    threads=SETTINGS.threads,
    # Answers of BentoML's own timeout bypass every middleware, so ours must always come first.
    traffic={"timeout": 2 * SETTINGS.door.timeout + 60},
)
@bentoml.asgi_app(PAGES, path="/", name="pages")
class Polyview:
    """Photo in, depth, segmentation and normals out; overlapping photos in, one panorama out.

    Every error is {"error": {"code", "message", "hint"}}. `GET /v1/models` lists the loaded models.
    """

    def __init__(self) -> None:
        self._settings: Settings = SETTINGS
        self._registry = load_registry(SETTINGS)
        DOORSTEP.registry = self._registry

    @bentoml.api(route="/v1/perceive", input_spec=PerceiveUpload)
    def perceive(self, form: Form | PolyviewError) -> Annotated[bytes, ContentType("application/x-npz")]:
        """Metric depth, segmentation, surface normals and whatever else the model answers of one photograph."""
        return _respond(form, lambda form: answer_perceive(form, self._registry, self._settings))

    @bentoml.api(route="/v1/stitch", input_spec=StitchUpload)
    def stitch(self, form: Form | PolyviewError) -> Annotated[bytes, ContentType("image/png")]:
        """One panorama of two or more overlapping photographs."""
        return _respond(form, lambda form: answer_stitch(form, self._registry, self._settings))


Polyview.add_asgi_middleware(Door, settings=SETTINGS.door)  # type: ignore[attr-defined]


def _respond(form: Form | PolyviewError, work: Callable[[Form], Response]) -> Any:
    """Run an endpoint's work, and turn what it raises into an answer."""
    if isinstance(form, PolyviewError):
        return error_response(form)
    try:
        form.check_deadline()
        return work(form)
    except PolyviewError as error:
        return error_response(error)
    except MemoryError:
        return error_response(BundleFailed("There is not enough memory for this request.", "Send smaller images."))
    finally:
        form.close()

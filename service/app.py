"""The service: BentoML is the door and the worker; the work is done in plain functions.

Endpoints are synchronous and run on as many threads as there are cores. Uploads are read by `service.fields`, errors
shaped by `service.middleware`; an endpoint only decodes, computes and encodes. By setting this is the API tier, and the
networks of /v1/perceive run in a process of their own, `service.model_tier`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
import bentoml
from bentoml.validators import ContentType
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from service.errors import BundleFailed, PolyviewError
from service.failed_starts import started, starting
from service.fields import Form
from service.jobs.endpoints import JobsApi
from service.jobs.settings import usable_folder
from service.jobs.store import JobStore
from service.logs import configure_logs
from service.metrics import MetricsPage, count_item
from service.middleware import CODE_HEADER, Door, error_response
from service.model_tier import NAME as MODEL_TIER
from service.model_tier import ModelTier
from service.observation import ID_HEADER, Observer
from service.openapi import describe
from service.perceive_request import answer_perceive
from service.registry import Registry, load_registry
from service.responses import Answer, respond
from service.settings import Settings, read_settings
from service.stitch_request import answer_stitch
from service.tier_client import RemoteGraph, TierClient
from service.tier_socket import keep_socket
from service.time_limits import leave_out_bentomls
from service.tracing import bentoml_tracing, share_tracer
from service.uploads import PerceiveUpload, StitchUpload

logger = logging.getLogger("polyview")

PAGE = Path(__file__).resolve().parent / "page"
SETTINGS = read_settings()
# What scripts of other origins may read beside the body.
EXPOSED_HEADERS = (
    "Content-Disposition", "Location", "Retry-After", "Server-Timing", CODE_HEADER, ID_HEADER,
    "X-Stitch-Status", "X-Stitch-Offset", "X-Stitch-Overlap",
)  # fmt: skip


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


async def description(request: Request) -> Response:
    """The OpenAPI description."""
    return JSONResponse(describe(SETTINGS))


async def refuse(request: Request, error: Exception) -> Response:
    """What an endpoint outside of BentoML raised, as an answer."""
    assert isinstance(error, PolyviewError)
    return error_response(error)


DOORSTEP = Doorstep()
JOBS = JobsApi()
PAGES = Starlette(
    routes=[
        Route("/v1/models", DOORSTEP.models),
        *JOBS.routes(),
        Route("/docs.json", description),
        Route("/metrics", MetricsPage(JOBS.unfinished).get),
        Route("/", index),
        Mount("/page", StaticFiles(directory=PAGE, check_dir=False)),
    ],
    exception_handlers={PolyviewError: refuse},
)


leave_out_bentomls()


@bentoml.service(
    name="polyview",
    workers=1,
    threads=SETTINGS.at_once,
    metrics={"enabled": False},  # service.metrics instead
    logging={"access": {"enabled": False}},  # service.observation instead
    tracing=bentoml_tracing(SETTINGS.observation),
    runner_probe={"enabled": False},  # __is_ready__ instead, which does not wait for a model tier that is away
)
@bentoml.asgi_app(PAGES, path="/", name="pages")
class Polyview:
    """Photo in, depth, segmentation and normals out; overlapping photos in, one panorama out.

    Every error is {"error": {"code", "message", "hint"}}. `GET /v1/models` lists the loaded models.
    """

    if SETTINGS.tiers:
        model_tier = bentoml.depends(ModelTier)

    def __init__(self) -> None:
        configure_logs(SETTINGS.observation.json_logs)
        with starting():
            self._start()

    def _start(self) -> None:
        share_tracer(SETTINGS.observation)
        self._settings: Settings = SETTINGS
        if SETTINGS.unread:
            logger.warning("set, but no setting of the service: %s", ", ".join(SETTINGS.unread))
        self._socket = keep_socket(MODEL_TIER) if SETTINGS.tiers else None
        self._tier = tier = TierClient(self.model_tier, SETTINGS.door.timeout) if SETTINGS.tiers else None
        self._registry = load_registry(SETTINGS, None if tier is None else lambda bundle: RemoteGraph(tier, bundle))
        DOORSTEP.registry = self._registry
        folder, as_meant = usable_folder(SETTINGS.jobs.folder)
        if not as_meant:
            logger.warning("jobs are kept in %s and may be lost at a restart; set POLYVIEW_JOBS", folder)
        JOBS.start(JobStore(folder, SETTINGS.jobs.hours), self._registry, SETTINGS, count_item)

    @bentoml.on_startup
    async def look_at_the_model_tier(self) -> None:
        """Begin to. Until it is there the service is not ready."""
        started()
        if self._tier is not None:
            self._tier.start()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Leave no item half done if it can be ended soon; what is left is taken up at the next start."""
        await anyio.to_thread.run_sync(JOBS.stop)
        if self._tier is not None:
            self._tier.stop()
        if self._socket is not None:
            self._socket.cleanup()

    async def __is_ready__(self) -> bool:
        return self._tier is None or self._tier.up

    async def __is_alive__(self) -> bool:
        return self._tier is None or self._tier.alive

    @bentoml.api(route="/v1/perceive", input_spec=PerceiveUpload)
    def perceive(self, form: Form | PolyviewError) -> Annotated[bytes, ContentType("application/x-npz")]:
        """Metric depth, segmentation, surface normals and whatever else the model answers of one photograph."""
        return _respond(form, lambda form: answer_perceive(form, self._registry, self._settings))

    @bentoml.api(route="/v1/stitch", input_spec=StitchUpload)
    def stitch(self, form: Form | PolyviewError) -> Annotated[bytes, ContentType("image/png")]:
        """One panorama of two or more overlapping photographs."""
        return _respond(form, lambda form: answer_stitch(form, self._registry, self._settings))


# The first one added is the outermost. Refusals, too, are seen by the log and readable for scripts of other origins.
Polyview.add_asgi_middleware(Observer)  # type: ignore[attr-defined]
if SETTINGS.cors_origins:
    Polyview.add_asgi_middleware(  # type: ignore[attr-defined]
        CORSMiddleware,
        allow_origins=SETTINGS.cors_origins,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=("Authorization", "Content-Type", ID_HEADER),
        expose_headers=EXPOSED_HEADERS,
    )
Polyview.add_asgi_middleware(Door, settings=SETTINGS.door)  # type: ignore[attr-defined]


def _respond(form: Form | PolyviewError, work: Callable[[Form], Answer]) -> Any:
    """Run an endpoint's work, and turn what it raises into an answer."""
    if isinstance(form, PolyviewError):
        return error_response(form)
    try:
        form.ticket.check()
        return respond(work(form))
    except PolyviewError as error:
        return error_response(error)
    except MemoryError:
        return error_response(BundleFailed("There is not enough memory for this request.", "Send smaller images."))
    finally:
        form.close()

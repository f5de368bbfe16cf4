"""The least that could serve a perceive bundle: one Starlette handler around the same codec, graph and encoder.

    python -m benchmarks.minimal_server BUNDLE --port 3001

No checks, limits, errors, metrics or logs. What the service costs beyond this is what it costs.
"""

import argparse
from pathlib import Path

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.bundle import load_bundle
from service.image_codecs import ImageLimits, read_photo
from service.perceive import PerceivePipeline
from service.perceive_answer import ENCODERS, PREVIEW_SIDE
from service.responses import Answer, respond
from service.runtime import RuntimeOptions
from service.settings import cores
from service.timing import Stopwatch


class Direct:
    """The whole work on one photograph, without HTTP."""

    def __init__(self, bundle: Path) -> None:
        self.pipeline = PerceivePipeline(load_bundle(bundle), RuntimeOptions())
        self._limits = ImageLimits()

    def answer(self, data: bytes, output: str) -> Answer:
        """For an encoded photograph, `output` being the service's `format`."""
        watch = Stopwatch()
        enough = max(self.pipeline.enough_pixels, PREVIEW_SIDE)
        photo = read_photo(data, self._limits, enough=enough)
        focal_px, source = self.pipeline.focal(photo.size, None, photo.focal_px)
        maps = self.pipeline.predict(photo.rgb_HW3, focal_px, source, size=photo.size, stopwatch=watch)
        return ENCODERS[output](maps, photo.rgb_HW3, self.pipeline.manifest, watch)


def application(bundle: Path, threads: int) -> Starlette:
    """The handler, on as many threads as are asked for."""
    direct, limiter = Direct(bundle), anyio.CapacityLimiter(threads)

    async def perceive(request: Request) -> Response:
        async with request.form() as form:
            data = await form["image"].read()  # type: ignore[union-attr]
            output = str(form.get("format", "npz"))
        return respond(await anyio.to_thread.run_sync(direct.answer, data, output, limiter=limiter))

    async def ready(request: Request) -> Response:
        return PlainTextResponse("\n")

    return Starlette(routes=[Route("/v1/perceive", perceive, methods=["POST"]), Route("/readyz", ready)])


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.minimal_server", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--port", type=int, default=3001)
    parser.add_argument("--threads", type=int, default=cores())
    options = parser.parse_args()
    app = application(options.bundle, options.threads)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()

"""The model tier: one process that holds the networks of all perceive bundles and runs them on batches.

Used on GPUs (docs/deploy.md). The API tier, service.app, decodes, resizes, encodes and stitches; it sends images of
network size here and gets maps of network size back, over a Unix socket. BentoML collects what waits while a batch
runs, whatever its sizes; `service.batching` sorts it by bundle and size.

Stitching keeps its networks in the API tier: every pair has a size of its own and its work is mostly the processor's,
so that nothing would be batched and whole photographs would be sent back and forth.
"""

from __future__ import annotations

from typing import Any

import bentoml

from service.batching import Batches
from service.learned_delay import leave_out_learned_delay
from service.leave_last import leave_last
from service.logs import configure_logs
from service.registry import check_bundles
from service.settings import read_settings
from service.tracing import bentoml_tracing, share_tracer

NAME = "polyview-model"
SETTINGS = read_settings()
# BentoML's client closes its session after 100 calls or 300 seconds, and cuts the calls that are under way in it.
NEVER = {"max_requests": 10**9, "max_age": 1e9}

leave_out_learned_delay()


@bentoml.service(
    name=NAME,
    workers=1,
    threads=1,
    runner_connection=NEVER,
    # The client's time limit for one call, too; ours ends before it.
    traffic={"timeout": int(2 * SETTINGS.door.timeout) + 1},
    metrics={"enabled": False},  # what is counted is counted in the API tier
    logging={"access": {"enabled": False}},
    tracing=bentoml_tracing(SETTINGS.observation),
)
class ModelTier:
    """Networks behind a queue. Ready once every network has run."""

    def __init__(self) -> None:
        configure_logs(SETTINGS.observation.json_logs)
        share_tracer(SETTINGS.observation)
        bundles = [bundle for bundle in check_bundles(SETTINGS) if bundle.manifest.kind == "perceive"]
        self._batches = Batches.of_bundles(bundles, SETTINGS.runtime, SETTINGS.batch)

    @bentoml.on_startup
    async def put_off_the_end(self) -> None:
        """The API tier ends first."""
        leave_last()

    @bentoml.api(batchable=True, max_batch_size=SETTINGS.batch, max_latency_ms=int(1000 * SETTINGS.door.timeout) + 1)
    def infer(self, calls: list[Any]) -> list[Any]:
        """`Batches.run`; the API tier sends lists of one call, BentoML joins and splits them."""
        return self._batches.run(calls)

    @bentoml.api
    async def providers(self) -> dict[str, str]:
        """`Batches.providers`. Asynchronous, so that it does not wait for a batch."""
        return self._batches.providers()

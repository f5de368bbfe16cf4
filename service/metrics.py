"""Prometheus metrics. Every label has a small fixed set of values, whatever clients ask for.

BentoML's own request metrics are switched off: they label raw paths, so that any client could fill the memory, and
keep their values in a folder that all services of a machine share and the last one to start empties. The three that
autoscalers and dashboards rely on are kept here under the same names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

# Chooses values in memory; looked at when prometheus_client is imported. The service is one process.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from service.ticket import Ticket

PATHS = frozenset(
    {"/", "/v1/perceive", "/v1/stitch", "/v1/models", "/v1/jobs", "/livez", "/healthz", "/readyz", "/metrics"}
    | {"/docs.json", "/schema.json"}
)
JOB_PATH = re.compile(r"/v1/jobs/[^/]+(/result)?")
FOLDERS = ("/page/", "/static_content/")
OTHER = "other"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

TOTAL = Counter(
    "bentoml_service_request_total", "Answered requests", ["endpoint", "service_name", "http_response_code"]
)
DURATION = Histogram(
    "bentoml_service_request_duration_seconds",
    "Seconds from the request to the last byte of its answer",
    ["endpoint", "service_name", "http_response_code"],
    buckets=SECONDS,
)
IN_PROGRESS = Gauge(
    "bentoml_service_request_in_progress", "Requests being received, waiting or running", ["endpoint", "service_name"]
)
OUTCOMES = Counter(
    "polyview_requests_total",
    "Requests by bundle and outcome: ok, the code of the error, or abandoned by the client",
    ["endpoint", "bundle", "outcome"],
)
STAGES = Histogram(
    "polyview_stage_seconds", "Seconds in a stage of the work", ["endpoint", "bundle", "stage"], buckets=STAGE_SECONDS
)
BATCHES = Histogram(
    "polyview_batch_images",
    "Images that the model tier ran at once, by image",
    ["bundle"],
    buckets=(1, 2, 4, 8, 16, 32),
)
ITEMS = Counter(
    "polyview_job_items_total", "Finished items of jobs: ok, or the code of the error", ["kind", "bundle", "outcome"]
)
JOBS = Gauge("polyview_jobs", "Jobs that are not finished", ["status"])
SERVICE = "polyview"


def endpoint_of(path: str) -> str:
    """The path as a label: itself, a pattern, or `other`."""
    if path in PATHS:
        return path
    if found := JOB_PATH.fullmatch(path):
        return "/v1/jobs/{id}" + (found[1] or "")
    return next((f"{folder}*" for folder in FOLDERS if path.startswith(folder)), OTHER)


def count_request(endpoint: str, status: int, outcome: str, seconds: float, ticket: Ticket) -> None:
    """Note one finished request."""
    TOTAL.labels(endpoint, SERVICE, status).inc()
    DURATION.labels(endpoint, SERVICE, status).observe(seconds)
    OUTCOMES.labels(endpoint, ticket.bundle, outcome).inc()
    _observe_stages(endpoint, ticket)


def count_item(kind: str, ticket: Ticket, outcome: str) -> None:
    """Note one finished item of a job."""
    ITEMS.labels(kind, ticket.bundle, outcome).inc()
    _observe_stages("/v1/jobs", ticket)


def _observe_stages(endpoint: str, ticket: Ticket) -> None:
    for stage, milliseconds in ticket.stages.items():
        STAGES.labels(endpoint, ticket.bundle, stage).observe(milliseconds / 1000)


class MetricsPage:
    """GET /metrics. jobs: unfinished jobs by status, asked for at every visit."""

    def __init__(self, jobs: Callable[[], Mapping[str, int]]) -> None:
        self._jobs = jobs

    def get(self, request: Request) -> Response:
        for status, count in self._jobs().items():
            JOBS.labels(status).set(count)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

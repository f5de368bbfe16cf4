"""OpenTelemetry traces, by setting. BentoML opens a span per request; stages of the work become spans inside of it."""

from __future__ import annotations

import importlib.util
from typing import Any

from service.settings import ObservationSettings

EXPORTER = "opentelemetry.exporter.otlp.proto.http"
PACKAGE = "opentelemetry-exporter-otlp-proto-http"


def check_tracing(settings: ObservationSettings) -> None:
    """Raise ValueError if traces are asked for and cannot be sent; BentoML's worker would die and restart for ever."""
    if not settings.otlp_endpoint:
        return
    if not settings.otlp_endpoint.startswith(("http://", "https://")):
        raise ValueError(f"POLYVIEW_OTLP: expected http://host:4318/v1/traces, found {settings.otlp_endpoint!r}")
    try:
        found = importlib.util.find_spec(EXPORTER)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ValueError(f"POLYVIEW_OTLP: traces need the package {PACKAGE}; install it beside requirements/serve.txt")


def bentoml_tracing(settings: ObservationSettings) -> dict[str, Any]:
    """The `tracing` part of the BentoML service's configuration."""
    if not settings.otlp_endpoint:
        return {}
    return {
        "exporter_type": "otlp",
        "sample_rate": settings.trace_share,
        "excluded_urls": "livez,healthz,readyz,metrics",
        "otlp": {"protocol": "http", "endpoint": settings.otlp_endpoint},
    }


def share_tracer(settings: ObservationSettings) -> None:
    """Let our spans go where BentoML's go. Call once, when the service starts."""
    if settings.otlp_endpoint:
        from bentoml._internal.configuration.containers import BentoMLContainer
        from opentelemetry import trace

        trace.set_tracer_provider(BentoMLContainer.tracer_provider.get())

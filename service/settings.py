"""What can be set from outside, read once at the start from `POLYVIEW_*` environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.access import Key, read_keys
from service.gpu import gpu_at_hand
from service.image_codecs import ImageLimits
from service.jobs.settings import JobSettings, read_job_settings
from service.runtime import PRECISIONS, RuntimeOptions
from service.stitching.canvas import CanvasOptions
from service.variables import Variables

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_BUNDLES = ("weights/perceive-rooms", "weights/stitch-pairs")
DEFAULT_ENGINE_CACHE = "artifacts/tensorrt-cache"
# null is what pages send that have no address of their own, files for example.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#A-Z]+|null")
SHAPES = ("auto", "single", "tiers")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class DoorSettings:
    """What is checked before a request reaches an endpoint.

    max_body_bytes: largest request body.
    keys: accepted keys; empty means open to all.
    requests_per_minute: of one caller (its key, else its address) whose key has no rate of its own; 0 means no limit.
    in_flight: requests that may run or wait at once; more are turned away with 503.
    timeout: seconds from the first byte of a request to the first byte of its answer.
    """

    max_body_bytes: int = 128_000_000
    keys: tuple[Key, ...] = ()
    requests_per_minute: int = 0
    in_flight: int = 34
    timeout: float = 60.0


@dataclass(frozen=True, kw_only=True)
class ObservationSettings:
    """json_logs: one JSON object a line. otlp_endpoint: where traces go (OTLP over HTTP); empty for none.

    trace_share: share of requests that are traced, 0 to 1.
    """

    json_logs: bool = False
    otlp_endpoint: str = ""
    trace_share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """tiers: the networks of perceive bundles run in a process of their own, on batches of up to `batch` images.

    threads: requests that may use a core at once. unread: variables with the prefix that are no settings.
    """

    bundles: tuple[Path, ...] = tuple(ROOT / folder for folder in DEFAULT_BUNDLES)
    threads: int = field(default_factory=cores)
    tiers: bool = False
    batch: int = 8
    limits: ImageLimits = field(default_factory=ImageLimits)
    max_canvas_pixels: int = CanvasOptions.pixel_limit
    calibrations: Path | None = None
    runtime: RuntimeOptions = field(default_factory=lambda: RuntimeOptions(warm_up=True))
    door: DoorSettings = field(default_factory=DoorSettings)
    cors_origins: tuple[str, ...] = ()
    jobs: JobSettings = field(default_factory=lambda: JobSettings(threads=max(1, cores() // 2)))
    observation: ObservationSettings = field(default_factory=ObservationSettings)
    unread: tuple[str, ...] = ()

    @property
    def at_once(self) -> int:
        """Requests worked on at once: with tiers `batch` more, for those that wait for the model tier use no core."""
        return _at_once(self.threads, self.tiers, self.batch)


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment; docs/settings.md lists the variables.

    Raises ValueError naming the variable, what it expects and what was found.
    """

    variables = Variables(environ)
    number = variables.whole
    threads = number("POLYVIEW_THREADS", cores(), 1)
    batch = number("POLYVIEW_BATCH", Settings.batch, 2)
    shape = variables.one_of("POLYVIEW_SHAPE", SHAPES)
    folders = [ROOT / folder for folder in variables.words("POLYVIEW_BUNDLES", ":")]
    calibrations = variables.text("POLYVIEW_CALIBRATIONS")
    keys = variables.text("POLYVIEW_KEYS").replace(",", " ").split()
    keys_file = variables.text("POLYVIEW_KEYS_FILE")
    device = variables.text("POLYVIEW_DEVICE") or RuntimeOptions.device
    precision = variables.one_of("POLYVIEW_PRECISION", PRECISIONS)
    ort_threads = number("POLYVIEW_ORT_THREADS", RuntimeOptions.intra_op_threads, 1)
    folder = variables.text("POLYVIEW_ENGINE_CACHE") or DEFAULT_ENGINE_CACHE
    cache = ROOT / folder if device == "tensorrt" else None
    try:
        runtime = RuntimeOptions(
            device=device, intra_op_threads=ort_threads, precision=precision, engine_cache=cache, warm_up=True
        )
    except ValueError as error:
        raise ValueError(f"POLYVIEW_DEVICE: {error}") from error
    tiers = shape == "tiers" or (shape == "auto" and _on_gpu(device))
    return Settings(
        bundles=tuple(folders) or Settings.bundles,
        threads=threads,
        tiers=tiers,
        batch=batch,
        limits=ImageLimits(
            max_pixels=number("POLYVIEW_MAX_PIXELS", ImageLimits.max_pixels, 1),
            min_side=number("POLYVIEW_MIN_SIDE", ImageLimits.min_side, 1),
        ),
        max_canvas_pixels=number("POLYVIEW_MAX_CANVAS_PIXELS", Settings.max_canvas_pixels, 1),
        calibrations=ROOT / calibrations if calibrations else None,
        runtime=runtime,
        door=DoorSettings(
            max_body_bytes=number("POLYVIEW_MAX_BODY_BYTES", DoorSettings.max_body_bytes, 1),
            keys=read_keys(keys, ROOT / keys_file if keys_file else None),
            requests_per_minute=number("POLYVIEW_RATE", DoorSettings.requests_per_minute, 0),
            in_flight=_at_once(threads, tiers, batch) + number("POLYVIEW_QUEUE", 32, 0),
            timeout=variables.positive("POLYVIEW_TIMEOUT", DoorSettings.timeout, "seconds"),
        ),
        cors_origins=_origins(variables.words("POLYVIEW_CORS")),
        jobs=read_job_settings(variables, threads),
        observation=ObservationSettings(
            json_logs=variables.one_of("POLYVIEW_LOG", ("text", "json")) == "json",
            otlp_endpoint=variables.text("POLYVIEW_OTLP"),
            trace_share=variables.share("POLYVIEW_TRACE_SHARE", ObservationSettings.trace_share),
        ),
        unread=variables.unread(),
    )


def _origins(words: tuple[str, ...]) -> tuple[str, ...]:
    """As browsers send them: one with a path, with capitals or without its scheme would never match."""
    for word in words:
        if word != "*" and not ORIGIN.fullmatch(word):
            raise ValueError(f"POLYVIEW_CORS: expected https://host[:port], no capitals, no path, or *, found {word!r}")
    return words


def _at_once(threads: int, tiers: bool, batch: int) -> int:
    return threads + batch if tiers else threads


def _on_gpu(device: str) -> bool:
    """Whether networks will run on a GPU. Where one was asked for and is not obtained, the service does not start."""
    return gpu_at_hand() if device == "auto" else device != "cpu"

"""What can be set from outside, read once at the start from `POLYVIEW_*` environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.image_codecs import ImageLimits
from service.runtime import RuntimeOptions

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_BUNDLES = ("weights/perceive-rooms", "weights/stitch-pairs")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class DoorSettings:
    """What is checked before a request reaches an endpoint.

    max_body_bytes: largest request body.
    keys: accepted keys; empty means open to all.
    requests_per_minute: of one caller (its key, else its address); 0 means no limit.
    in_flight: requests that may run or wait at once; more are turned away with 503.
    timeout: seconds from the first byte of a request to the first byte of its answer.
    """

    max_body_bytes: int = 128_000_000
    keys: frozenset[str] = frozenset()
    requests_per_minute: int = 0
    in_flight: int = 34
    timeout: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    bundles: tuple[Path, ...] = tuple(ROOT / folder for folder in DEFAULT_BUNDLES)
    threads: int = field(default_factory=cores)
    limits: ImageLimits = field(default_factory=ImageLimits)
    max_canvas_pixels: int = 100_000_000
    calibrations: Path | None = None
    runtime: RuntimeOptions = field(default_factory=RuntimeOptions)
    door: DoorSettings = field(default_factory=DoorSettings)


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment; docs/settings.md lists the variables.

    Raises ValueError naming the variable, what it expects and what was found.
    """

    def number(name: str, default: int, least: int) -> int:
        text = environ.get(name, "").strip()
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise ValueError(f"{name}: expected a whole number of at least {least}, found {text!r}")
        return int(text)

    threads = number("POLYVIEW_THREADS", cores(), 1)
    folders = [ROOT / folder for folder in environ.get("POLYVIEW_BUNDLES", "").split(":") if folder.strip()]
    calibrations = environ.get("POLYVIEW_CALIBRATIONS", "").strip()
    device = environ.get("POLYVIEW_DEVICE", "").strip() or "auto"
    try:
        runtime = RuntimeOptions(device=device, intra_op_threads=number("POLYVIEW_ORT_THREADS", 1, 1))
    except ValueError as error:
        raise ValueError(f"POLYVIEW_DEVICE: {error}") from error
    return Settings(
        bundles=tuple(folders) or Settings.bundles,
        threads=threads,
        limits=ImageLimits(
            max_pixels=number("POLYVIEW_MAX_PIXELS", 60_000_000, 1),
            min_side=number("POLYVIEW_MIN_SIDE", 32, 1),
        ),
        max_canvas_pixels=number("POLYVIEW_MAX_CANVAS_PIXELS", 100_000_000, 1),
        calibrations=ROOT / calibrations if calibrations else None,
        runtime=runtime,
        door=DoorSettings(
            max_body_bytes=number("POLYVIEW_MAX_BODY_BYTES", 128_000_000, 1),
            keys=frozenset(key.strip() for key in environ.get("POLYVIEW_KEYS", "").split(",") if key.strip()),
            requests_per_minute=number("POLYVIEW_RATE", 0, 0),
            in_flight=threads + number("POLYVIEW_QUEUE", 32, 0),
            timeout=_seconds(environ.get("POLYVIEW_TIMEOUT", "").strip() or "60"),
        ),
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"POLYVIEW_TIMEOUT: expected seconds above 0, found {text!r}")
    return value

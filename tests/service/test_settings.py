import re

import pytest

import service.settings
from service.access import hash_key
from service.image_codecs import ImageLimits
from service.jobs.settings import JobSettings
from service.runtime import RuntimeOptions
from service.settings import ROOT, DoorSettings, ObservationSettings, Settings, read_settings
from service.stitching.canvas import CanvasOptions


def test_defaults_are_those_of_the_contract() -> None:
    settings = read_settings({})
    assert settings.door.max_body_bytes == 128_000_000
    assert settings.limits.max_pixels == 60_000_000
    assert settings.limits.min_side == 32
    assert settings.max_canvas_pixels == 100_000_000
    assert settings.door.timeout == 60
    assert settings.runtime.intra_op_threads == 1
    assert settings.bundles == (ROOT / "weights/perceive-rooms", ROOT / "weights/stitch-pairs")
    assert settings == Settings(door=settings.door)


def test_every_default_stands_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a part's own settings say is what the server has."""
    parts = {
        ImageLimits: {"max_pixels": 1, "min_side": 2},
        DoorSettings: {"max_body_bytes": 3, "requests_per_minute": 4, "timeout": 5.0},
        JobSettings: {"most_items": 6, "most_bytes": 7, "most_unfinished": 8, "hours": 9.0},
        ObservationSettings: {"trace_share": 0.25},
        RuntimeOptions: {"intra_op_threads": 10, "device": "cpu"},
        Settings: {"batch": 11, "max_canvas_pixels": 12},
    }
    for part, values in parts.items():
        for name, value in values.items():
            monkeypatch.setattr(part, name, value)
    settings = read_settings({})
    read = (settings.limits, settings.door, settings.jobs, settings.observation, settings.runtime, settings)
    for found, values in zip(read, parts.values(), strict=True):
        assert {name: getattr(found, name) for name in values} == values
    assert Settings.__dataclass_fields__["max_canvas_pixels"].default == CanvasOptions.pixel_limit


def test_origins_are_taken_as_browsers_send_them() -> None:
    origins = ("https://pages.example", "http://localhost:5173", "null")
    assert read_settings({"POLYVIEW_CORS": ", ".join(origins)}).cors_origins == origins
    assert read_settings({"POLYVIEW_CORS": "*"}).cors_origins == ("*",)


@pytest.mark.parametrize("separator", [",", ", ", " ", "\n", "\r\n", ",\n"])
def test_keys_are_separated_by_commas_and_white_space(separator: str) -> None:
    entries = [hash_key(name, f"{name}-key-of-some-length") for name in ("first", "second")]
    settings = read_settings({"POLYVIEW_KEYS": separator.join(entries) + separator})
    assert [key.name for key in settings.door.keys] == ["first", "second"]


def test_bundles_are_colon_separated_and_relative_to_the_root() -> None:
    assert read_settings({"POLYVIEW_BUNDLES": "/a/b:c"}).bundles == (ROOT / "/a/b", ROOT / "c")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POLYVIEW_THREADS", "0"),
        ("POLYVIEW_QUEUE", "-1"),
        ("POLYVIEW_MAX_PIXELS", "many"),
        ("POLYVIEW_TIMEOUT", "nan"),
        ("POLYVIEW_TIMEOUT", "0"),
        ("POLYVIEW_DEVICE", "tpu"),
        ("POLYVIEW_SHAPE", "three"),
        ("POLYVIEW_BATCH", "1"),
        ("POLYVIEW_JOB_HOURS", "100000000"),
        ("POLYVIEW_CORS", "pages.example"),
        ("POLYVIEW_CORS", "https://pages.example/"),
    ],
)
def test_wrong_values_are_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name}.*found '{value}'"):
        read_settings({name: value})


@pytest.mark.parametrize(
    ("shape", "device", "driver", "tiers"),
    [
        ("", "", False, False),
        ("", "", True, True),
        ("", "cpu", True, False),
        ("auto", "cuda", False, True),
        ("single", "cuda", True, False),
        ("tiers", "cpu", False, True),
    ],
)
def test_tiers_are_for_gpus_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, shape: str, device: str, driver: bool, tiers: bool
) -> None:
    monkeypatch.setattr(service.settings, "gpu_at_hand", lambda: driver)
    settings = read_settings({"POLYVIEW_SHAPE": shape, "POLYVIEW_DEVICE": device, "POLYVIEW_THREADS": "3"})
    assert settings.tiers == tiers
    assert settings.threads == 3
    assert settings.at_once == (3 + settings.batch if tiers else 3)
    assert settings.door.in_flight == settings.at_once + 32


def test_the_documentation_names_every_variable_and_no_other() -> None:
    read = set()

    class Spy(dict[str, str]):
        def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
            read.add(key)
            return default

    read_settings(Spy())
    documented = re.findall(r"^\| `(POLYVIEW_\w+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(read)

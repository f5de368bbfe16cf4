import re
from pathlib import Path

import pytest

import service.settings
from service.access import hash_key
from service.image_codecs import ImageLimits
from service.jobs.settings import JobSettings
from service.runtime import RuntimeOptions
from service.settings import ROOT, DoorSettings, ObservationSettings, Settings, read_settings
from service.stitching.canvas import CanvasOptions

FOLDERS = (".ci", "benchmarks", "deploy", "docs", "export", "models", "service", "training")
TEXTS = {"", ".md", ".py", ".toml", ".yaml"}


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
        ("POLYVIEW_CORS", "https://Pages.example"),
        ("POLYVIEW_CORS", "HTTPS://pages.example"),
        ("POLYVIEW_JOBS_REDIS", "localhost:6379"),
        ("POLYVIEW_JOBS_REDIS", "redis://localhost:x/0"),
        ("POLYVIEW_JOBS_REDIS", "redis://localhost:66666/0"),
        ("POLYVIEW_JOBS_REDIS", "redis://[::1/0"),
        ("POLYVIEW_JOBS_REDIS", "redis://localhost/0?databse=1"),
    ],
)
def test_wrong_values_are_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name}.*found '{re.escape(value)}'"):
        read_settings({name: value})


@pytest.mark.parametrize(
    "url", ["redis://host:6379/0", "rediss://:word@host/1", "unix:///run/redis.sock", "redis://[::1]"]
)
def test_addresses_of_redis(url: str) -> None:
    assert read_settings({"POLYVIEW_JOBS_REDIS": url}).jobs.redis_url == url


@pytest.mark.parametrize(
    ("found", "meant"),
    [
        ("POLYVIEW_KEY", "POLYVIEW_KEYS"),
        ("POLYVIEW_KEYFILE", "POLYVIEW_KEYS_FILE"),
        ("POLYVIEW_keys", "POLYVIEW_KEYS"),
        ("POLYVIEW_MAX_PIXEL", "POLYVIEW_MAX_PIXELS"),
        ("POLYVIEW_THREDS", "POLYVIEW_THREADS"),
    ],
)
def test_a_misspelt_variable_is_refused(found: str, meant: str) -> None:
    """An empty value too: it was meant for something."""
    for value in ("lab:sha256.00.11", ""):
        with pytest.raises(ValueError, match=rf"^{found}: .*{meant}\?$"):
            read_settings({found: value, "POLYVIEW_THREADS": "2"})


def test_other_variables_with_the_prefix_are_told_but_not_refused() -> None:
    others = {"POLYVIEW_VERSION": "2", "POLYVIEW_API_URL": "http://a", "POLYVIEW_THREADS": "2", "POLY_KEY": ""}
    assert read_settings(others).unread == ("POLYVIEW_API_URL", "POLYVIEW_VERSION")


@pytest.mark.parametrize("service", ["POLYVIEW", "POLYVIEW_REDIS", "POLYVIEW_JOBS_REDIS"])
def test_variables_that_others_set_are_left_alone(service: str) -> None:
    """Kubernetes writes the addresses of a namespace's services into every pod; the tests have a switch."""
    environment = {
        f"{service}_{name}": "1"
        for name in (
            "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_PROTO",
            "PORT_80_TCP_PORT", "PORT_80_TCP_ADDR",
        )
    }  # fmt: skip
    assert read_settings(environment | {"POLYVIEW_REQUIRE_ALL": "1"}).unread == ()


def test_every_variable_that_the_repository_mentions_is_known() -> None:
    """Misspelt in a deployment, a program or a text, it would be refused or do nothing."""
    files = [*ROOT.glob("*"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    mentioned = set()
    for path in files:
        if path.is_file() and path.suffix in TEXTS and path.name != Path(__file__).name:
            mentioned |= set(re.findall(r"\bPOLYVIEW_[A-Z_]*[A-Z]\b(?!\*)", path.read_text()))
    assert len(mentioned) > 20
    assert read_settings(dict.fromkeys(mentioned, "")).unread == ()


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

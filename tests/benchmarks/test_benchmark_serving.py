"""The serving benchmark on a tiny bundle and few requests, and its arithmetic."""

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import serving
from benchmarks.load import Load, joined, multipart


def test_loads_add_up() -> None:
    first = Load(seconds=2, latencies=[0.1, 0.3], answers=Counter({"200": 2}), cpu_seconds=0.2)
    second = Load(seconds=1, latencies=[0.2], answers=Counter({"200": 1, "503": 1}), cpu_seconds=0.1)
    both = joined([first, second])
    assert both.per_second == 1
    assert both.percentile(50) == pytest.approx(200)
    assert both.cpu_ms == pytest.approx(100)
    assert both.answers == Counter({"200": 3, "503": 1})


def test_bodies_are_multipart() -> None:
    from python_multipart import multipart as reader

    found: list[tuple[str, bytes]] = []
    fields = []
    parser = reader.FormParser(
        "multipart/form-data",
        lambda field: fields.append((field.field_name, field.value)),
        lambda file: found.append((file.field_name, file.file_object.getvalue())),
        boundary=b"polyview-benchmark",
    )
    parser.write(multipart(b"\xff\xd8", format="npz"))
    parser.finalize()
    assert fields == [(b"format", b"npz")]
    assert found == [(b"image", b"\xff\xd8")]


@pytest.mark.full
def test_the_program(perceive_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "serving.md"
    serving.main(["--count", "40", "--soak", "40", "--bundle", str(perceive_bundle), "--out", str(out)])
    found = json.loads(out.with_suffix(".json").read_text())
    assert set(found["loads"]) == {f"{output} {name}" for output in serving.FORMATS for name in ("service", "minimal")}
    for load in found["loads"].values():
        assert load["answers"] == {"200": 40}
        assert load["CPU ms"] > 0
    assert found["others"]["overload: anything else"] == 0
    assert found["others"]["overload: answered with 200"] > 0
    assert found["soak"]["errors"] == 0
    assert found["killed"]["seconds until answered again"] < 60
    assert "× minimal" in out.read_text()

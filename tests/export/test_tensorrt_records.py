"""What surrounds an engine: profiles, records, libraries, and their refusals."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from export.engines import library
from export.engines.errors import EnginePrecisionError, LibraryConflictError, LibraryMissingError, StaleEngineError
from export.engines.gpu import Gpu
from export.engines.plan import check_precision, inspected_types, plan_target, plan_weights
from export.engines.profiles import Profile, fitting, profiles_of
from export.engines.record import Origin, check_runs_here, differences, read_record, write_engine
from export.errors import DiskFullError
from service.manifest import SizeSpec

SIZE = SizeSpec(longest_side=384, multiple=32, smallest_side=64)
FIXED = replace(SIZE, fixed=(384, 288))
FOUND = {"precision": {}, "tensors": {}, "error_on_cpu": {}, "on_gpu": None, "seconds": 1.0}


def origin(**changes: object) -> Origin:
    made = {
        "graph": "pwm", "model": "pwm.onnx", "model_sha256": "0" * 64, "precision": "float16", "keep": (),
        "library": "tensorrt-rtx", "version": "1.7", "target": "sm89", "gpu": None,
        "profiles": tuple(profiles_of(SIZE, (1, 4), ("any", "384x288"))),
    }  # fmt: skip
    return Origin(**(made | changes))  # type: ignore[arg-type]


def test_buckets_make_profiles() -> None:
    any_one, any_more, size_one, size_more = profiles_of(SIZE, (1, 4), ("any", "384x288"))
    assert any_one == Profile(batches=(1, 1, 1), sizes=((64, 64), (384, 288), (384, 384)))
    assert any_more.batches == (2, 4, 4)
    assert size_one.sizes == ((384, 288),) * 3
    assert size_more.batches == (2, 4, 4)
    assert profiles_of(FIXED) == [size_one]
    assert Profile.from_dict(json.loads(json.dumps(any_more.to_dict()))) == any_more


def test_the_narrowest_profile_is_taken() -> None:
    profiles = profiles_of(SIZE, (1, 4), ("any", "384x288"))
    assert fitting(profiles, 1, (384, 288)) == 2
    assert fitting(profiles, 3, (384, 288)) == 3
    assert fitting(profiles, 1, (96, 384)) == 0
    assert fitting(profiles, 2, (96, 384)) == 1
    assert fitting(profiles, 5, (384, 288)) is None
    assert fitting(profiles, 1, (416, 288)) is None


@pytest.mark.parametrize(
    ("size", "batches", "sizes", "message"),
    [
        (SIZE, (4, 1), ("any",), "batches: expected rising numbers"),
        (SIZE, (0,), ("any",), "batches: expected rising numbers"),
        (SIZE, (), ("any",), "batches: expected rising numbers"),
        (SIZE, (1,), ("wide",), "found 'wide'"),
        (SIZE, (1,), ("100x64",), "expected multiples of 32 from 64, found '100x64'"),
        (SIZE, (1,), ("32x64",), "expected multiples of 32 from 64, found '32x64'"),
        (FIXED, (1,), ("384x384",), "expected 384x288, the graph's one size"),
    ],
)
def test_buckets_that_a_graph_does_not_take_are_refused(
    size: SizeSpec, batches: tuple[int, ...], sizes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        profiles_of(size, batches, sizes)


def test_a_record_is_believed_only_while_everything_matches(tmp_path: Path) -> None:
    path = write_engine(tmp_path / "engines", origin(), b"engine", FOUND)
    assert path.name == "pwm.float16.sm89.tensorrt-rtx-1.7.engine"
    assert differences(read_record(path), origin()) == []
    for key, value in {"model_sha256": "1" * 64, "keep": ("Conv",), "profiles": tuple(profiles_of(SIZE))}.items():
        (line,) = differences(read_record(path), origin(**{key: value}))
        assert line.startswith(f"{key}: made with")
    path.write_bytes(b"enginf")
    with pytest.raises(StaleEngineError, match="found another"):
        read_record(path)
    for damage in (b"", b"{}", b'{"engine": {"sha256": ""}, "schema_version": 9, "origin": {}}'):
        path.with_suffix(".json").write_bytes(damage)
        with pytest.raises(StaleEngineError, match="Build again"):
            read_record(path)


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_earlier_engine(tmp_path: Path) -> None:
    path = write_engine(tmp_path, origin(), b"earlier", FOUND)
    with pytest.raises(DiskFullError, match="expected room for 20000 bytes"), room_for(10_000):
        write_engine(tmp_path, origin(), b"x" * 20_000, FOUND)
    assert path.read_bytes() == b"earlier"
    assert read_record(path)["engine"]["size"] == 7
    assert sorted(tmp_path.iterdir()) == [path, path.with_suffix(".json")]


@pytest.mark.parametrize(
    ("made", "capability", "version", "message"),
    [
        ({}, (8, 6), "1.7", "made for sm89, found Card"),
        ({}, (8, 9), "1.8", "made by tensorrt-rtx 1.7, found tensorrt-rtx 1.8"),
        ({"target": "ampere_plus"}, (7, 5), "1.7", "made for ampere_plus, found Card"),
        ({}, (8, 9), "1.7", None),
        ({"target": "ampere_plus"}, (9, 0), "1.7", None),
    ],
)
def test_engines_of_another_gpu_or_version_are_refused(
    made: dict[str, str], capability: tuple[int, int], version: str, message: str | None, tmp_path: Path
) -> None:
    record = read_record(write_engine(tmp_path, origin(**made), b"engine", FOUND))
    gpu = Gpu(name="Card", capability=capability)
    if message is None:
        check_runs_here(record, "tensorrt-rtx", version, gpu, "here")
    else:
        with pytest.raises(StaleEngineError, match=message):
            check_runs_here(record, "tensorrt-rtx", version, gpu, "here")


def test_without_a_library_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_import", lambda name: None)
    with pytest.raises(LibraryMissingError, match=r"pip install -r requirements/tensorrt\.txt"):
        library.load_library()
    with pytest.raises(LibraryMissingError, match="pip install tensorrt-cu13"):
        library.load_library("tensorrt")


def test_libraries_that_cannot_be_told_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(__version__="11.4.0")
    monkeypatch.setattr(library, "_import", lambda name: module)
    monkeypatch.setattr(library, "installed_versions", lambda: {"tensorrt-cu13": "11.4.0"})
    with pytest.raises(LibraryConflictError, match="Choose one with --library"):
        library.load_library()
    assert library.load_library("tensorrt").needs_gpu
    monkeypatch.setattr(library, "installed_versions", lambda: {"tensorrt-cu12": "10.13", "tensorrt-cu13": "11.4"})
    with pytest.raises(LibraryConflictError, match="overwrite one another"):
        library.load_library("tensorrt")
    module.__version__ = "10.9.0"
    monkeypatch.setattr(library, "installed_versions", lambda: {})
    with pytest.raises(LibraryMissingError, match=r"expected TensorRT 10\.12 or later, found 10\.9\.0"):
        library.load_library("tensorrt")


def test_an_engine_that_is_not_what_was_asked_for_is_refused() -> None:
    check_precision({"float16": 1000, "float32": 50, "bool": 10**6}, "float16", "here")
    with pytest.raises(EnginePrecisionError, match="expected an engine of float16"):
        check_precision({"float16": 50, "float32": 1000}, "float16", "here")
    with pytest.raises(EnginePrecisionError, match="expected an engine of float16"):
        check_precision({}, "float16", "here")


def test_an_engine_that_tells_nothing_is_read_as_such() -> None:
    assert plan_weights(b"\x00tensor={ type=half }") == {}
    assert plan_target(b"\x00\x01") is None


def test_the_inspectors_types_are_counted() -> None:
    tensor = {"Name": "a", "Dimensions": [1], "Format/Datatype": "Channel major FP16 format where C == 8"}
    layers = [{"Name": "conv", "Inputs": [tensor], "Outputs": [{**tensor, "Format/Datatype": "Float"}]}, "name alone"]
    assert inspected_types(json.dumps({"Layers": layers})) == {"inputs": {"float16": 1}, "outputs": {"float32": 1}}

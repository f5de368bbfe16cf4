"""Real engines, built without a GPU by TensorRT for RTX, and read afterwards. They are run only where a GPU is."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.__main__ import _parser, main
from export.engines import errors
from export.engines import write_engines as writing
from export.engines.builder import build_engine, resolve_target, targets_of
from export.engines.errors import (
    BuildError,
    EnginePrecisionError,
    NoGpuError,
    StaleEngineError,
    TensorRTOperatorError,
)
from export.engines.execute import Engine
from export.engines.gpu import Gpu, find_gpu
from export.engines.library import Library, load_library
from export.engines.plan import check_precision, plan_target, plan_weights
from export.engines.profiles import profiles_of
from export.engines.record import read_record
from export.engines.symmetric_int8 import quantised_bytes, symmetric_int8
from export.engines.typed_graph import read_graph, typed_graph
from export.engines.write_engines import EngineOptions, write_engines
from export.verify import open_session
from service.bundle import load_bundle
from service.manifest import GraphSpec, SizeSpec, TensorSpec

WEIGHTS = Path(__file__).parents[2] / "weights"
RELEASED = [("perceive-rooms", "perceive"), ("stitch-pairs", "pwm"), ("stitch-pairs", "sigmo")]
GPU = find_gpu()
NEEDS_GPU = pytest.mark.skipif(GPU is None, reason="no GPU here: engines are built and inspected, not run")
WITHOUT_GPU = pytest.mark.skipif(GPU is not None, reason="a GPU is here")


@pytest.fixture(scope="module")
def rtx() -> Library:
    return load_library("tensorrt-rtx")


@pytest.fixture(scope="module")
def sigmo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the released stitch bundle with an engine of its smaller graph."""
    folder = tmp_path_factory.mktemp("bundles") / "stitch"
    shutil.copytree(WEIGHTS / "stitch-pairs", folder, ignore=shutil.ignore_patterns("engines"))
    write_engines(load_bundle(folder), load_library("tensorrt-rtx"), OPTIONS)
    return folder


OPTIONS = EngineOptions(graphs=("sigmo",), targets=("sm89",), sizes=("128x96",))


def build(library: Library, bundle: str, name: str, precision: str, target: str) -> Any:
    spec = load_bundle(WEIGHTS / bundle).manifest.graphs[name]
    model = typed_graph(read_graph(WEIGHTS / bundle / spec.file), precision)
    side = 4 * spec.size.multiple
    return build_engine(library, model, spec, profiles_of(spec.size, (1,), (f"{side}x{side}",)), target)


def check_built(built: Any, precision: str, target: str) -> None:
    assert set(built.layers["convolution"]) == {precision}
    assert set(built.layers.get("matrix_multiply", {precision: 0})) == {precision}
    assert set(built.outputs.values()) == {"float32"}
    assert plan_target(built.data) == target
    check_precision(plan_weights(built.data), precision, "the engine")


@pytest.mark.parametrize(("bundle", "name"), RELEASED)
def test_every_released_graph_makes_a_float16_engine(rtx: Library, bundle: str, name: str) -> None:
    built = build(rtx, bundle, name, "float16", "sm89")
    check_built(built, "float16", "sm89")
    spec = load_bundle(WEIGHTS / bundle).manifest.graphs[name]
    assert built.inputs == {tensor.name: tensor.dtype for tensor in spec.inputs}
    assert list(built.outputs) == [tensor.name for tensor in spec.outputs]


@pytest.mark.full
@pytest.mark.parametrize("target", ["sm75", "sm86", "sm120"])
@pytest.mark.parametrize(("bundle", "name"), RELEASED)
def test_every_released_graph_makes_engines_for_other_gpus(rtx: Library, bundle: str, name: str, target: str) -> None:
    precision = "float16" if target == "sm75" else "bfloat16"
    check_built(build(rtx, bundle, name, precision, target), precision, target)


def test_an_engine_and_its_record_say_the_same(sigmo_bundle: Path, rtx: Library) -> None:
    (path,) = (sigmo_bundle / "engines").glob("*.engine")
    record = read_record(path)
    assert path.name == f"sigmo.float16.sm89.tensorrt-rtx-{rtx.version}.engine"
    manifest = load_bundle(sigmo_bundle).manifest
    assert record["origin"]["model_sha256"] == next(f.sha256 for f in manifest.files if f.path == "sigmo.onnx")
    assert record["origin"]["profiles"] == [{"batches": [1, 1, 1], "sizes": [[128, 96]] * 3}]
    assert record["precision"]["weights_bytes"] == plan_weights(path.read_bytes())
    assert all(0 < error < 1e-2 for error in record["error_on_cpu"].values())
    assert set(record["error_on_cpu"]) == {output.name for output in manifest.graphs["sigmo"].outputs}
    assert record["engine"]["size"] == path.stat().st_size


def test_only_what_changed_is_built_again(sigmo_bundle: Path, rtx: Library) -> None:
    bundle, said = load_bundle(sigmo_bundle), list[str]()
    (kept,) = write_engines(bundle, rtx, OPTIONS, said.append)
    assert not kept["built"]
    path = sigmo_bundle / "engines" / kept["engine"]["file"]
    path.write_bytes(path.read_bytes()[:-1])
    (repaired,) = write_engines(bundle, rtx, OPTIONS, said.append)
    assert repaired["built"]
    assert any("building again" in line and "found another" in line for line in said)
    assert read_record(path)["origin"] == kept["origin"]


def test_a_refused_engine_changes_nothing(sigmo_bundle: Path, rtx: Library) -> None:
    before = {path.name: path.read_bytes() for path in (sigmo_bundle / "engines").iterdir()}
    options = EngineOptions(graphs=("sigmo",), targets=("sm89",), max_error=1e-9, rebuild=True)
    with pytest.raises(EnginePrecisionError, match="expected alpha in float16 within 1e-09"):
        write_engines(load_bundle(sigmo_bundle), rtx, options)
    assert {path.name: path.read_bytes() for path in (sigmo_bundle / "engines").iterdir()} == before


def test_an_engine_that_is_there_is_held_to_the_error_asked_for(sigmo_bundle: Path, rtx: Library) -> None:
    with pytest.raises(EnginePrecisionError, match="expected alpha in float16 within 1e-09"):
        write_engines(load_bundle(sigmo_bundle), rtx, replace(OPTIONS, max_error=1e-9))
    with pytest.raises(ValueError, match="max_error: expected a number above 0, found inf"):
        replace(OPTIONS, max_error=float("inf"))


class Answers:
    """An engine on a GPU: ONNX Runtime's answers, plus `error`."""

    def __init__(self, folder: Path, error: float) -> None:
        self.folder, self.error = folder, error

    def information(self) -> str:
        return '{"Layers": []}'

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        session = open_session(self.folder / "sigmo.onnx")
        names = [output.name for output in session.get_outputs()]
        return {name: value + self.error for name, value in zip(names, session.run(names, inputs), strict=True)}


@WITHOUT_GPU
@pytest.mark.parametrize("error", [np.float32(0.5), np.float32(np.nan), MemoryError("no room on the card")])
def test_an_engine_that_fails_on_the_gpu_leaves_the_earlier_one(
    sigmo_bundle: Path, rtx: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Any
) -> None:
    folder = Path(shutil.copytree(sigmo_bundle, tmp_path / "stitch"))
    before = {path.name: path.read_bytes() for path in (folder / "engines").iterdir()}
    monkeypatch.setattr(writing, "find_gpu", lambda: Gpu(name="Card", capability=(8, 9)))

    def load(library: Library, path: Path) -> Answers:
        if isinstance(error, Exception):
            raise error
        return Answers(folder, error)

    monkeypatch.setattr(writing, "Engine", load)
    said = list[str]()
    with pytest.raises((EnginePrecisionError, MemoryError), match=r"within 0\.01|no room"):
        write_engines(load_bundle(folder), rtx, OPTIONS, said.append)
    assert any("building again, never compared on the GPU" in line for line in said)
    assert {path.name: path.read_bytes() for path in (folder / "engines").iterdir()} == before


@WITHOUT_GPU
def test_an_engine_built_elsewhere_is_compared_where_its_gpu_is(
    sigmo_bundle: Path, rtx: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(sigmo_bundle, tmp_path / "stitch"))
    monkeypatch.setattr(writing, "find_gpu", lambda: Gpu(name="Card", capability=(8, 9)))
    monkeypatch.setattr(writing, "Engine", lambda library, path: Answers(folder, 0.0))
    for built in (True, False):
        (record,) = write_engines(load_bundle(folder), rtx, OPTIONS)
        assert record["built"] is built
        assert record["on_gpu"]["gpu"] == "Card"
        assert set(record["on_gpu"]["error"].values()) == {0.0}


def test_the_command_prints_what_it_made(sigmo_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["tensorrt", str(sigmo_bundle), "--graph", "sigmo", "--target", "sm89", "--size", "128x96"]
    assert main(arguments) == 0
    (engine,) = json.loads(capsys.readouterr().out)["engines"]
    assert (engine["built"], engine["target"]) == (False, "sm89")
    assert main([*arguments, "--precision", "int8"]) == 1
    assert "ForeignGraphError: " in (refusal := capsys.readouterr().err)
    assert "sigmo has no INT8 file" in refusal
    assert main([*arguments[:2], "--target", "sm90"]) == 1
    assert "expected one of current, sm75" in capsys.readouterr().err


def test_the_guide_shows_commands_and_errors_that_exist() -> None:
    guide = (WEIGHTS.parent / "docs/tensorrt.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python -m export (tensorrt .*)$", guide, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        options = _parser().parse_args(shlex.split(command))
        EngineOptions(precision=options.precision, batches=tuple(options.batch), sizes=tuple(options.size))
    named = {
        getattr(errors, name) for name in re.findall(r"^\| `(\w+Error)`", guide, re.MULTILINE) if hasattr(errors, name)
    }
    assert named == set(errors.EngineError.__subclasses__())


SPEC = GraphSpec(
    file="g.onnx", precision="float32", opset=18, output_stride=1, normalisation="none",
    inputs=(TensorSpec(name="x", dtype="float32", shape=("N", 4, "H", "W"), layout="NCHW", unit="", range=None),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("N", 4, "H", "W"), layout="NCHW", unit="", range=None),),
    size=SizeSpec(longest_side=64, multiple=32, smallest_side=32),
)  # fmt: skip


def graph_of(*nodes: onnx.NodeProto, **weights: np.ndarray) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4, "H", "W"]) for name in "xy")
    graph = helper.make_graph(list(nodes), "g", [x], [y], [numpy_helper.from_array(v, k) for k, v in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def small(library: Library, model: onnx.ModelProto, target: str = "sm89") -> Any:
    return build_engine(library, model, SPEC, profiles_of(SPEC.size), target)


def convolution() -> onnx.ModelProto:
    weight = np.random.default_rng(0).normal(size=(4, 4, 3, 3)).astype(np.float32)
    return graph_of(helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1, 1, 1, 1]), w=weight)


def test_an_engine_in_float32_does_not_pass_for_float16(rtx: Library) -> None:
    weights = plan_weights(small(rtx, convolution()).data)
    check_precision(weights, "float32", "here")
    with pytest.raises(EnginePrecisionError, match=r"expected an engine of float16, found weights of .*float32"):
        check_precision(weights, "float16", "here")


def test_int8_multiplies_in_8_bits(rtx: Library) -> None:
    weights = {
        "s": np.float32(0.1), "z": np.uint8(3), "w": np.full((4, 4, 3, 3), 2, np.int8), "ws": np.float32(0.5),
        "wz": np.int8(0),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], name="q"),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], name="dq"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], name="wdq"),
        helper.make_node("Conv", ["xd", "wd"], ["y"], name="conv", pads=[1, 1, 1, 1]),
    ]
    model = graph_of(*nodes, **{name: np.asarray(value) for name, value in weights.items()})
    built = small(rtx, typed_graph(symmetric_int8(model), "int8"))
    assert quantised_bytes(model) == 4 * 4 * 3 * 3
    check_precision(plan_weights(built.data), "int8", "the engine", quantised_bytes(model))
    with pytest.raises(EnginePrecisionError, match="expected an engine of int8"):
        check_precision(plan_weights(small(rtx, convolution()).data), "int8", "the engine", quantised_bytes(model))


def test_a_node_that_tensorrt_does_not_know_is_named(rtx: Library) -> None:
    model = graph_of(helper.make_node("Mish", ["x"], ["a"], name="m"), helper.make_node("Det", ["a"], ["y"], name="d"))
    with pytest.raises(TensorRTOperatorError, match="TensorRT refuses node 'd', a Det: "):
        small(rtx, model)


def test_a_build_that_fails_says_why(rtx: Library) -> None:
    with pytest.raises(BuildError, match=r"made no engine for sm89: .*must have at least one output"):
        small(rtx, onnx.ModelProto())
    wrong = replace(SPEC, inputs=(replace(SPEC.inputs[0], shape=("N", 5, "H", "W")),))
    with pytest.raises(BuildError, match=r"made no engine for sm89: .+|refuses the profile"):
        build_engine(rtx, convolution(), wrong, profiles_of(SPEC.size), "sm89")


def test_targets_are_those_of_the_library(rtx: Library) -> None:
    assert targets_of(rtx) == ("current", "sm75", "sm80", "sm86", "sm89", "sm120", "sm121")
    assert resolve_target(rtx, "sm120") == "sm120"
    other = Library(name="tensorrt", version="11.4", module=None)
    assert targets_of(other) == ("current", "ampere_plus")
    with pytest.raises(ValueError, match="target: expected one of current, ampere_plus for tensorrt, found 'sm89'"):
        resolve_target(other, "sm89")


@WITHOUT_GPU
def test_without_a_gpu_nothing_is_built_for_it_or_run(rtx: Library, sigmo_bundle: Path) -> None:
    with pytest.raises(NoGpuError, match=r"or name a target: sm75"):
        resolve_target(rtx, "current")
    with pytest.raises(NoGpuError, match=r"Build on the machine that will run the engine$"):
        resolve_target(Library(name="tensorrt", version="11.4", module=None), "ampere_plus")
    (path,) = (sigmo_bundle / "engines").glob("*.engine")
    with pytest.raises(NoGpuError, match="an engine runs on a GPU"):
        Engine(rtx, path)
    with pytest.raises(StaleEngineError, match="expected the record of an engine"):
        Engine(rtx, path.with_name("other.engine"))


@NEEDS_GPU
@pytest.mark.parametrize(("bundle", "name"), RELEASED)
def test_engines_answer_as_onnx_runtime_does(bundle: str, name: str, tmp_path: Path) -> None:
    """With whichever library is installed that builds for the GPU at hand."""
    assert GPU is not None
    library = load_library()
    if not library.needs_gpu and GPU.target not in targets_of(library):
        pytest.skip(f"TensorRT for RTX has no engines for {GPU.name} ({GPU.target})")
    folder = tmp_path / bundle
    shutil.copytree(WEIGHTS / bundle, folder, ignore=shutil.ignore_patterns("engines"))
    (record,) = write_engines(load_bundle(folder), library, EngineOptions(graphs=(name,), batches=(1, 4)))
    assert record["on_gpu"]["gpu"] == GPU.name
    assert set(record["on_gpu"]["error"]) == set(record["tensors"]["outputs"])
    assert all(error < 1e-2 for error in record["on_gpu"]["error"].values())

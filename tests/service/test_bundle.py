"""A bundle is believed only when everything about it is right."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.bundle import BundleError, load_bundle
from service.manifest import parse_manifest


@pytest.fixture
def bundle(perceive_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(perceive_bundle, tmp_path / "copy"))


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_export_wrote_is_read_back_exactly(perceive_bundle: Path, stitch_bundle: Path) -> None:
    for folder in (perceive_bundle, stitch_bundle):
        manifest = load_bundle(folder).manifest
        assert parse_manifest(json.loads(json.dumps(manifest.to_dict()))) == manifest
    manifest = load_bundle(perceive_bundle).manifest
    assert manifest.kind == "perceive"
    assert len(manifest.classes) == len(manifest.palette_of("segmentation")) == 13
    assert manifest.canonical_focal_ratio == pytest.approx(0.9)
    assert load_bundle(perceive_bundle).graph_path("perceive") == perceive_bundle / "perceive.onnx"
    assert set(load_bundle(stitch_bundle).manifest.graphs) == {"pwm", "sigmo"}


def damage_graph(folder: Path) -> None:
    content = bytearray((folder / "perceive.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "perceive.onnx").write_bytes(content)


def truncate_graph(folder: Path) -> None:
    path = folder / "perceive.onnx"
    path.write_bytes(path.read_bytes()[:-1])


def manifest_edit(change: Callable[[Any], None]) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "manifest.json", change)


def verify_edit(change: Callable[[Any], None]) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "verify.json", change)


def rename_task(manifest: Any, old: str, new: str) -> None:
    manifest["tasks"][new] = manifest["tasks"].pop(old)
    for output in manifest["graphs"]["perceive"]["outputs"]:
        if output["name"] == old:
            output["name"] = new


REFUSALS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no folder": (shutil.rmtree, "manifest.json", "does not exist"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "manifest.json", "missing"),
    "no JSON": (lambda f: (f / "manifest.json").write_text('{"kind": '), "manifest.json", "expected JSON"),
    "not UTF-8": (lambda f: (f / "manifest.json").write_bytes(b'{"\xff\xfe": 1}'), "manifest.json", "expected JSON"),
    "not an object": (lambda f: (f / "manifest.json").write_text("[]"), "manifest.json", "expected an object"),
    "schema": (manifest_edit(lambda m: m.update(schema_version=2)), "manifest.json", "expected 1, found 2"),
    "kind": (manifest_edit(lambda m: m.update(kind="draw")), "manifest.json", "found 'draw'"),
    "graphs": (manifest_edit(lambda m: m.update(kind="stitch")), "manifest.json", "expected ['pwm', 'sigmo']"),
    "no licence": (manifest_edit(lambda m: m.pop("licence")), "manifest.json", "licence: expected str"),
    "focal": (manifest_edit(lambda m: m.update(canonical_focal_ratio=0)), "manifest.json", "canonical_focal_ratio"),
    "colours": (
        manifest_edit(lambda m: m["tasks"]["segmentation"]["palette"].pop()),
        "manifest.json",
        "13 classes and 12 colours",
    ),
    "parts": (
        manifest_edit(lambda m: rename_task(m, "depth", "parts")),
        "manifest.json",
        "tasks.parts.classes: expected list",
    ),
    "strange task": (manifest_edit(lambda m: rename_task(m, "depth", "mood")), "manifest.json", "'mood'"),
    "no task": (
        manifest_edit(lambda m: (m["tasks"].clear(), m["graphs"]["perceive"]["outputs"].clear())),
        "manifest.json",
        "expected some of",
    ),
    "task without output": (
        manifest_edit(lambda m: m["tasks"].update(edges={})),
        "manifest.json",
        "tasks: expected the graph's outputs",
    ),
    "fixed size": (
        manifest_edit(lambda m: m["graphs"]["perceive"]["size"].update(fixed=[100, 64])),
        "manifest.json",
        "size.fixed: expected null or [width, height], multiples of 32",
    ),
    "outside": (manifest_edit(lambda m: m["files"][0].update(path="../x.onnx")), "manifest.json", "inside the bundle"),
    "unlisted": (manifest_edit(lambda m: m["files"].clear()), "manifest.json", "expected one of the files"),
    "dtype": (
        manifest_edit(lambda m: m["graphs"]["perceive"]["inputs"][0].update(dtype="int5")),
        "manifest.json",
        "graphs.perceive.inputs[0].dtype",
    ),
    **{
        f"range {span}": (
            manifest_edit(lambda m, span=span: m["graphs"]["perceive"]["outputs"][0].update(range=span)),
            "manifest.json",
            "graphs.perceive.outputs[0].range: expected null or [low, high]",
        )
        for span in ([None, None], ["a", 1], [True, 1], [1])
    },
    **{
        f"shape {shape}": (
            manifest_edit(lambda m, shape=shape: m["graphs"]["perceive"]["inputs"][0].update(shape=shape)),
            "manifest.json",
            "graphs.perceive.inputs[0].shape: expected sizes and names of axes",
        )
        for shape in ([], [None, ["H"], {}, 3], [0, 3], ["", 3], [True])
    },
    "field of view": (manifest_edit(lambda m: m.update(default_fov_deg=180)), "manifest.json", "above 0 and below 180"),
    "no graph": (lambda f: (f / "perceive.onnx").unlink(), "perceive.onnx", "missing"),
    "corrupt graph": (damage_graph, "perceive.onnx", "corrupt"),
    "truncated graph": (truncate_graph, "perceive.onnx", "bytes, found"),
    "wrong sha256": (manifest_edit(lambda m: m["files"][0].update(sha256="0" * 64)), "perceive.onnx", "corrupt"),
    "no report": (lambda f: (f / "verify.json").unlink(), "verify.json", "missing"),
    "failed report": (verify_edit(lambda r: r.update(passed=False)), "verify.json", "found False"),
    "report about nothing": (verify_edit(lambda r: r["files"].clear()), "verify.json", "expected a passing entry"),
    "stale report": (
        verify_edit(lambda r: r["files"]["perceive.onnx"].update(sha256="1" * 64)),
        "verify.json",
        "stale",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_name_bundle_file_and_problem(bundle: Path, case: str) -> None:
    spoil, file, problem = REFUSALS[case]
    load_bundle(bundle)
    spoil(bundle)
    with pytest.raises(BundleError) as refusal:
        load_bundle(bundle)
    message = str(refusal.value)
    assert refusal.value.file == file
    assert problem in message
    assert str(bundle) in message
    assert "To repair:" in message
    assert "\n" not in message


def test_keys_of_a_later_exporter_are_left_alone(bundle: Path) -> None:
    edit(bundle / "manifest.json", lambda m: m.update(future={"a": 1}))
    assert load_bundle(bundle).manifest.kind == "perceive"


def test_keys_that_an_earlier_exporter_did_not_write_have_defaults(bundle: Path) -> None:
    def forget(manifest: Any) -> None:
        graph = manifest["graphs"]["perceive"]
        del graph["mirrored"], graph["size"]["fixed"]

    edit(bundle / "manifest.json", forget)
    graph = load_bundle(bundle).manifest.graphs["perceive"]
    assert (graph.mirrored, graph.size.fixed) == (False, None)


def test_a_bundle_may_have_any_of_the_tasks(people_bundle: Path) -> None:
    manifest = load_bundle(people_bundle).manifest
    assert list(manifest.tasks) == ["segmentation", "parts", "saliency"]
    assert manifest.canonical_focal_ratio is None
    assert manifest.classes_of("parts")[1] == "head"
    assert len(manifest.palette_of("parts")) == 7
    assert manifest.palette_of("depth") == ()
    assert parse_manifest(json.loads(json.dumps(manifest.to_dict()))) == manifest

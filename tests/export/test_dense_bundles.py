"""Every dense network as a bundle that the service's pipeline answers with."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import export.source
import export.write_bundle
from export.__main__ import main
from export.write_bundle import BundleOptions, _size, reverify, write_bundle
from models.deployed import deploy
from service.bundle import load_bundle
from service.perceive import PerceivePipeline
from service.preprocess import model_size
from service.runtime import RuntimeOptions
from tests.helpers.bundles import MAKERS, TINY_DENSE, TINY_PERCEIVE, TINY_STITCHED_IMAGE, kept_bundle, tiny_source
from tests.helpers.pictures import scene

TYPES = {"segmentation": "uint8", "parts": "uint8"}
PHOTO = scene(150, 100)


def pipeline_of(folder: Path) -> PerceivePipeline:
    return PerceivePipeline(load_bundle(folder), RuntimeOptions(device="cpu"))


@pytest.mark.parametrize(
    "kind",
    [
        "shared_encoder",
        *(pytest.param(kind, marks=pytest.mark.full) for kind in ("pad_net", "mti_net", "mt_cp", "mt_cp_mask2former")),
    ],
)
def test_a_network_becomes_a_bundle_that_is_answered(kind: str, bundles_folder: Path) -> None:
    name = "tiny-people" if kind == "shared_encoder" else f"tiny-{kind}"
    pipeline = pipeline_of(kept_bundle(bundles_folder, name))
    tasks = {task.name: task.channels for task in TINY_DENSE[kind].tasks}
    manifest = pipeline.manifest
    assert list(manifest.tasks) == [spec.name for spec in manifest.graphs["perceive"].outputs] == list(tasks)
    assert (manifest.graphs["perceive"].size.fixed is not None) == kind.startswith("mt_cp")
    for photo in (PHOTO, np.ascontiguousarray(PHOTO.transpose(1, 0, 2))):
        maps = pipeline.predict(photo, focal_px=120.0).by_task
        assert set(maps) == set(tasks)
        for task, values in maps.items():
            assert values.shape[:2] == photo.shape[:2]
            assert values.dtype == TYPES.get(task, "float32")
            if task in TYPES:
                assert values.max() < tasks[task]
            elif task == "normals":
                assert np.abs(np.linalg.norm(values, axis=2) - 1).max() < 1e-5
            elif task == "depth":
                assert (values > 0).all()
            else:
                assert values.min() >= 0
                assert values.max() <= 1
    again = pipeline.predict(PHOTO, focal_px=240.0).by_task
    if "depth" in tasks:  # these recipes train depth of the camera at hand
        assert np.array_equal(again["depth"], pipeline.predict(PHOTO, focal_px=120.0).by_task["depth"])


def test_a_mirrored_graph_says_so_and_is_symmetric(people_bundle: Path) -> None:
    pipeline = pipeline_of(people_bundle)
    assert pipeline.manifest.graphs["perceive"].mirrored
    assert "mirror image" in (people_bundle / "CARD.md").read_text()
    photo = scene(64, 64)
    seen = pipeline.predict(photo).by_task
    other = pipeline.predict(np.ascontiguousarray(photo[:, ::-1])).by_task
    assert np.allclose(seen["saliency"], other["saliency"][:, ::-1], atol=1e-5)
    assert (seen["parts"] == other["parts"][:, ::-1]).mean() > 0.999
    report = json.loads((people_bundle / "verify.json").read_text())["files"]["perceive.onnx"]
    assert set(report["outputs"]) == {"segmentation", "parts", "saliency"}


@pytest.mark.full
def test_an_exported_bundle_is_verified_anew_as_it_was_made(tmp_path: Path) -> None:
    source = tiny_source(TINY_PERCEIVE)
    options = BundleOptions(longest_side={"perceive": 64}, mirrored=True, fixed_size=(64, 32))
    graph = write_bundle([source], tmp_path / "bundle", options).manifest.graphs["perceive"]
    assert (graph.mirrored, graph.size.fixed, graph.size.longest_side) == (True, (64, 32), 64)
    report = reverify(tmp_path / "bundle", [source])
    assert set(report["files"]["perceive.onnx"]["samples"]) == {
        f"{kind}, {count} of 64 x 32" for kind in ("random", "generated") for count in (1, 3)
    }
    assert pipeline_of(tmp_path / "bundle").predict(PHOTO).by_task["depth"].shape == (100, 150)


def test_sizes_follow_the_network_the_recipe_and_the_options() -> None:
    options = BundleOptions()
    rooms = {"recipe": {"data": {"config": {"height": 96, "width": 128}}}}
    nyud = {"recipe": {"data": {"config": {"pipeline": {"size": [480, 640]}}}}}
    attention, convolution = (tiny_source(TINY_DENSE[kind]) for kind in ("mt_cp", "mti_net"))
    assert _size(convolution, options).fixed is None
    assert _size(replace(convolution, meta=nyud), options).longest_side == 640
    assert _size(attention, options).fixed == (384, 288)
    assert _size(replace(attention, meta=rooms), options).fixed == (128, 96)
    twice = _size(replace(attention, meta=rooms), BundleOptions(longest_side={"perceive": 256}))
    assert twice.fixed == (256, 192)
    asked = _size(replace(attention, meta=nyud), BundleOptions(fixed_size=(96, 64)))
    assert (asked.fixed, asked.longest_side) == ((96, 64), 96)
    assert model_size(33, 4000, asked) == (96, 64)
    with pytest.raises(ValueError, match="fixed: expected positive multiples of 32"):
        _size(convolution, BundleOptions(fixed_size=(100, 64)))


def test_depth_is_canonical_where_the_recipe_trained_it_so() -> None:
    network = tiny_source(TINY_DENSE["pad_net"]).deployed.network
    for ratio in (None, 0.9):
        source = replace(
            tiny_source(TINY_DENSE["pad_net"]), meta={"recipe": {"options": {"canonical_focal_ratio": ratio}}}
        )
        assert source.canonical_focal_ratio == ratio
    assert tiny_source(TINY_DENSE["pad_net"]).canonical_focal_ratio is None
    assert tiny_source(TINY_DENSE["mti_net"]).canonical_focal_ratio is None, "it has no depth"
    assert tiny_source(TINY_PERCEIVE).canonical_focal_ratio == 0.9
    assert deploy(network).output_stride == 1


def test_mirror_and_fixed_size_are_for_single_photographs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mirrored: expected False"):
        write_bundle([tiny_source(TINY_STITCHED_IMAGE)], tmp_path / "out", BundleOptions(mirrored=True))
    assert not (tmp_path / "out").exists()
    assert set(MAKERS) >= {f"tiny-{kind}" for kind in TINY_DENSE}


def test_the_command_line_hands_on_mirror_and_fixed_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[BundleOptions] = []

    def stop(sources: object, out: Path, options: BundleOptions, progress: object) -> None:
        asked.append(options)
        raise ValueError("seen enough")

    monkeypatch.setattr(export.write_bundle, "write_bundle", stop)
    monkeypatch.setattr(export.source, "load_source", lambda path, which: None)
    assert main(["onnx", "run", "--out", "x", "--mirror", "--fixed-size", "384x288"]) == 1
    assert main(["onnx", "run", "--out", "x"]) == 1
    assert [(options.mirrored, options.fixed_size) for options in asked] == [(True, (384, 288)), (False, None)]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["onnx", "run", "--out", "x", "--fixed-size", "384"])
    assert "expected WIDTHxHEIGHT" in capsys.readouterr().err

"""The pipeline and its encoders on the outputs of a made-up graph with every task."""

import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.bundle import Bundle
from service.errors import InvalidField
from service.manifest import TASKS, FileEntry, GraphSpec, Manifest, SizeSpec, TensorSpec
from service.perceive import PerceivePipeline
from service.perceive_answer import ENCODERS
from service.perceive_request import read_tasks, shown_resolution
from service.runtime import RuntimeOptions
from service.timing import Stopwatch
from tests.helpers.pictures import scene

CLASSES = {"segmentation": 3, "parts": 7}
PHOTO = scene(90, 60)


def tensor(name: str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=(), layout="", unit="", range=None)


def manifest_of(tasks: tuple[str, ...] = TASKS, ratio: float | None = None, size: SizeSpec | None = None) -> Manifest:
    labels = {
        task: {"classes": [f"c{i}" for i in range(count)], "palette": [[i, 2 * i, 3 * i] for i in range(count)]}
        for task, count in CLASSES.items()
    }
    graph = GraphSpec(
        file="perceive.onnx",
        precision="float32",
        opset=18,
        inputs=(tensor("image", "uint8"),),
        outputs=tuple(tensor(task) for task in tasks),
        size=size or SizeSpec(longest_side=96, multiple=32),
        output_stride=1,
        normalisation="inside the graph",
    )
    return Manifest(
        schema_version=1,
        name="made-up",
        kind="perceive",
        version="1",
        graphs={"perceive": graph},
        tasks={task: labels.get(task, {}) for task in tasks},
        canonical_focal_ratio=ratio,
        default_fov_deg=60.0,
        files=(FileEntry(path="perceive.onnx", size=1, sha256="0" * 64, precision="float32"),),
        provenance={},
        quality={},
        licence="",
    )


class MadeUpGraph:
    """Random answers of the right shapes, some of them not finite or outside their range."""

    provider = "CPUExecutionProvider"
    seen: tuple[int, ...] = ()

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.seen = inputs["image"].shape
        _, height, width, _ = self.seen
        rng = np.random.default_rng(0)
        outputs = {task: rng.normal(0.5, 1, (1, height, width)).astype(np.float32) for task in TASKS}
        outputs |= {
            task: rng.normal(size=(1, count, height, width)).astype(np.float32)
            for task, count in {**CLASSES, "normals": 3}.items()
        }
        outputs["depth"] = np.full((1, height, width), 2.0, np.float32)
        outputs["saliency"][0, 0, 0] = np.nan
        return outputs


def pipeline_of(manifest: Manifest) -> tuple[PerceivePipeline, MadeUpGraph]:
    graph = MadeUpGraph()
    bundle = Bundle(manifest=manifest, folder=Path("nowhere"), sha256="")
    return PerceivePipeline(bundle, RuntimeOptions(), graph), graph


@pytest.mark.parametrize("tasks", [TASKS, TASKS[::-1], ("edges",), ("parts", "saliency")])
def test_every_task_has_its_type_and_range(tasks: tuple[str, ...]) -> None:
    pipeline, _ = pipeline_of(manifest_of(tasks))
    answer = pipeline.predict(PHOTO)
    assert list(answer.by_task) == [task for task in TASKS if task in tasks]
    for task, values in answer.by_task.items():
        assert values.shape == ((60, 90, 3) if task == "normals" else (60, 90))
        assert values.dtype == (np.uint8 if task in CLASSES else np.float32)
    for task in {"saliency", "edges"} & set(tasks):
        assert (answer.by_task[task].min(), answer.by_task[task].max()) == (0, 1)
    assert ("part_classes" in answer.meta) == ("parts" in tasks)
    assert answer.meta["classes"] == (["c0", "c1", "c2"] if "segmentation" in tasks else [])


def test_turning_the_camera_does_not_change_depth() -> None:
    pipeline, _ = pipeline_of(manifest_of(ratio=0.9))
    for photo in (PHOTO, scene(60, 90), scene(90, 30)):
        depth = pipeline.predict(photo, focal_px=80.0).by_task["depth"]
        np.testing.assert_allclose(depth, 2.0 * 80 / (0.9 * 90), rtol=1e-6)
    fixed, _ = pipeline_of(manifest_of(ratio=0.9, size=SizeSpec(longest_side=96, multiple=32, fixed=(96, 64))))
    depth = fixed.predict(PHOTO, focal_px=80.0).by_task["depth"]
    np.testing.assert_allclose(depth, 2.0 * 80 / (0.9 * 90), rtol=1e-6)
    # 60 columns become 96 and 90 rows 64: an object keeps its size in the mean of both.
    depth = fixed.predict(scene(60, 90), focal_px=80.0).by_task["depth"]
    np.testing.assert_allclose(depth, 2.0 * 80 * math.sqrt(96 / 60 * 64 / 90) / (0.9 * 96), rtol=1e-6)


def test_a_task_that_the_bundle_lacks_is_left_out_by_the_pipeline_and_refused_by_the_request() -> None:
    pipeline, _ = pipeline_of(manifest_of(("segmentation", "parts")))
    assert list(pipeline.predict(PHOTO, tasks=("depth", "parts")).by_task) == ["parts"]
    assert read_tasks(None, pipeline.tasks, "m") == ("segmentation", "parts")
    assert read_tasks("parts, segmentation", pipeline.tasks, "m") == ("segmentation", "parts")
    for text in ("depth", "parts,mood", "", "Parts"):
        with pytest.raises(InvalidField, match="is not one of segmentation, parts, which the model m has"):
            read_tasks(text, pipeline.tasks, "m")


def test_depth_follows_the_focal_length_only_where_it_is_canonical() -> None:
    at_hand, _ = pipeline_of(manifest_of(("depth",)))
    canonical, _ = pipeline_of(manifest_of(("depth",), ratio=0.5))
    for focal_px in (45.0, 90.0):
        assert np.allclose(at_hand.predict(PHOTO, focal_px).by_task["depth"], 2.0)
        assert np.allclose(canonical.predict(PHOTO, focal_px).by_task["depth"], 2.0 * focal_px / 45)


def test_a_graph_of_one_size_sees_every_photograph_at_it() -> None:
    size = SizeSpec(longest_side=96, multiple=32, fixed=(96, 64))
    pipeline, graph = pipeline_of(manifest_of(("edges",), size=size))
    for width, height in ((90, 60), (60, 90), (500, 40)):
        edges = pipeline.predict(scene(width, height)).by_task["edges"]
        assert edges.shape == (height, width)
        assert graph.seen == (1, 64, 96, 3)
    assert pipeline.predict(PHOTO, resolution="model").by_task["edges"].shape == (64, 96)


@pytest.mark.parametrize("tasks", [TASKS, ("saliency",)])
def test_files_hold_what_the_arrays_hold(tasks: tuple[str, ...]) -> None:
    manifest = manifest_of(tasks)
    answer = pipeline_of(manifest)[0].predict(PHOTO)
    body = {name: encode(answer, PHOTO, manifest, Stopwatch()).content for name, encode in ENCODERS.items()}
    with np.load(io.BytesIO(body["npz"]), allow_pickle=False) as arrays:
        assert set(arrays.files) == {*tasks, "meta"}
        assert all(np.array_equal(arrays[task], answer.by_task[task]) for task in tasks)
    with zipfile.ZipFile(io.BytesIO(body["png"])) as archive:
        assert set(archive.namelist()) == {*(f"{task}.png" for task in tasks), "preview.png", "meta.json"}
        pictures = {task: np.asarray(Image.open(io.BytesIO(archive.read(f"{task}.png")))) for task in tasks}
    assert set(json.loads(bytes(body["json"]))) == {*(f"{task}_png" for task in tasks), "preview_png", "meta"}
    for task in set(tasks) & set(CLASSES):
        assert np.array_equal(pictures[task], answer.by_task[task])
    for task in set(tasks) & {"saliency", "edges"}:
        assert pictures[task].dtype == np.uint8
        assert np.abs(pictures[task] / 255 - answer.by_task[task]).max() <= 0.5 / 255 + 1e-6
    assert Image.open(io.BytesIO(body["preview"])).size == ((len(tasks) + 1) * 90 + len(tasks) * 4, 60)


def test_an_answer_without_maps_previews_the_photograph_alone() -> None:
    manifest = manifest_of()
    answer = replace(pipeline_of(manifest)[0].predict(PHOTO), by_task={})
    preview = ENCODERS["preview"](answer, PHOTO, manifest, Stopwatch())
    assert Image.open(io.BytesIO(preview.content)).size == (90, 60)


@pytest.mark.parametrize(
    ("resolution", "size", "expected"),
    [
        ("native", (4000, 3000), 640),
        ("native", (3000, 4000), 640),
        ("native", (640, 480), "native"),
        ("model", (4000, 3000), "model"),
        (1200, (4000, 3000), 640),
        (300, (4000, 3000), 300),
    ],
)
def test_a_preview_is_not_made_of_more_than_it_shows(
    resolution: str | int, size: tuple[int, int], expected: str | int
) -> None:
    assert shown_resolution(resolution, size) == expected


def test_a_preview_of_smaller_maps_is_the_preview_of_full_ones() -> None:
    manifest = manifest_of(("depth", "normals"))
    pipeline, _ = pipeline_of(manifest)
    photo = scene(1920, 1280)
    full, small = (
        ENCODERS["preview"](pipeline.predict(photo, resolution=resolution), photo, manifest, Stopwatch()).content
        for resolution in ("native", 640)
    )
    pictures = [np.asarray(Image.open(io.BytesIO(content))).astype(int) for content in (full, small)]
    assert pictures[0].shape == pictures[1].shape
    assert np.abs(pictures[0] - pictures[1]).mean() < 1

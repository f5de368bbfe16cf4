"""Public data sets as the training loop reads them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.backbones import BackboneConfig
from models.shared_encoder import SharedEncoderConfig
from models.tasks import TaskName, tasks_of
from tests.helpers.tiny_datasets import write_cityscapes, write_mtan, write_nyud, write_pascal
from training.checkpoint import MODEL_FILE, find_checkpoint
from training.config_json import from_json, to_json
from training.data.rooms import RoomConfig
from training.datasets import DataRecipe, in_order, open_dataset, read_batch
from training.evaluation import evaluate_checkpoint
from training.folder_dataset import FolderConfig, open_folder_dataset
from training.loop import RunOptions, train
from training.objectives.dense_tasks import DenseTasksOptions
from training.pipelines import NYUD_A, PASCAL_A, PASCAL_B, Pipeline, PipelineA
from training.recipe import Recipe

SHAPES = {"image": (3,), "normals": (3,), "segmentation": (), "depth": (), "parts": (), "saliency": (), "edges": ()}
PASCAL: tuple[TaskName, ...] = ("segmentation", "parts", "normals", "saliency", "edges")


def recipe(source: str, root: str, tasks: tuple[TaskName, ...], pipeline: Pipeline, **values: object) -> DataRecipe:
    config = FolderConfig(root=root, tasks=tasks, pipeline=pipeline)
    return DataRecipe(source=source, name=source, config=config, **values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tiny set of each kind."""
    root = tmp_path_factory.mktemp("sets")
    write_nyud(root / "nyud", "vandenhende")
    write_pascal(root / "pascal")
    write_cityscapes(root / "cityscapes")
    write_mtan(root / "mtan")
    return root


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # caches lie below the working directory


RECIPES = [
    recipe("nyud", "nyud", ("segmentation", "depth", "normals", "edges"), replace(NYUD_A, size=(32, 64))),
    recipe("pascal_context", "pascal", PASCAL, replace(PASCAL_A, size=(32, 64))),
    recipe("pascal_context", "pascal", PASCAL, replace(PASCAL_B, size=(32, 64))),
    recipe("cityscapes", "cityscapes", ("segmentation", "depth"), replace(NYUD_A, size=(32, 64))),
    recipe("mtan", "mtan", ("segmentation", "depth", "normals"), replace(NYUD_A, size=(32, 64))),
]


@pytest.mark.parametrize("data", RECIPES, ids=lambda data: f"{data.source}-{data.config.pipeline.kind}")
def test_batches_have_the_names_types_and_sizes_of_training(data: DataRecipe, data_root: Path) -> None:
    assert isinstance(data.config, FolderConfig)
    dataset = open_dataset(data, data_root, "train")
    batch = read_batch(dataset, [1, 0], step=5)
    assert set(batch) == {"image", "index", *data.config.tasks}
    assert batch["index"].tolist() == [1, 0]
    for name in ("image", *data.config.tasks):
        assert batch[name].shape == (2, *SHAPES[name], 32, 64)
        assert batch[name].dtype == (torch.float32 if name in ("image", "depth", "normals") else torch.uint8)
    for name, value in read_batch(dataset, [0], step=5).items():
        assert torch.equal(value[0], batch[name][1])  # a sample does not depend on its neighbours
    steps = [read_batch(dataset, [0], step)["image"] for step in range(6)]
    assert any(not torch.equal(steps[0], other) for other in steps[1:])
    another = open_dataset(replace(data, seed=2), data_root, "train")
    assert any(not torch.equal(read_batch(another, [0], step)["image"], image) for step, image in enumerate(steps))


def test_validation_scores_every_image_at_its_native_size(data_root: Path) -> None:
    data = recipe("pascal_context", "pascal", ("segmentation", "parts"), replace(PASCAL_A, size=(32, 64)))
    dataset = open_dataset(data, data_root, "validation")
    batches = list(in_order(dataset, 8))
    assert [batch["image"].shape for batch in batches] == [(1, 3, 32, 64)] * 2
    assert [tuple(batch["segmentation"].shape) for batch in batches] == [(1, 48, 64), (1, 64, 48)]
    assert (batches[1]["parts"] == 255).all()
    again = next(in_order(dataset, 8))
    assert torch.equal(again["image"], batches[0]["image"])
    nyud = open_dataset(recipe("nyud", "nyud", ("depth",), replace(NYUD_A, size=(32, 64))), data_root, "validation")
    assert [batch["index"].tolist() for batch in in_order(nyud, 8)] == [[0, 1]]
    assert [batch["index"].tolist() for batch in in_order(nyud, 1)] == [[0], [1]]
    assert [batch["index"].tolist() for batch in in_order(nyud, 8, count=1)] == [[0]]


def test_counts_limit_the_published_splits(data_root: Path) -> None:
    data = recipe("nyud", "nyud", ("depth",), NYUD_A, count=3, validation_count=1)
    assert len(open_dataset(data, data_root, "train")) == 3
    assert len(open_dataset(data, data_root, "validation")) == 1
    whole = replace(data, count=None, validation_count=None)
    assert len(open_dataset(whole, data_root, "train")) == 4
    with pytest.raises(IndexError, match=r"0\.\.2"):
        read_batch(open_dataset(data, data_root, "train"), [3])


def test_recipes_of_folders_survive_json() -> None:
    for data in RECIPES:
        assert from_json(DataRecipe, to_json(data)) == data


def test_a_recipe_of_an_earlier_version_is_read() -> None:
    """A checkpoint has its recipe; fields that were added since have their defaults."""
    saved = to_json(RECIPES[0])
    assert saved["config"].pop("depth_unit", "none") is None
    assert from_json(DataRecipe, saved) == RECIPES[0]
    with pytest.raises(ValueError, match="expected one of"):
        from_json(DataRecipe, {**saved, "config": {**saved["config"], "dephts": 1}})


def test_depth_in_metres_without_normals(tmp_path: Path) -> None:
    """The layout is that of Cityscapes, whose inverse depth grows where the augmentation comes nearer."""
    write_mtan(tmp_path / "own", indoor=False)
    zoom = PipelineA(size=(32, 48), flip=0.0, zooms=(2.0,))
    config = FolderConfig(root="own", tasks=("depth",), pipeline=zoom, classes=7)
    inverse, metres = (
        open_folder_dataset("mtan", replace(config, depth_unit=unit), tmp_path, "train", seed=1).sample(0)["depth"]
        for unit in (None, "metres")
    )
    torch.testing.assert_close(metres * 4, inverse)
    with pytest.raises(ValueError, match=r"depth_unit.*found 'feet'"):
        FolderConfig(root="own", tasks=("depth",), pipeline=zoom, depth_unit="feet")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"elsewhere: .*found none; --data-root"):
        open_folder_dataset("mtan", replace(config, root="elsewhere"), tmp_path, "train")


def test_unfit_recipes_are_refused_by_name(data_root: Path) -> None:
    with pytest.raises(ValueError, match="config"):
        DataRecipe(source="nyud", name="x", config=RoomConfig(), count=1, validation_count=1)
    with pytest.raises(ValueError, match="count"):
        DataRecipe(source="rooms", name="x", config=RoomConfig(), count=1)
    with pytest.raises(ValueError, match="normal_signs"):
        FolderConfig(root="x", tasks=("depth",), pipeline=NYUD_A, normal_signs=(1, 0, 1))
    with pytest.raises(ValueError, match=r"\['parts'\]"):
        open_dataset(recipe("nyud", "nyud", ("depth", "parts"), NYUD_A), data_root, "train")
    with pytest.raises(ValueError, match="expected cityscapes"):
        open_dataset(recipe("cityscapes", "nyud", ("depth",), NYUD_A), data_root, "train")


def test_a_run_on_a_folder_resumes_exactly_and_scores_native_sizes(data_root: Path, tmp_path: Path) -> None:
    data = recipe("pascal_context", "pascal", PASCAL, replace(PASCAL_A, size=(32, 64)))
    backbone = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))
    run = Recipe(
        name="folder",
        options=DenseTasksOptions(),
        model=SharedEncoderConfig(backbone=backbone, tasks=tasks_of(PASCAL, classes=21)),
        data=data,
        steps=3,
        batch_size=3,
        learning_rate=1e-3,
        precision="32-true",
        ema_decay=None,
    )

    def go_on(out: str, **options: float) -> dict[str, object]:
        return train(run, RunOptions(out=tmp_path / out, data_root=data_root, threads=1, progress=False, **options))  # type: ignore[arg-type]

    whole = go_on("whole")
    assert go_on("parts", max_seconds=0.0)["step"] == 1
    resumed = go_on("parts")
    assert resumed["metrics"] == whole["metrics"]
    one, other = (find_checkpoint(tmp_path / part) / MODEL_FILE for part in ("whole", "parts"))
    assert one.read_bytes() == other.read_bytes()
    assert evaluate_checkpoint(tmp_path / "whole", data_root=data_root, threads=1)["metrics"] == pytest.approx(
        whole["metrics"], rel=1e-4, abs=1e-5
    )

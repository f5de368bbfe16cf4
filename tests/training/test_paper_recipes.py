"""Recipes of the papers: parameter counts, schedule, and one step and evaluation on tiny data in the real layout."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.mt_cp import MtCpConfig
from tests.helpers.tiny_datasets import write_nyud, write_pascal
from tests.helpers.tiny_networks import TINY_MASK2FORMER
from training.__main__ import main
from training.epoch_order import EpochOrder
from training.folder_dataset import FolderConfig
from training.loop import RunOptions, train
from training.metrics.task_meters import SHARES
from training.paper_recipes import PAPER_RECIPES
from training.recipe import Recipe
from training.recipes import get_recipe, with_overrides
from training.schedule import learning_rate_scale

NAMES = [make.__name__ for make in PAPER_RECIPES]
PARAMETERS = {
    "nyud_single_segmentation_hrnet18": 3_945_270,
    "nyud_single_depth_hrnet18": 7_879_971 - 3_945_270,
    "nyud_shared_hrnet18": 4_019_251,
    "nyud_pad_net_hrnet18": 7_019_056,
    "nyud_mti_net_hrnet18": 8_578_179,
    "nyud_mti_net_hrnet18_auxiliary": 14_838_121,
    "pascal_mti_net_hrnet18_5task": 24_494_171,
    "pascal_mti_net_hrnet18_3task": 12_645_441,
}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both data sets in the folders that the recipes name."""
    root = tmp_path_factory.mktemp("sets")
    write_nyud(root / "NYUD_MT", "vandenhende")
    write_pascal(root / "PASCAL_MT")
    return root


def shrunk(recipe: Recipe) -> Recipe:
    """Two pictures of 64 x 64 a step; a representation of Mask2Former that tests can afford."""
    assert isinstance(recipe.data.config, FolderConfig)
    config = replace(recipe.data.config, pipeline=replace(recipe.data.config.pipeline, size=(64, 64)))
    model = (
        replace(recipe.model, mask2former=TINY_MASK2FORMER, channels=32)
        if isinstance(recipe.model, MtCpConfig)
        else recipe.model
    )
    return replace(
        recipe,
        data=replace(recipe.data, config=config),
        model=model,
        steps=1,
        batch_size=2,
        evaluate_every=1,
        log_every=1,
    )


@pytest.mark.parametrize("name", [
    "nyud_single_depth_hrnet18",
    "nyud_mti_net_hrnet18",
    "pascal_mt_cp",
    *(pytest.param(name, marks=pytest.mark.full) for name in NAMES),
])  # fmt: skip
def test_a_step_and_an_evaluation_on_the_real_layout(
    name: str, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # derived labels are cached below the working directory
    recipe = shrunk(get_recipe(name))
    result = train(recipe, RunOptions(out=tmp_path / "run", data_root=data_root, threads=1, progress=False))
    assert result["finished"]
    assert result["skipped_updates"] == 0
    metrics = result["metrics"]
    assert set(metrics) > {SHARES[task.name] for task in recipe.model.tasks}  # type: ignore[union-attr]
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert line["learning_rate"] == recipe.learning_rate
    assert ("delta_m" in metrics) == bool(recipe.options.single_task)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", [
    "nyud_shared_hrnet18",
    *(pytest.param(name, marks=pytest.mark.full) for name in NAMES),
])  # fmt: skip
def test_described_parameters_are_the_published_ones(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", name]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["parameters"] == PARAMETERS.get(name, described["parameters"])
    assert described["input_size"] == ([480, 640] if name.startswith("nyud") else [512, 512])
    assert described["macs"] > 1e9


def test_the_rate_falls_per_epoch_over_the_epochs_of_the_paper() -> None:
    recipe = get_recipe("nyud_mti_net_hrnet18")
    assert EpochOrder(795, 8, seed=0).epochs(recipe.steps) == 100
    assert recipe.steps * recipe.batch_size == pytest.approx(100 * 795, abs=8)
    scale = learning_rate_scale(0, steps=recipe.steps, warmup=0.0, schedule="polynomial", epoch=50, epochs=100)
    assert recipe.learning_rate * scale == pytest.approx(5.35887e-5, abs=5e-11)


def test_first_weights_reach_the_encoder_alone() -> None:
    recipe = get_recipe("nyud_mti_net_hrnet18")
    model = with_overrides(recipe, pretrained="hrnet.pth").model
    assert replace(model.backbone, pretrained=None) == recipe.model.backbone  # type: ignore[union-attr]
    assert model.backbone.pretrained == "hrnet.pth"  # type: ignore[union-attr]
    model = with_overrides(get_recipe("nyud_mt_cp"), pretrained="swin").model
    assert isinstance(model, MtCpConfig)
    assert model.mask2former is not None
    assert (model.mask2former.pretrained, model.backbone.pretrained) == ("swin", None)
    with pytest.raises(ValueError, match="pretrained"):
        with_overrides(get_recipe("tiny_sigmo"), pretrained="anything")

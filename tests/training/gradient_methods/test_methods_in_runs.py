"""Gradient methods and weightings in the training loop: exact resume, and the pairs that are refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.backbones import BackboneConfig
from models.shared_encoder import SharedEncoderConfig
from models.tasks import TaskName, tasks_of
from tests.helpers.tiny_datasets import write_mtan
from training.checkpoint import MODEL_FILE, STATE_FILE, find_checkpoint
from training.config_json import from_json, to_json
from training.datasets import DataRecipe
from training.folder_dataset import FolderConfig
from training.gradient_methods.build import GradientConfig, build_gradients
from training.gradient_methods.conflict import require_measurable
from training.gradient_methods.gradnorm import GradNormConfig
from training.gradient_methods.pairs import require_sensible_pair
from training.gradient_methods.torchjd_methods import (
    CaGradConfig,
    GradDropConfig,
    ImtlGConfig,
    MgdaConfig,
    NashMtlConfig,
    PcGradConfig,
)
from training.gradient_methods.weighted_sum import SumConfig
from training.instance_parameters import InstanceParametersConfig
from training.loop import RunOptions, train
from training.objectives.build import build_objective
from training.objectives.dense_tasks import DenseTasksObjective, DenseTasksOptions
from training.pipelines import PipelineA
from training.recipe import Recipe
from training.task_weighting.build import WeightingConfig
from training.task_weighting.dynamic_weight_average import DynamicWeightAverageConfig
from training.task_weighting.fixed import EqualConfig, FixedConfig
from training.task_weighting.loss_prioritisation import LossPrioritisationConfig
from training.task_weighting.uncertainty import UncertaintyConfig

TASKS: tuple[TaskName, ...] = ("segmentation", "depth", "normals")


def recipe(gradients: GradientConfig, weighting: WeightingConfig, steps: int = 4) -> Recipe:
    """Two steps an epoch over four pictures."""
    backbone = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))
    folder = FolderConfig(root="mtan", tasks=TASKS, pipeline=PipelineA(size=(32, 32)))
    return Recipe(
        name="balanced",
        options=DenseTasksOptions(weighting=weighting),
        model=SharedEncoderConfig(backbone=backbone, tasks=tasks_of(TASKS, 13)),
        data=DataRecipe(source="mtan", name="mtan", config=folder),
        gradients=gradients,
        steps=steps,
        batch_size=2,
        learning_rate=1e-2,
        precision="32-true",
        evaluate_every=100,
        checkpoint_every=1,
        log_every=1,
    )


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    write_mtan(root / "mtan", counts=(4, 1))
    return root


@pytest.mark.parametrize(
    ("gradients", "weighting"),
    [
        (GradNormConfig(), FixedConfig()),
        (PcGradConfig(), UncertaintyConfig()),
        (GradDropConfig(), DynamicWeightAverageConfig()),
        (NashMtlConfig(), EqualConfig()),
    ],
    ids=lambda config: config.kind,
)
def test_an_interrupted_run_goes_on_exactly(
    tmp_path: Path, data_root: Path, gradients: GradientConfig, weighting: WeightingConfig
) -> None:
    this = recipe(gradients, weighting)
    assert from_json(Recipe, to_json(this)) == this

    def run(out: Path, **options: float) -> dict[str, object]:
        return train(this, RunOptions(out=out, data_root=data_root, threads=1, progress=False, **options))  # type: ignore[arg-type]

    assert run(tmp_path / "whole")["finished"]
    for step in (1, 2):
        assert run(tmp_path / "parts", max_seconds=0.0)["step"] == step
    run(tmp_path / "parts")
    for file in (MODEL_FILE, STATE_FILE):
        one, other = (find_checkpoint(tmp_path / part) / file for part in ("whole", "parts"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("gradients", "weighting", "reason"),
    [
        (MgdaConfig(), UncertaintyConfig(), "mgda .* found uncertainty"),
        (ImtlGConfig(), DynamicWeightAverageConfig(), "imtl_g .* heads alone.* found dwa"),
        (NashMtlConfig(), LossPrioritisationConfig(), "nash_mtl .* found lps"),
        (MgdaConfig(), InstanceParametersConfig(granularity="task"), "mgda .* one parameter per task"),
        (GradNormConfig(), UncertaintyConfig(), "gradnorm learns .* found uncertainty"),
        (CaGradConfig(), LossPrioritisationConfig(clamp=None), "cagrad .* lps with a clamp"),
        (PcGradConfig(), InstanceParametersConfig(granularity="class"), "pcgrad .* found 'class'"),
    ],
)
def test_senseless_pairs_are_refused_by_name(
    gradients: GradientConfig, weighting: WeightingConfig, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        build_gradients(gradients, build_objective(recipe(gradients, weighting)))
    for fine in (EqualConfig(), FixedConfig()):
        build_gradients(gradients, build_objective(recipe(gradients, fine)))


def test_parameters_per_class_are_refused_where_tasks_are_taken_alone() -> None:
    this = build_objective(recipe(SumConfig(), InstanceParametersConfig(granularity="class")))
    with pytest.raises(ValueError, match=r"conflicts: .* found 'class'"):
        require_measurable(this)
    assert isinstance(this, DenseTasksObjective)
    with pytest.raises(ValueError, match=r"connection_strength .* found 'class'"):
        require_sensible_pair("connection_strength", this.weighting)
    require_sensible_pair("sum", this.weighting)
    for fine in (InstanceParametersConfig(), InstanceParametersConfig(granularity="task"), UncertaintyConfig()):
        require_measurable(build_objective(recipe(SumConfig(), fine)))


def test_uncertainty_and_log_projection_are_refused() -> None:
    with pytest.raises(ValueError, match=r"log_projection.*uncertainty"):
        replace(DenseTasksOptions(), weighting=UncertaintyConfig(), log_projection=True)

"""Training runs of the papers on their public data, with the published numbers beside them.

Weights begin at random unless `--pretrained` names a file or folder; the published ones began at ImageNet's (MTI-Net)
or at facebook/mask2former-swin-small-ade-semantic (MT-CP). The folder of a data set lies under `--data-root`.

Published numbers: mIoU in per cent, rmse in metres, saliency as mean IoU in per cent, delta_m in per cent against the
paper's own single-task networks. "Not found" means that the paper's tables could not be read.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from models.build import DenseTasksConfig
from models.mask2former_representation import Mask2FormerRepresentationConfig
from models.mt_cp import MtCpConfig
from models.mti_net import MTINetConfig
from models.pad_net import PADNetConfig
from models.shared_encoder import SharedEncoderConfig
from models.tasks import TaskName, tasks_of
from training.datasets import DataRecipe
from training.folder_dataset import FolderConfig
from training.losses.tasks import TaskLossConfig
from training.metrics.dense import NEAR_LIMIT
from training.metrics.edges import NYUD_TOLERANCE, PASCAL_TOLERANCE
from training.objectives.dense_tasks import DenseTasksOptions, Reference
from training.pipelines import NYUD_A, PASCAL_A, PipelineA
from training.recipe import Recipe
from training.task_weighting.loss_prioritisation import LossPrioritisationConfig

NYUD_CLASSES, PASCAL_CLASSES = 40, 21
NYUD_IMAGES, PASCAL_IMAGES = 795, 4998
BATCH = 8

NYUD_TWO: tuple[TaskName, ...] = ("segmentation", "depth")
NYUD_AUXILIARY: tuple[TaskName, ...] = ("edges", "normals")
NYUD_THREE: tuple[TaskName, ...] = ("segmentation", "depth", "normals")
PASCAL_FIVE: tuple[TaskName, ...] = ("segmentation", "parts", "saliency", "edges", "normals")
PASCAL_THREE: tuple[TaskName, ...] = ("segmentation", "parts", "saliency")

NYUD_HRNET18 = (
    Reference(task="segmentation", metric="segmentation/miou", value=0.3318),
    Reference(task="depth", metric="depth/rmse", value=0.667),
)
"""MTI-Net's single-task networks, for delta_m."""


def nyud_single_segmentation_hrnet18() -> Recipe:
    """MTI-Net, table of NYUD-v2: mIoU 33.18."""
    return _nyud("nyud_single_segmentation_hrnet18", SharedEncoderConfig(tasks=tasks_of(NYUD_TWO[:1], NYUD_CLASSES)))


def nyud_single_depth_hrnet18() -> Recipe:
    """MTI-Net, table of NYUD-v2: rmse 0.667."""
    return _nyud("nyud_single_depth_hrnet18", SharedEncoderConfig(tasks=tasks_of(NYUD_TWO[1:], NYUD_CLASSES)))


def nyud_shared_hrnet18() -> Recipe:
    """MTI-Net, table of NYUD-v2, shared encoder: mIoU 32.09, rmse 0.668, delta_m -1.71."""
    model = SharedEncoderConfig(tasks=tasks_of(NYUD_TWO, NYUD_CLASSES))
    return _nyud("nyud_shared_hrnet18", model, NYUD_HRNET18)


def nyud_pad_net_hrnet18() -> Recipe:
    """MTI-Net, table of NYUD-v2, PAD-Net: mIoU 32.80, rmse 0.660, delta_m -0.02."""
    model = PADNetConfig(tasks=tasks_of(NYUD_TWO, NYUD_CLASSES))
    return _nyud("nyud_pad_net_hrnet18", model, NYUD_HRNET18)


def nyud_mti_net_hrnet18() -> Recipe:
    """MTI-Net, table of NYUD-v2: mIoU 35.12, rmse 0.620, delta_m +6.40; without FPM 34.38, 0.640, +3.85."""
    model = MTINetConfig(tasks=tasks_of(NYUD_TWO, NYUD_CLASSES))
    return _nyud("nyud_mti_net_hrnet18", model, NYUD_HRNET18)


def nyud_mti_net_hrnet18_auxiliary() -> Recipe:
    """MTI-Net, table of NYUD-v2, edges and normals as auxiliary tasks: mIoU 37.49, rmse 0.607, delta_m +10.91."""
    model = MTINetConfig(tasks=tasks_of(NYUD_TWO, NYUD_CLASSES), auxiliary_tasks=tasks_of(NYUD_AUXILIARY, NYUD_CLASSES))
    return _nyud("nyud_mti_net_hrnet18_auxiliary", model, NYUD_HRNET18)


def pascal_mti_net_hrnet18_5task() -> Recipe:
    """MTI-Net in its authors' later survey, PASCAL-Context with five tasks: delta_m +1.13; values per task not found.

    Later papers quote segmentation mIoU 61.70 and normals 14.23 degrees.
    """
    model = MTINetConfig(tasks=tasks_of(PASCAL_FIVE, PASCAL_CLASSES))
    return _pascal("pascal_mti_net_hrnet18_5task", model, epochs=100)


def pascal_mti_net_hrnet18_3task() -> Recipe:
    """MTI-Net as quoted by MTFormer: segmentation 64.98, parts 62.90, saliency 67.84; backbone of the quote unknown."""
    model = MTINetConfig(tasks=tasks_of(PASCAL_THREE, PASCAL_CLASSES))
    return _pascal("pascal_mti_net_hrnet18_3task", model, epochs=80)


def nyud_mt_cp() -> Recipe:
    """MT-CP on NYUD-v2 with loss prioritisation: results not found.

    Closest with the same data and depth range, MTFormer: mIoU 50.56, rmse 0.483 (`depth/near_rmse`).
    """
    model = MtCpConfig(
        mask2former=Mask2FormerRepresentationConfig(), tasks=tasks_of(NYUD_THREE, NYUD_CLASSES), enlargement=2
    )
    return _mt_cp("nyud_mt_cp", model, _nyud_data(NYUD_THREE, replace(NYUD_A, normals="nearest")), NYUD_IMAGES, 7.5)


def pascal_mt_cp() -> Recipe:
    """MT-CP on PASCAL-Context with loss prioritisation: results not found.

    Closest with the same data, MTFormer: segmentation 74.15, parts 64.89, saliency 67.71.
    """
    model = MtCpConfig(
        mask2former=Mask2FormerRepresentationConfig(), tasks=tasks_of(PASCAL_THREE, PASCAL_CLASSES), enlargement=4
    )
    return _mt_cp("pascal_mt_cp", model, _pascal_data(PASCAL_THREE), PASCAL_IMAGES, 1.6, PASCAL_TOLERANCE)


def _nyud(name: str, model: DenseTasksConfig, single_task: tuple[Reference, ...] = ()) -> Recipe:
    return _mti_net(
        name, model, _nyud_data(_labels(model), NYUD_A), NYUD_IMAGES, 100, NYUD_TOLERANCE, single_task=single_task
    )


def _pascal(name: str, model: DenseTasksConfig, epochs: int) -> Recipe:
    return _mti_net(name, model, _pascal_data(_labels(model)), PASCAL_IMAGES, epochs, PASCAL_TOLERANCE)


def _mti_net(
    name: str,
    model: DenseTasksConfig,
    data: DataRecipe,
    images: int,
    epochs: int,
    edge_tolerance: float,
    single_task: tuple[Reference, ...] = (),
) -> Recipe:
    """The set-up of MTI-Net's released code: Adam, polynomial rate per epoch, fixed weights, no clipping."""
    return Recipe(
        name=name,
        options=DenseTasksOptions(absent_is_zero=True, edge_tolerance=edge_tolerance, single_task=single_task),
        model=model,
        data=data,
        learning_rate=1e-4,
        weight_decay=1e-4,
        optimizer="adam",
        **_schedule(images, epochs),
    )


def _mt_cp(
    name: str, model: MtCpConfig, data: DataRecipe, images: int, kappa: float, edge_tolerance: float = NYUD_TOLERANCE
) -> Recipe:
    """The set-up of MT-CP's released code, with the loss prioritisation that the paper describes switched on."""
    return Recipe(
        name=name,
        options=DenseTasksOptions(
            losses=TaskLossConfig(depth_limit=NEAR_LIMIT, normals="mse", intermediate_normals="l1"),
            weighting=LossPrioritisationConfig(kappa=kappa),
            log_projection=True,
            intermediate="mean",
            absent_is_zero=True,
            edge_tolerance=edge_tolerance,
        ),
        model=model,
        data=data,
        learning_rate=5e-5,
        weight_decay=1e-4,
        optimizer="adamw",
        **_schedule(images, epochs=100),
    )


def _schedule(images: int, epochs: int) -> dict[str, Any]:
    """As many whole steps as the epochs hold, evaluated ten times, in full precision and without averaging weights."""
    steps = images * epochs // BATCH
    return {
        "steps": steps,
        "batch_size": BATCH,
        "warmup": 0.0,
        "schedule": "polynomial",
        "clip_norm": None,
        "precision": "32-true",
        "ema_decay": None,
        "evaluate_every": -(-steps // 10),
        "checkpoint_every": 500,
    }


def _labels(model: DenseTasksConfig) -> tuple[TaskName, ...]:
    """Names of the main and auxiliary tasks."""
    auxiliary = model.auxiliary_tasks if isinstance(model, (MTINetConfig, PADNetConfig)) else ()
    return tuple(task.name for task in model.tasks + auxiliary)


def _nyud_data(tasks: tuple[TaskName, ...], pipeline: PipelineA) -> DataRecipe:
    return DataRecipe(source="nyud", name="nyud", config=FolderConfig(root="NYUD_MT", tasks=tasks, pipeline=pipeline))


def _pascal_data(tasks: tuple[TaskName, ...]) -> DataRecipe:
    config = FolderConfig(root="PASCAL_MT", tasks=tasks, pipeline=PASCAL_A)
    return DataRecipe(source="pascal_context", name="pascal_context", config=config)


PAPER_RECIPES: tuple[Callable[[], Recipe], ...] = (
    nyud_single_segmentation_hrnet18,
    nyud_single_depth_hrnet18,
    nyud_shared_hrnet18,
    nyud_pad_net_hrnet18,
    nyud_mti_net_hrnet18,
    nyud_mti_net_hrnet18_auxiliary,
    pascal_mti_net_hrnet18_5task,
    pascal_mti_net_hrnet18_3task,
    nyud_mt_cp,
    pascal_mt_cp,
)

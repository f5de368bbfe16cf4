"""Training runs that compare the dense networks on generated rooms: one encoder, one data set, one budget.

Sized for a few minutes each on one CPU core: a slim encoder, small pictures, whole views of rooms without camera
effects, so that what can be learnt from few images is learnt. Every network gets the same encoder, losses, optimiser
and number of images; only what a name says differs.
"""

from collections.abc import Callable
from dataclasses import replace

from models.backbones import BackboneConfig
from models.build import DenseTasksConfig
from models.mt_cp import MtCpConfig
from models.mti_net import MTINetConfig
from models.pad_net import PADNetConfig
from models.shared_encoder import SharedEncoderConfig
from models.tasks import tasks_of
from training.data.photometrics import CLEAN
from training.data.rooms import RoomConfig
from training.data.viewpoint import ViewConfig
from training.datasets import DataRecipe
from training.objectives.dense_tasks import DenseTasksOptions
from training.objectives.perceive import CANONICAL_FOCAL_RATIO
from training.recipe import Recipe
from training.task_weighting.loss_prioritisation import LossPrioritisationConfig

STEPS, BATCH, IMAGES, VALIDATION_IMAGES = 1200, 8, 1600, 192
BACKBONE = BackboneConfig(name="resnet", embedding_size=16, hidden_sizes=(16, 32, 64, 128), depths=(1, 1, 1, 1))
TASKS = tasks_of(("segmentation", "depth", "normals"), classes=13)
SEGMENTATION, DEPTH, NORMALS = ((task,) for task in TASKS)
CHANNELS = 32
"""Of PAD-Net's task features and of MT-CP's representation; 256 in the papers."""
MT_CP = MtCpConfig(backbone=BACKBONE, tasks=TASKS, channels=CHANNELS)

ROOMS = RoomConfig(
    height=64, width=96, photometrics=CLEAN,
    views=ViewConfig(overview=0.5, corner=0.3, seated=0.2, surface=0.0, close_up=0.0, tilted=0.0),
)  # fmt: skip

OPTIONS = DenseTasksOptions(canonical_focal_ratio=CANONICAL_FOCAL_RATIO)
MT_CP_OPTIONS = replace(OPTIONS, intermediate="mean")


def rooms_single_segmentation() -> Recipe:
    """A network for segmentation alone."""
    return _rooms("rooms_single_segmentation", SharedEncoderConfig(backbone=BACKBONE, tasks=SEGMENTATION))


def rooms_single_depth() -> Recipe:
    """A network for depth alone."""
    return _rooms("rooms_single_depth", SharedEncoderConfig(backbone=BACKBONE, tasks=DEPTH))


def rooms_single_normals() -> Recipe:
    """A network for normals alone."""
    return _rooms("rooms_single_normals", SharedEncoderConfig(backbone=BACKBONE, tasks=NORMALS))


def rooms_shared() -> Recipe:
    """The plain multi-task baseline."""
    return _rooms("rooms_shared", SharedEncoderConfig(backbone=BACKBONE, tasks=TASKS))


def rooms_pad_net() -> Recipe:
    """PAD-Net."""
    return _rooms("rooms_pad_net", PADNetConfig(backbone=BACKBONE, tasks=TASKS, channels=CHANNELS))


def rooms_mti_net() -> Recipe:
    """MTI-Net at all four scales."""
    return _rooms("rooms_mti_net", MTINetConfig(backbone=BACKBONE, tasks=TASKS))


def rooms_mti_net_without_fpm() -> Recipe:
    """MTI-Net whose scales do not hear of each other."""
    return _rooms("rooms_mti_net_without_fpm", MTINetConfig(backbone=BACKBONE, tasks=TASKS, use_fpm=False))


def rooms_mti_net_scales_1() -> Recipe:
    """MTI-Net with tasks interacting at stride 4."""
    return _rooms("rooms_mti_net_scales_1", MTINetConfig(backbone=BACKBONE, tasks=TASKS, scales=(0,)))


def rooms_mti_net_scales_2() -> Recipe:
    """MTI-Net with tasks interacting at strides 4 and 8."""
    return _rooms("rooms_mti_net_scales_2", MTINetConfig(backbone=BACKBONE, tasks=TASKS, scales=(0, 1)))


def rooms_mti_net_scales_3() -> Recipe:
    """MTI-Net with tasks interacting at strides 4, 8 and 16."""
    return _rooms("rooms_mti_net_scales_3", MTINetConfig(backbone=BACKBONE, tasks=TASKS, scales=(0, 1, 2)))


def rooms_mt_cp() -> Recipe:
    """MT-CP on the encoder's feature pyramid, with fixed task weights."""
    return _rooms("rooms_mt_cp", MT_CP, MT_CP_OPTIONS)


def rooms_mt_cp_without_trace_back() -> Recipe:
    """MT-CP that predicts from the fused features, without intermediate predictions."""
    return _rooms("rooms_mt_cp_without_trace_back", replace(MT_CP, trace_back=False), MT_CP_OPTIONS)


def rooms_mt_cp_without_coherence() -> Recipe:
    """MT-CP whose tasks do not hear of each other after the representation."""
    return _rooms("rooms_mt_cp_without_coherence", replace(MT_CP, coherence_fusion=False), MT_CP_OPTIONS)


def rooms_mt_cp_lps() -> Recipe:
    """MT-CP with log projection and loss prioritisation instead of fixed weights."""
    options = replace(MT_CP_OPTIONS, weighting=LossPrioritisationConfig(), log_projection=True)
    return _rooms("rooms_mt_cp_lps", MT_CP, options)


def _rooms(name: str, model: DenseTasksConfig, options: DenseTasksOptions = OPTIONS) -> Recipe:
    return Recipe(
        name=name,
        options=options,
        model=model,
        data=DataRecipe(
            source="rooms",
            name="rooms_small",
            config=ROOMS,
            count=IMAGES,
            validation_count=VALIDATION_IMAGES,
        ),
        steps=STEPS,
        batch_size=BATCH,
        learning_rate=2e-3,
        weight_decay=0.02,
        ema_decay=0.995,
        evaluate_every=STEPS // 4,
    )


ROOM_RECIPES: tuple[Callable[[], Recipe], ...] = (
    rooms_single_segmentation,
    rooms_single_depth,
    rooms_single_normals,
    rooms_shared,
    rooms_pad_net,
    rooms_mti_net,
    rooms_mti_net_without_fpm,
    rooms_mti_net_scales_1,
    rooms_mti_net_scales_2,
    rooms_mti_net_scales_3,
    rooms_mt_cp,
    rooms_mt_cp_without_trace_back,
    rooms_mt_cp_without_coherence,
    rooms_mt_cp_lps,
)

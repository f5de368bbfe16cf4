"""Training runs: each a function that returns a full, frozen configuration; the command line overrides few fields."""

import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.backbones import BackboneConfig
from models.build import DenseTasksConfig, ModelConfig
from models.global_matching import GlobalMatchingConfig
from models.mt_cp import MtCpConfig
from models.multitask_baseline import MultiTaskBaselineConfig
from models.pixel_warp import PixelWarpConfig
from models.stitched_image import StitchedImageConfig
from models.task_batch_norm import TaskBatchNormConfig
from training.augmentation import STRONG
from training.data.pairs import WIDE, PairConfig
from training.data.rooms import RoomConfig
from training.datasets import DataRecipe
from training.objectives.perceive import PerceiveOptions
from training.objectives.pixel_warp import PixelWarpOptions
from training.objectives.stitched_image import StitchedImageOptions
from training.pair_folder_dataset import PairFolderConfig
from training.paper_recipes import PAPER_RECIPES
from training.readers.pair_build import pair_layout
from training.recipe import Recipe
from training.room_recipes import ROOM_RECIPES


def perceive_rooms() -> Recipe:
    """The released dense model: depth, NYU-13 segmentation and normals, on generated rooms and some streets.

    Seven of ten batches are at half size: in the same time the network sees twice as many images.
    """
    return Recipe(
        name="perceive_rooms",
        options=PerceiveOptions(photometric=STRONG, reduced=0.7),
        model=MultiTaskBaselineConfig(context_blocks=2),
        data=DataRecipe(
            source="rooms", name="rooms", config=RoomConfig(outdoor=0.12), count=6016, validation_count=192
        ),
        steps=7000,
        batch_size=16,
        learning_rate=1.5e-3,
        weight_decay=0.02,
        evaluate_every=700,
    )


def perceive_rooms_full() -> Recipe:
    """The second stage of the released dense model, begun with a run of `perceive_rooms` (`--start-from`).

    Three of four batches at the frames' own size, one of five upright.
    """
    return replace(
        perceive_rooms(),
        name="perceive_rooms_full",
        options=PerceiveOptions(photometric=STRONG, reduced=0.25, upright=0.2),
        learning_rate=6e-4,
        steps=2900,
    )


def perceive_rooms_deep() -> Recipe:
    """A deeper network on more frames, begun with a run of `perceive_rooms_full` (`--start-from`).

    Its additional blocks change nothing at first; at strides 8 to 32 they cost little beside the heads. More than half
    of its frames are new: on those of the stages before, the network did better than on unseen ones.
    """
    full = perceive_rooms_full()
    return replace(
        full,
        name="perceive_rooms_deep",
        model=MultiTaskBaselineConfig(backbone=BackboneConfig(depths=(2, 4, 6, 3)), context_blocks=4),
        data=replace(full.data, count=14016),
        steps=4000,
    )


def stitch_pixel_warp() -> Recipe:
    """The released pixel-wise warp, on generated pairs.

    All of them pre-aligned, as the service does: raw displacements are ten times larger and would rule the loss.
    """
    return Recipe(
        name="stitch_pixel_warp",
        options=PixelWarpOptions(prealign=1.0),
        model=PixelWarpConfig(),
        data=DataRecipe(source="pairs", name="pairs", config=PairConfig(), count=1536, validation_count=64),
        steps=2600,
        batch_size=4,
        learning_rate=5e-4,
        weight_decay=1e-4,
        ema_decay=0.995,
        evaluate_every=650,
    )


def stitch_pixel_warp_wide() -> Recipe:
    """The warp on pairs of all levels of parallax, some of them outdoors.

    Of the released recipe's pairs a homography leaves less than a pixel mostly, which the service's sharpening finds
    without a network. The disturbance of the pre-alignment is about the error of the service's homographies.
    """
    return replace(
        stitch_pixel_warp(),
        name="stitch_pixel_warp_wide",
        options=PixelWarpOptions(prealign=1.0, jitter=0.02),
        data=DataRecipe(
            source="pairs", name="pairs_wide", config=replace(WIDE, outdoor=0.12), count=1536, validation_count=64
        ),
    )


def stitch_global_matching() -> Recipe:
    """The other network of flow, trained as `stitch_pixel_warp` is."""
    return replace(stitch_pixel_warp(), name="stitch_global_matching", model=GlobalMatchingConfig())


def stitch_sigmo() -> Recipe:
    """The composition alone, on generated pairs warped by the released pixel-wise warp's run."""
    return Recipe(
        name="stitch_sigmo",
        options=StitchedImageOptions(pixel_warp="artifacts/runs/stitch_pixel_warp"),
        model=StitchedImageConfig(),
        data=DataRecipe(source="pairs", name="pairs", config=PairConfig(), count=1536, validation_count=32),
        steps=500,
        batch_size=2,
        learning_rate=1e-3,
        weight_decay=1e-4,
        ema_decay=0.99,
        evaluate_every=250,
    )


def stitch_sigmo_generate() -> Recipe:
    """The released composition: that of `stitch_sigmo` beside a head that draws the whole image."""
    composed = stitch_sigmo()
    return replace(
        composed,
        name="stitch_sigmo_generate",
        model=StitchedImageConfig(mode="generate"),
        data=replace(composed.data, count=2048),
        steps=1600,
        evaluate_every=400,
    )


def tiny_perceive() -> Recipe:
    """Seconds on a CPU: for tests and for trying the tools."""
    return Recipe(
        name="tiny_perceive",
        options=PerceiveOptions(),
        model=MultiTaskBaselineConfig(
            backbone=BackboneConfig(embedding_size=8, hidden_sizes=(8, 12, 16, 24), depths=(1, 1, 1, 1)),
            decoder_channels=16,
            detail_channels=8,
            head_channels=8,
        ),
        data=DataRecipe(
            source="rooms",
            name="rooms_tiny",
            config=RoomConfig(height=64, width=96),
            count=16,
            validation_count=4,
            shard_size=8,
        ),
        steps=20,
        batch_size=4,
        learning_rate=4e-3,
        precision="32-true",
        ema_decay=0.9,
        evaluate_every=10,
        checkpoint_every=5,
        log_every=1,
    )


def tiny_pixel_warp() -> Recipe:
    """Seconds on a CPU: for tests and for trying the tools."""
    return Recipe(
        name="tiny_pixel_warp",
        options=PixelWarpOptions(),
        model=PixelWarpConfig(
            iterations=2,
            encoder_channels=(8, 12, 16),
            feature_channels=16,
            hidden_channels=16,
            context_channels=16,
            motion_channels=16,
            levels=2,
            radius=2,
        ),
        data=_tiny_pairs(),
        steps=20,
        batch_size=2,
        learning_rate=2e-3,
        precision="32-true",
        ema_decay=0.9,
        evaluate_every=10,
        checkpoint_every=5,
        log_every=1,
    )


def tiny_sigmo() -> Recipe:
    """Seconds on a CPU, without a trained warp: for tests and for trying the tools."""
    return Recipe(
        name="tiny_sigmo",
        options=StitchedImageOptions(crop=(64, 96)),
        model=StitchedImageConfig(widths=(4, 8, 8, 8, 8)),
        data=_tiny_pairs(),
        steps=20,
        batch_size=2,
        learning_rate=4e-3,
        precision="32-true",
        ema_decay=None,
        evaluate_every=10,
        checkpoint_every=5,
        log_every=1,
    )


def _tiny_pairs() -> DataRecipe:
    return DataRecipe(
        source="pairs",
        name="pairs_tiny",
        config=PairConfig(height=64, width=96),
        count=8,
        validation_count=4,
        shard_size=4,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe
    for recipe in (
        perceive_rooms,
        perceive_rooms_full,
        perceive_rooms_deep,
        stitch_pixel_warp,
        stitch_pixel_warp_wide,
        stitch_global_matching,
        stitch_sigmo,
        stitch_sigmo_generate,
        tiny_perceive,
        tiny_pixel_warp,
        tiny_sigmo,
        *PAPER_RECIPES,
        *ROOM_RECIPES,
    )
}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name, or the one that a Python file (NAME.py) calls `recipe`.

    Raises ValueError with the known names otherwise, and for a file that cannot be read as one.
    """
    if name.endswith(".py"):
        return _recipe_in(Path(name))
    if name not in RECIPES:
        raise ValueError(f"recipe: expected one of {sorted(RECIPES)} or a .py file, found {name!r}")
    return RECIPES[name]()


def _recipe_in(path: Path) -> Recipe:
    """Runs the file; whatever it raises is said with the file's name."""
    if not path.is_file():
        raise ValueError(f"recipe: expected a file, found none at {path}")
    try:
        found = runpy.run_path(str(path)).get("recipe")
    except Exception as error:  # anybody's file
        raise ValueError(f"recipe: {path} ends with {type(error).__name__}: {error}") from error
    if not isinstance(found, Recipe):
        raise ValueError(f"recipe: expected a Recipe called recipe in {path}, found {type(found).__name__}")
    return found


def with_overrides(
    recipe: Recipe,
    *,
    data_count: int | None = None,
    validation_count: int | None = None,
    stream: bool | None = None,
    pixel_warp: str | None = None,
    pretrained: str | None = None,
    pairs: Path | None = None,
    start_from: Path | None = None,
    **values: Any,
) -> Recipe:
    """The recipe with some fields replaced; None leaves a field as it is.

    data_count, validation_count and stream reach its data; pixel_warp is the frozen warp of a composition (ValueError
    for another objective); pretrained is what the network's encoder begins with (ValueError for one without); pairs is
    a folder that takes the place of generated pairs (ValueError for a recipe of single photographs, and for a folder
    whose pairs lack the truth that the recipe needs).
    """
    data = recipe.data if pairs is None else _data_of_pairs(recipe, pairs)
    data = data if data_count is None else replace(data, count=data_count)
    data = data if validation_count is None else replace(data, validation_count=validation_count)
    data = data if stream is None else replace(data, stream=stream)
    options = recipe.options
    if pixel_warp is not None:
        if not isinstance(options, StitchedImageOptions):
            raise ValueError(f"pixel_warp: expected a recipe of a stitched_image, found {recipe.objective}")
        options = replace(options, pixel_warp=pixel_warp)
    model = recipe.model
    if pretrained is not None:
        model = _with_pretrained(model, pretrained)
    changed = {name: value for name, value in values.items() if value is not None}
    if start_from is not None:
        changed["start_from"] = str(start_from)
    return replace(recipe, data=data, options=options, model=model, **changed)


def _data_of_pairs(recipe: Recipe, folder: Path) -> DataRecipe:
    """All pairs of a folder, at the size of the recipe's frames."""
    if not isinstance(recipe.options, PixelWarpOptions | StitchedImageOptions):
        raise ValueError(f"pairs: expected a recipe of pairs, found {recipe.objective}")
    layout = pair_layout(folder)
    if layout == "udis" and isinstance(recipe.options, StitchedImageOptions):
        raise ValueError(f"pairs: expected true stitched views for {recipe.objective}, found {folder} without any")
    size = recipe.data.config
    config = PairFolderConfig(root=str(folder.resolve()), height=size.height, width=size.width)
    return DataRecipe(source=layout, name=layout, config=config, seed=recipe.data.seed)


def _with_pretrained(model: ModelConfig, pretrained: str) -> ModelConfig:
    """The network with an encoder that is loaded: Mask2Former where it has one, else its backbone."""
    if isinstance(model, MtCpConfig) and model.mask2former is not None:
        return replace(model, mask2former=replace(model.mask2former, pretrained=pretrained))
    if isinstance(model, TaskBatchNormConfig):
        return replace(model, network=_with_pretrained(model.network, pretrained))  # type: ignore[arg-type]
    if isinstance(model, MultiTaskBaselineConfig | DenseTasksConfig):
        return replace(model, backbone=replace(model.backbone, pretrained=pretrained))
    raise ValueError(f"pretrained: expected a network with an encoder, found {type(model).__name__}")

"""What a training run follows from: one frozen dataclass, whose values `training.recipes` names."""

from dataclasses import dataclass, field
from typing import Literal

from models.build import ModelConfig
from models.task_batch_norm import TaskBatchNormConfig
from training.connection_strength import ConnectionStrengthConfig
from training.datasets import DataRecipe
from training.gradient_methods.build import GradientConfig
from training.gradient_methods.weighted_sum import SumConfig
from training.objectives.dense_tasks import DenseTasksOptions
from training.objectives.perceive import PerceiveOptions
from training.objectives.pixel_warp import PixelWarpOptions
from training.objectives.stitched_image import StitchedImageOptions
from training.schedule import Schedule

ObjectiveOptions = PerceiveOptions | DenseTasksOptions | PixelWarpOptions | StitchedImageOptions
Precision = Literal["32-true", "bf16-mixed"]
Optimizer = Literal["adamw", "adam", "sgd"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that a run follows from, besides the device it runs on.

    steps: batches; batch_size: images per step, over all processes; warmup: share of the steps; optimizer: "adamw"
    spares biases and normalisation weights from decay, "adam" (L2) and "sgd" (momentum 0.9) decay everything, as the
    papers do; clip_norm: largest gradient norm, None for any; ema_decay: of the moving average that is evaluated and
    published, None for none; gradients: what is done with the tasks' gradients, as a rule their sum; accumulate: parts
    of a batch that pass through the network one after another, for less memory; evaluate_every, checkpoint_every,
    log_every: in steps; start_from: checkpoint or run whose weights the network begins with, see `begin_from`.
    """

    name: str
    options: ObjectiveOptions
    model: ModelConfig
    data: DataRecipe
    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup: float = 0.05
    schedule: Schedule = "one_cycle"
    optimizer: Optimizer = "adamw"
    clip_norm: float | None = 1.0
    precision: Precision = "bf16-mixed"
    ema_decay: float | None = 0.999
    gradients: GradientConfig = field(default_factory=SumConfig)
    accumulate: int = 1
    evaluate_every: int = 500
    checkpoint_every: int = 250
    log_every: int = 10
    seed: int = 0
    start_from: str | None = None

    @property
    def objective(self) -> str:
        """perceive, dense_tasks, pixel_warp or stitched_image."""
        return self.options.kind

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "evaluate_every", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if isinstance(self.gradients, ConnectionStrengthConfig) and not isinstance(self.model, TaskBatchNormConfig):
            raise ValueError(f"gradients: connection_strength needs a task_batch_norm model, found {self.model.kind}")

"""PAD-Net: initial predictions of all tasks at one scale, distilled into each other before the final ones.

After Xu et al., "PAD-Net: Multi-Tasks Guided Prediction-and-Distillation Network" (CVPR 2018), with the distillation of
its module C. The paper leaves widths and heads to the encoder; this arrangement is the one with which MTI-Net
(Vandenhende et al., ECCV 2020, table of resources) compares, whose size it meets exactly: 7,019,056 parameters with
HRNet-18, segmentation of 40 classes and depth.

Shapes: B batch, O outputs of a task, H and W of the image; features lie at stride 4.
"""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from models.backbones import HRNET_W18_SMALL_V2, Backbone, BackboneConfig
from models.blocks import Bottleneck, ImageNormalisation, PredictionLayer, concat_at_finest, resize_like
from models.distillation import MultiModalDistillation
from models.tasks import Intermediate, TaskOutputs, TaskSpec, require_tasks


@dataclass(frozen=True, kw_only=True)
class PADNetConfig:
    """Encoder, tasks, tasks that only help (predicted initially, never finally), and the width of task features."""

    kind: Literal["pad_net"] = "pad_net"
    backbone: BackboneConfig = field(default=HRNET_W18_SMALL_V2)
    tasks: tuple[TaskSpec, ...]
    auxiliary_tasks: tuple[TaskSpec, ...] = ()
    channels: int = 256

    def __post_init__(self) -> None:
        require_tasks("tasks", self.tasks)
        require_tasks("tasks and auxiliary_tasks", self.tasks + self.auxiliary_tasks)
        if self.channels < Bottleneck.EXPANSION or self.channels % Bottleneck.EXPANSION:
            raise ValueError(f"channels: expected a positive multiple of {Bottleneck.EXPANSION}, found {self.channels}")


class PADNet(nn.Module):
    """Encoder, joint features, initial predictions, distillation, heads."""

    def __init__(self, config: PADNetConfig, backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        joint, width = sum(backbone.channels), config.channels
        inner = width // Bottleneck.EXPANSION
        everything = config.tasks + config.auxiliary_tasks
        self.normalisation = ImageNormalisation()
        self.backbone = backbone
        self.joint = nn.Sequential(nn.Conv2d(joint, joint, 1), nn.BatchNorm2d(joint), nn.ReLU())
        self.features = nn.ModuleDict(
            {task.name: nn.Sequential(Bottleneck(joint, inner), Bottleneck(width, inner)) for task in everything}
        )
        self.initial = nn.ModuleDict({task.name: PredictionLayer(width, task.channels) for task in everything})
        self.distillation = MultiModalDistillation(
            [task.name for task in config.tasks], [task.name for task in everything], width
        )
        self.heads = nn.ModuleDict(
            {
                task.name: nn.Sequential(
                    Bottleneck(width, inner), Bottleneck(width, inner), PredictionLayer(width, task.channels)
                )
                for task in config.tasks
            }
        )

    def forward(self, image_B3HW: Tensor, only: str | None = None) -> TaskOutputs:
        """Raw maps of the tasks, see models.tasks; in training also the initial predictions of all, as level 0.

        image_B3HW: float32 in [0, 1], sRGB; H and W multiples of 32. Raises ValueError on another shape.
        only: the one task whose final map is computed, where not all are wanted.
        """
        joint = self.joint(concat_at_finest(self.backbone(self.normalisation(image_B3HW))))
        features = {name: extract(joint) for name, extract in self.features.items()}
        intermediate: tuple[Intermediate, ...] = ()
        if self.training:
            intermediate = tuple(
                Intermediate(name, 0, predict(features[name])) for name, predict in self.initial.items()
            )
        distilled = self.distillation(features)
        heads = {name: head for name, head in self.heads.items() if only in (None, name)}
        final = {name: resize_like(head(distilled[name]), image_B3HW) for name, head in heads.items()}
        return TaskOutputs(final, intermediate)

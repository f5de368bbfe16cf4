"""The plain baselines: one encoder, its four maps joined at stride 4, and one head per task.

With one task this is the single-task network that others are compared with; with several, plain multi-task learning.

Shapes: B batch, O outputs of a task, H and W of the image.
"""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from models.backbones import HRNET_W18_SMALL_V2, Backbone, BackboneConfig
from models.blocks import ImageNormalisation, PredictionHead, concat_at_finest, resize_like
from models.tasks import TaskOutputs, TaskSpec, require_tasks


@dataclass(frozen=True, kw_only=True)
class SharedEncoderConfig:
    """The encoder and the tasks that share it."""

    kind: Literal["shared_encoder"] = "shared_encoder"
    backbone: BackboneConfig = field(default=HRNET_W18_SMALL_V2)
    tasks: tuple[TaskSpec, ...]

    def __post_init__(self) -> None:
        require_tasks("tasks", self.tasks)


class SharedEncoder(nn.Module):
    """All tasks of one image; nothing but the encoder is shared."""

    def __init__(self, config: SharedEncoderConfig, backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        self.normalisation = ImageNormalisation()
        self.backbone = backbone
        width = sum(backbone.channels)
        self.heads = nn.ModuleDict({task.name: PredictionHead(width, task.channels) for task in config.tasks})

    def forward(self, image_B3HW: Tensor, only: str | None = None) -> TaskOutputs:
        """Raw maps of the tasks, see models.tasks; no intermediate predictions.

        image_B3HW: float32 in [0, 1], sRGB; H and W multiples of 32. Raises ValueError on another shape.
        only: the one task whose final map is computed, where not all are wanted.
        """
        feat = concat_at_finest(self.backbone(self.normalisation(image_B3HW)))
        final = {name: resize_like(head(feat), image_B3HW) for name, head in self.heads.items() if only in (None, name)}
        return TaskOutputs(final, ())

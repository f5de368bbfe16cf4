"""MT-CP: task decoders that gather from each other where they agree, then trace back through their own levels.

After the WACV 2025 paper of MT-CP; docs/methods/mt-cp.md says which details follow the paper's released code and which
are ours. One shared representation R feeds a Swin decoder per task; coherence fusion couples the tasks; a chain of
spatial refinements leads each task from stride 16 back to stride 4. Loss prioritisation belongs to training.

Shapes: B batch, C channels of R and of the fused features, O outputs of a task, H and W of the image,
h = H / 4, w = W / 4.
"""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from models.backbones import Backbone, BackboneConfig, build_backbone
from models.blocks import ImageNormalisation, resize_like
from models.feature_pyramid import FeaturePyramid
from models.mask2former_representation import (
    Mask2FormerRepresentation,
    Mask2FormerRepresentationConfig,
    build_mask2former,
)
from models.mt_cp_fusion import CoherenceFusion
from models.mt_cp_heads import final_head, intermediate_head
from models.mt_cp_trace_back import TraceBack
from models.shapes import require_image
from models.swin_stage import SwinStages
from models.tasks import Intermediate, TaskOutputs, TaskSpec, require_tasks, tasks_of

INPUT_MULTIPLE = 32
CHANNEL_MULTIPLE = 16
DECODER_DEPTHS = (1, 2, 1)
DECODER_HEADS = (2, 2, 2)
DECODER_WINDOW = 7
COARSEST_LEVEL = len(DECODER_DEPTHS) - 1


@dataclass(frozen=True, kw_only=True)
class MtCpConfig:
    """Which representation, how wide, and which parts of the method.

    backbone: with a feature pyramid, gives R, unless `mask2former` is set, which then gives it as in the paper.
    channels: width of R; the decoders' levels have once, twice and four times as much. 256 in the paper.
    coherence_fusion: False hands each task its own merged features instead of fused ones (Z_t = X_t).
    trace_back: False lets the final heads read Z_t, and there are no intermediate predictions.
    supervise_initial: also predict from Z_t, as the paper's figure has it and its code has not; needs trace_back.
    pooled_keys: 1 in the paper; 2, 4 or 8 average keys and values over such squares, which divides the attention's
        cost by the square. Meant for deployment, after fine-tuning with it.
    enlargement: of class logits inside their heads, with aligned corners: 2 on NYUD-v2, 4 on PASCAL-Context.
    """

    kind: Literal["mt_cp"] = "mt_cp"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    mask2former: Mask2FormerRepresentationConfig | None = None
    tasks: tuple[TaskSpec, ...] = tasks_of(("segmentation", "depth", "normals"), classes=40)
    channels: int = 256
    coherence_fusion: bool = True
    trace_back: bool = True
    supervise_initial: bool = False
    pooled_keys: int = 1
    enlargement: int = 2

    def __post_init__(self) -> None:
        require_tasks("tasks", self.tasks)
        if self.channels < 1 or self.channels % CHANNEL_MULTIPLE:
            raise ValueError(f"channels: expected a positive multiple of {CHANNEL_MULTIPLE}, found {self.channels}")
        if self.coherence_fusion and len(self.tasks) < 2:
            raise ValueError("coherence_fusion: expected False for a single task, found True")
        if self.supervise_initial and not self.trace_back:
            raise ValueError("supervise_initial: expected False without trace_back, found True")
        if self.pooled_keys not in (1, 2, 4, 8):
            raise ValueError(f"pooled_keys: expected 1, 2, 4 or 8, found {self.pooled_keys}")
        if self.enlargement < 1:
            raise ValueError(f"enlargement: expected a positive integer, found {self.enlargement}")


class PyramidRepresentation(nn.Module):
    """R from any backbone of `models.backbones`: the finest level of a feature pyramid."""

    def __init__(self, backbone: Backbone, channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pyramid = FeaturePyramid(backbone.channels, channels, refined=1)
        self.channels = channels

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """image_B3HW: float32, zero mean and unit deviation over ImageNet, H and W multiples of 32; to [B, C, h, w]."""
        return self.pyramid(self.backbone(image_B3HW))[0]


def build_representation(config: MtCpConfig) -> PyramidRepresentation | Mask2FormerRepresentation:
    """The module that turns a normalised image into R [B, config.channels, H / 4, W / 4]."""
    if config.mask2former is not None:
        return build_mask2former(config.mask2former, config.channels)
    return PyramidRepresentation(build_backbone(config.backbone), config.channels)


class TaskDecoder(nn.Module):
    """The hierarchical decoder of one task: Swin stages on R, merged to the finest level by a feature pyramid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stages = SwinStages(channels, DECODER_DEPTHS, DECODER_HEADS, DECODER_WINDOW)
        self.merge = FeaturePyramid(self.stages.channels, channels, refined=1)

    def forward(self, shared_BChw: Tensor) -> tuple[list[Tensor], Tensor]:
        """R to the levels E (C at stride 4, 2 C at 8, 4 C at 16) and the merged features X [B, C, h, w]."""
        levels = self.stages(shared_BChw)
        return levels, self.merge(levels)[0]


class MtCp(nn.Module):
    """All tasks of one image, from one shared representation."""

    def __init__(self, config: MtCpConfig, representation: PyramidRepresentation | Mask2FormerRepresentation) -> None:
        super().__init__()
        self.config = config
        names = [task.name for task in config.tasks]
        width = config.channels
        self.normalise = ImageNormalisation()
        self.representation = representation
        self.decoders = nn.ModuleDict({name: TaskDecoder(width) for name in names})
        self.fusions = nn.ModuleDict()
        if config.coherence_fusion:
            others = len(names) - 1
            self.fusions.update({name: CoherenceFusion(width, others, config.pooled_keys) for name in names})
        self.trace_backs = nn.ModuleDict()
        self.intermediate_heads = nn.ModuleDict()
        if config.trace_back:
            supervised = COARSEST_LEVEL + config.supervise_initial
            levels = [width * 2**level for level in range(COARSEST_LEVEL + 1)]
            self.trace_backs.update({name: TraceBack(width, levels) for name in names})
            self.intermediate_heads.update(
                {
                    task.name: nn.ModuleList(intermediate_head(task, width) for _ in range(supervised))
                    for task in config.tasks
                }
            )
        self.heads = nn.ModuleDict({task.name: final_head(task, width, config.enlargement) for task in config.tasks})

    def forward(self, image_B3HW: Tensor) -> TaskOutputs:
        """Raw maps of every task.

        image_B3HW: float32 in [0, 1], sRGB; H and W multiples of 32. `final` has [B, O, H, W] per task, float32, in the
        units of models.tasks. In training mode `intermediate` has, per task, the first two refinements' predictions at
        level 2 (stride 16) and 1 (stride 8), and with `supervise_initial` the one from Z_t at level 0 (stride 4).
        Raises ValueError on another shape.
        """
        require_image("image", image_B3HW, 3, INPUT_MULTIPLE)
        shared_BChw = self.representation(self.normalise(image_B3HW))
        levels, merged = {}, {}
        for name, decoder in self.decoders.items():
            levels[name], merged[name] = decoder(shared_BChw)
        final: dict[str, Tensor] = {}
        intermediate: list[Intermediate] = []
        for name, head in self.heads.items():
            fused_BChw = self._fused(name, merged)
            features = [fused_BChw]
            if self.config.trace_back:
                features = self.trace_backs[name](fused_BChw, levels[name])
                if self.training:
                    intermediate += self._intermediate(name, features[:-1], fused_BChw)
            final[name] = resize_like(head(features[-1]), image_B3HW)
        return TaskOutputs(final=final, intermediate=tuple(intermediate))

    def _fused(self, name: str, merged: dict[str, Tensor]) -> Tensor:
        """Z_t of the task `name`, from the merged features X of all tasks."""
        if not self.config.coherence_fusion:
            return merged[name]
        return self.fusions[name](merged[name], [feat for other, feat in merged.items() if other != name])

    def _intermediate(self, name: str, refined: list[Tensor], fused_BChw: Tensor) -> list[Intermediate]:
        """Predictions from the refined features, coarsest first, and from the fused ones where configured."""
        features = [*refined, fused_BChw] if self.config.supervise_initial else refined
        heads = self.intermediate_heads[name].children()
        return [
            Intermediate(name, COARSEST_LEVEL - step, head(feat))
            for step, (head, feat) in enumerate(zip(heads, features, strict=True))
        ]

"""MTI-Net: tasks predicted at four scales, propagated from coarse to fine, distilled into each other at every scale.

After Vandenhende, Georgoulis and Van Gool, "MTI-Net: Multi-Scale Task Interaction Networks for Multi-Task Learning"
(ECCV 2020). Where the authors' release and the paper part, a field of the configuration names the choice.

Shapes: B batch, N tasks (main ones first, then auxiliary), C channels of a scale, O outputs of a task, H and W of the
image, h and w of a scale. Scales count from the finest: 0 to 3 for strides 4 to 32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor, nn

from models.backbones import HRNET_W18_SMALL_V2, Backbone, BackboneConfig
from models.blocks import (
    BasicBlock,
    ImageNormalisation,
    PredictionHead,
    PredictionLayer,
    SqueezeExcitation,
    concat_at_finest,
    resize_like,
)
from models.distillation import MultiModalDistillation
from models.tasks import Intermediate, TaskOutputs, TaskSpec, require_tasks

ALL_SCALES = (0, 1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class MTINetConfig:
    """Encoder, tasks, and the switches of the paper's ablations.

    auxiliary_tasks: predicted at every scale and distilled from, without a final head.
    scales: where tasks interact, ascending. A scale left out gives the encoder's own map to all heads, so that with
        fewer scales the network approaches the plain baseline and nothing else changes.
    use_fpm: without feature propagation every scale sees the encoder's map alone.
    fpm_softmax: what the propagation's attention sums to one over. "task": all tasks of one channel, as the paper says.
        "adjacent": N neighbouring channels of the joined features, mostly of one task, as the authors' release does.
    deep_supervision: whether predictions at the scales are made, and so supervised, in training.
    """

    kind: Literal["mti_net"] = "mti_net"
    backbone: BackboneConfig = field(default=HRNET_W18_SMALL_V2)
    tasks: tuple[TaskSpec, ...]
    auxiliary_tasks: tuple[TaskSpec, ...] = ()
    scales: tuple[int, ...] = ALL_SCALES
    use_fpm: bool = True
    fpm_softmax: Literal["task", "adjacent"] = "task"
    deep_supervision: bool = True

    def __post_init__(self) -> None:
        require_tasks("tasks", self.tasks)
        require_tasks("tasks and auxiliary_tasks", self.tasks + self.auxiliary_tasks)
        if not self.scales or list(self.scales) != sorted(set(self.scales) & set(ALL_SCALES)):
            raise ValueError(f"scales: expected an ascending choice of {ALL_SCALES}, found {self.scales}")
        if self.fpm_softmax not in ("task", "adjacent"):
            raise ValueError(f"fpm_softmax: expected 'task' or 'adjacent', found {self.fpm_softmax!r}")


class TaskFeatures(nn.ModuleDict):
    """Features of every task at one scale: two residual blocks each, nothing shared (section 3.2)."""

    def __init__(self, names: Sequence[str], inputs: int, channels: int) -> None:
        super().__init__(
            {name: nn.Sequential(BasicBlock(inputs, channels), BasicBlock(channels, channels)) for name in names}
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Inputs [B, inputs, h, w] by task to features [B, C, h, w] by task."""
        return {name: extract(inputs[name]) for name, extract in self.items()}


class FeaturePropagation(nn.Module):
    """The feature propagation module: what a scale tells the next finer one (section 3.3).

    All tasks are weighted against each other, reduced to one map that all share, and handed back to each task through
    channel gates of its own, added to the task's own features.
    """

    def __init__(self, names: Sequence[str], channels: int, softmax: Literal["task", "adjacent"] = "task") -> None:
        super().__init__()
        joint = len(names) * channels
        self.names = tuple(names)
        self.softmax = softmax
        self.harmonise = nn.Sequential(
            BasicBlock(joint, joint // 4), BasicBlock(joint // 4, joint // 4), nn.Conv2d(joint // 4, joint, 1)
        )
        self.reduce = BasicBlock(joint, channels)
        self.refine = nn.ModuleDict({name: SqueezeExcitation(channels) for name in names})

    def attention(self, joint_BNChw: Tensor) -> Tensor:
        """Weights of the joined features [B, N C, h, w], task by task; they sum to one over what `softmax` names."""
        logits = self.harmonise(joint_BNChw)
        groups = (len(self.names), -1) if self.softmax == "task" else (-1, len(self.names))
        axis = 1 if self.softmax == "task" else 2
        return logits.unflatten(1, groups).softmax(dim=axis).flatten(1, 2)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Features [B, C, h, w] by task to features of the same shape by task."""
        joint = torch.cat([features[name] for name in self.names], dim=1)
        shared = self.reduce(self.attention(joint) * joint)
        return {name: gate(shared) + features[name] for name, gate in self.refine.items()}


class MTINet(nn.Module):
    """Encoder, task features from coarse to fine, distillation per scale, aggregation over scales, heads."""

    def __init__(self, config: MTINetConfig, backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        self.normalisation = ImageNormalisation()
        self.backbone = backbone
        everything = config.tasks + config.auxiliary_tasks
        names, main = [task.name for task in everything], [task.name for task in config.tasks]
        self.names = tuple(names)
        self.features = nn.ModuleDict()
        self.predictions = nn.ModuleDict()
        self.propagations = nn.ModuleDict()
        self.distillations = nn.ModuleDict()
        for index, scale in enumerate(config.scales):
            channels = backbone.channels[scale]
            has_coarser = index + 1 < len(config.scales)
            inputs = channels
            if config.use_fpm and has_coarser:
                inputs += backbone.channels[config.scales[index + 1]]
            self.features[str(scale)] = TaskFeatures(names, inputs, channels)
            if config.use_fpm and index > 0:
                self.propagations[str(scale)] = FeaturePropagation(names, channels, config.fpm_softmax)
            if config.deep_supervision:
                self.predictions[str(scale)] = nn.ModuleDict(
                    {task.name: PredictionLayer(channels, task.channels) for task in everything}
                )
            self.distillations[str(scale)] = MultiModalDistillation(main, names, channels)
        joint = sum(backbone.channels)
        self.heads = nn.ModuleDict({task.name: PredictionHead(joint, task.channels) for task in config.tasks})

    def forward(self, image_B3HW: Tensor, only: str | None = None) -> TaskOutputs:
        """Raw maps of the tasks, see models.tasks; in training also all tasks at all scales, coarse to fine.

        image_B3HW: float32 in [0, 1], sRGB; H and W multiples of 32. Raises ValueError on another shape.
        only: the one task whose final map is computed, where not all are wanted.
        """
        maps = self.backbone(self.normalisation(image_B3HW))
        features = self._task_features(maps)
        distilled = {scale: self.distillations[str(scale)](features[scale]) for scale in features}
        final = {}
        for name, head in self.heads.items():
            if only not in (None, name):
                continue
            levels = [distilled[scale][name] if scale in distilled else maps[scale] for scale in ALL_SCALES]
            final[name] = resize_like(head(concat_at_finest(levels)), image_B3HW)
        return TaskOutputs(final, self._intermediate(features) if self.training else ())

    def _task_features(self, maps: list[Tensor]) -> dict[int, dict[str, Tensor]]:
        """Features of all tasks by scale, computed from the coarsest scale to the finest."""
        features: dict[int, dict[str, Tensor]] = {}
        coarser: dict[str, Tensor] | None = None
        for scale in reversed(self.config.scales):
            own = maps[scale]
            inputs = dict.fromkeys(self.names, own)
            if coarser is not None:
                inputs = {name: torch.cat((own, resize_like(coarser[name], own)), dim=1) for name in self.names}
            features[scale] = self.features[str(scale)](inputs)
            if str(scale) in self.propagations:
                coarser = self.propagations[str(scale)](features[scale])
        return features

    def _intermediate(self, features: dict[int, dict[str, Tensor]]) -> tuple[Intermediate, ...]:
        predictions = []
        for scale in features if self.config.deep_supervision else ():
            layers = cast(nn.ModuleDict, self.predictions[str(scale)])
            predictions += [Intermediate(name, scale, layer(features[scale][name])) for name, layer in layers.items()]
        return tuple(predictions)

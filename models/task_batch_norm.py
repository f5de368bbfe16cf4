"""One batch norm per task in a network whose convolutions the tasks share.

After Jeong and Yoon, "Quantifying Task Priority for Multi-Task Optimization" (CVPR 2024), which asks for it: from the
first norm on, features differ by task, so the network runs once per task. All parameters of a convolution stay shared.

Shapes: B batch, C channels, H and W of the image, h and w of a feature map.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from models.mti_net import MTINet, MTINetConfig
from models.pad_net import PADNet, PADNetConfig
from models.shared_encoder import SharedEncoder, SharedEncoderConfig
from models.tasks import TaskOutputs, TaskSpec

HEADS = "heads"
"""Where the networks keep, by task, what serves one task alone; norms in there stay as they are."""


@dataclass(frozen=True, kw_only=True)
class TaskBatchNormConfig:
    """The network whose norms are multiplied."""

    kind: Literal["task_batch_norm"] = "task_batch_norm"
    network: SharedEncoderConfig | PADNetConfig | MTINetConfig

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """The main tasks."""
        return self.network.tasks

    @property
    def auxiliary_tasks(self) -> tuple[TaskSpec, ...]:
        """Tasks that are predicted inside the network alone."""
        return () if isinstance(self.network, SharedEncoderConfig) else self.network.auxiliary_tasks


class TaskBatchNorm2d(nn.Module):
    """Batch norms of equal beginning, one per task; `current` is the one that is used."""

    def __init__(self, norm: nn.BatchNorm2d, tasks: Sequence[str]) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({task: copy.deepcopy(norm) for task in tasks})
        self.current = tasks[0]

    def forward(self, feat_BChw: Tensor) -> Tensor:
        """Same shape; running statistics of the current task alone are updated in training."""
        normalised: Tensor = self.norms[self.current](feat_BChw)
        return normalised

    def of(self, task: str) -> nn.BatchNorm2d:
        """The norm of one task."""
        return cast(nn.BatchNorm2d, self.norms[task])


class TaskBatchNormNetwork(nn.Module):
    """A network of dense tasks with norms of their own for each; runs once for every task that it answers."""

    def __init__(self, config: TaskBatchNormConfig, network: SharedEncoder | PADNet | MTINet) -> None:
        super().__init__()
        self.config = config
        self.main = tuple(task.name for task in config.tasks)
        self.tasks = (*self.main, *(task.name for task in config.auxiliary_tasks))
        self.network = network
        self._only: str | None = None
        multiply_batch_norm(network, self.tasks)

    @contextmanager
    def answering(self, task: str) -> Iterator[None]:
        """Within it, a pass answers this task alone, main or auxiliary. Raises ValueError for an unknown one."""
        if task not in self.tasks:
            raise ValueError(f"task: expected one of {list(self.tasks)}, found {task!r}")
        self._only = task
        try:
            yield
        finally:
            self._only = None

    def forward(self, image_B3HW: Tensor) -> TaskOutputs:
        """Raw maps of the tasks, see models.tasks, each from a pass with its own norms; see the wrapped network."""
        if self._only is not None:
            return self._pass(image_B3HW, self._only)
        passes = [self._pass(image_B3HW, task) for task in (self.tasks if self.training else self.main)]
        final = {task: map_BOHW for outputs in passes for task, map_BOHW in outputs.final.items()}
        return TaskOutputs(final, tuple(entry for outputs in passes for entry in outputs.intermediate))

    def _pass(self, image_B3HW: Tensor, task: str) -> TaskOutputs:
        select_task(self.network, task)
        outputs = self.network(image_B3HW, only=task)
        return TaskOutputs(outputs.final, tuple(entry for entry in outputs.intermediate if entry.task == task))


def multiply_batch_norm(network: nn.Module, tasks: Sequence[str]) -> None:
    """Replaces, in place, every BatchNorm2d outside the heads of single tasks by one for each task.

    Raises ValueError for a network without any: there is nothing in which tasks could differ.
    """
    private = tuple(f"{HEADS}.{task}." for task in tasks)
    found = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d) and not name.startswith(private)
    ]
    if not found:
        raise ValueError("network: expected shared convolutions with BatchNorm2d, found no such norm")
    for name in found:
        parent, _, attribute = name.rpartition(".")
        norm = network.get_submodule(name)
        assert isinstance(norm, nn.BatchNorm2d)
        setattr(network.get_submodule(parent), attribute, TaskBatchNorm2d(norm, tasks))


def select_task(network: nn.Module, task: str) -> None:
    """Makes every TaskBatchNorm2d of the network use this task's norm from the next pass on."""
    for module in network.modules():
        if isinstance(module, TaskBatchNorm2d):
            module.current = task


class ConnectionLayer(NamedTuple):
    """A shared convolution and the norms that its output goes into."""

    name: str
    """Of the convolution, within the network."""
    convolution: nn.Conv2d
    norm: TaskBatchNorm2d


@torch.no_grad()
def connection_layers(network: TaskBatchNormNetwork) -> tuple[ConnectionLayer, ...]:
    """Every convolution whose output is what a TaskBatchNorm2d takes in, in the order of a pass.

    They are found by one small pass, whatever the network calls its layers; mode and statistics stay as they are.
    """
    names = {module: name for name, module in network.network.named_modules()}
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    layers: dict[str, ConnectionLayer] = {}

    def after_convolution(module: nn.Module, _: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        made[id(output)] = (module, output)  # kept alive, so that no other tensor can have the same id

    def before_norm(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, TaskBatchNorm2d)
        if id(inputs[0]) in made:
            convolution = made[id(inputs[0])][0]
            layers[names[convolution]] = ConnectionLayer(names[convolution], convolution, module)

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(after_convolution))
        elif isinstance(module, TaskBatchNorm2d):
            hooks.append(module.register_forward_pre_hook(before_norm))
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        device = next(network.parameters()).device
        for task in network.tasks:
            with network.answering(task):
                network(torch.zeros(1, 3, 64, 64, device=device))
    finally:
        for module, mode in training.items():
            module.training = mode
        for hook in hooks:
            hook.remove()
    return tuple(layers.values())

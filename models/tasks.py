"""The dense tasks: their names, the raw maps a network answers for each, and what a pass of a network returns.

Raw maps: logits (segmentation, parts, saliency, edges), unconstrained metres (depth), normals not yet of unit length.

Shapes: B batch, O output channels of a task, H and W of the image, h and w of any level.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from torch import Tensor

TaskName = Literal["segmentation", "depth", "normals", "parts", "saliency", "edges"]
TASK_NAMES: tuple[TaskName, ...] = get_args(TaskName)
FIXED_CHANNELS = {"depth": 1, "normals": 3, "parts": 7, "saliency": 1, "edges": 1}
"""Raw channels of the tasks whose number does not depend on the data; parts count their background."""


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A task and the number of its raw output channels."""

    name: TaskName
    channels: int

    def __post_init__(self) -> None:
        if self.name not in TASK_NAMES:
            raise ValueError(f"name: expected one of {list(TASK_NAMES)}, found {self.name!r}")
        if self.channels < 1:
            raise ValueError(f"channels: expected a positive integer, found {self.channels}")


class Intermediate(NamedTuple):
    """A supervised prediction from inside a network."""

    task: str
    level: int
    """0 is the finest level."""
    map_BOhw: Tensor
    """Raw, at the level's own stride."""


class TaskOutputs(NamedTuple):
    """What one pass answers."""

    final: dict[str, Tensor]
    """Raw maps [B, O, H, W] at the image's size, in the order of the configuration's tasks."""
    intermediate: tuple[Intermediate, ...]
    """Empty in evaluation mode."""


def tasks_of(names: Iterable[TaskName], classes: int) -> tuple[TaskSpec, ...]:
    """The specs of tasks by name: segmentation has `classes` channels, the others FIXED_CHANNELS."""
    return tuple(TaskSpec(name=name, channels=FIXED_CHANNELS.get(name, classes)) for name in names)


def require_tasks(field: str, tasks: tuple[TaskSpec, ...]) -> None:
    """Raise ValueError unless `tasks` names at least one task and none twice; `field` is what the message calls it."""
    names = [task.name for task in tasks]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{field}: expected at least one task and each only once, found {names}")

"""How much each task's loss counts.

A weighting is told every step's losses and the end of every epoch, and is saved with the run. It never touches
gradients: what combines the gradients of the tasks instead of their losses does not belong behind this interface.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from training.losses.per_image import ImageLosses

LABELLED = "labelled/"
"""Before a task's name, the loss term that says whether a batch had a valid pixel of it: 1, else 0."""


class TaskWeighting(Protocol):
    """One method. The loop calls `observe` after every applied update and `end_epoch` after an epoch's last one."""

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        """One scalar of the tasks' scalar losses. Not every task must be given."""

    def weights(self) -> dict[str, float]:
        """The present weight of each task, for the log."""

    def observe(self, losses: Mapping[str, float]) -> None:
        """Takes in one step's unweighted losses of the final maps, of the tasks that it had labels of."""

    def end_epoch(self) -> None:
        """Updates the weights from what was observed since the last call."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON values from which `load_state_dict` goes on exactly."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a saved state. Raises ValueError when it is of other tasks."""


@runtime_checkable
class WeighsTasks(Protocol):
    """An objective whose loss follows from a weighting. Its loss terms hold what `labelled_losses` takes."""

    weighting: TaskWeighting


def labelled_losses(terms: Mapping[str, float]) -> dict[str, float]:
    """What to observe: by task the mean loss over the parts of a batch that had labels of it; no other tasks.

    terms: means over all parts of a batch, in all processes, where a part without labels counts as a loss of 0.
    """
    shares = {name.removeprefix(LABELLED): share for name, share in terms.items() if name.startswith(LABELLED)}
    return {task: terms[task] / share for task, share in shares.items() if share > 0}


@runtime_checkable
class WeighsImages(Protocol):
    """A weighting that looks at each image: what `combine` is for scalars, this is for losses of images.

    It may remember the batch's losses until `observe` says that the update was applied, or `discard` that it was not.
    """

    def combine_images(self, losses: Mapping[str, ImageLosses], index_B: Tensor) -> Tensor:
        """One scalar of the losses by task and the images' stable numbers. Not every task must be given."""

    def combine_inside(self, losses: Mapping[str, ImageLosses]) -> Tensor:
        """One scalar of the losses of one level inside the network, of the images that `combine_images` last saw."""

    def discard(self) -> None:
        """Forgets the batch."""

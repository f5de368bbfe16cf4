"""One batch on its way into the weights: the passes, gradients and steps that a gradient method is made of.

Gradients are means over micro-batches and over processes before a method sees them, so that a method is the same
arithmetic on one device and on many. Only `backward` leaves the averaging to the framework, overlapped with the pass.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from training.objectives.objective import Batch, Objective, SplitsTasks

if TYPE_CHECKING:  # recipes are read by programs that never train, and this import takes seconds
    from lightning.fabric import Fabric

TaskGradients = dict[str, list[Tensor | None]]
"""By task, the gradient of each of `Update.parameters`; None where the task does not reach it."""


class Update:
    """What one call of the loop may do with its batch.

    run_seed: of the run; seed: of this update's random choices, the same in all processes, while augmentation has its
        own in each. number (of the step), epoch and epochs say how far the run is.
    accumulate: micro-batches, whose gradients are averaged by their numbers of images.
    terms: the batch's loss terms in this process. task_totals: the tasks' weighted losses, means over all processes, of
        the passes that kept tasks apart.
    norm: of the last step's gradient before clipping; applied: whether no step was left out.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        optimizer: Any,
        objective: Objective,
        batch: Batch,
        generator: torch.Generator,
        *,
        clip_norm: float | None,
        accumulate: int = 1,
        run_seed: int = 0,
        number: int = 0,
        epoch: int = 0,
        epochs: int = 1,
    ) -> None:
        self.fabric, self.model, self.optimizer, self.objective = fabric, model, optimizer, objective
        self.run_seed, self.number, self.epoch, self.epochs = run_seed, number, epoch, epochs
        self.seed = run_seed * 1_000_003 + number
        self.named_parameters = tuple((n, p) for n, p in bare(model).named_parameters() if p.requires_grad)
        self.parameters = tuple(parameter for _, parameter in self.named_parameters)
        self.terms: dict[str, Tensor] = {}
        self.task_totals: dict[str, float] = {}
        self.norm = 0.0
        self.applied = True
        self._clip_norm = math.inf if clip_norm is None else clip_norm
        self._generator, self._begin = generator, generator.get_state()
        images = len(batch["image"]) if "image" in batch else len(next(iter(batch.values())))
        count = min(accumulate, images)
        self._micro_batches = _split(batch, count)
        self._shares = [len(next(iter(part.values()))) / images for part in self._micro_batches]
        self._prepared: list[Any] | None = None
        self._apart = False

    def backward(self, note: bool = True) -> None:
        """Fills the gradients with those of the objective's total: one pass, one backward, as cheap as it can be.

        note: whether the pass's loss terms are the batch's, in the log and for the weighting.
        """
        self.clear()
        self._generator.set_state(self._begin)  # so that a second pass sees the same augmentation
        last = len(self._micro_batches) - 1
        for index, (part, share) in enumerate(zip(self._micro_batches, self._shares, strict=True)):
            with self._without_averaging(index < last):
                terms = self.objective.loss(self.model, part, self._generator)
                self.fabric.backward(_scaled(terms["total"], share))
            if note:
                _add(self.terms, terms, share)

    def task_gradients(self) -> TaskGradients:
        """Gradients of every task's weighted loss from one pass, averaged; leaves no gradient in the parameters."""
        gradients: TaskGradients = {}
        totals: dict[str, Tensor] = {}
        for prepared, share in zip(self._ready(), self._shares, strict=True):
            with self._without_averaging():
                losses = self._objective().split_loss(self.model, prepared)
                for number, (task, loss) in enumerate(losses.by_task.items(), start=1):
                    self.clear()
                    self.fabric.backward(_scaled(loss, share), retain_graph=number < len(losses.by_task))
                    _accumulate(gradients, task, [parameter.grad for parameter in self.parameters])
            _add(self.terms, losses.terms, share)
            _add(totals, losses.by_task, share)
        self.clear()
        self._set_totals(totals)
        return {task: self._averaged(values) for task, values in gradients.items()}

    def task_gradients_apart(self, task: str) -> list[Tensor | None]:
        """Gradients of one task's weighted loss from a pass of its own, of a network that was told to answer it."""
        gradients: TaskGradients = {}
        totals: dict[str, Tensor] = {}
        for prepared, share in zip(self._ready(), self._shares, strict=True):
            with self._without_averaging():
                losses = self._objective().split_loss(self.model, prepared)
                if list(losses.by_task) != [task]:
                    raise ValueError(f"{task}: expected a network that answers only it, found {list(losses.by_task)}")
                self.clear()
                self.fabric.backward(_scaled(losses.by_task[task], share))
                _accumulate(gradients, task, [parameter.grad for parameter in self.parameters])
            _add(self.terms, losses.terms, share)
            _add(totals, losses.by_task, share)
        self.clear()
        self._set_totals(totals)
        return self._averaged(gradients[task])

    def set_gradients(self, gradients: Sequence[Tensor | None]) -> None:
        """Puts a gradient, or none, into each of `parameters`."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient

    def twin(self) -> Update:
        """The same batch, augmented the same way, to measure with: its passes leave this update's terms alone."""
        other = copy.copy(self)
        other.terms, other.task_totals, other._prepared = {}, {}, None
        other._generator = torch.Generator()
        other._generator.set_state(self._begin)
        return other

    def clear(self) -> None:
        """Removes all gradients: a parameter without one is left alone by the optimiser, its moments included."""
        self.optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Clips the gradients and steps; a step whose gradient is not finite is left out and makes `applied` False."""
        norm = self.fabric.clip_gradients(
            cast(Any, self.model), self.optimizer, max_norm=self._clip_norm, error_if_nonfinite=False
        )
        assert norm is not None  # clip_gradients answers the norm when asked for max_norm
        self.norm = float(norm)
        if not math.isfinite(self.norm):  # in one process and so in all, because gradients are averaged over them
            self.applied = False
            return
        self.optimizer.step()
        self.average_statistics()

    def average_statistics(self) -> None:
        """Makes running means and variances those over all processes, after passes that do not share them."""
        if self.fabric.world_size == 1 or not self._apart:
            return
        self._apart = False
        buffers = [buffer for buffer in self.model.buffers() if buffer.is_floating_point()]
        for buffer, mean in zip(buffers, self._means(buffers), strict=True):
            buffer.copy_(mean)

    def _objective(self) -> SplitsTasks:
        assert isinstance(self.objective, SplitsTasks)  # build_gradients refuses others
        return self.objective

    def _ready(self) -> list[Any]:
        """The micro-batches, augmented once, so that every pass sees the same."""
        if self._prepared is None:
            self._prepared = [self._objective().prepare(part, self._generator) for part in self._micro_batches]
        return self._prepared

    def _without_averaging(self, enabled: bool = True) -> AbstractContextManager[Any]:
        if self.fabric.world_size == 1 or not enabled:
            return nullcontext()
        return self.fabric.no_backward_sync(cast(Any, self.model))

    def _averaged(self, gradients: list[Tensor | None]) -> list[Tensor | None]:
        """Means over the processes."""
        self._apart = True
        if self.fabric.world_size == 1:
            return gradients
        present = [gradient for gradient in gradients if gradient is not None]
        means = iter(self._means(present))
        return [None if gradient is None else next(means) for gradient in gradients]

    def _means(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        flat = cast(Tensor, self.fabric.all_reduce(_flattened(tensors), reduce_op="mean"))
        parts = flat.split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    def _set_totals(self, totals: Mapping[str, Tensor]) -> None:
        values = torch.stack(list(totals.values()))
        if self.fabric.world_size > 1:
            values = cast(Tensor, self.fabric.all_reduce(values, reduce_op="mean"))
        self.task_totals |= dict(zip(totals, values.tolist(), strict=True))


def bare(model: nn.Module) -> nn.Module:
    """The network inside the framework's wrappers."""
    while hasattr(model, "module") and isinstance(model.module, nn.Module):
        model = model.module
    return model


def _split(batch: Batch, count: int) -> list[Batch]:
    if count == 1:
        return [batch]
    parts = {name: value.tensor_split(count) for name, value in batch.items()}
    return [{name: values[index] for name, values in parts.items()} for index in range(count)]


def _scaled(value: Tensor, share: float) -> Tensor:
    return value if share == 1 else value * share


def _add(sums: dict[str, Tensor], values: Mapping[str, Tensor], share: float) -> None:
    for name, value in values.items():
        value = _scaled(value.detach(), share)
        sums[name] = sums[name] + value if name in sums else value


def _accumulate(gradients: TaskGradients, task: str, new: list[Tensor | None]) -> None:
    old = gradients.setdefault(task, [None] * len(new))
    for index, gradient in enumerate(new):
        if gradient is not None:
            known = old[index]
            old[index] = gradient if known is None else known + gradient


def _flattened(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])

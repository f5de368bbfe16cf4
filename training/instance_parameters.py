"""One learnable weight per image and task, after Vasu, Saxena and Tuzel, Instance-Level Task Parameters (2021).

Only the abstract of that paper was to be had; the details are ours, after its two parents (see
`training.instance_losses`): s = log sigma^2 per image and task begins at 0 and follows the gradient of that image's own
objective by plain SGD, outside the model's optimiser. Images whose loss stays large get a large s and so little weight:
s ranks suspicious labels, and is thrown away after training.

Shapes: B images of a batch, T tasks, C classes, M memberships of images in rows.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from training.across_processes import gather_rows
from training.instance_losses import FORMS, Form, scaled, scaled_slope, tempered_cross_entropy
from training.losses.dense import IGNORE_LABEL
from training.losses.per_image import ImageLosses
from training.sparse_rows import SparseRows
from training.task_weighting.fixed import weighted_sum

Granularity = Literal["instance", "class", "task"]


@dataclass(frozen=True, kw_only=True)
class InstanceParametersConfig:
    """granularity: whose s is learnt, each image's, each segmentation class's (an image's s is the mean over its
        labelled pixels' classes), or one per task (uncertainty weighting by SGD).
    classification: "scaled" multiplies the cross-entropy of segmentation and parts, "temperature" divides their logits
        by exp(s) instead (Data Parameters).
    learning_rate: of s; epochs * learning_rate should reach 10. momentum: of s, per row. decay: lambda of
        lambda / 2 * s^2, on the images of a batch alone. limit: s stays within +-log(limit); None for no bound.
    """

    kind: Literal["instance"] = "instance"
    granularity: Granularity = "instance"
    classification: Literal["scaled", "temperature"] = "scaled"
    learning_rate: float = 0.2
    momentum: float = 0.0
    decay: float = 0.0
    limit: float | None = 20.0

    def __post_init__(self) -> None:
        if self.learning_rate < 0 or self.decay < 0 or not 0 <= self.momentum < 1:
            found = f"{self.learning_rate}, {self.decay}, {self.momentum}"
            raise ValueError(f"learning_rate, decay, momentum: expected >= 0, >= 0 and 0..1, found {found}")
        if self.limit is not None and self.limit <= 1:
            raise ValueError(f"limit: expected a factor above 1, found {self.limit}")


class Members(NamedTuple):
    """Which rows of the parameters an image's s is the mean of. Rows may repeat."""

    rows: list[int]
    image_M: Tensor
    share_M: Tensor


class _Pending(NamedTuple):
    """What the update after one pass needs; the maps [B, T] on the device of the losses, False and 0 where no task."""

    members: Members
    images: list[int]
    slope_BT: Tensor
    valid_BT: Tensor
    loss_BT: Tensor


class InstanceParameters:
    """The parameters of a run; see `TaskWeighting` and `WeighsImages`.

    tasks: names and forms of the main tasks. Passes are collected until `observe` moves s, once for every batch that
    was applied, with the images of all processes in all processes: their tables stay equal, and an image that several
    of them hold, or one of them twice, moves once, by the mean slope.
    """

    def __init__(self, config: InstanceParametersConfig, tasks: Mapping[str, Form], classes: int = 0) -> None:
        if not tasks:
            raise ValueError("tasks: expected at least one, found none")
        if config.granularity == "class" and "segmentation" not in tasks:
            raise ValueError(f"granularity: 'class' expects segmentation among the tasks, found {list(tasks)}")
        self.config, self.tasks, self.classes = config, dict(tasks), classes
        self._s = SparseRows(len(tasks))
        self._velocity = SparseRows(len(tasks))
        self._last_loss = SparseRows(len(tasks), fill=float("nan"))
        self._pending: list[_Pending] = []
        self._factors: dict[str, Tensor] = {}

    def combine_images(self, losses: Mapping[str, ImageLosses], index_B: Tensor) -> Tensor:
        """The sum of `weigh`."""
        return torch.stack(list(self.weigh(losses, index_B).values())).sum()

    def weigh(self, losses: Mapping[str, ImageLosses], index_B: Tensor) -> dict[str, Tensor]:
        """Per task the mean over the batch of what to minimise, decay included; keeps what `observe` will need.

        losses: of any of the tasks. index_B: stable numbers of the images. An image without a valid pixel of a task
        adds nothing there, and its s stays as it is. Gradients reach the losses (for a temperature the maps) alone.
        Raises ValueError for tasks of others, and for parameters per class without segmentation.
        """
        if not losses or set(losses) - set(self.tasks):
            raise ValueError(f"losses: expected some of the tasks {list(self.tasks)}, found {list(losses)}")
        members = self._members(index_B, losses)
        s_BT = self._log_variances(members, len(index_B)).to(index_B.device)
        slope_BT, plain_BT, valid_BT = torch.zeros_like(s_BT), torch.zeros_like(s_BT), torch.zeros_like(s_BT).bool()
        totals: dict[str, Tensor] = {}
        for column, (task, form) in enumerate(self.tasks.items()):
            if task not in losses:
                continue
            loss_B, valid_B, map_BOHW, label = losses[task]
            s_B = s_BT[:, column]
            factor_B = torch.exp(-s_B)
            if self.config.classification == "temperature" and task in ("segmentation", "parts"):
                assert map_BOHW is not None
                assert label is not None
                value_B, slope_B, loss_B = tempered_cross_entropy(map_BOHW, label, s_B)
            else:
                value_B, slope_B = scaled(form, loss_B, s_B), scaled_slope(form, loss_B.detach(), s_B)
                factor_B = FORMS[form][0] * factor_B
            value_B = value_B + self.config.decay / 2 * s_B.square()
            totals[task] = torch.where(valid_B, value_B, 0.0).mean()
            slope_BT[:, column] = slope_B + self.config.decay * s_B
            valid_BT[:, column], plain_BT[:, column] = valid_B, loss_B.detach()
            self._factors[task] = factor_B
        self._pending.append(_Pending(members, index_B.tolist(), slope_BT, valid_BT, plain_BT))
        return totals

    def combine_inside(self, losses: Mapping[str, ImageLosses]) -> Tensor:
        """The sum over tasks of losses inside the network, each image weighted as `weigh` last weighted it.

        A task that is no main one counts 1.
        """
        terms = []
        for task, image in losses.items():
            factor_B = self._factors[task] if task in self.tasks else torch.ones_like(image.loss_B)
            terms.append(torch.where(image.valid_B, factor_B * image.loss_B, 0.0).mean())
        return torch.stack(terms).sum()

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The plain sum of scalars, which are of no image."""
        return weighted_sum(losses, {})

    def weights(self) -> dict[str, float]:
        """Mean factor on the loss over the last batch; 1 before the first one."""
        return {task: float(self._factors[task].mean()) if task in self._factors else 1.0 for task in self.tasks}

    def observe(self, losses: Mapping[str, float]) -> None:
        """Moves the rows of the images weighed since the last call against their slopes; the argument is not used."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        moves, losses_seen = [], []
        for members, images, slope_BT, valid_BT, loss_BT in pending:
            device, image_M = slope_BT.device, members.image_M.to(slope_BT.device)
            rows_M2 = torch.stack((torch.tensor(members.rows, dtype=torch.float64), members.share_M.double()), dim=1)
            keys_B1 = torch.tensor(images, dtype=torch.float64, device=device)[:, None]
            moves.append(torch.cat((rows_M2.to(device), valid_BT[image_M], slope_BT[image_M]), dim=1))
            losses_seen.append(torch.cat((keys_B1, torch.ones_like(keys_B1), valid_BT, loss_BT), dim=1))
        self._move(gather_rows(torch.cat(moves)).cpu())
        rows, seen, loss = _means(gather_rows(torch.cat(losses_seen)).cpu())
        self._last_loss.write(rows, torch.where(seen, loss.float(), self._last_loss.read(rows)))

    def discard(self) -> None:
        """Forgets what was weighed since the last update: the step was not applied."""
        self._pending = []

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """For passes that only measure: what was weighed for the update, and the factors, are afterwards as before."""
        pending, factors = list(self._pending), dict(self._factors)
        try:
            yield
        finally:
            self._pending, self._factors = pending, factors

    def end_epoch(self) -> None:
        """Nothing to update."""

    def state_dict(self) -> dict[str, Any]:
        """Log variances by row, last unweighted losses by image (NaN where a label was missing), in rising order."""
        state: dict[str, Any] = {"tasks": list(self.tasks), "granularity": self.config.granularity}
        state |= {"log_variance": self._s.state_dict(), "last_loss": self._last_loss.state_dict()}
        return state | ({"velocity": self._velocity.state_dict()} if self.config.momentum else {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError when the state is of other tasks or of another granularity."""
        expected = (list(self.tasks), self.config.granularity)
        found = (state.get("tasks"), state.get("granularity"))
        if expected != found:
            raise ValueError(f"state: expected instance parameters of {expected}, found {found}")
        self._s.load_state_dict(state["log_variance"])
        self._last_loss.load_state_dict(state["last_loss"])
        if self.config.momentum:
            self._velocity.load_state_dict(state["velocity"])
        self._pending, self._factors = [], {}

    def log_variances(self, rows: Sequence[int]) -> Tensor:
        """s [len(rows), T] of rows: image ids, classes, or 0 for the only row of a task."""
        return self._s.read(rows)

    def _members(self, index_B: Tensor, losses: Mapping[str, ImageLosses]) -> Members:
        images = torch.arange(len(index_B))
        if self.config.granularity == "class":
            label = losses["segmentation"].label if "segmentation" in losses else None
            if label is None:
                raise ValueError(f"granularity: 'class' expects passes of all tasks, found one of {list(losses)}")
            share_BC = class_shares(label, self.classes).cpu()
            image_M, class_M = share_BC.nonzero(as_tuple=True)
            return Members(class_M.tolist(), image_M, share_BC[image_M, class_M])
        rows = index_B.tolist() if self.config.granularity == "instance" else [0] * len(index_B)
        return Members(rows, images, torch.ones(len(index_B)))

    def _log_variances(self, members: Members, images: int) -> Tensor:
        s_MT = members.share_M[:, None] * self._s.read(members.rows)
        return torch.zeros(images, len(self.tasks)).index_add_(0, members.image_M, s_MT)

    def _move(self, entries: Tensor) -> None:
        """One SGD step of every distinct row, by the mean slope of its members; entries without one stay."""
        rows, touched, slope = _means(entries)
        s = self._s.read(rows)
        if self.config.momentum:
            velocity = self._velocity.read(rows)
            slope = self.config.momentum * velocity + slope
            self._velocity.write(rows, torch.where(touched, slope.float(), velocity))
        moved = s - self.config.learning_rate * slope
        if self.config.limit is not None:
            bound = math.log(self.config.limit)
            moved = moved.clamp(-bound, bound)
        self._s.write(rows, torch.where(touched, moved.float(), s))


def _means(entries: Tensor) -> tuple[list[int], Tensor, Tensor]:
    """Distinct rows in rising order, which tasks [n, T] have a valid entry there, and the means of those by share.

    entries: float64 [M, 2 + 2 T], row, share, validity and value per task. A value that is not valid does not count.
    """
    valid_MT, value_MT = entries[:, 2:].chunk(2, dim=1)
    share_MT = entries[:, 1:2] * valid_MT
    rows, place_M = entries[:, 0].long().unique(return_inverse=True)
    zeros = entries.new_zeros(len(rows), valid_MT.shape[1])
    share = zeros.index_add(0, place_M, share_MT)
    total = zeros.index_add(0, place_M, torch.where(share_MT > 0, share_MT * value_MT, 0.0))
    return rows.tolist(), share > 0, total / torch.where(share > 0, share, 1.0)


def class_shares(label_BHW: Tensor, classes: int) -> Tensor:
    """float32 [B, C]: of an image's labelled pixels, how many are of each class; zeros where none is labelled."""
    known_BHW = label_BHW != IGNORE_LABEL
    codes = torch.where(known_BHW, label_BHW, 0).long().clamp(max=classes - 1).flatten(1)
    count_BC = torch.zeros(len(codes), classes, device=label_BHW.device)
    count_BC.scatter_add_(1, codes, known_BHW.flatten(1).float())
    return count_BC / count_BC.sum(dim=1, keepdim=True).clamp(min=1)

"""Any set of dense tasks from one network, with intermediate supervision and a choice of task weights.

Works on the batches of every data set: `image` float [B,3,H,W] in [0,1]; labels by task name, segmentation, parts,
saliency and edges as integers with 255 ignored, depth float [B,H,W] in metres with 0 invalid, normals float [B,3,H,W]
with the zero vector invalid; `intrinsics` [B,3,3] in pixels where known. Generated rooms call two of them `label` and
`normal`, and get edges from the labels that they have.

Shapes: B batch, H and W of the image, h and w of an intermediate map.
Convention: with a canonical focal length, depth labels become z f_c / f with f_c = canonical_focal_ratio * max(H, W)
before the loss, and predictions metres again before they are scored; see `training.objectives.perceive`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.tasks import TASK_NAMES, TaskName, TaskOutputs, TaskSpec
from training.augmentation import PhotometricConfig, photometric
from training.boundary_labels import boundary_labels
from training.losses.dense import masked_mean
from training.losses.per_image import ImageLosses, per_image_loss, valid_images
from training.losses.tasks import TaskLossConfig, log_projection, task_loss
from training.metrics.delta_m import delta_m
from training.metrics.edges import NYUD_TOLERANCE
from training.metrics.task_meters import TaskMeters
from training.objectives.objective import Batch, Pictures, SplitLoss
from training.pictures import image_picture, sheet
from training.task_pictures import task_picture
from training.task_weighting.build import WeightingConfig, build_weighting
from training.task_weighting.fixed import FixedConfig
from training.task_weighting.task_weighting import LABELLED, TaskWeighting, WeighsImages
from training.task_weighting.uncertainty import UncertaintyConfig
from training.virtual_camera import VirtualCameraConfig, virtual_camera

ROOM_NAMES = {"label": "segmentation", "normal": "normals"}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A metric of the single-task model that a multi-task one is compared with: its name in `evaluate`, its value."""

    task: TaskName
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class DenseTasksOptions:
    """How the tasks of a network are trained and scored.

    losses: their forms. weighting: their weights. log_projection: log(L + 1) of the final losses. intermediate: what
        predictions inside the network add, "weighted": every loss times its task's weight (MTI-Net, PAD-Net), or
        "mean": per task the plain mean over its predictions (MT-CP).
    canonical_focal_ratio: None where networks answer depth for the camera at hand.
    camera, photometric: augmentation here, for generated frames; None where the data set's pipeline does it.
    absent_is_zero, edge_tolerance: of the metrics. single_task: references of delta_m, which then chooses the best
        checkpoint.
    """

    kind: Literal["dense_tasks"] = "dense_tasks"
    losses: TaskLossConfig = field(default_factory=TaskLossConfig)
    weighting: WeightingConfig = field(default_factory=FixedConfig)
    log_projection: bool = False
    intermediate: Literal["weighted", "mean"] = "weighted"
    canonical_focal_ratio: float | None = None
    camera: VirtualCameraConfig | None = None
    photometric: PhotometricConfig | None = None
    absent_is_zero: bool = False
    edge_tolerance: float = NYUD_TOLERANCE
    single_task: tuple[Reference, ...] = ()

    def __post_init__(self) -> None:
        if self.log_projection and isinstance(self.weighting, UncertaintyConfig):
            raise ValueError("log_projection: expected false with uncertainty, whose variances are those of the losses")


class Prepared(NamedTuple):
    """A batch as passes take it."""

    image_B3HW: Tensor
    labels: dict[str, Tensor]
    """By task name."""
    index_B: Tensor | None = None
    """The images' stable numbers, where the data set gives them."""


class TaskLosses(NamedTuple):
    """Unweighted losses: scalars of the final maps by task, and of the maps inside the network by (task, level).

    images, inside: of the same maps image by image, where the weighting looks at images; with their stable numbers.
    """

    final: dict[str, Tensor]
    intermediate: dict[tuple[str, int], Tensor]
    images: Mapping[str, ImageLosses] = {}
    inside: Mapping[tuple[str, int], ImageLosses] = {}
    index_B: Tensor | None = None

    def tasks(self) -> tuple[str, ...]:
        """Every task with a loss, final maps first."""
        return tuple(dict.fromkeys([*self.final, *(task for task, _ in self.intermediate)]))

    def only(self, task: str) -> "TaskLosses":
        """The losses of one task."""
        return TaskLosses(
            {name: loss for name, loss in self.final.items() if name == task},
            {key: loss for key, loss in self.intermediate.items() if key[0] == task},
            {name: losses for name, losses in self.images.items() if name == task},
            {key: losses for key, losses in self.inside.items() if key[0] == task},
            self.index_B,
        )


class DenseTasksObjective:
    """The objective of a network that answers `TaskOutputs`; see `Objective`."""

    best_is_lower = False

    def __init__(self, options: DenseTasksOptions, tasks: Sequence[TaskSpec]) -> None:
        self.options = options
        self.tasks = tuple(tasks)
        self.weighting: TaskWeighting = build_weighting(
            options.weighting,
            [task.name for task in tasks],
            losses=options.losses,
            classes=next((task.channels for task in tasks if task.name == "segmentation"), 0),
        )
        if options.log_projection and isinstance(self.weighting, WeighsImages):
            raise ValueError(
                f"log_projection: expected False with the weighting {options.weighting.kind!r}, found True"
            )
        for reference in options.single_task:
            _require_comparable(reference, [task.name for task in tasks])
        self.best_metric = "delta_m" if options.single_task else "score"

    def to(self, device: torch.device) -> None:
        """Nothing to move."""

    def labels(self, batch: Batch) -> dict[str, Tensor]:
        """The labels by task name, as they are in the batch; normals of generated rooms made unit vectors."""
        labels: dict[str, Tensor] = {name: batch[name] for name in TASK_NAMES if name in batch}
        labels |= {task: batch[name] for name, task in ROOM_NAMES.items() if name in batch}
        if "normal" in batch:  # stored in 8 bits a component
            labels["normals"] = F.normalize(batch["normal"], dim=1)
        if "edges" not in labels and "label" in batch:
            labels["edges"] = boundary_labels(batch["label"], batch["depth"])
        return labels

    def prepare(self, batch: Batch, generator: torch.Generator) -> Prepared:
        """The image and labels by task name, augmented where the options say so, depth canonical."""
        index_B = batch.get("index")
        focal_B = batch["intrinsics"][:, 0, 0] if "intrinsics" in batch else None
        if self.options.camera is not None:
            if focal_B is None or "label" not in batch:
                raise ValueError(f"camera: expected batches of generated rooms, found only {sorted(batch)}")
            frames = virtual_camera(
                batch["image"],
                batch["depth"],
                batch["label"],
                batch["normal"],
                focal_B,
                self.options.camera,
                generator,
                stride=1,
            )
            focal_B = frames.focal_B
            batch = {
                "image": frames.image_B3HW,
                "depth": frames.depth_Bhw,
                "label": frames.label_Bhw,
                "normal": frames.normal_B3hw,
            }
        image_B3HW, labels = batch["image"], self.labels(batch)
        if self.options.photometric is not None:
            image_B3HW = photometric(image_B3HW, self.options.photometric, generator)
        if "depth" in labels and self.options.canonical_focal_ratio is not None:
            labels["depth"] = labels["depth"] * self._to_canonical(focal_B, image_B3HW)
        return Prepared(image_B3HW, labels, index_B)

    def task_losses(self, model: nn.Module, prepared: Prepared) -> TaskLosses:
        """Unweighted losses of one pass: what weightings and other ways to combine tasks begin with."""
        labels = prepared.labels
        outputs = model(prepared.image_B3HW)
        if isinstance(self.weighting, WeighsImages):
            return self._image_losses(outputs, labels, prepared.index_B)
        final = {
            task: task_loss(task, map_BOHW, _label(labels, task), self.options.losses)
            for task, map_BOHW in outputs.final.items()
        }
        intermediate = {
            (entry.task, entry.level): task_loss(
                entry.task, entry.map_BOhw, _label(labels, entry.task), self.options.losses, final=False
            )
            for entry in outputs.intermediate
        }
        return TaskLosses(final, intermediate)

    def _image_losses(self, outputs: TaskOutputs, labels: Mapping[str, Tensor], index_B: Tensor | None) -> TaskLosses:
        """The losses image by image; the scalars are their means over the images that have labels."""
        if index_B is None:
            raise ValueError("weighting: expected batches with an index for each image, found none")
        images = {
            task: per_image_loss(task, map_BOHW, _label(labels, task), self.options.losses)
            for task, map_BOHW in outputs.final.items()
        }
        inside = {
            (entry.task, entry.level): per_image_loss(
                entry.task, entry.map_BOhw, _label(labels, entry.task), self.options.losses, final=False
            )
            for entry in outputs.intermediate
        }
        final = {task: masked_mean(losses.loss_B, losses.valid_B) for task, losses in images.items()}
        intermediate = {key: masked_mean(losses.loss_B, losses.valid_B) for key, losses in inside.items()}
        return TaskLosses(final, intermediate, images, inside, index_B)

    def total(self, losses: TaskLosses) -> Tensor:
        """The scalar to minimise: weighted (projected) final losses, and what intermediate ones add."""
        total = self._final_total(losses)
        if self.options.intermediate == "weighted":
            for level in sorted({level for _, level in losses.intermediate}):
                total = total + self._inside_total(losses, level)
            return total
        for task in dict.fromkeys(task for task, _ in losses.intermediate):
            if isinstance(self.weighting, WeighsImages):
                images = [
                    self.weighting.combine_inside({task: of}) for (at, _), of in losses.inside.items() if at == task
                ]
                total = total + torch.stack(images).mean()
                continue
            inside = [loss for (of, _), loss in losses.intermediate.items() if of == task]
            total = total + torch.stack(inside).mean()
        return total

    def _final_total(self, losses: TaskLosses) -> Tensor:
        """What the final maps add to the total: nothing for a task that only helps inside the network."""
        if not losses.final:
            return next(iter(losses.intermediate.values())).new_zeros(())
        if isinstance(self.weighting, WeighsImages):
            assert losses.index_B is not None  # task_losses refuses batches without it
            return self.weighting.combine_images(losses.images, losses.index_B)
        project = log_projection if self.options.log_projection else lambda loss: loss
        return self.weighting.combine({task: project(loss) for task, loss in losses.final.items()})

    def _inside_total(self, losses: TaskLosses, level: int) -> Tensor:
        """The weighted losses of one level inside the network."""
        if isinstance(self.weighting, WeighsImages):
            return self.weighting.combine_inside({task: of for (task, at), of in losses.inside.items() if at == level})
        return self.weighting.combine({task: loss for (task, at), loss in losses.intermediate.items() if at == level})

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """`total`; by task name the unweighted loss of the final map, by `task/level` of every map inside.

        By `labelled/task` 1 where the batch has a valid pixel of a main task, else 0.
        """
        prepared = self.prepare(batch, generator)
        losses = self.task_losses(model, prepared)
        return self._terms(losses, self.total(losses), prepared.labels)

    def split_loss(self, model: nn.Module, prepared: Prepared) -> SplitLoss:
        """What each task adds to `total`: exact for weightings that are sums over tasks."""
        losses = self.task_losses(model, prepared)
        by_task = {task: self.total(losses.only(task)) for task in losses.tasks()}
        return SplitLoss(by_task, self._terms(losses, torch.stack(list(by_task.values())).sum(), prepared.labels))

    def _terms(self, losses: TaskLosses, total: Tensor, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        inside = {f"{task}/{level}": loss for (task, level), loss in losses.intermediate.items()}
        labelled = {
            LABELLED + task: valid_images(task, labels[task], self.options.losses).any().float()
            for task in losses.final
        }
        return {"total": total} | losses.final | inside | labelled

    @torch.no_grad()
    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """The protocol's metrics at the labels' size; `score`, and `delta_m` where references are given."""
        meters = TaskMeters(
            self.tasks, absent_is_zero=self.options.absent_is_zero, edge_tolerance=self.options.edge_tolerance
        )
        for batch in batches:
            meters.add(self._metric_maps(model, batch), self.labels(batch))
        result = meters.result()
        references = self.options.single_task
        for reference in references:
            if reference.metric not in result:
                raise ValueError(f"single_task: expected one of {sorted(result)}, found {reference.metric!r}")
        if references:
            values: dict[str, float] = {reference.task: result[reference.metric] for reference in references}
            single: dict[str, float] = {reference.task: reference.value for reference in references}
            result["delta_m"] = delta_m(values, single)
        return result

    @torch.no_grad()
    def images(self, model: nn.Module, batch: Batch) -> Pictures:
        """One row per image: the image, then every task as predicted and as labelled."""
        maps, labels = self._metric_maps(model, batch), self.labels(batch)
        rows = []
        for b in range(min(6, len(batch["image"]))):
            row = [image_picture(batch["image"][b])]
            for task in maps:
                if task in labels:
                    row += task_picture(task, maps[task][b], labels[task][b])
            rows.append(row)
        return {"predictions": sheet(rows)}

    def _metric_maps(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Raw final maps, depth in metres of the camera at hand."""
        maps = {task: map_BOHW.float() for task, map_BOHW in model(batch["image"]).final.items()}
        if "depth" in maps and self.options.canonical_focal_ratio is not None:
            focal_B = batch["intrinsics"][:, 0, 0] if "intrinsics" in batch else None
            maps["depth"] = maps["depth"] / self._to_canonical(focal_B, batch["image"])[:, None]
        return maps

    def _to_canonical(self, focal_B: Tensor | None, image_B3HW: Tensor) -> Tensor:
        """Factor [B,1,1] from metres to canonical depth."""
        assert self.options.canonical_focal_ratio is not None
        if focal_B is None:
            raise ValueError("canonical_focal_ratio: expected batches with intrinsics, found none")
        return (self.options.canonical_focal_ratio * max(image_B3HW.shape[-2:]) / focal_B)[:, None, None]


def _require_comparable(reference: Reference, tasks: Sequence[str]) -> None:
    task, metric, value = reference.task, reference.metric, reference.value
    if task not in tasks:
        raise ValueError(f"single_task, task: expected one of {list(tasks)}, found {task!r} for {metric}")
    if not metric.startswith(f"{task}/"):
        raise ValueError(f"single_task, metric: expected one of {task}/..., found {metric!r}")
    if value == 0 or not math.isfinite(value):
        raise ValueError(f"single_task, {metric}: expected a number other than 0, found {value}")


def _label(labels: Mapping[str, Tensor], task: str) -> Tensor:
    if task not in labels:
        raise ValueError(f"{task}: expected labels in the batch, found only {sorted(labels)}")
    return labels[task]

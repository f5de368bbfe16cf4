"""Task metrics of a graph on generated frames: what training's own evaluation says of the answers of an ONNX file.

The graph takes the network's place in `Objective.evaluate`, behind the service's resizing, so the figures are those of
what the service computes. Tasks that the generators give no labels for (parts, saliency, foreign classes) are scored
against the answers of a second graph, the float one: then a metric says how far the two agree.

Legend: B batch, H and W of a frame, h and w of the graph's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from export.labels import NYU13
from models.tasks import TaskName, TaskOutputs, TaskSpec
from service.manifest import GraphSpec, Manifest
from service.preprocess import model_size, to_model_image
from training.objectives.dense_tasks import DenseTasksObjective, DenseTasksOptions
from training.objectives.pixel_warp import PixelWarpObjective, PixelWarpOptions
from training.objectives.stitched_image import StitchedImageObjective, StitchedImageOptions

Arrays = Mapping[str, NDArray[Any]]
Call = Callable[[Arrays], Arrays]
"""A graph: inputs by tensor name to outputs by tensor name."""
Batches = Iterable[dict[str, Tensor]]

HIGHER_IS_BETTER = ("miou", "accuracy", "delta", "under_", "max_f", "ods_f", "psnr")
NOT_OF_THE_GRAPH = ("homography/", "feather/", "score")
LABELLED = ("depth", "normals", "segmentation", "edges")
SMALLEST_PROBABILITY = 1e-6


def task_metrics(manifest: Manifest, graph: str, call: Call, batches: Batches, stand_in: Call) -> dict[str, float]:
    """Metrics of `call`, the graph named so in the manifest, on batches of `export.generated_sets`.

    stand_in: the graph whose answers are the labels of tasks that the batches have no labels for.
    """
    if graph == "perceive":
        found = _perceive(manifest, call, batches, stand_in)
    elif graph == "pwm":
        objective = PixelWarpObjective(PixelWarpOptions())
        found = objective.evaluate(cast(nn.Module, _PixelWarpGraph(manifest.graphs[graph], call)), batches)
    else:
        composition = StitchedImageObjective(StitchedImageOptions(pixel_warp=None), None)
        found = composition.evaluate(cast(nn.Module, _StitchedImageGraph(call)), batches)
    return {name: value for name, value in found.items() if not name.startswith(NOT_OF_THE_GRAPH)}


def relative_losses(reference: Mapping[str, float], found: Mapping[str, float]) -> dict[str, float]:
    """By metric, how much worse `found` is than `reference` as a share of the latter; below 0 where it is better.

    Raises ValueError when the two do not have the same metrics.
    """
    if set(reference) != set(found):
        raise ValueError(f"found: expected the metrics {sorted(reference)}, found {sorted(found)}")
    losses = {}
    for name, value in reference.items():
        change = found[name] - value
        worse = -change if any(word in name for word in HIGHER_IS_BETTER) else change
        losses[name] = 0.0 if worse == 0 else worse / max(abs(value), 1e-12)
    return losses


def _perceive(manifest: Manifest, call: Call, batches: Batches, stand_in: Call) -> dict[str, float]:
    spec = manifest.graphs["perceive"]
    channels = {output.name: output.shape[1] if len(output.shape) == 4 else 1 for output in spec.outputs}
    tasks = tuple(TaskSpec(name=cast(TaskName, name), channels=int(count)) for name, count in channels.items())
    own_classes = manifest.classes == tuple(NYU13)
    objective = DenseTasksObjective(
        DenseTasksOptions(canonical_focal_ratio=manifest.canonical_focal_ratio), tasks=tasks
    )
    unlabelled = [task.name for task in tasks if task.name not in LABELLED or not (own_classes or task.name == "depth")]
    unlabelled = [name for name in unlabelled if name != "normals"]
    reference = _PerceiveGraph(spec, stand_in)

    def labelled() -> Iterator[dict[str, Tensor]]:
        for batch in batches:
            kept = batch if own_classes else {name: value for name, value in batch.items() if name != "label"}
            if unlabelled:
                maps = reference(batch["image"]).final
                kept = kept | {name: _as_label(name, maps[name]) for name in unlabelled}
            yield kept

    return objective.evaluate(cast(nn.Module, _PerceiveGraph(spec, call)), labelled())


def _as_label(task: str, raw_BOhw: Tensor) -> Tensor:
    return raw_BOhw.argmax(dim=1).byte() if task in ("segmentation", "parts") else (raw_BOhw[:, 0] > 0).byte()


class _PerceiveGraph:
    """A perceive graph as a network of `models.tasks`: raw maps at the graph's own size."""

    def __init__(self, spec: GraphSpec, call: Call) -> None:
        self._spec, self._call = spec, call

    def __call__(self, image_B3HW: Tensor) -> TaskOutputs:
        found = self._call({"image": _model_images(image_B3HW, self._spec)})
        return TaskOutputs(final={name: _raw(name, values) for name, values in found.items()}, intermediate=())


def _raw(task: str, values: NDArray[Any]) -> Tensor:
    """A bundle's map as the raw map that it came from, [B, O, h, w]."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if task in ("saliency", "edges"):
        return torch.logit(tensor, eps=SMALLEST_PROBABILITY)[:, None]
    return tensor[:, None] if task == "depth" else tensor


class _Warp(NamedTuple):
    flow_B2HW: Tensor


class _PixelWarpGraph:
    """`pwm` as the network of the warp's evaluation: the flow at the size of the images, in their pixels."""

    def __init__(self, spec: GraphSpec, call: Call) -> None:
        self._spec, self._call = spec, call

    def __call__(self, target_B3HW: Tensor, reference_B3HW: Tensor) -> _Warp:
        height, width = target_B3HW.shape[-2:]
        target, reference = _model_images(target_B3HW, self._spec), _model_images(reference_B3HW, self._spec)
        flow = torch.from_numpy(np.ascontiguousarray(self._call({"target": target, "reference": reference})["flow"]))
        scale = torch.tensor([width / flow.shape[-1], height / flow.shape[-2]]).view(1, 2, 1, 1)
        return _Warp(F.interpolate(flow * scale, size=(height, width), mode="bilinear", align_corners=False))


class _StitchedImageGraph:
    """`sigmo` as the network of the composition's evaluation. Canvases come in multiples of 32."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __call__(self, canvas_B8HW: Tensor, feather_B1HW: Tensor) -> tuple[Tensor, ...]:
        found = self._call({
            "canvas": canvas_B8HW.numpy().astype(np.float32), "feather": feather_B1HW.numpy().astype(np.float32),
        })  # fmt: skip
        return tuple(torch.from_numpy(found[name]) for name in ("alpha", "delta", "image") if name in found)


def _model_images(image_B3HW: Tensor, spec: GraphSpec) -> NDArray[np.uint8]:
    """Frames in [0, 1] as the service gives them to the graph, uint8 [B, h, w, 3]."""
    image_BHW3 = (image_B3HW.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    size = model_size(image_BHW3.shape[2], image_BHW3.shape[1], spec.size)
    return np.stack([to_model_image(np.ascontiguousarray(image), size) for image in image_BHW3])

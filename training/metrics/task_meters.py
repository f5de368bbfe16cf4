"""One set of accumulators for the tasks of a network, fed with its raw maps.

Shapes: B batch, O output channels, h and w of a map, H and W of its label.
"""

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from models.tasks import TaskSpec
from training.losses.tasks import resized
from training.metrics.dense import NEAR_LIMIT, DepthMeter, NormalMeter, SegmentationMeter
from training.metrics.edges import NYUD_TOLERANCE, EdgeMeter
from training.metrics.saliency import SaliencyMeter

SHARES = {
    "segmentation": "segmentation/miou",
    "parts": "parts/miou",
    "saliency": "saliency/miou",
    "edges": "edges/ods_f_approx",
    "depth": "depth/delta1",
    "normals": "normals/under_11.25",
}
"""Per task the metric that is a share, 1 at best."""


class TaskMeters:
    """Every metric of the protocol for the given tasks.

    absent_is_zero: see `SegmentationMeter`. edge_tolerance: see `EdgeMeter`.
    """

    def __init__(
        self, tasks: Iterable[TaskSpec], *, absent_is_zero: bool = False, edge_tolerance: float = NYUD_TOLERANCE
    ) -> None:
        channels = {task.name: task.channels for task in tasks}
        self._classes = {
            name: SegmentationMeter(channels[name], name=name, absent_is_zero=absent_is_zero)
            for name in ("segmentation", "parts")
            if name in channels
        }
        self._depth = (DepthMeter(), DepthMeter(limit=NEAR_LIMIT)) if "depth" in channels else ()
        self._normals = NormalMeter() if "normals" in channels else None
        self._saliency = SaliencyMeter() if "saliency" in channels else None
        self._edges = EdgeMeter(edge_tolerance) if "edges" in channels else None

    def add(self, maps: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> None:
        """Raw maps [B, O, h, w], depth in metres, and labels at the size to score at; a task without labels is skipped.

        As the published evaluations do, classes are decided at the map's size and then taken by nearest neighbour,
        everything else is resized linearly.
        """
        for task, meter in self._classes.items():
            if task in labels:
                meter.add(nearest(maps[task].argmax(dim=1), labels[task].shape[-2:]), labels[task])
        if "depth" in labels:
            for depth in self._depth:
                depth.add(resized(maps["depth"], labels["depth"].shape[-2:])[:, 0], labels["depth"])
        if self._normals is not None and "normals" in labels:
            self._normals.add(
                resized(F.normalize(maps["normals"], dim=1), labels["normals"].shape[-2:]), labels["normals"]
            )
        for name, salient in (("saliency", self._saliency), ("edges", self._edges)):
            if salient is not None and name in labels:
                size = labels[name].shape[-2:]
                salient.add(resized(torch.sigmoid(maps[name].float()), size)[:, 0], labels[name])

    def result(self) -> dict[str, float]:
        """All metrics by name, and `score`, the mean over tasks of one metric each that is 1 at best."""
        meters = [*self._classes.values(), *self._depth, self._normals, self._saliency, self._edges]
        values: dict[str, float] = {}
        for meter in meters:
            if meter is not None:
                values |= meter.result()
        shares = [values[name] for name in SHARES.values() if name in values]
        return values | {"score": sum(shares) / max(len(shares), 1)}


def nearest(classes_Bhw: Tensor, size: tuple[int, ...]) -> Tensor:
    """Class indices at another size."""
    if classes_Bhw.shape[-2:] == torch.Size(size):
        return classes_Bhw
    # Exact up to 2048 classes in half precision; float64 holds any index.
    return F.interpolate(classes_Bhw[:, None].double(), size=tuple(size), mode="nearest-exact")[:, 0].long()

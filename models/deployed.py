"""The networks as the service meets them: 8-bit images in their usual memory order, one tuple of tensors out.

Exported graphs are these modules, so that no client has to know a normalisation or a raw unit.

Shapes: N batch, H height, W width, C classes. Images are RGB.
Convention: camera frame x right, y down, z forward; depth is z.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.global_matching import GlobalMatching
from models.mt_cp import MtCp
from models.mti_net import MTINet
from models.multitask_baseline import OUTPUT_STRIDE, DensePrediction, MultiTaskBaseline
from models.pad_net import PADNet
from models.pixel_warp import PixelWarp
from models.shared_encoder import SharedEncoder
from models.stitched_image import CompositionPrediction, GenerationPrediction, StitchedImage
from models.task_batch_norm import TaskBatchNormNetwork
from models.tasks import TaskOutputs, TaskSpec, tasks_of

DenseNetwork = MultiTaskBaseline | SharedEncoder | PADNet | MTINet | MtCp | TaskBatchNormNetwork
NEAREST_DEPTH = 1e-2
"""Metres; the networks of `TaskOutputs` answer depth without bounds, the service answers depth above 0."""
SHORTEST_NORMAL = 1e-6


class PixelWarpOutputs(NamedTuple):
    """Tensor names of `pwm.onnx`."""

    flow: Tensor
    importance: Tensor
    confidence: Tensor


class StitchedImageOutputs(NamedTuple):
    """Tensor names of `sigmo.onnx`."""

    alpha: Tensor
    delta: Tensor


class GeneratedImageOutputs(NamedTuple):
    """Tensor names of a `sigmo.onnx` that generates as well."""

    alpha: Tensor
    delta: Tensor
    image: Tensor


def to_unit_range(image_NHW3: Tensor) -> Tensor:
    """uint8 [N, H, W, 3] in 0..255 to float32 [N, 3, H, W] in [0, 1]."""
    return image_NHW3.permute(0, 3, 1, 2).float() / 255.0


class DeployedPerceive(nn.Module):
    """All dense tasks of 8-bit images, in the units of a bundle.

    tasks: what it answers, in this order. output_stride: pixels of the image per pixel of the answer. any_size: False
    where the network can only be traced for one size: shifted windows are cut according to it. mirrored: whether every
    answer is the mean over the image and its mirror image, at twice the cost; mirroring an image then mirrors its
    answer (and negates n_x), whatever the network has learned.
    """

    def __init__(self, network: DenseNetwork, mirrored: bool = False) -> None:
        super().__init__()
        self.network = network
        self.mirrored = mirrored
        self.any_size = not isinstance(network, MtCp)
        self.tasks: tuple[TaskSpec, ...]
        if isinstance(network, MultiTaskBaseline):
            self.tasks = tasks_of(("depth", "segmentation", "normals"), network.config.classes)
            self.output_stride = OUTPUT_STRIDE
        else:
            self.tasks = network.config.tasks
            self.output_stride = 1

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """One tensor per task of `tasks`. With h = H / output_stride and w = W / output_stride:

        image: uint8 [N, H, W, 3], H and W multiples of 32.
        depth: float32 [N, h, w] above 0, metres, for the canonical focal length where the network was trained so.
        segmentation, parts: float32 [N, C, h, w], logits. normals: float32 [N, 3, h, w], unit vectors.
        saliency, edges: float32 [N, h, w], probabilities.
        """
        image_N3HW = to_unit_range(image)
        if not self.mirrored:
            return tuple(self._answer(image_N3HW))
        both = self._answer(torch.cat((image_N3HW, image_N3HW.flip(-1))))
        means = []
        for task, maps in zip(self.tasks, both, strict=True):
            seen, mirrored = maps.unflatten(0, (2, image.shape[0])).unbind(0)
            means.append(mean_with_mirror(task.name, seen, mirrored))
        return tuple(means)

    def _answer(self, image_N3HW: Tensor) -> list[Tensor]:
        answer: DensePrediction | TaskOutputs = self.network(image_N3HW)
        if isinstance(answer, DensePrediction):
            return list(answer)
        return [in_bundle_units(task.name, answer.final[task.name]) for task in self.tasks]


def in_bundle_units(task: str, raw_NOHW: Tensor) -> Tensor:
    """A raw map of `models.tasks` in the units that `DeployedPerceive.forward` states."""
    if task == "depth":
        return raw_NOHW.squeeze(1).clamp(min=NEAREST_DEPTH)
    if task == "normals":
        return F.normalize(raw_NOHW, dim=1, eps=SHORTEST_NORMAL)
    if task in ("saliency", "edges"):
        return torch.sigmoid(raw_NOHW.squeeze(1))
    return raw_NOHW


def mean_with_mirror(task: str, seen: Tensor, mirrored: Tensor) -> Tensor:
    """The mean of an image's map and of its mirror image's map, which has not been mirrored back yet.

    Depth: mean of the logarithms. Normals: n_x of the mirror image negated, then the direction of the sum.
    """
    back = mirrored.flip(-1)
    if task == "depth":
        return (seen * back).sqrt()
    if task == "normals":
        back = torch.cat((-back[:, :1], back[:, 1:]), dim=1)
        return F.normalize(seen + back, dim=1, eps=SHORTEST_NORMAL)
    return (seen + back) / 2


class DeployedPixelWarp(nn.Module):
    """The warp of an 8-bit target image into its reference."""

    def __init__(self, network: PixelWarp | GlobalMatching, iterations: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.iterations = iterations

    def forward(self, target: Tensor, reference: Tensor) -> PixelWarpOutputs:
        """target, reference: uint8 [N, H, W, 3] of one size, H and W multiples of 32.

        flow: float32 [N, 2, H, W], pixels of the input size. importance: float32 [N, 1, H, W] in [0, 30].
        confidence: float32 [N, 1, H, W] in [0, 1].
        """
        warp = self.network(to_unit_range(target), to_unit_range(reference), self.iterations)
        return PixelWarpOutputs(warp.flow_B2HW, warp.importance_B1HW, warp.confidence_B1HW)


class DeployedStitchedImage(nn.Module):
    """The composition of a canvas. generates: whether it answers an image of its own as well."""

    def __init__(self, network: StitchedImage) -> None:
        super().__init__()
        self.network = network
        self.generates = network.config.mode == "generate"

    def forward(self, canvas: Tensor, feather: Tensor) -> StitchedImageOutputs | GeneratedImageOutputs:
        """canvas: float32 [N, 8, H, W] in [0, 1]; feather: float32 [N, 1, H, W] in [0, 1]; multiples of 32.

        alpha: float32 [N, 1, H, W] in [0, 1]. delta: float32 [N, 3, H, W] in [-1, 1]. image: float32 [N, 3, H, W] in
        [0, 1], of a network that generates.
        """
        prediction: CompositionPrediction | GenerationPrediction = self.network(canvas, feather)
        return GeneratedImageOutputs(*prediction) if self.generates else StitchedImageOutputs(*prediction)


Deployed = DeployedPerceive | DeployedPixelWarp | DeployedStitchedImage


def deploy(network: nn.Module, mirrored: bool = False) -> Deployed:
    """The wrapper of a built network, in evaluation mode; `mirrored` as in DeployedPerceive.

    Raises ValueError for a module of another kind, and for `mirrored` with a network of pairs.
    """
    network.eval()
    if isinstance(network, DenseNetwork):
        return DeployedPerceive(network, mirrored).eval()
    pairs: dict[type[nn.Module], Callable[..., Deployed]] = {
        PixelWarp: DeployedPixelWarp,
        GlobalMatching: DeployedPixelWarp,
        StitchedImage: DeployedStitchedImage,
    }
    if type(network) not in pairs:
        raise ValueError(f"network: expected a network of models.build, found {type(network).__name__}")
    if mirrored:
        raise ValueError(f"mirrored: expected False for {type(network).__name__}, which answers pairs, found True")
    return pairs[type(network)](network).eval()

"""The networks as the service meets them: 8-bit images in their usual memory order, one tuple of tensors out.

Exported graphs are these modules, so that no client has to know a normalisation.

Shapes: N batch, H height, W width, C classes. Images are RGB.
"""

from typing import NamedTuple

from torch import Tensor, nn

from models.multitask_baseline import DensePrediction, MultiTaskBaseline
from models.pixel_warp import PixelWarp
from models.stitched_image import CompositionPrediction, StitchedImage


class PerceiveOutputs(NamedTuple):
    """Tensor names of `perceive.onnx`."""

    depth: Tensor
    segmentation: Tensor
    normals: Tensor


class PixelWarpOutputs(NamedTuple):
    """Tensor names of `pwm.onnx`."""

    flow: Tensor
    importance: Tensor
    confidence: Tensor


class StitchedImageOutputs(NamedTuple):
    """Tensor names of `sigmo.onnx`."""

    alpha: Tensor
    delta: Tensor


def to_unit_range(image_NHW3: Tensor) -> Tensor:
    """uint8 [N, H, W, 3] in 0..255 to float32 [N, 3, H, W] in [0, 1]."""
    return image_NHW3.permute(0, 3, 1, 2).float() / 255.0


class DeployedPerceive(nn.Module):
    """All dense tasks of 8-bit images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> PerceiveOutputs:
        """image: uint8 [N, H, W, 3], H and W multiples of 32.

        depth: float32 [N, H/2, W/2], metres for the canonical focal length. segmentation: float32 [N, C, H/2, W/2],
        logits. normals: float32 [N, 3, H/2, W/2], unit vectors towards the camera.
        """
        prediction: DensePrediction = self.network(to_unit_range(image))
        return PerceiveOutputs(*prediction)


class DeployedPixelWarp(nn.Module):
    """The warp of an 8-bit target image into its reference."""

    def __init__(self, network: PixelWarp, iterations: int | None = None) -> None:
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
    """The composition of a canvas."""

    def __init__(self, network: StitchedImage) -> None:
        super().__init__()
        self.network = network

    def forward(self, canvas: Tensor, feather: Tensor) -> StitchedImageOutputs:
        """canvas: float32 [N, 8, H, W] in [0, 1]; feather: float32 [N, 1, H, W] in [0, 1]; multiples of 32.

        alpha: float32 [N, 1, H, W] in [0, 1]. delta: float32 [N, 3, H, W] in [-1, 1].
        """
        prediction: CompositionPrediction = self.network(canvas, feather)
        return StitchedImageOutputs(*prediction)


Deployed = DeployedPerceive | DeployedPixelWarp | DeployedStitchedImage


def deploy(network: nn.Module) -> Deployed:
    """The wrapper of a built network, in evaluation mode. Raises ValueError for a module of another kind."""
    network.eval()
    if isinstance(network, MultiTaskBaseline):
        return DeployedPerceive(network).eval()
    if isinstance(network, PixelWarp):
        return DeployedPixelWarp(network).eval()
    if isinstance(network, StitchedImage):
        return DeployedStitchedImage(network).eval()
    raise ValueError(f"network: expected a network of models.build, found {type(network).__name__}")

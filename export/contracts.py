"""What each exported graph takes and gives, and how far it may stray from PyTorch.

Legend: N batch, H and W height and width in pixels, C classes.
Convention: pixel centres are integers; flow is target -> reference in pixels of the graph's input; camera frame x
right, y down, z forward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from models.deployed import DeployedPerceive, DeployedPixelWarp, DeployedStitchedImage
from models.pixel_warp import SMALLEST_SIDE
from service.bundle import TensorSpec

OPSETS = (17, 18)
"""Newer ones rename GridSample's "bilinear", which TensorRT's parser then reads as "nearest" (TensorRT #4646)."""
LAST_GRID_SAMPLE_OPSET = 19


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """A value b from PyTorch and a from the graph agree when |a - b| <= absolute + relative * |b|."""

    absolute: float
    relative: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Contract:
    """One graph: its tensors, the rule for its sizes and the tolerance of each output."""

    graph: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    tolerances: Mapping[str, Tolerance]
    multiple: int = 32
    smallest_side: int = 32
    output_stride: int = 1
    longest_side: int
    normalisation: str = "inside the graph"
    forbidden: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        return f"{self.graph}.onnx"


def contract_of(deployed: nn.Module, classes: int = 13) -> Contract:
    """The contract of a wrapper from `models.deployed`. Raises ValueError for another module."""
    if isinstance(deployed, DeployedPerceive):
        return perceive_contract(classes)
    if isinstance(deployed, DeployedPixelWarp):
        return pixel_warp_contract()
    if isinstance(deployed, DeployedStitchedImage):
        return stitched_image_contract()
    raise ValueError(f"deployed: expected a module of models.deployed, found {type(deployed).__name__}")


def perceive_contract(classes: int) -> Contract:
    """`perceive.onnx`: one photograph to depth, segmentation and normals at half its size."""
    return Contract(
        graph="perceive",
        inputs=(_image("image"),),
        outputs=(
            _float("depth", ("N", "H/2", "W/2"), "NHW", "m at the canonical focal length"),
            _float("segmentation", ("N", classes, "H/2", "W/2"), "NCHW", "logit"),
            _float("normals", ("N", 3, "H/2", "W/2"), "NCHW", "unit vector towards the camera", (-1.0, 1.0)),
        ),
        tolerances={
            "depth": Tolerance(absolute=1e-4, relative=1e-3),
            "segmentation": Tolerance(absolute=2e-3, relative=1e-3),
            "normals": Tolerance(absolute=2e-3),
        },
        output_stride=2,
        longest_side=384,
    )


def pixel_warp_contract() -> Contract:
    """`pwm.onnx`: a target and a reference image to the target's pixel-wise warp. Free of scatter, for TensorRT."""
    return Contract(
        graph="pwm",
        inputs=(_image("target"), _image("reference")),
        outputs=(
            _float("flow", ("N", 2, "H", "W"), "NCHW", "px of the input, target to reference"),
            _float("importance", ("N", 1, "H", "W"), "NCHW", "splatting weight, logarithmic", (0.0, 30.0)),
            _float("confidence", ("N", 1, "H", "W"), "NCHW", "probability", (0.0, 1.0)),
        ),
        tolerances={
            "flow": Tolerance(absolute=2e-2, relative=1e-3),
            "importance": Tolerance(absolute=1e-2, relative=1e-3),
            "confidence": Tolerance(absolute=2e-3),
        },
        longest_side=384,
        smallest_side=SMALLEST_SIDE,
        forbidden=("Scatter", "ScatterElements", "ScatterND"),
    )


def stitched_image_contract() -> Contract:
    """`sigmo.onnx`: eight canvas channels and the feathering weight to blending weight and colour correction."""
    return Contract(
        graph="sigmo",
        inputs=(
            _float(
                "canvas", ("N", 8, "H", "W"), "NCHW", "reference RGB, its mask, warped target RGB, coverage", (0, 1)
            ),
            _float("feather", ("N", 1, "H", "W"), "NCHW", "weight of the reference", (0, 1)),
        ),
        outputs=(
            _float("alpha", ("N", 1, "H", "W"), "NCHW", "weight of the reference", (0.0, 1.0)),
            _float("delta", ("N", 3, "H", "W"), "NCHW", "sRGB, added in holes and along the seam", (-1.0, 1.0)),
        ),
        tolerances={"alpha": Tolerance(absolute=1e-3), "delta": Tolerance(absolute=1e-3)},
        longest_side=512,
        normalisation="none",
    )


def _image(name: str) -> TensorSpec:
    return TensorSpec(
        name=name, dtype="uint8", shape=("N", "H", "W", 3), layout="NHWC", unit="sRGB", range=(0.0, 255.0)
    )


def _float(
    name: str, shape: tuple[int | str, ...], layout: str, unit: str, span: tuple[float, float] | None = None
) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=shape, layout=layout, unit=unit, range=span)

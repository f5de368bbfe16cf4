"""What each exported graph takes and gives, and how far it may stray from PyTorch.

Legend: N batch, H and W height and width in pixels, C classes.
Convention: pixel centres are integers; flow is target -> reference in pixels of the graph's input; camera frame x
right, y down, z forward.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from torch import nn

from models.deployed import DeployedPerceive, DeployedPixelWarp, DeployedStitchedImage
from models.pixel_warp import SMALLEST_SIDE
from models.tasks import TaskSpec
from service.manifest import GraphSpec, SizeSpec, TensorSpec

OPSET = 18
"""What PyTorch's exporter writes; it cannot convert these networks to an older one. From 20 on GridSample's "bilinear"
has another name, which TensorRT's parser reads as "nearest" (TensorRT #4646)."""
LAST_GRID_SAMPLE_OPSET = 19
FP32_PARITY = 1e-4
SCATTER = ("Scatter", "ScatterElements", "ScatterND")
"""TensorRT runs them badly or not at all."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """A value b from PyTorch and a from the graph agree when |a - b| <= absolute + relative * |b|.

    of_largest: on top of that, the largest |a - b| of an output is at most this share of its largest |b|.
    """

    absolute: float
    relative: float = 0.0
    of_largest: float = FP32_PARITY


@dataclass(frozen=True, kw_only=True)
class Contract:
    """One graph: its tensors, the rule for its sizes and the tolerance of each output.

    any_size: False where the graph can be made for one input size only, which `at` then writes into the shapes.
    """

    graph: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    tolerances: Mapping[str, Tolerance]
    multiple: int = 32
    smallest_side: int = 32
    output_stride: int = 1
    longest_side: int
    any_size: bool = True
    normalisation: str = "inside the graph"
    forbidden: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        return f"{self.graph}.onnx"

    def at(self, size: SizeSpec) -> Contract:
        """This contract with the height and width of `size.fixed` in place of H and W; unchanged without one."""
        if size.fixed is None:
            return self
        width, height = size.fixed
        axes = {"H": height, "W": width, "H/2": height // 2, "W/2": width // 2}
        return replace(self, inputs=_with_axes(self.inputs, axes), outputs=_with_axes(self.outputs, axes))


def contract_of(deployed: nn.Module, canonical_depth: bool = True) -> Contract:
    """The contract of a wrapper from `models.deployed`. Raises ValueError for another module.

    canonical_depth: whether a dense network's depth is for the canonical focal length, or for the camera at hand.
    """
    if isinstance(deployed, DeployedPerceive):
        contract = perceive_contract(deployed.tasks, deployed.output_stride, canonical_depth)
        return replace(contract, any_size=deployed.any_size)
    if isinstance(deployed, DeployedPixelWarp):
        return pixel_warp_contract()
    if isinstance(deployed, DeployedStitchedImage):
        return stitched_image_contract(deployed.generates)
    raise ValueError(f"deployed: expected a module of models.deployed, found {type(deployed).__name__}")


def contract_of_graph(name: str, graph: GraphSpec) -> Contract:
    """What the manifest promises of the graph `name`; without tolerances, since there is no network to compare with."""
    return Contract(
        graph=name,
        inputs=graph.inputs,
        outputs=graph.outputs,
        tolerances={},
        multiple=graph.size.multiple,
        smallest_side=graph.size.smallest_side,
        output_stride=graph.output_stride,
        longest_side=graph.size.longest_side,
        any_size=graph.size.fixed is None,
        normalisation=graph.normalisation,
        forbidden=SCATTER if name == "pwm" else (),
    )


TASK_TOLERANCES = {
    "depth": Tolerance(absolute=1e-4, relative=1e-3),
    "segmentation": Tolerance(absolute=2e-3, relative=1e-3),
    "normals": Tolerance(absolute=2e-3),
    "parts": Tolerance(absolute=2e-3, relative=1e-3),
    "saliency": Tolerance(absolute=1e-3),
    "edges": Tolerance(absolute=1e-3),
}


def perceive_contract(tasks: Iterable[TaskSpec], output_stride: int, canonical_depth: bool = True) -> Contract:
    """`perceive.onnx`: one photograph to one map per task, at 1 / `output_stride` (1 or 2) of its size."""
    tasks = tuple(tasks)
    return Contract(
        graph="perceive",
        inputs=(_image("image"),),
        outputs=tuple(_task_output(task, output_stride, canonical_depth) for task in tasks),
        tolerances={task.name: TASK_TOLERANCES[task.name] for task in tasks},
        output_stride=output_stride,
        longest_side=384,
    )


def _task_output(task: TaskSpec, output_stride: int, canonical_depth: bool) -> TensorSpec:
    height, width = ("H", "W") if output_stride == 1 else (f"H/{output_stride}", f"W/{output_stride}")
    if task.name == "depth":
        unit = "m at the canonical focal length" if canonical_depth else "m"
        return _float("depth", ("N", height, width), "NHW", unit)
    if task.name == "normals":
        shape = ("N", 3, height, width)
        return _float("normals", shape, "NCHW", "unit vector towards the camera", (-1.0, 1.0))
    if task.name in ("saliency", "edges"):
        return _float(task.name, ("N", height, width), "NHW", "probability", (0.0, 1.0))
    return _float(task.name, ("N", task.channels, height, width), "NCHW", "logit")


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
            "flow": Tolerance(absolute=1e-3),
            "importance": Tolerance(absolute=1e-2, relative=1e-3),
            "confidence": Tolerance(absolute=2e-3),
        },
        longest_side=384,
        smallest_side=SMALLEST_SIDE,
        forbidden=SCATTER,
    )


def stitched_image_contract(generates: bool = False) -> Contract:
    """`sigmo.onnx`: eight canvas channels and the feathering weight to blending weight and colour correction, and, of a
    network that generates, to an image."""
    image = (_float("image", ("N", 3, "H", "W"), "NCHW", "sRGB", (0.0, 1.0)),) if generates else ()
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
            *image,
        ),
        tolerances={name: Tolerance(absolute=1e-3) for name in ("alpha", "delta", *(spec.name for spec in image))},
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


def _with_axes(specs: tuple[TensorSpec, ...], axes: Mapping[str, int]) -> tuple[TensorSpec, ...]:
    """The specs with the named axes of `axes` as numbers."""
    return tuple(
        replace(spec, shape=tuple(axes.get(axis, axis) if isinstance(axis, str) else axis for axis in spec.shape))
        for spec in specs
    )
